"""The image of a stream whose creator sent none: drawn here, so that the project ships no binary file."""

from functools import lru_cache

from PIL import Image, ImageDraw

from livestream_server.images.thumbnail import SIZE, encode_webp

_TOP_LEFT, _BOTTOM_RIGHT = "#2b1a5e", "#0b1026"
_GLOW, _SIGN = "#e0447c", "#ffffff"
_SMOOTH = 4  # shapes are drawn larger by this factor and shrunk, which rounds their edges


@lru_cache(maxsize=1)
def draw_default_thumbnail() -> bytes:
    """A play sign on a dark, glowing ground: 1280x720, WebP. The same bytes for the same version of Pillow."""
    image = Image.composite(
        Image.new("RGB", SIZE, _BOTTOM_RIGHT), Image.new("RGB", SIZE, _TOP_LEFT), _draw_diagonal().resize(SIZE)
    )
    glow = Image.radial_gradient("L").resize((1400, 1000)).point(lambda value: max(0, 255 - value) * 0.75)
    image.paste(_GLOW, (SIZE[0] // 2 - 700, SIZE[1] // 2 - 400), glow)
    image.paste(_SIGN, mask=_draw_play_sign())
    return encode_webp(image)


def _draw_diagonal() -> Image.Image:
    """Grey levels that rise from the top left corner to the bottom right one."""
    downwards = Image.linear_gradient("L")
    return Image.blend(downwards, downwards.transpose(Image.Transpose.TRANSPOSE), 0.5)


def _draw_play_sign() -> Image.Image:
    """Mask of a triangle with round corners in a ring, in the middle of the image."""
    width, height = (side * _SMOOTH for side in SIZE)
    x, y, unit = width / 2, height / 2, height / 100
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.circle((x, y), 20 * unit, fill=40, outline=235, width=round(1.2 * unit))
    corners = [(x - 5 * unit, y - 8.5 * unit), (x - 5 * unit, y + 8.5 * unit), (x + 9 * unit, y)]
    draw.polygon(corners, fill=235)
    draw.line([*corners, *corners[:2]], fill=235, width=round(2.4 * unit), joint="curve")
    return mask.resize(SIZE, Image.Resampling.LANCZOS)
