"""Palettes as tables: the colours of values, and the ids that colours stand for.

A palette is what a PNG stores: red, green and blue of value 0, then of value 1, ….
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GREYS",
    "ColourIds",
    "IdTable",
    "colour_of",
    "distinct_ids",
    "ids_of",
    "is_same_palette",
    "look_up",
]

#: 256 ids: what each value stands for.
IdTable: TypeAlias = NDArray[np.uint8]
#: An id by the colour that stands for it.
ColourIds: TypeAlias = Mapping[bytes, int]

#: The palette in which the value is the grey.
GREYS = bytes(value for value in range(256) for _ in range(3))


def colour_of(palette: bytes, value: int) -> bytes | None:
    """The colour of a value; None if the palette is too short."""
    return palette[3 * value : 3 * value + 3] or None


def ids_of(palette: bytes, likely: Sequence[int]) -> dict[bytes, int]:
    """Map colours to ids; a colour that two of the likely ids share belongs to none."""
    ids: dict[bytes, int] = {}
    double = set()
    for key in likely:
        if (colour := colour_of(palette, key)) is None:
            continue
        if ids.setdefault(colour, key) != key:
            double.add(colour)
    for key in range(len(palette) // 3):
        ids.setdefault(palette[3 * key : 3 * key + 3], key)
    for colour in double:
        del ids[colour]
    return ids


def distinct_ids(
    palette: bytes, used: Sequence[int], table: IdTable | None
) -> ColourIds:
    """The id of each colour in a palette; empty where two values share one."""
    if table is None:
        return {}
    ids = {
        colour: int(table[value])
        for value in used
        if (colour := colour_of(palette, value)) is not None
    }
    return ids if len(ids) == len(used) else {}


def look_up(ids: ColourIds, palette: bytes, used: Sequence[int]) -> IdTable | None:
    """Look up the colours of the values that occur.

    Returns:
        256 ids; a value that does not occur stands for itself. None if a colour is not
        known, or two values share one.
    """
    table = np.arange(256, dtype=np.uint8)
    seen = set()
    for value in used:
        colour = colour_of(palette, value)
        if colour is None or colour in seen or colour not in ids:
            return None
        seen.add(colour)
        table[value] = ids[colour]
    return table


def is_same_palette(palette: bytes, other: bytes, used: Sequence[int]) -> bool:
    """Whether two palettes agree in the colours that both have, or that are used."""
    if palette.startswith(other) or other.startswith(palette):
        return True
    return all(colour_of(palette, v) == colour_of(other, v) for v in used)
