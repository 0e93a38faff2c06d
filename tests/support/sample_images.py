"""Small real images."""

import io

from PIL import Image


def jpeg(colour: str = "teal", size: tuple[int, int] = (64, 36)) -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()
