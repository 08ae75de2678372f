from __future__ import annotations

import numpy as np
import pytest

from submit.errors import MaskError
from submit.png.palette import DAVIS_PALETTE
from submit.report.overlays import Style, overlay, resize_labels

FRAME = np.full((40, 60, 3), 120, np.uint8)


def square(key: int = 1) -> np.ndarray:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 20:40] = key
    return labels


def test_a_tint_mixes_the_frame_with_the_colour_of_the_palette() -> None:
    drawn = overlay(FRAME, square(3), Style(opacity=0.5, outline=0, font_size=0))
    expected = (FRAME[0, 0] * 0.5 + DAVIS_PALETTE[3] * 0.5).astype(int)
    assert np.abs(drawn[20, 30].astype(int) - expected).max() <= 1
    assert (drawn[5, 5] == FRAME[5, 5]).all()


def test_an_outline_lies_inside_and_a_line_around_it() -> None:
    drawn = overlay(FRAME, square(), Style(opacity=0, outline=2, font_size=0))
    row = drawn[20]
    assert (row[20:22] == DAVIS_PALETTE[1]).all()
    assert (row[19] == 255).all(), "white stands out from dark red"
    assert (row[22] == FRAME[20, 22]).all()
    assert (row[18] == FRAME[20, 18]).all()


def test_objects_that_touch_have_an_outline_between_them_each() -> None:
    labels = square()
    labels[10:30, 30:40] = 2
    drawn = overlay(FRAME, labels, Style(opacity=0, outline=1, font_size=0))
    assert (drawn[20, 29] == DAVIS_PALETTE[1]).all()
    assert (drawn[20, 30] == DAVIS_PALETTE[2]).all()


def test_an_id_stands_on_a_large_object_and_beside_a_small_one() -> None:
    style = Style(opacity=0, outline=0, font_size=10)
    whole = np.ones((40, 60), np.uint8)
    drawn = overlay(FRAME, whole, style)
    assert (drawn != FRAME).any(axis=2)[15:25, 25:35].any()
    small = np.zeros((40, 60), np.uint8)
    small[30:33, 30:33] = 1
    drawn = overlay(FRAME, small, style)
    assert (drawn[30:33] == FRAME[30:33]).all()
    assert (drawn[:30] != FRAME[:30]).any()


@pytest.mark.parametrize("place", [(0, 0), (0, 59), (39, 0), (39, 59)])
def test_an_id_at_the_border_stays_within_the_frame(place: tuple[int, int]) -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[place] = 254
    drawn = overlay(FRAME, labels, Style(font_size=14))
    assert drawn.shape == FRAME.shape
    assert (drawn != FRAME).any()


def test_labels_of_another_size_are_resized_to_the_frame() -> None:
    half = square()[::2, ::2]
    drawn = overlay(FRAME, half, Style(opacity=1, outline=0, font_size=0))
    assert (drawn[20, 30] == DAVIS_PALETTE[1]).all()
    back = resize_labels(np.kron(half, np.ones((3, 3), np.uint8)), half.shape)
    assert (back == half).all()


def test_neither_array_is_written_to() -> None:
    frame, labels = FRAME.copy(), square()
    overlay(frame, labels)
    assert (frame == FRAME).all()
    assert (labels == square()).all()


@pytest.mark.parametrize(
    ("frame", "labels", "words"),
    [
        (FRAME[:, :, 0], square(), "found uint8 40×60"),
        (FRAME.astype(float), square(), "found float64 40×60×3"),
        (FRAME, square().astype(int), "found int64 40×60"),
    ],
    ids=["grey", "floats", "int64"],
)
def test_arrays_of_another_kind_are_refused(
    frame: np.ndarray, labels: np.ndarray, words: str
) -> None:
    with pytest.raises(MaskError, match=words):
        overlay(frame, labels)
