from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from submit.errors import MaskError
from submit.masks import (
    OLD_VALUES,
    VALUES,
    binary_masks,
    dequantise,
    object_ids,
    quantise,
    resize_logits,
    to_labels,
)

sides = st.integers(1, 12)


def resized(logits: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Resize N×h×w as the definition says: one weighted sum per pixel."""
    down = shares(logits.shape[1], size[0])
    across = shares(logits.shape[2], size[1])
    return np.asarray(down @ logits.astype(np.float64) @ across.T)


def shares(source: int, target: int) -> NDArray[np.float64]:
    """How much of each source pixel is in each target pixel: target×source."""
    result = np.zeros((target, source))
    for pixel in range(target):
        place = (pixel + 0.5) * source / target - 0.5
        place = min(max(place, 0.0), source - 1.0)
        low = int(place)
        result[pixel, low] += 1 - (place - low)
        result[pixel, min(low + 1, source - 1)] += place - low
    return result


def labelled(
    values: NDArray[np.float64], objects: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Apply the overlap rule to logits of the final size, as `argmax` does."""
    if not objects:
        return np.zeros(values.shape[1:], np.uint8)
    best = values.argmax(axis=0)
    return np.where(values.max(axis=0) > 0, np.asarray(objects)[best], 0).astype(
        np.uint8
    )


def close_calls(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the pixels whose label float32 rounding may change."""
    ranked = np.sort(np.concatenate([values, np.zeros_like(values[:1])]), axis=0)
    near: NDArray[np.bool_] = ranked[-1] - ranked[-2] < 1e-4 * (1 + abs(ranked[-1]))
    return near


@st.composite
def planes(draw: st.DrawFn, dtype: type[np.generic]) -> NDArray[Any]:
    """Draw N×h×w logits in which zeros, ties and empty objects are common."""
    shape = draw(st.tuples(st.integers(1, 4), sides, sides))
    elements: st.SearchStrategy[Any]
    if dtype is np.int8:
        elements = st.sampled_from([-127, -9, -1, 0, 1, 2, 9, 40, 127])
    else:
        elements = st.one_of(
            st.sampled_from([-16.0, -1.0, 0.0, 1.0, 5.0]),
            st.floats(-16, 16, width=32),
        )
    logits: NDArray[Any] = draw(npst.arrays(dtype, shape, elements=elements))
    return logits


def as_logits(logits: NDArray[Any]) -> NDArray[Any]:
    """The logits that labels are made of: rounded to codes."""
    return dequantise(quantise(logits))


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@given(data=st.data())
def test_labels_are_those_of_the_definition(
    dtype: type[np.generic], data: st.DataObject
) -> None:
    logits = data.draw(planes(dtype))
    size = data.draw(st.tuples(sides, sides))
    objects = (7, 1, 254, 3)[: len(logits)]
    values = resized(as_logits(logits), size)
    labels = to_labels(logits, objects, size)
    assert labels.dtype == np.uint8
    assert labels.shape == size
    differing = labels != labelled(values, objects)
    assert not np.any(differing & ~close_calls(values))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@given(data=st.data())
def test_ties_go_to_the_earlier_object_where_the_arithmetic_is_exact(
    dtype: type[np.generic], data: st.DataObject
) -> None:
    logits = data.draw(planes(np.int8))
    if dtype is np.float32:
        logits = dequantise(logits)
    factors = st.sampled_from([1, 2, 4])
    size = tuple(side * data.draw(factors) for side in logits.shape[1:])
    objects = (7, 1, 254, 3)[: len(logits)]
    wanted = labelled(resized(as_logits(logits), (size[0], size[1])), objects)
    np.testing.assert_array_equal(to_labels(logits, objects, size), wanted)


@pytest.mark.slow
@given(planes(np.int8), st.tuples(sides, sides))
def test_codes_give_the_same_labels_as_the_logits_they_stand_for(
    codes: NDArray[np.int8], size: tuple[int, int]
) -> None:
    objects = range(1, len(codes) + 1)
    for values in (VALUES, OLD_VALUES, VALUES - np.float32(0.3), VALUES + 1):
        np.testing.assert_array_equal(
            to_labels(codes, objects, size, values=values),
            overlaid(dequantise(codes, values), objects, size),
        )


def overlaid(
    logits: NDArray[np.float32], objects: Sequence[int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resize all pixels, then apply the overlap rule."""
    return labelled(resize_logits(logits, size).astype(np.float64), tuple(objects))


@pytest.mark.slow
@given(planes(np.float32), st.tuples(sides, sides))
def test_logits_are_rounded_to_codes_before_they_are_resized(
    logits: NDArray[np.float32], size: tuple[int, int]
) -> None:
    objects = (9, 2, 30, 4)[: len(logits)]
    wanted = overlaid(as_logits(logits), objects, size)
    np.testing.assert_array_equal(to_labels(logits, objects, size), wanted)


def test_a_logit_that_rounds_to_zero_is_background() -> None:
    logits = np.zeros((2, 3, 3), np.float32)
    assert not to_labels(logits, (1, 2), (3, 3)).any()
    logits[1, 1, 1] = VALUES[129] / 2.1
    assert not to_labels(logits, (1, 2), (3, 3)).any()
    logits[1, 1, 1] = VALUES[129] / 1.9
    assert to_labels(logits, (1, 2), (3, 3))[1, 1] == 2


def test_a_logit_that_is_no_number_is_refused() -> None:
    with pytest.raises(MaskError, match="logits hold NaN"):
        to_labels(np.full((1, 2, 2), np.nan), (1,), (2, 2))


@pytest.mark.parametrize("lowest", [np.finfo(np.float32).min, -np.inf])
def test_the_lowest_logit_means_no_object(lowest: float) -> None:
    logits = np.full((1, 2, 2), lowest, np.float32)
    assert not to_labels(logits, (1,), (4, 4)).any()
    logits[0, 0] = 8
    assert to_labels(logits, (1,), (4, 4)).tolist() == [[1] * 4] + [[0] * 4] * 3


def test_labels_of_views_and_other_floats_are_those_of_the_array() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 5, 6))
    wanted = to_labels(logits.astype(np.float32), (1, 2), (9, 11))
    np.testing.assert_array_equal(to_labels(logits, (1, 2), (9, 11)), wanted)
    flipped = np.ascontiguousarray(logits[:, :, ::-1]).astype(np.float32)
    np.testing.assert_array_equal(
        to_labels(flipped[:, :, ::-1], (1, 2), (9, 11)), wanted
    )


