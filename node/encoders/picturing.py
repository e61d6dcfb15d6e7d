"""A picture's file as the numbers that a network reads.

Size and format stand in the file's first bytes and are judged before a pixel is decoded. Formats
are those of a list: each further decoder is more code that reads what somebody sent. Runs in the
confined process. Pillow: pillow.readthedocs.io.
"""

from __future__ import annotations

import io
import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from node.bounds.pictures import FORMATS
from node.encoders import limits
from protocol.errors import InputError
from protocol.spec.encoder import Encoder

#: The modules of these formats, imported above: nothing is read from disk once the walls stand.
_PLUGINS: Final = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)

#: How pixels may lie in a file: 8 bits a channel, or one bit. 16 bits would be cut without a word.
_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def pixels(data: bytes, recipe: Encoder) -> NDArray[np.float32]:
    """`[1, channels, height, width]`: the picture, brought to the recipe's size and scale.

    Transparency is laid on white, the whole picture is resized (bilinear, its sides' ratio is not
    kept), of an animation its first picture is read, and a camera's note on orientation is not
    followed. Raises InputError if it is no picture of an allowed format, is cut off, or has more
    than MAX_IMAGE_PIXELS pixels.
    """
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InputError(f"has {len(data)} bytes; at most {limits.MAX_IMAGE_BYTES} are read")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=FORMATS) as image,
        ):
            width, height = image.size
            if width * height > limits.MAX_IMAGE_PIXELS:
                most = limits.MAX_IMAGE_PIXELS
                raise InputError(f"has {width} x {height} pixels; at most {most} are decoded")
            if image.mode not in _MODES:
                raise InputError(f"has pixels of the form {image.mode}; 8 bits a channel are read")
            image.load()
            brought = _brought(image, recipe)
    except InputError:
        raise
    except UnidentifiedImageError:
        allowed = ", ".join(FORMATS)
        raise InputError(f"is no picture that can be read; formats are {allowed}") from None
    except Exception as error:  # noqa: BLE001
        # Decoders raise whatever a broken file leads them to: OSError, SyntaxError, ValueError...
        raise InputError(f"is a broken or cut off picture: {error!s:.200}") from None
    values = np.asarray(brought, dtype=np.float32).reshape(recipe.height, recipe.width, -1)
    mean = np.array(recipe.mean, dtype=np.float32)
    deviation = np.array(recipe.deviation, dtype=np.float32)
    scaled = (values / np.float32(255) - mean) / deviation
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def _brought(image: Image.Image, recipe: Encoder) -> Image.Image:
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGBA", clear.size, "white")
        image.alpha_composite(clear)
    target = image.convert("L" if recipe.channels == 1 else "RGB")
    return target.resize((recipe.width, recipe.height), Image.Resampling.BILINEAR)
