"""Draws the images of the development set-up: a portrait per demo user, and a photo to use as a thumbnail."""

import io
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter, ImageFont

PORTRAIT_EDGE = 400  # pixels
SAMPLE_SIZE = (1280, 720)
WHITE = "#ffffff"


class Colours(NamedTuple):
    """Top and bottom of a ground that changes from one to the other."""

    top: str
    bottom: str


def draw_portrait(initials: str, colours: Colours) -> Image.Image:
    """A square image of two letters on a coloured ground, 400 pixels wide."""
    edge = PORTRAIT_EDGE
    image = _draw_background((edge, edge), colours)
    light = Image.new("L", (edge, edge), 0)
    draw = ImageDraw.Draw(light)
    draw.ellipse((-0.25 * edge, -0.35 * edge, 0.75 * edge, 0.65 * edge), fill=38)
    draw.ellipse((0.45 * edge, 0.5 * edge, 1.3 * edge, 1.35 * edge), fill=26)
    image.paste(WHITE, mask=light.filter(ImageFilter.GaussianBlur(2)))
    letters = ImageDraw.Draw(image)
    letters.text((edge / 2, edge / 2), initials, fill=WHITE, font=ImageFont.load_default(edge * 0.42), anchor="mm")
    return image


def draw_sample_photo() -> Image.Image:
    """A landscape at dusk, 1280 by 720 pixels."""
    width, height = SAMPLE_SIZE
    image = _draw_background(SAMPLE_SIZE, Colours("#2b2d6e", "#ffb36b"))
    glow = Image.new("L", SAMPLE_SIZE, 0)
    ImageDraw.Draw(glow).ellipse((760, 300, 1000, 540), fill=255)
    image.paste("#ffe3b0", mask=glow.filter(ImageFilter.GaussianBlur(40)))
    draw = ImageDraw.Draw(image)
    draw.ellipse((800, 340, 960, 500), fill="#fff3d6")
    for colour, ridge in (
        ("#8a4f7d", (470, 400, 455, 380, 440, 410, 470)),
        ("#4d3469", (540, 500, 560, 490, 530, 470, 520)),
        ("#241b3f", (620, 640, 590, 630, 600, 640, 610)),
    ):
        step = width / (len(ridge) - 1)
        line = [(index * step, top) for index, top in enumerate(ridge)]
        draw.polygon([(0, height), *line, (width, height)], fill=colour)
    return image


def encode_image(image: Image.Image, kind: str, edge: int | None = None) -> bytes:
    """The image as a file of format `kind` (`WEBP`, `JPEG`), scaled to `edge` pixels if given."""
    if edge is not None:
        image = image.resize((edge, edge), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return file.getvalue()


def _draw_background(size: tuple[int, int], colours: Colours) -> Image.Image:
    blend = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, colours.bottom), Image.new("RGB", size, colours.top), blend)
