"""Masks as runs, as COCO writes them.

`{"size": [height, width], "counts": …}`: lengths of runs of zeros and ones in turn,
down the columns, zeros first; a list, or a text of six bits in each character. The
text's rules are those of `rleFrString` in pycocotools (maskApi.c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError

__all__ = ["decode_rle", "encode_rle"]

#: Where the last five bits of a number may begin; runs have less than 2³² pixels.
_LONGEST = 60


def decode_rle(rle: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a mask.

    Args:
        rle: What JSON holds.
        size: Height and width that it must have.

    Returns:
        H×W bool.

    Raises:
        MaskError: It is not such a mask, or of another size.
    """
    if not isinstance(rle, dict) or rle.keys() != {"size", "counts"}:
        raise MaskError(
            'expected {"size": [height, width], "counts": …} (COCO RLE), found '
            f"{_short(rle)}"
        )
    if rle["size"] != list(size):
        raise MaskError(
            f"expected a mask of the frame's size, [{size[0]}, {size[1]}] (height, "
            f"width), found {_short(rle['size'])}"
        )
    counts = rle["counts"]
    runs = _runs(counts) if isinstance(counts, str) else counts
    if (
        not isinstance(runs, list)
        or not all(type(run) is int and run >= 0 for run in runs)
        or sum(runs) != size[0] * size[1]
    ):
        raise MaskError(
            f"expected counts of runs that add up to {size[0] * size[1]} pixels, found "
            f"{_short(counts)}"
        )
    values = np.arange(len(runs)) % 2 == 1
    pixels = np.repeat(values, runs).reshape(size[::-1]).T
    return np.ascontiguousarray(pixels)


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode an H×W mask as `pycocotools.mask.encode` does, `counts` as a text."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat[0]:
        runs.insert(0, 0)
    text = []
    for place, run in enumerate(runs):
        number, more = run - (runs[place - 2] if place > 2 else 0), True
        while more:
            code = number & 31
            number >>= 5
            # The sign is the fifth bit of the last character.
            more = number != (-1 if code & 16 else 0)
            text.append(chr(48 + (code | 32 if more else code)))
    return {"size": list(mask.shape), "counts": "".join(text)}


def _runs(text: str) -> list[int]:
    """Read the text form: five bits a character, low ones first, and a sixth for more.

    From the fourth on, a number is the difference to the one but one before.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        # A number of any length would take time that grows with its square.
        if not 0 <= code < 64 or shift > _LONGEST:
            raise MaskError(f"expected counts of COCO RLE, found {_short(text)}")
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise MaskError(f"expected counts of COCO RLE, found {_short(text)}")
    return runs


def _short(value: Any) -> str:
    """What was found, in at most a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
