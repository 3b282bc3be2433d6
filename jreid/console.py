"""Rich's console for tables and progress, which other people's text cannot command."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from jreid.terminal import printable


class Console(rich.console.Console):
    """Reads no markup such as `[red]` or `:smile:` in strings, and writes out control characters.

    Rich's own sequences are made after this, of styles and of segments that are marked as control.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        return super().render_str(printable(text), *arguments, **options)

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
