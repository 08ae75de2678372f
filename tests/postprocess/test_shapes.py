from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.masks.regions import boxes
from submit.postprocess import Postprocess


def drawn(*rows: str) -> NDArray[np.uint8]:
    """A label map as text: digits are ids, dots background."""
    return np.array(
        [[int(c) if c != "." else 0 for c in row] for row in rows], np.uint8
    )


def tidied(labels: NDArray[np.uint8], **settings: float) -> NDArray[np.uint8]:
    result = labels.copy()
    for one in Postprocess(**settings).label_filters:
        one.apply_to_labels(result)
    return result


def test_boxes_and_areas_are_found_in_one_pass() -> None:
    found = boxes(drawn("..1.2", ".11..", "....2"))
    assert found[1].tolist() == [3, 0, 2, 1, 3]
    assert found[2].tolist() == [2, 0, 3, 4, 5]
    assert not found[3:].any()


@given(st.integers(0, 2**32 - 1))
def test_boxes_are_those_that_a_search_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([0, 0, 1, 7], np.uint8), random.integers(1, 9, 2))
    found = boxes(labels)
    for key in (0, 1, 7):
        rows, columns = np.nonzero(labels == key)
        wanted = [len(rows), 0, 0, 0, 0]
        if len(rows):
            wanted[1:] = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert found[key].tolist() == wanted


def test_parts_below_the_share_of_the_largest_go() -> None:
    labels = drawn("1111.1..", "1111...1", "1111..11", "........")
    wanted = drawn("1111....", "1111...1", "1111..11", "........")
    np.testing.assert_array_equal(tidied(labels, components=0.2), wanted)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = drawn("11..", "11..", "..1.")
    np.testing.assert_array_equal(tidied(labels, components=1.0), labels)


def test_an_object_of_too_few_pixels_goes_and_others_stay() -> None:
    labels = drawn("11.22", "1..22")
    wanted = drawn("...22", "...22")
    np.testing.assert_array_equal(tidied(labels, min_area=4), wanted)


def test_what_is_left_after_parts_went_counts_for_the_area() -> None:
    labels = drawn("111.1.1")
    assert not tidied(labels, components=0.5, min_area=4).any()


def test_holes_are_filled_up_to_the_share() -> None:
    labels = drawn(
        "11111...",
        "1.111...",
        "11111111",
        "1..111.1",
        "1..11111",
        "11111111",
    )
    small = labels.copy()
    small[1, 1] = small[3, 6] = 1
    np.testing.assert_array_equal(tidied(labels, holes=0.03), small)
    both = small.copy()
    both[3:5, 1:3] = 1
    np.testing.assert_array_equal(tidied(labels, holes=0.2), both)


def test_bays_at_the_edge_of_the_frame_are_no_holes() -> None:
    labels = drawn("1.1", "1.1", "111")
    np.testing.assert_array_equal(tidied(labels, holes=1.0), labels)


def test_a_hole_with_another_object_in_it_stays() -> None:
    labels = drawn("11111", "1...1", "1.2.1", "1...1", "11111")
    np.testing.assert_array_equal(tidied(labels, holes=1.0), labels)


def test_a_hole_closed_by_a_corner_is_filled() -> None:
    labels = drawn(".11.", "1..1", ".11.")
    assert tidied(labels, holes=1.0)[1].tolist() == [1, 1, 1, 1]


def test_a_gap_goes_to_the_nearer_object() -> None:
    labels = drawn("11...22", "11...22")
    assert tidied(labels, gaps=2)[0].tolist() == [1, 1, 0, 0, 0, 2, 2]
    # The pixel in the middle is as near to both: the lower id has it.
    assert tidied(labels, gaps=3)[0].tolist() == [1, 1, 1, 1, 2, 2, 2]


def test_only_what_lies_between_objects_is_a_gap() -> None:
    labels = drawn("..........", ".11.22....", "..........", "..........")
    wanted = labels.copy()
    wanted[1, 3] = 1
    np.testing.assert_array_equal(tidied(labels, gaps=1), wanted)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_gaps_are_closed_as_the_definition_says(seed: int, width: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.zeros((14, 15), np.uint8)
    for key in (1, 2, 5):
        top, left = random.integers(0, 12, 2)
        labels[
            top : top + random.integers(1, 5), left : left + random.integers(1, 5)
        ] = key
    found = tidied(labels, gaps=width)
    ids = [key for key in (1, 2, 5) if (labels == key).any()]
    pixels = {key: np.argwhere(labels == key) for key in ids}
    for place in np.argwhere(labels == 0):
        distances = {
            key: float(np.sqrt(((pixels[key] - place) ** 2).sum(1).min()))
            for key in ids
        }
        pairs = [
            (one, other)
            for one in ids
            for other in ids
            if one < other and distances[one] + distances[other] <= width + 1 + 1e-5
        ]
        near = {key for pair in pairs for key in pair}
        wanted = (
            min(near, key=lambda key: (round(distances[key], 4), key)) if near else 0
        )
        assert found[tuple(place)] == wanted
    for key in ids:
        assert (found[labels == key] == key).all()


@pytest.mark.parametrize("name", ["components", "holes", "min_area", "gaps"])
def test_an_empty_mask_stays_empty(name: str) -> None:
    assert not tidied(np.zeros((5, 6), np.uint8), **{name: 1}).any()
