"""Reading masks with Pillow, as the official scorer does.

Pillow reads all files that are too rare, or too damaged, for our own reader. A file is
opened before it is decoded, so that its size can be checked first.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["decode_as_server", "decode_pixels", "size_of_image"]


def size_of_image(data: bytes, *, name: str = "mask") -> tuple[int, int]:
    """Height and width in the header of an image file of any format.

    Raises:
        MaskError: It is not an image.
    """
    with _opened(data, name) as image:
        return image.height, image.width


def decode_as_server(data: bytes, *, name: str = "mask") -> NDArray[np.uint8]:
    """Read an image as H×W ids, as the official scorer does: `convert("P")`.

    Raises:
        MaskError: Pillow cannot read it, and the scorer would fail.
    """
    with _opened(data, name) as image:
        return np.array(image.convert("P"), np.uint8)


def decode_pixels(data: bytes, *, name: str = "mask") -> NDArray[Any]:
    """Read an image with Pillow: H×W values, or H×W×C colours.

    Raises:
        MaskError: Pillow cannot read it.
    """
    with _opened(data, name) as image:
        return np.array(image)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                yield image
    except Exception as error:  # Damaged files raise exceptions of many types.
        raise MaskError(f"{name}: is damaged: Pillow says {error}") from error
