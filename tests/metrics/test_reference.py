from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from submit.metrics.frames import FrameScorer, FrameScores, object_score
from submit.metrics.measures import MEASURES
from submit.metrics.reference import frame_numbers, object_numbers

#: Height, width and number of frames to compare.
SIZES = [(9, 7, 40), (40, 61, 40), (210, 160, 40), (480, 854, 3)]


def blobs(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A few discs at random, of sizes that use both kinds of boundary width."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        mask |= (rows - y) ** 2 + (columns - x) ** 2 <= rng.integers(0, 30) ** 2
    return mask


@pytest.mark.parametrize(("height", "width", "frames"), SIZES)
def test_the_kernels_score_a_frame_as_plain_numpy_does(
    height: int, width: int, frames: int
) -> None:
    rng = np.random.default_rng(7)
    size = height, width
    scorer = FrameScorer(*size, objects=(1,))
    for _ in range(frames):
        truth, prediction = blobs(rng, size), blobs(rng, size)
        if rng.random() < 0.5:  # Near the truth, where boundaries match in part.
            prediction = np.roll(truth, rng.integers(-3, 4, 2), (0, 1))
        found = scorer.score(truth.astype(np.uint8), prediction.astype(np.uint8))[0]
        j, f_dot, f = frame_numbers(truth, prediction)
        assert found.tolist() == [j, f_dot, f, float(not truth.any())]


@pytest.mark.parametrize("seed", range(8))
def test_an_object_that_comes_and_goes_has_the_same_seven_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 40, 61
    truth = np.stack([blobs(rng, size) & (rng.random() < 0.6) for _ in range(14)])
    prediction = np.stack([blobs(rng, size) for _ in range(14)])
    scorer = FrameScorer(*size, objects=(1,))
    rows = [
        scorer.score(t.astype(np.uint8), p.astype(np.uint8))
        for t, p in zip(truth[1:-1], prediction[1:-1], strict=True)
    ]
    score = object_score(FrameScores.from_rows(np.stack(rows)).of(0))
    numbers = object_numbers(truth, prediction)
    assert list(numbers) == list(MEASURES.values())
    for attribute, name in MEASURES.items():
        value = getattr(score, attribute)
        np.testing.assert_equal(numbers[name], np.nan if value is None else value)
