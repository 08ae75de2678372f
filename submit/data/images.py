"""Image files of frames: their headers, and their pixels as RGB.

Only regular files are opened, only in the formats that frames come in, and nothing is
decoded before its size is known to be right.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import SplitError
from ..system.files import open_regular
from ..system.warned import FILTERS
from ..system.words import size_text

__all__ = [
    "IMAGE_SUFFIXES",
    "MOST_PIXELS",
    "ImageHeader",
    "image_size",
    "read_frame",
    "read_image_header",
]

#: Suffixes of frames, in small letters.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
#: The formats that Pillow may open, with any suffix. Photos with a second picture
#: inside (MPO) are opened as JPEG.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")

#: Pixels from which Pillow warns of a decompression bomb. Frames of 8K have 33 million.
MOST_PIXELS = 89_478_485

#: Modes of Pillow whose pixels become RGB as in the official loaders.
_CONVERTED = frozenset(
    {"1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "LA", "La", "PA", "CMYK", "YCbCr"}
)
_ALPHA = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file.

    Attributes:
        size: Height and width of the pixels as they are stored.
        mode: Pillow's name of the kind of pixels, such as `RGB`.
        format: `JPEG`, `MPO`, `PNG`, `BMP`, `WEBP` or `TIFF`.
        orientation: The rotation in EXIF, 1 to 8; 1 is none.
        pictures: How many pictures the file holds.
    """

    size: tuple[int, int]
    mode: str
    format: str
    orientation: int = 1
    pictures: int = 1

    @property
    def is_16_bit(self) -> bool:
        """Whether it has one channel of 16 bits."""
        return self.mode.startswith("I;16") or (self.mode, self.format) == ("I", "PNG")

    @property
    def colours(self) -> str | None:
        """A remark about unusual pixels; None for plain RGB."""
        if self.is_16_bit:
            return "are grey with 16 bits, of which the high 8 are read"
        if self.mode in _ALPHA:
            return "have an alpha channel, which is not read"
        return {
            "1": "are black and white",
            "L": "are grey",
            "P": "have a palette, whose colours are read",
            "CMYK": "are CMYK, which becomes RGB without a colour profile",
        }.get(self.mode)

    @property
    def refusal(self) -> str | None:
        """Why the pixels cannot be read as a frame; None if they can."""
        height, width = self.size
        if height * width > MOST_PIXELS:
            return (
                f"it says that it has {size_text(self.size)} pixels; frames have at "
                f"most {MOST_PIXELS:,}"
            )
        if self.pictures > 1 and self.format != "MPO":
            return f"it holds {self.pictures} pictures; a frame is one"
        if self.mode not in _CONVERTED and not self.is_16_bit:
            return (
                f"its pixels are of the kind {self.mode}; frames have 8 bits in each "
                "channel"
            )
        return None


def read_image_header(path: Path) -> ImageHeader:
    """Read the header of a frame or a mask.

    Raises:
        SplitError: It is not an image that can be read as a frame.
    """
    with _opened(path, "cannot be opened as an image") as (_, header):
        return header


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in the header of an image file.

    Raises:
        SplitError: It is not an image that can be read as a frame.
    """
    return read_image_header(path).size


def read_frame(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an image as the official loaders do.

    The orientation in EXIF, colour profiles and alpha channels are ignored. Of 16 bits
    the high 8 are used.

    Args:
        path: An image file; see `IMAGE_SUFFIXES`.
        size: Height and width that it must have.

    Returns:
        H×W×3 uint8 RGB.

    Raises:
        SplitError: It is unreadable, truncated, of another size, or no regular file.
    """
    with _opened(path, "cannot be decoded") as (image, header):
        if size is not None and header.size != size:
            raise SplitError(
                f"{path}: expected {size_text(size)} pixels as in the first frame, "
                f"found {size_text(header.size)}"
            )
        return _rgb(image, header)


def _rgb(image: Image.Image, header: ImageHeader) -> NDArray[np.uint8]:
    """Decode the pixels as H×W×3 uint8."""
    if header.is_16_bit:
        # As Pillow does with 16 bits in three channels; its own way from one channel
        # makes everything above 255 white.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    # Irrelevant for the colours; Pillow would warn of it.
    image.info.pop("transparency", None)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


@contextlib.contextmanager
def _opened(path: Path, failure: str) -> Iterator[tuple[Image.Image, ImageHeader]]:
    """Open an image and read its header; every error becomes a `SplitError`."""
    try:
        with open_regular(path) as stream:
            image, header = _identify(stream)
            if header.refusal is not None:
                raise ValueError(header.refusal)
            with image:
                yield image, header
    except SplitError:
        raise
    except Exception as error:  # Damaged files raise exceptions of many types.
        raise SplitError(
            f"{path}: {failure} ({_reason(error)}); extract the split again"
        ) from error


def _identify(stream: IO[bytes]) -> tuple[Image.Image, ImageHeader]:
    with FILTERS, warnings.catch_warnings():
        # Warnings of damaged tags, and of huge sizes, which the caller checks.
        warnings.simplefilter("ignore")
        image = Image.open(stream, formats=_FORMATS)
        header = ImageHeader(
            size=(image.height, image.width),
            mode=image.mode,
            format=image.format or "",
            orientation=_orientation(image),
            pictures=getattr(image, "n_frames", 1),
        )
    return image, header


def _orientation(image: Image.Image) -> int:
    """The rotation in an image's EXIF; 1 without a legal value."""
    if image.format == "TIFF":
        return 1  # Pillow rotates it by itself, and swaps its size.
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole image to read data behind the pixels.
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF raises exceptions of many types.
        return 1
    return found if found in range(1, 9) else 1


def _reason(error: Exception) -> str:
    """Put an error of Pillow into words."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not a JPEG, PNG, BMP, WebP or TIFF image"
    if isinstance(error, Image.DecompressionBombError):
        return f"it says that it has more than the {MOST_PIXELS:,} pixels of any frame"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
