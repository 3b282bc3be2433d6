"""Adds security headers to every response, and counts it."""

import re
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Against pages of other sites whose name leads to this machine.
HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.IGNORECASE)
HEADERS = {
    # The page loads its own files and shows the user's query, and nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Another gallery may be served at the same address later.
    "Cache-Control": "no-store",
    # A connection carries one request, so that none is kept open by a client that sends nothing.
    "Connection": "close",
}


class Guard:
    """Wraps the whole application, with the parts that refuse a request before it has a route."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None]) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                MutableHeaders(scope=message).update(HEADERS)
                # Not the path itself: anybody could add any number of labels.
                self._count(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        if scope["type"] != "http" or HOST.fullmatch(Headers(scope=scope).get("host", "")):
            try:
                await self._app(scope, receive, send_guarded)
            except Exception:
                if scope["type"] == "http" and not answered:
                    text = "jreid failed; its log says how."
                    await JSONResponse({"detail": text}, 500)(scope, receive, send_guarded)
                raise  # the log has its traceback
        else:
            text = "The request names another host than 127.0.0.1 or localhost."
            await JSONResponse({"detail": text}, 400)(scope, receive, send_guarded)
