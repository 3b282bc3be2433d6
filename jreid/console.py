"""Rich's console for tables and progress; text from files cannot control it."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from jreid.terminal import printable


class Console(rich.console.Console):
    """Prints markup such as `[red]` or `:smile:` as it is, and control characters as escapes.

    Rich adds its own control sequences afterwards, so they are kept.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        return super().render_str(printable(text), *arguments, **options)

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*arguments, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
