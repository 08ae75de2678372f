"""The tracker with SAM 3's network, against frozen values of the official one.

tests/models/test_sam3_reference.py compares with the official code itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from submit.predictors import Mask, Prediction, Video, parse_options
from submit_sam3 import Sam3Options, Sam3Predictor
from tests.models.conftest import SCORE_BIAS
from tests.models.sam3_tiny import SMALL, State, wandering_discs

LENGTH, SIDE = 20, 112

# Of facebookresearch/sam3 @ 99d02f2, with memories in bfloat16: `run_official` of
# tools/sam3_reference.py with `golden_weights` for three of `wandering_discs`, with its
# memory selection. Presence of each object in the frames from the second one, and the
# logits of frame 12 at equal distances.
SCORES = [
    [-0.04, -0.0111, -0.0038],
    [0.0126, 0.0166, 0.0251],
    [0.0818, 0.0916, 0.0989],
    [0.0409, 0.0439, 0.0575],
    [-0.1386, -0.1563, -0.101],
    [-0.2367, -0.2403, -0.187],
    [-0.0081, 0.0127, 0.046],
    [-0.1102, 0.3194, 0.3552],
    [-0.132, 0.2544, 0.2563],
    [0.2287, 0.5892, 0.58],
    [0.5695, 0.6371, 0.6463],
    [0.8869, 0.9801, 0.9769],
    [0.9108, 0.9685, 0.9622],
    [0.9017, 0.7903, 0.7626],
    [0.9507, 0.9561, 0.9598],
    [1.0703, 1.0805, 1.1095],
    [1.0799, 1.1077, 1.1108],
    [1.428, 1.4915, 1.499],
    [1.4355, 1.5247, 1.5385],
]
LOGITS = [
    [0.048, 0.334, 0.104, -1.071, -1.693, -1.404],
    [0.056, 0.363, 0.121, -1.077, -1.721, -1.417],
    [0.056, 0.37, 0.123, -1.08, -1.726, -1.419],
]


@pytest.fixture
def state(sam3_reference: Any) -> State:
    return golden_weights(sam3_reference)


def golden_weights(reference: Any) -> State:
    """Weights with which discs disappear, and logits reach ±5."""
    state: State = reference.boosted_weights(SMALL, seed=1)
    reference.scale_logits(state, 0.861)
    state[SCORE_BIAS] += 7.297
    return state


def track(compare: Any, state: State, **given: Any) -> list[Prediction]:
    clip = wandering_discs(LENGTH, 3)
    chosen = {"dtype": "float32", "image_size": SIDE, **given}
    options: Sam3Options = parse_options(
        "sam3", Sam3Options, (f"{name}={value}" for name, value in chosen.items())
    )
    predictor = Sam3Predictor.of(compare.build(SMALL, state), options, device="cpu")
    session = predictor.session(Video("discs", 56, 80, LENGTH))
    masks = {key: Mask(mask) for key, mask in clip.masks.items()}
    found = []
    for number, frame in enumerate(clip.frames):
        prediction = session.step(frame, {} if number else masks)
        assert isinstance(prediction, Prediction)
        found.append(prediction)
    return found


def some(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Six values of each object, at equal distances."""
    flat = logits.reshape(len(logits), -1)
    return flat[:, np.linspace(0, flat.shape[1] - 1, 6).astype(int)]


@pytest.mark.slow
def test_masks_are_those_of_the_official_tracker(
    compare_sam3: Any, state: State
) -> None:
    found = track(compare_sam3, state, memory="sam3", selection="shared")
    scores = np.stack([one.presence for one in found[1:] if one.presence is not None])
    # Memories are rounded to bfloat16: a last bit may turn one on another processor.
    np.testing.assert_allclose(scores, SCORES, atol=2e-3, rtol=0)
    np.testing.assert_allclose(some(found[12].logits), LOGITS, atol=1e-2, rtol=0)
