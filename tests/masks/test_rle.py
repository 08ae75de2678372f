"""Masks as COCO writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from submit.errors import MaskError
from submit.masks import decode_rle, encode_rle

# What `pycocotools.mask.encode` of version 2 makes of the mask in the test.
COUNTS = (
    "f;9m04L4M2N2N2O0O2O0O2O0000000000000001N101N101N2N2N3L4Lk6HZH000Q10oN000n00RO000"
    "n00RO000Q10oN000n00RO000n00RO000Q10oN000n00RO000O"
)


def test_a_text_of_pycocotools_is_its_mask() -> None:
    y, x = np.mgrid[:40, :50]
    expected = (y - 18) ** 2 + (x - 22) ** 2 < 190
    expected |= (x > 40) & (y > 30) & ((x + y) % 3 == 0)
    found = decode_rle({"size": [40, 50], "counts": COUNTS}, (40, 50))
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous
    assert encode_rle(expected) == {"size": [40, 50], "counts": COUNTS}
    full = decode_rle({"size": [3, 4], "counts": "0<"}, (3, 4))
    assert full.shape == (3, 4)
    assert full.all()


@given(
    mask=arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
)
def test_runs_go_down_the_columns(mask: NDArray[np.bool_]) -> None:
    runs, last = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column] != last:
                runs.append(0)
                last = not last
            runs[-1] += 1
    rle = {"size": list(mask.shape), "counts": runs}
    found = decode_rle(rle, (mask.shape[0], mask.shape[1]))
    np.testing.assert_array_equal(found, mask)
    found = decode_rle(encode_rle(mask), (mask.shape[0], mask.shape[1]))
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ([1, 2], r'expected {"size": \[height, width\], "counts": …}'),
        ({"size": [2, 3]}, "COCO RLE"),
        (
            {"size": [3, 2], "counts": [6]},
            r"\(height, width\), found \[3, 2\]",
        ),
        ({"size": [2, 3], "counts": [5]}, "add up to 6 pixels, found \\[5\\]"),
        ({"size": [2, 3], "counts": [7, -1]}, "add up to 6 pixels"),
        ({"size": [2, 3], "counts": [6.0]}, "add up to 6 pixels"),
        ({"size": [2, 3], "counts": 6}, "add up to 6 pixels"),
        ({"size": [2, 3], "counts": "é"}, "counts of COCO RLE, found 'é'"),
        ({"size": [2, 3], "counts": "P"}, "counts of COCO RLE, found 'P'"),
        ({"size": [2, 3], "counts": "0" * 99}, "found '0{56}…"),
    ],
)
def test_what_is_no_such_mask_is_refused(rle: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        decode_rle(rle, (2, 3))


@pytest.mark.parametrize("character", ["o", "P"])
def test_a_number_of_any_length_is_refused_in_no_time(character: str) -> None:
    """Read digit by digit, these would take minutes: their square counts."""
    counts = character * 4_000_000
    with pytest.raises(MaskError, match="expected counts of COCO RLE, found"):
        decode_rle({"size": [4, 4], "counts": counts}, (4, 4))
