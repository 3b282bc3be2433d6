"""Reads an uploaded image, within limits on its type, bytes, pixels and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import HTTPException, Request
from jaxtyping import UInt8
from starlette.requests import ClientDisconnect

from jreid.data.forms import to_pixels
from jreid.data.pixels import ImageError, opened
from jreid.serve.worker import Busy

MAX_BYTES = 16 << 20
MAX_PIXELS = 24_000_000  # resizing takes 12 bytes for each
MAX_HELD = 128 << 20  # bytes of all uploads that are being read or wait
READ_SECONDS = 20
MAX_SCANS = 100  # of a progressive JPEG, which is decoded once for each; programs write about 10


class Uploads:
    """The uploads that are in memory; nothing is written to a disk.

    Attributes:
        held: their bytes.
    """

    def __init__(self) -> None:
        self.held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, an image file, in memory until the context ends.

        Raises:
            HTTPException: 415, 413, 408 or 400: another type, too large, too slow, or cut off.
            Busy: too many other uploads are in memory.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if not kind.lower().startswith("image/"):
            raise HTTPException(
                415, "Send the image itself as the body, with a Content-Type such as image/png."
            )
        chunks: list[bytes] = []
        try:
            yield await self._read(request, chunks)
        finally:
            self.held -= sum(map(len, chunks))

    async def _read(self, request: Request, chunks: list[bytes]) -> bytes:
        received = 0
        try:
            async with asyncio.timeout(READ_SECONDS):
                # What is too large is read on for a while, or the client would not see the answer.
                async for chunk in request.stream():
                    received += len(chunk)
                    if received <= MAX_BYTES:
                        chunks.append(chunk)
                        self.held += len(chunk)
                    if self.held > MAX_HELD:
                        raise Busy
                    if received > 4 * MAX_BYTES:
                        break
        except TimeoutError:
            raise HTTPException(
                408, f"The image did not arrive within {READ_SECONDS} seconds."
            ) from None
        except ClientDisconnect:
            raise HTTPException(
                400, "The connection was closed before the image arrived."
            ) from None
        if received > MAX_BYTES:
            raise HTTPException(413, f"The image has more than {MAX_BYTES >> 20} MiB.")
        chunks[:] = [b"".join(chunks)]
        return chunks[0]


def pixels_of(content: bytes, depth_range: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
    """An image file's pixels, RGB; ImageError if it is no image, too large, or turned by EXIF."""
    with opened(content, MAX_PIXELS):
        pass
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS:
        raise ImageError(f"has more than {MAX_SCANS} scans")
    found = to_pixels(content, depth_range)
    if found.turned:  # the page shows it upright, and jreid would search with it as it is stored
        raise ImageError(
            "has an EXIF orientation, by which other programs turn it, but jreid does not; save it "
            "upright with an image editor"
        )
    return found.pixels
