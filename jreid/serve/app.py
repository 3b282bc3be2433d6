"""The routes of the server: the page, `POST /search`, thumbnails, health and metrics."""

import html
import string
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

import jreid
from jreid.data.pixels import ImageError
from jreid.serve.guard import Guard
from jreid.serve.metrics import Metrics
from jreid.serve.upload import MAX_BYTES, Uploads
from jreid.serve.worker import Busy, TooSlow, Worker
from jreid.terminal import clean

if TYPE_CHECKING:
    from jreid.serve.searcher import Searcher

MAX_TOP = 100
RETRY_SECONDS = 2
MOST_SECONDS = 30  # of a search, or of making a thumbnail
IMAGE = {"schema": {"type": "string", "format": "binary"}}
BODY = {"requestBody": {"required": True, "content": {"image/*": IMAGE}}}
REFUSALS = {
    400: "The request names another host, or was cut off.",
    404: "The gallery has no such image, or it can no longer be read.",
    408: "The image did not arrive in time.",
    413: "The image is too large.",
    415: "The Content-Type is not that of an image.",
    422: "The body is not an image that can be used, or a parameter is wrong.",
    500: "A fault of jreid.",
    503: "Too many other requests wait; try again after the seconds in Retry-After.",
    504: f"The search, or making the thumbnail, took more than {MOST_SECONDS} seconds.",
}
FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class FoundImage(BaseModel):
    """An image of the gallery.

    Attributes:
        rank: from 1.
        name: its path relative to the gallery's folder, with suffix.
        similarity: the cosine of its embedding and the query's, -1 to 1.
        thumbnail: the path of a small JPEG on this server.
    """

    rank: int
    name: str
    similarity: float
    thumbnail: str


class Refusal(BaseModel):
    """Why a request is refused, in one sentence."""

    detail: str


class Found(BaseModel):
    """The answer of `POST /search`: the nearest images of the gallery, nearest first."""

    modality: str
    gallery_modality: str
    gallery_images: int
    hits: list[FoundImage]


def create_app(searcher: "Searcher") -> FastAPI:
    """The server as an ASGI application.

    One thread searches, since a search uses all cores; up to 8 more wait for it.
    """
    # FastAPI's own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        title="jreid serve",
        version=jreid.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    searches, thumbnails = Worker(1, 9, MOST_SECONDS), Worker(2, 200, MOST_SECONDS)
    uploads, metrics = Uploads(), Metrics(len(searcher.gallery.names), lambda: searches.pending)
    app.state.searches, app.state.uploads = searches, uploads

    refusals = _refusals(400, 408, 413, 415, 422, 500, 503, 504)

    @app.post("/search", openapi_extra=BODY, responses=refusals)
    async def search(
        request: Request,
        modality: Annotated[Literal["visible", "infrared"], Query(description="of the query")],
        top: Annotated[int, Query(ge=1, le=MAX_TOP, description="how many images")] = 20,
    ) -> Found:
        """Ranks the gallery by similarity to the request's body, the query's image file."""
        async with uploads.read(request) as content:
            start = time.perf_counter()
            hits = await searches.run(partial(searcher.search, content, modality, top))
        metrics.search_seconds.observe(time.perf_counter() - start)
        found = [
            FoundImage(
                rank=rank,
                name=clean(hit.name),
                similarity=round(hit.similarity, 6),
                thumbnail=f"/thumbnails/{hit.row}",
            )
            for rank, hit in enumerate(hits, 1)
        ]
        return Found(
            modality=modality,
            gallery_modality=searcher.gallery_modality,
            gallery_images=len(searcher.gallery.names),
            hits=found,
        )

    refusals = _refusals(400, 404, 422, 500, 503, 504)

    @app.get("/thumbnails/{row}", response_class=Response, responses=refusals)
    async def thumbnail(row: int) -> Response:
        """A small JPEG of the gallery's image with this number."""
        if not 0 <= row < len(searcher.gallery.names):
            raise HTTPException(404, f"The gallery has no image {row}.")
        content = await thumbnails.run(partial(searcher.thumbnail, row))
        if content is None:
            raise HTTPException(404, "This image of the gallery can no longer be read.")
        return Response(content, media_type="image/jpeg")

    @app.get("/healthz", responses=_refusals(400, 500))
    async def health() -> dict[str, Any]:
        """Whether the server answers, and what it searches."""
        return {"status": "ok", **searcher.about}

    @app.get("/metrics", response_class=Response, responses=_refusals(400, 500))
    async def metrics_text() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    _add_page(app, searcher)
    _add_errors(app)
    app.add_middleware(
        Guard, count=lambda route, status: metrics.responses.labels(route, status).inc()
    )
    return app


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of a route's refusals, for `/openapi.json`."""
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in statuses}


def _add_page(app: FastAPI, searcher: "Searcher") -> None:
    folder = Path(__file__).parent
    values = {name: html.escape(str(value)) for name, value in searcher.about.items()}
    values["gallery_images"] = f"{len(searcher.gallery.names):,}"
    values |= {"max_top": str(MAX_TOP), "max_mebibytes": str(MAX_BYTES >> 20)}
    page = string.Template((folder / "page.html").read_text("utf-8")).substitute(values)

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    for name, kind in FILES.items():
        content = (folder / name).read_bytes()
        app.add_route(f"/{name}", partial(_file, content, kind), include_in_schema=False)


async def _file(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind)


def _add_errors(app: FastAPI) -> None:
    """Every refusal is JSON with one sentence, `{"detail": "..."}`."""

    @app.exception_handler(ImageError)
    async def bad_image(request: Request, error: ImageError) -> JSONResponse:
        return _refusal(422, f"The image {error}.")

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        text = "Too many images are searched with at this moment; try again in some seconds."
        return _refusal(503, text, {"Retry-After": str(RETRY_SECONDS)})

    @app.exception_handler(TooSlow)
    async def too_slow(request: Request, error: TooSlow) -> JSONResponse:
        return _refusal(
            504,
            f"The answer takes more than {MOST_SECONDS} seconds: the gallery is too large for the "
            "server's computer, or other programs use it; serve a smaller one, or try again later.",
        )

    @app.exception_handler(RequestValidationError)
    async def bad_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _refusal(422, f"{first['loc'][-1]}: {first['msg']}.")

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return _refusal(error.status_code, str(error.detail), error.headers)


def _refusal(status: int, text: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": clean(text)}, status, headers)
