"""Decodes a WebP straight into a smaller size.

Pillow decodes every WebP with the decoder of animations, which needs four times the memory of the whole image. So this
calls the library that Pillow itself has loaded: its advanced API (`webp/decode.h`), whose structures stand below.
"""

from ctypes import CDLL, POINTER, Structure, addressof, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_void_p

from PIL import Image, _webp

from livestream_server.images.structure import build_refusal

_ABI_VERSION = 0x0209  # of webp/decode.h; the library compares the upper byte and refuses another one
_OK = 0
_MODES = ("RGB", "RGBA")  # MODE_RGB and MODE_RGBA of the library, by their number


def _ints(*names: str) -> list[tuple[str, type[c_int]]]:
    return [(each, c_int) for each in names]


class _Features(Structure):
    _fields_ = (*_ints("width", "height", "has_alpha", "has_animation", "format"), ("pad", c_uint32 * 5))


class _Buffer(Structure):
    """WebPDecBuffer, of whose union the larger half, for planes, is given as space only."""

    _fields_ = (
        *_ints("mode", "width", "height", "is_external_memory"),
        *(("pixels", c_void_p), ("stride", c_int), ("size", c_size_t), ("planes", c_uint8 * 56)),
        *(("pad", c_uint32 * 4), ("private_memory", c_void_p)),
    )


class _Options(Structure):
    _fields_ = (
        *_ints("bypass_filtering", "no_fancy_upsampling", "use_cropping"),
        *_ints("crop_left", "crop_top", "crop_width", "crop_height"),
        *_ints("use_scaling", "scaled_width", "scaled_height"),
        *_ints("use_threads", "dithering_strength", "flip", "alpha_dithering_strength"),
        ("pad", c_uint32 * 5),
    )


class _Config(Structure):
    _fields_ = (("input", _Features), ("output", _Buffer), ("options", _Options))


_LIBRARY = CDLL(_webp.__file__)  # finds the functions of what it is linked to, libwebp among it
_INITIALIZE, _READ_FEATURES, _DECODE = (
    getattr(_LIBRARY, name) for name in ("WebPInitDecoderConfigInternal", "WebPGetFeaturesInternal", "WebPDecode")
)
_INITIALIZE.argtypes = [POINTER(_Config), c_int]
_READ_FEATURES.argtypes = [c_char_p, c_size_t, POINTER(_Features), c_int]
_DECODE.argtypes = [c_char_p, c_size_t, POINTER(_Config)]


def decode_webp(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The pixels of a WebP, as RGB or RGBA, scaled to `size`, which is at most its own.

    Raises InvalidArgument (field `thumbnail`) if it is damaged, cut short, or an animation, even of one frame.
    """
    config = _Config()
    if not _INITIALIZE(config, _ABI_VERSION):
        raise RuntimeError("this version of libwebp has another interface")
    if _READ_FEATURES(data, len(data), config.input, _ABI_VERSION) != _OK:
        raise build_refusal("is damaged or incomplete")
    if config.input.has_animation:
        raise build_refusal("must not be animated")
    mode = _MODES[bool(config.input.has_alpha)]
    pixels = bytearray(size[0] * size[1] * len(mode))
    config.output.mode, config.output.is_external_memory = _MODES.index(mode), 1
    config.output.pixels, config.output.size = addressof(c_uint8.from_buffer(pixels)), len(pixels)
    config.output.stride = size[0] * len(mode)
    config.options.use_scaling = size != (config.input.width, config.input.height)
    config.options.scaled_width, config.options.scaled_height = size
    if _DECODE(data, len(data), config) != _OK:
        raise build_refusal("is damaged or incomplete")
    return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)
