from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from submit.errors import MaskError
from submit.masks import LOGIT_LIMIT, OLD_VALUES, VALUES, dequantise, quantise

ALL = np.arange(-127, 128, dtype=np.int8)


def test_the_table_is_that_of_telephony() -> None:
    """As G.711 has it for 14 bits: eight pieces, each with steps twice as large."""
    values = [0.0]
    for piece in range(8):
        values += (values[-1] + 2.0**piece / 64 * np.arange(1, 17)).tolist()
    np.testing.assert_array_equal(VALUES[128:], values[:128])
    np.testing.assert_array_equal(VALUES[:129], np.negative(values)[::-1])
    assert values[127] == LOGIT_LIMIT == 61.75


def test_steps_are_at_most_an_eighth_where_masks_have_their_edges() -> None:
    steps = np.diff(VALUES)
    assert (steps > 0).all()
    assert steps[np.abs(VALUES[:-1]) < 3.75].max() <= 1 / 8


@given(npst.arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False)))
def test_codes_are_those_of_the_nearest_values(logits: NDArray[np.float32]) -> None:
    codes = quantise(logits)
    assert codes.dtype == np.int8
    exact = logits.astype(np.float64)[..., None]
    with np.errstate(over="ignore"):
        distances = np.abs(VALUES[1:] - exact)
    found = np.take_along_axis(distances, codes[..., None].astype(int) + 127, -1)[
        ..., 0
    ]
    inside = np.abs(logits) < LOGIT_LIMIT
    # 64·|l| + 16 is rounded to a float32 before the code is taken from it.
    assert (found <= distances.min(-1) + 1e-6)[inside].all()
    assert (codes == np.sign(logits) * 127)[~inside].all()


def test_large_logits_are_clipped() -> None:
    logits = np.array([61.7, 61.8, 99, np.inf, -99, -np.inf, -1024], np.float32)
    assert quantise(logits).tolist() == [127, 127, 127, 127, -127, -127, -127]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_lowest_float_is_a_legal_logit(dtype: type[np.floating]) -> None:
    assert quantise(np.array([np.finfo(dtype).min], dtype)).tolist() == [-127]


def test_every_code_survives_the_way_to_logits_and_back() -> None:
    np.testing.assert_array_equal(quantise(dequantise(ALL)), ALL)
    assert dequantise(ALL).dtype == np.float32


@pytest.mark.parametrize("values", [VALUES, OLD_VALUES], ids=["now", "old"])
def test_one_line_of_numpy_reads_codes(values: NDArray[np.float32]) -> None:
    codes = np.arange(-128, 128, dtype=np.int8).reshape(2, 8, 16)[:, ::-1]
    np.testing.assert_array_equal(
        dequantise(codes, values), values[codes.astype(np.int16) + 128]
    )


def test_old_codes_are_steps_of_an_eighth() -> None:
    np.testing.assert_array_equal(dequantise(ALL, OLD_VALUES), ALL / 8)


@pytest.mark.parametrize("place", [0, 7, 63])
def test_logits_that_are_no_numbers_are_refused(place: int) -> None:
    logits = np.zeros(64, np.float32)
    logits[place] = np.nan
    with pytest.raises(MaskError, match="hold NaN; the predictor is broken"):
        quantise(logits)
