"""Pages from the templates: one file that loads nothing else, with every text escaped."""

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jreid.evaluation.results.measures import MIXED_METRICS, as_text, title
from jreid.terminal import clean

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **content: Any) -> str:
    """The page of a template, with the texts of its content escaped.

    Args:
        template: the name of a file in `templates`.
        content: what it shows.
    """
    return _environment().get_template(template).render(content)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "style": Markup((TEMPLATES / "page.css").read_text()),
        "script": Markup(script),
        # The page's own script may run, and nothing that a name smuggles in.
        "policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'",
    }
    environment.filters["percent"] = lambda value: f"{100 * value:.2f}"
    environment.globals |= {"as_text": as_text, "title_of": title, "mixed_metrics": MIXED_METRICS}
    return environment


def _shown(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
