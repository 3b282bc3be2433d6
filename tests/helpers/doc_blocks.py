"""The code blocks of README.md and the documentation, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from helpers.paths import ROOT

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "AGENTS", "CONTRIBUTING")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block; `reason` says why it is not run, and is empty if it is."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> Iterator[Block]:
    """All blocks of some languages, or of all."""
    for page in PAGES:
        content = page.read_text()
        for match in BLOCK.finditer(content):
            line = content.count("\n", 0, match.start()) + 1
            block = Block(page, line, match["language"], match["text"], match["reason"] or "")
            if not languages or block.language in languages:
                yield block


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of a shell block, those after a pipe left out."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            if words := shlex.split(part, comments=True):
                yield words[: words.index("|")] if "|" in words else words
