"""Shows hits as HTML with thumbnails: a page that loads nothing else, or a part of a notebook."""

import base64
import functools
import html
import io

import PIL.Image

from jreid.data.pixels import ImageError
from jreid.errors import counted
from jreid.retrieval.hits import Hits
from jreid.retrieval.sources import Source
from jreid.terminal import clean

SIZE = (96, 192)  # of a thumbnail, at most: width, height
IN_NOTEBOOK = 10  # queries
# Borders and text use the colors around them, so that it works in light and dark themes.
STYLE = """
.jreid-hits section { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start;
  padding: 16px 0; border-top: 1px solid #8886; }
.jreid-hits ol { display: flex; flex-wrap: wrap; gap: 8px; margin: 0; padding: 0;
  list-style: none; flex: 1 1 320px; }
.jreid-hits figure { margin: 0; width: 96px; font: 12px/1.35 system-ui, sans-serif; }
.jreid-hits figure.query { border: 2px solid #4a90d9; border-radius: 6px; padding: 4px; }
.jreid-hits img { display: block; max-width: 100%; height: auto; border-radius: 3px; }
.jreid-hits figcaption { overflow-wrap: anywhere; margin-top: 4px; }
.jreid-hits b { font-variant-numeric: tabular-nums; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>jreid search</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 1400px; margin: 0 auto; padding: 16px; font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3em; margin: 0 0 8px; }}
</style>
</head>
<body>
<main>
<h1>jreid search</h1>
<p>{about}</p>
{body}
</main>
</body>
</html>
"""


def page(hits: Hits) -> str:
    """A whole page, for light and dark themes, which loads nothing else."""
    about = (
        f"{hits.rows.shape[1]} nearest of {len(hits.gallery.names):,} gallery images for each "
        "query, nearest first. The number is the cosine similarity, -1 to 1."
    )
    return PAGE.format(about=_text(about), body=fragment(hits))


def fragment(hits: Hits, most: int | None = None) -> str:
    """The hits of the first `most` queries, or of all queries, as a part of a page."""
    figure = functools.cache(functools.partial(_figure, hits))
    parts = [f'<div class="jreid-hits"><style>{STYLE}</style>']
    for query, (row, similarities) in enumerate(zip(hits.rows, hits.similarities, strict=True)):
        if query == most:
            parts.append(f"<p>{counted(len(hits) - query, 'queries not shown')}</p>")
            break
        name = _text(hits.query.names[query])
        parts.append(f'<section aria-label="{name}">{figure(True, query, "query")}<ol>')
        for rank, (at, similarity) in enumerate(zip(row, similarities, strict=True), 1):
            caption = f"{rank} <b>{similarity:.3f}</b>"
            parts.append(f"<li>{figure(False, int(at), caption)}</li>")
        parts.append("</ol></section>")
    return "\n".join([*parts, "</div>"])


def _figure(hits: Hits, is_query: bool, row: int, caption: str) -> str:
    side = hits.query if is_query else hits.gallery
    name = _text(side.names[row])
    content = thumbnail(side.sources[row]) if side.sources else None
    data = base64.b64encode(content).decode() if content else ""
    image = f'<img alt="{name}" src="data:image/jpeg;base64,{data}">' if data else ""
    kind = ' class="query"' if is_query else ""
    return f"<figure{kind}>{image}<figcaption>{caption}<br>{name}</figcaption></figure>"


def thumbnail(source: Source) -> bytes | None:
    """A small JPEG; None if the image can no longer be read."""
    try:
        image = PIL.Image.fromarray(source.read().pixels)
    except ImageError:
        return None
    image.thumbnail(SIZE)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return content.getvalue()


def _text(text: str) -> str:
    return html.escape(clean(text))