def test_labels_without_objects_are_background() -> None:
    labels = to_labels(np.zeros((0, 1, 1), np.float32), (), (2, 3))
    np.testing.assert_array_equal(labels, np.zeros((2, 3), np.uint8))


def test_ids_and_planes_must_be_equally_many() -> None:
    with pytest.raises(MaskError, match=r"2 objects, found 1 plane$"):
        to_labels(np.zeros((1, 2, 2), np.float32), (1, 2), (2, 2))


@pytest.mark.slow
@given(data=st.data(), size=st.tuples(sides, sides))
def test_resizing_is_that_of_torch(data: st.DataObject, size: tuple[int, int]) -> None:
    logits = data.draw(planes(np.float32))
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False
    )[0].numpy()
    found = resize_logits(logits, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_resizing_is_that_of_torch_at_the_sizes_of_real_videos() -> None:
    logits = np.random.default_rng(0).normal(0, 8, (1, 256, 256)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=(1080, 1921), mode="bilinear"
    )[0].numpy()
    np.testing.assert_allclose(resize_logits(logits, (1080, 1921)), wanted, atol=5e-3)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    np.testing.assert_array_equal(resize_logits(logits, (5, 7)), logits)


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_object_ids_are_the_values_that_occur(labels: NDArray[np.uint8]) -> None:
    assert object_ids(labels) == tuple(sorted(set(labels.ravel().tolist()) - {0}))


def test_binary_masks_split_labels_by_object() -> None:
    labels = np.array([[0, 3], [3, 7]], np.uint8)
    masks = binary_masks(labels, (7, 3, 5))
    assert list(masks) == [7, 3, 5]
    assert masks[3].tolist() == [[False, True], [True, False]]
    assert masks[7].tolist() == [[False, False], [False, True]]
    assert not masks[5].any()
