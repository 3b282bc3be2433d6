"""Images as data inside a page."""

import base64
import io

from PIL import Image

THUMBNAIL = (80, 160)  # width and height at most, in pixels
SHEET = (1400, 2000)


def data_uri(image: Image.Image, size: tuple[int, int]) -> str:
    """A JPEG of at most this width and height."""
    small = image.convert("RGB")
    small.thumbnail(size)
    content = io.BytesIO()
    small.save(content, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
