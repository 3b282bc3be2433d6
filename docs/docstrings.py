"""Makes the examples of jreid's docstrings code blocks of the page `api.md`; see mkdocs.yml."""

import re
from textwrap import dedent
from typing import Any

import griffe

EXAMPLE = re.compile(r"^Example:\n((?: {4}.*\n?|\n)+)", re.MULTILINE)
DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """What follows `Example:` or `>>>` becomes a block of Python code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = EXAMPLE.sub(lambda match: _block(dedent(match[1])), obj.docstring.value)
            obj.docstring.value = DOCTEST.sub(lambda match: _block(match[0]), text)


def _block(code: str) -> str:
    return f"```python\n{code.strip()}\n```\n"
