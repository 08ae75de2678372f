"""Prompts: what is legal, and what a kind means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from submit.errors import PromptError
from submit.predictors import AcceptedPrompts, Box, Mask, Point, Points

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(np.zeros((2, 3), np.uint8)), "shape (2, 3) of uint8"),
        (lambda: Mask(np.zeros((1, 2, 3), bool)), "shape (1, 2, 3) of bool"),
        (lambda: Box(3, 0, 3, 2), "found [3, 0, 3, 2] (left, top, right, bottom)"),
        (lambda: Box(0, 4, 3, 2), "expected left < right and top < bottom"),
        (lambda: Box(0, 0, INFINITE, 2), "found [0, 0, inf, 2]"),
        (lambda: Box(NAN, 0, 1, 2), "found [nan, 0, 1, 2]"),
        (lambda: Points(()), "expected at least one, found none"),
        (lambda: Points((Point(1, NAN),)), "found x = 1, y = nan"),
    ],
)
def test_what_means_nothing_is_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(PromptError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(1, 0, 4, 2), slice(0, 2), slice(1, 4)),
        (Box(0.6, 0.4, 3.4, 2.6), slice(0, 3), slice(1, 3)),
        (Box(0, 0, 5, 3), slice(0, 3), slice(0, 5)),
    ],
)
def test_a_box_holds_the_pixels_whose_centres_are_in_it(
    box: Box, rows: slice, columns: slice
) -> None:
    expected = np.zeros((3, 5), bool)
    expected[rows, columns] = True
    np.testing.assert_array_equal(box.to_mask(3, 5).pixels, expected)


@pytest.mark.parametrize(
    ("accepted", "text"),
    [
        (AcceptedPrompts(), "masks, once per object"),
        (
            AcceptedPrompts(boxes=True, points=True, absences=True, corrections=True),
            "masks, boxes, points and absences, also for known objects",
        ),
        (AcceptedPrompts(masks=False), "none, once per object"),
    ],
)
def test_what_a_model_takes_is_said_in_words(
    accepted: AcceptedPrompts, text: str
) -> None:
    assert str(accepted) == text
