"""Masks, boxes, points and absences at any frame, as the official predictor does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from submit.errors import OptionError
from submit.predictors import (
    Absent,
    Box,
    Mask,
    Point,
    Points,
    Prediction,
    Prompts,
    parse_options,
)
from submit_sam2 import Sam2Options
from submit_sam2.model import ABSENT
from tests.models.prompted import disc, quieten, script

Open = Callable[..., Any]

# What the official predictor (facebookresearch/sam2 @ 2b90b9f) says of the moving discs
# with the weights of `tiny_state`, `quieten`ed and 1.2 added to presence scores; asked
# by `run_official` of prompted.py for `object_score_logits` and means of `pred_masks`.
# It was built by `build_official` of test_sam2_reference.py with the stability settings
# of its published configuration and `add_all_frames_to_correct_as_cond`; the last two
# with `max_cond_frames_in_attn` 2, from frame 13 on.
SCORES = [
    [10, 2.6141, 2.0357],
    [1.734, 1.6457, 1.8626],
    [1.5621, 1.6368, 1.5988],
    [1.2085, 1.3195, 1.2804],
    [0.47957, 0.5514, 0.48218, 1.7739],
    [1.1225, 1.2602, 1.2116, 1.6836],
    [1.0545, 0.060708, 1.4016, 1.6523],
    [1.2461, 1.3074, -0.60899, 10],
    [0.6169, 1.5918, 0.77478, 0.70266],
    [-10, 10, 1.4298, 1.1942],
    [0.77878, 0.84883, 0.80992, 0.77478],
    [0.56917, 0.56816, 0.55016, 0.49579],
    [1.3912, 0.85942, 0.83554, 0.8218],
    [0.89253, 0.91809, 0.90077, 0.95186],
    [1.532, 1.5888, 1.5927, 1.5256],
    [1.0968, 1.1635, 1.1628, 1.0913],
    [1.1406, 1.1464, 1.1062, 1.1507],
    [1.0425, 1.0613, 0.92992, 0.98873],
    [1.6531, 1.3785, 1.3704, 1.0985],
    [0.90348, 1.0363, 0.76489, 0.99324],
]
MEANS = [
    [-9.2676, 0.95681, -1.9106],
    [5.0299, 4.8546, 5.3738],
    [-0.24723, 0.14933, -0.19166],
    [-0.43491, 0.053287, -0.24786],
    [-1.3758, -1.2094, -1.3223, 0.59742],
    [-0.13266, 0.26096, -0.04719, 4.6895],
    [0.055719, -1.9195, 0.40088, 5.5465],
    [-0.13534, 0.26065, -1024, -9.2575],
    [-0.88597, -0.76663, -0.88743, -0.44931],
    [-10, -9.6484, -0.1318, -0.32058],
    [-1.0337, -0.88596, -1.0555, -0.72249],
    [-1.603, -1.4378, -1.6066, -1.3246],
    [-0.29946, -1.1474, -1.2489, -1.2342],
    [-1.2639, -1.1303, -1.2198, -1.2029],
    [-1.5027, -1.5522, -1.5581, -1.4988],
    [-0.75857, -1.014, -1.0082, -0.77962],
    [-1.012, -0.90669, -0.95633, 5.1229],
    [-0.81217, -0.75706, -1.1091, -0.97611],
    [4.2031, -0.44709, -1.1621, -0.25018],
    [-0.83977, -0.90123, -1.4432, -0.88034],
]
NEAREST_SCORES = [
    [0.89253, 0.91809, 0.90077, 0.95186],
    [1.532, 1.5888, 1.5927, 1.5256],
    [1.0968, 1.1635, 1.1628, 1.0913],
    [1.1722, 1.111, 1.1889, 1.1507],
    [1.0352, 1.0531, 0.92907, 0.98873],
    [1.638, 1.4551, 1.3234, 1.0985],
    [1.1404, 1.0726, 0.79656, 0.99324],
]
NEAREST_MEANS = [
    [-1.2638, -1.1303, -1.2198, -1.2029],
    [-1.5027, -1.5522, -1.5581, -1.4988],
    [-0.75857, -1.014, -1.0082, -0.77962],
    [-0.86862, -0.97011, -0.78978, 5.1229],
    [-0.68383, -0.78029, -1.1097, -0.97611],
    [3.9861, -0.51437, -0.60642, -0.25018],
    [-0.71703, -0.9867, -1.3482, -0.88034],
]

# The same with `reverse=True` from the last frame on: presence and means after so many
# frames.
BACKWARD = {
    3: ([0.35673, 0.23606, 0.44946], [-0.6389, -0.80725, -0.52985]),
    8: (
        [2.6524, 2.6529, 2.6649, 0.56448],
        [-0.5609, -0.56296, -0.61233, -1.4805],
    ),
    13: (
        [0.63236, 0.54548, 0.52812, 1.1099],
        [-1.3142, -1.4593, -1.4531, -1.0618],
    ),
    18: (
        [2.189, 2.1023, 2.189, 2.4227],
        [-2.1046, -2.3145, -2.1045, -3.0835],
    ),
}


@pytest.fixture
def quiet(tiny_state: dict[str, torch.Tensor]) -> None:
    """Bring the logits of the small network to the size that real ones have."""
    quieten(tiny_state)


def run(session: Any, clip: Any, given: dict[int, Prompts]) -> list[Prediction]:
    return [
        session.step(frame, given.get(index, {}))
        for index, frame in enumerate(clip.frames)
    ]


def compare(found: list[Prediction], scores: list[Any], means: list[Any]) -> None:
    for one, presence, mean in zip(found, scores, means, strict=True):
        assert one.presence is not None
        np.testing.assert_allclose(one.presence, presence, atol=1e-3)
        np.testing.assert_allclose(one.logits.mean((1, 2)), mean, rtol=2e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("batch", [None, 1])
def test_prompts_of_all_kinds_do_what_they_do_officially(
    batch: int | None, open_session: Open, make_clip: Callable[..., Any]
) -> None:
    session = open_session(score=1.2, batch=batch)
    found = run(session, make_clip(objects=3), script())
    assert [one.objects for one in found] == [(3, 1, 2)] * 4 + [(3, 1, 2, 4)] * 16
    compare(found, SCORES, MEANS)
    # A mask and an absence are taken as they are.
    np.testing.assert_allclose(found[9].logits[0], -10.0, rtol=1e-6)
    assert (found[7].logits[2] == ABSENT).all()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_of_many_prompted_frames_the_nearest_are_looked_back_to(
    open_session: Open, make_clip: Callable[..., Any]
) -> None:
    session = open_session(score=1.2, conditioning=2)
    found = run(session, make_clip(objects=3), script())
    compare(found[:13], SCORES[:13], MEANS[:13])
    compare(found[13:], NEAREST_SCORES, NEAREST_MEANS)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["sam2", "rcms"])
def test_a_prompt_in_every_frame_needs_no_more_memory(
    memory: str, open_session: Open, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=40, objects=1)
    session = open_session(length=40, memory=memory, conditioning=4)
    amounts = []
    for time, frame in enumerate(clip.frames):
        session.step(frame, {1: Mask(disc(1, time))})
        (track,) = session._tracker._tracks.values()
        amounts.append((len(track.maps), len(track.pointers)))
    # The nearest four, and others as far back as the windows reach.
    assert set(amounts[20:]) == {(6, 15)}


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["sam2", "rcms"])
def test_a_corrected_frame_is_remembered_for_ever(
    memory: str, open_session: Open, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=30, objects=1)
    session = open_session(length=30, memory=memory, score=5.0)
    for time, frame in enumerate(clip.frames):
        session.step(frame, {1: Mask(disc(1, time))} if time in (0, 5) else {})
    (track,) = session._tracker._tracks.values()
    assert {0, 5, 29} <= track.maps.keys()
    assert {0, 5, 29} <= track.pointers.keys()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_every_kind_works_in_every_precision_and_size(
    dtype: str, scale: float, open_session: Open, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=4, objects=1)
    session = open_session(length=4, dtype=dtype, image_size=round(64 * scale))
    given: dict[int, Prompts] = {
        0: {9: Absent(), 1: Points((Point(20, 17), Point(0, 0, inside=False)))},
        2: {9: Box(20, 10, 40, 30), 1: Points((Point(24, 17),))},
    }
    found = run(session, clip, given)
    assert [one.objects for one in found] == [(9, 1)] * 4
    assert all(np.isfinite(one.logits).all() for one in found)
    assert (found[0].logits[0] < 0).all()


def test_fewer_than_two_prompted_frames_are_no_limit() -> None:
    with pytest.raises(OptionError, match="conditioning=1: expected a whole number"):
        parse_options("sam2", Sam2Options, ["conditioning=1"])


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_a_backward_pass_looks_back_to_frames_of_the_future(
    open_session: Open, make_clip: Callable[..., Any]
) -> None:
    clip, given = make_clip(objects=3), script()
    session = open_session(score=1.2)
    found = [
        session.step(frame, given.get(index, {}))
        for index, frame in enumerate(reversed(clip.frames))
    ]
    scores, means = zip(*BACKWARD.values(), strict=True)
    compare([found[index] for index in BACKWARD], list(scores), list(means))
