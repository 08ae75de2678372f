"""Score volumes of Cutie, XMem and their like: one HDF5 file for each frame.

`hickle` writes them for `--save_scores` (`save_scores=True`): the dataset `data`, uint8
(1 + N)×H×W, probabilities times 255, cut off; channel 0 is the background. Beside the
frames, `backward.hkl` says which channel is which object. XMem numbers the objects
of a mask in the order of a Python set, so that without that file its channels are not
known (`inference/data/mask_mapper.py` of https://github.com/hkchengrex/XMem); Cutie
numbers them in ascending order, frame after frame (`cutie/inference/object_manager.py`
of https://github.com/hkchengrex/Cutie), and never writes the file: its writing thread
ends at the last frame (`cutie/inference/utils/results_utils.py`).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError

__all__ = ["read_channels", "read_volume"]

#: Most bytes of a volume: 254 objects in a frame of 2560×1440 pixels.
_MOST = 1 << 30
#: What to do about numbers that are not in the file itself.
_INSIDE = "expected the scores in the file itself, as Cutie and XMem write them"


def read_volume(source: Path | bytes, *, name: str | None = None) -> NDArray[np.uint8]:
    """Read the volume of a frame.

    Args:
        source: The file, or its content.
        name: What to call it in messages; the path by default.

    Returns:
        (1 + N)×H×W uint8: probabilities times 255, the background first;
        `scores_to_logits(…, background=True)` takes it.

    Raises:
        MaskError: It cannot be read, or holds something else; or h5py is missing.
    """
    name = str(source) if name is None else name
    with _opened(source, name) as file:
        data = _member(file, name)
        if (
            not hasattr(data, "shape")
            or data.dtype != np.uint8
            or len(data.shape) != 3
            or data.shape[0] < 1
        ):
            raise MaskError(
                f"{name}: expected the dataset data, uint8 of the shape (1 + objects) "
                "× height × width, as Cutie and XMem save scores, found "
                f"{_content_of(file)}"
            )
        if data.nbytes > _MOST:
            raise MaskError(
                f"{name}: data has the shape {data.shape}, {data.nbytes:,} bytes; "
                f"expected at most {_MOST:,}"
            )
        if data.external or data.is_virtual:
            raise MaskError(f"{name}: its numbers are in other files; {_INSIDE}")
        try:
            volume: NDArray[np.uint8] = data[()]
        except (OSError, RuntimeError) as error:
            raise MaskError(f"{name}: is damaged ({error})") from error
    return volume


def read_channels(source: Path | bytes, *, name: str | None = None) -> dict[int, int]:
    """Read `backward.hkl`: which channel of a volume is which object.

    Args:
        source: The file, or its content.
        name: What to call it in messages; the path by default.

    Returns:
        The channel by object id; channels begin at 1.

    Raises:
        MaskError: It cannot be read, or holds something else; or h5py is missing.
    """
    name = str(source) if name is None else name
    with _opened(source, name) as file:
        group = _member(file, name)
        found: dict[int, int] = {}
        try:
            # A dict of integers: a group of scalars, named by the keys.
            for key, value in group.items():
                found[int(key)] = int(np.asarray(value[()]).item())
        except (AttributeError, TypeError, ValueError, OSError, RuntimeError) as error:
            raise MaskError(
                f"{name}: expected a table of channels by object id, found "
                f"{_content_of(file)}"
            ) from error
    if sorted(found.values()) != list(range(1, len(found) + 1)):
        raise MaskError(
            f"{name}: expected the channels 1 to {len(found)}, each of one object, "
            f"found {found}"
        )
    return found


def _opened(source: Path | bytes, name: str) -> Any:
    """Open an HDF5 file.

    Raises:
        MaskError: It cannot be opened.
    """
    try:
        import h5py
    except ImportError as error:
        raise MaskError(
            f"{name}: reading it needs h5py; install it: pip install "
            "'mose-submit[volumes]'"
        ) from error
    try:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        return h5py.File(stream, "r")
    except OSError as error:
        reason = error.strerror or "not an HDF5 file, or damaged"
        raise MaskError(f"{name}: cannot be read ({reason})") from error


def _member(file: Any, name: str) -> Any:
    """The object `data` of an HDF5 file; None without one.

    Raises:
        MaskError: It is a link to another file, or damaged.
    """
    from h5py import HardLink

    try:
        if (link := file.get("data", getlink=True)) is None:
            return None
        if not isinstance(link, HardLink):
            raise MaskError(f"{name}: data is a link; {_INSIDE}")
        return file.get("data")
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise MaskError(f"{name}: is damaged ({error})") from error


def _content_of(file: Any) -> str:
    """Describe the content of an HDF5 file, for a message."""
    try:
        data = file.get("data")
        if hasattr(data, "shape"):
            return f"{data.dtype} of shape {data.shape}"
        return f"the groups {', '.join(file) or 'none'}"
    except Exception as error:  # Damaged files raise exceptions of many types.
        return f"a damaged file ({error})"
