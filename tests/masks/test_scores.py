"""Scores of other programs become logits that give the same masks."""

from __future__ import annotations

import numpy as np
import pytest

from submit.errors import MaskError
from submit.masks import (
    ScoreKind,
    quantise,
    recognise_scores,
    scores_to_logits,
    to_labels,
)

SIZE = 12, 17


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return np.asarray(powers / powers.sum(0))


def channels(objects: int, seed: int = 0) -> np.ndarray:
    """Probabilities of a background and some objects, many of them nearly equal."""
    logits = np.random.default_rng(seed).normal(0, 2, (1 + objects, *SIZE))
    logits[:, :4] /= 50
    return softmax(logits).astype(np.float32)


@pytest.mark.parametrize("objects", [1, 2, 5])
@pytest.mark.parametrize("kind", ["float32", "float16", "uint8", "logits"])
def test_masks_are_the_argmax_of_the_other_program(objects: int, kind: str) -> None:
    scores, found = channels(objects), ScoreKind.PROBABILITIES
    if kind == "uint8":  # As Cutie and XMem write them.
        scores = (scores * 255).astype(np.uint8)
    elif kind == "logits":
        scores, found = np.log(scores) + 3, ScoreKind.LOGITS
    else:
        scores = scores.astype(kind)
    logits = scores_to_logits(scores, found, background=True)
    labels = to_labels(quantise(logits), range(1, objects + 1), SIZE)
    assert np.array_equal(labels, scores.argmax(0))


def test_one_object_and_its_background_are_the_log_odds() -> None:
    scores = channels(1)
    logits = scores_to_logits(scores, ScoreKind.PROBABILITIES, background=True)
    right = np.log(scores[1] / (1 - scores[1]))
    clear = np.abs(right) > 1 / 64
    assert np.allclose(logits[0][clear], right[clear], atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "limit"), [("float16", 8.3178), ("float32", 17.329), ("float64", 36.737)]
)
def test_probabilities_become_finite_logits(kind: str, limit: float) -> None:
    scores = np.array([0, 0.25, 0.499, 0.501, 0.75, 1], kind)[None, None]
    logits = scores_to_logits(scores, ScoreKind.PROBABILITIES)[0, 0]
    assert logits[[0, -1]] == pytest.approx([-limit, limit], rel=1e-3)
    assert logits[[1, 4]] == pytest.approx([-np.log(3), np.log(3)], rel=1e-3)
    # Above 1/2 the object is still there after rounding; below it is not.
    assert (quantise(logits) > 0).tolist() == [False] * 3 + [True] * 3


def test_bytes_are_cut_off_probabilities() -> None:
    scores = np.arange(256, dtype=np.uint8)[None, None]
    logits = scores_to_logits(scores, ScoreKind.PROBABILITIES)[0, 0]
    assert ((quantise(logits) > 0) == (np.arange(256) > 127)).all()
    assert (np.diff(logits) >= 0).all()
    assert logits[255] == pytest.approx(np.log(511))


def test_masks_become_the_logits_of_hard_masks() -> None:
    scores = np.array([[[True, False]]])
    assert scores_to_logits(scores, ScoreKind.PROBABILITIES).tolist() == [[[5, -5]]]


def test_infinite_logits_stay_infinite() -> None:
    scores = np.array([[[-np.inf, np.inf]]], np.float32)
    assert np.array_equal(scores_to_logits(scores, ScoreKind.LOGITS), scores)
    # A channel that is out of the race, and an object that is certain.
    scores = np.array([[[1.0, 1]], [[-np.inf, np.inf]], [[3, 3]]], np.float32)
    logits = scores_to_logits(scores, ScoreKind.LOGITS, background=True)
    assert logits[:, 0].tolist() == [[-np.inf, np.inf], [2, -np.inf]]


@pytest.mark.parametrize(
    ("scores", "found", "background", "words"),
    [
        (np.full((1, 2, 2), np.nan), "logits", False, "logits hold NaN"),
        (np.full((1, 2, 2), np.nan), "probabilities", False, "hold NaN"),
        (np.full((1, 2, 2), 1.5), "probabilities", False, "from 0 to 1, found .* 1.5"),
        (np.full((1, 2, 2), -3.0), "probabilities", False, "found values from -3 to"),
        (np.full((2, 2, 2), 0.4), "probabilities", True, "found a sum of 0.8"),
        (np.full((2, 2, 2), 200, np.uint8), "probabilities", True, "sum of 1.57"),
        (np.zeros((2, 2)), "logits", False, r"float64 of shape \(2, 2\)"),
        (np.zeros((1, 2, 2), np.uint8), "logits", False, "found uint8"),
        (np.zeros((1, 2, 2), np.int32), "probabilities", False, "found int32"),
        (np.zeros((1, 2, 2), complex), "logits", False, "found complex128"),
        (np.zeros((1, 2, 2), bool), "probabilities", True, "found bool"),
    ],
)
def test_scores_that_cannot_be_right_are_refused(
    scores: np.ndarray, found: str, background: bool, words: str
) -> None:
    with pytest.raises(MaskError, match=words):
        scores_to_logits(scores, ScoreKind(found), background=background)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([-4.0, 3], ScoreKind.LOGITS),
        ([0.2, 1.1], ScoreKind.LOGITS),
        ([0.0, 1], ScoreKind.PROBABILITIES),
        ([0.2, 0.7], ScoreKind.PROBABILITIES),
        ([0.2, 0.4], None),
        ([0.6, 0.9], None),
        ([0.0, 0.0], None),
        ([False, True], ScoreKind.PROBABILITIES),
        ([0, 255], None),
        ([], None),
    ],
)
def test_the_range_tells_logits_from_probabilities(
    values: list[float], found: ScoreKind | None
) -> None:
    assert recognise_scores(np.array(values)) is found
