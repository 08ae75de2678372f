"""The same numbers as SAM 3's tracker of transformers, and as the official one.

tools/sam3_reference.py says what it needs. With larger networks and real clips:
tools/compare_sam3.py. Both sides get the same prepared frames.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from submit.predictors import (
    Absent,
    Box,
    Mask,
    Point,
    Points,
    Prompt,
    Video,
    immediate,
    parse_options,
)
from submit_sam2.memory import Recall
from submit_sam3 import Sam3Options, Sam3Predictor
from tests.models.conftest import SCORE_BIAS, moving_discs
from tests.models.prompted import disc
from tests.models.sam3_tiny import SMALL, State, wandering_discs
from tests.models.test_sam3_tracker import (
    LENGTH,
    LOGITS,
    SCORES,
    SIDE,
    golden_weights,
    some,
)

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

Frames = Sequence[Any]


def options(**given: Any) -> Sam3Options:
    chosen = {"dtype": "float32", "image_size": SIDE, **given}
    parsed: Sam3Options = parse_options(
        "sam3", Sam3Options, (f"{name}={value}" for name, value in chosen.items())
    )
    return parsed


@dataclass
class Case:
    """A clip, weights with which its objects disappear and reappear, and options."""

    tool: Any
    reference: Any
    images: list[torch.Tensor]
    masks: dict[int, Any]
    options: Sam3Options
    state: State

    def ours(self, masks: dict[int, Any] | None = None) -> Frames:
        return list(self.track(self.state, masks))

    def track(self, state: State, masks: dict[int, Any] | None = None) -> Any:
        network = self.tool.build(SMALL, state)
        return self.tool.run_ours(
            network, self.options, self.images, masks or self.masks
        )

    def transformers(self, **more: bool) -> Frames:
        model = self.reference.build_transformers(SMALL, self.state, SIDE, **more)
        return list(self.reference.run_transformers(model, self.images, self.masks))

    def official(self, *, selection: bool) -> Any:
        return self.reference.build_official(
            SMALL, self.state, SIDE, selection=selection
        )


def make_case(compare_sam3: Any, reference: Any, objects: int, **given: Any) -> Case:
    clip, chosen = wandering_discs(24, objects), options(**given)
    prepare = Sam3Predictor(chosen, device="cpu").prepare
    images = [prepare(frame, SIDE) for frame in clip.frames]
    case = Case(compare_sam3, reference, images, clip.masks, chosen, {})
    case.state = reference.lively_weights(SMALL, case.track, seed=1, absent=0.25)
    return case


def assert_close(ours: Frames, theirs: Frames, *, atol: float) -> None:
    assert len(ours) == len(theirs) == 24
    scores = np.stack([frame.scores for frame in ours[1:]])
    assert (scores > 0).any()
    assert (scores <= 0).any()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=atol, rtol=0)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=atol, rtol=0)


@pytest.mark.parametrize("objects", [1, 3, 8])
def test_logits_are_those_of_transformers(
    objects: int, compare_sam3: Any, sam3_reference: Any
) -> None:
    pytest.importorskip("transformers")
    with sam3_reference.exact_memories():
        case = make_case(compare_sam3, sam3_reference, objects, memory="sam2")
        assert_close(case.ours(), case.transformers(), atol=5e-4)


def test_with_memories_in_bfloat16_they_differ_by_some_last_bits(
    compare_sam3: Any, sam3_reference: Any
) -> None:
    pytest.importorskip("transformers")
    case = make_case(compare_sam3, sam3_reference, 3, memory="sam2")
    assert_close(case.ours(), case.transformers(), atol=5e-3)


def test_transformers_differs_in_what_the_tool_replaces(
    compare_sam3: Any, sam3_reference: Any
) -> None:
    pytest.importorskip("transformers")
    case = make_case(compare_sam3, sam3_reference, 3, memory="sam2")
    ours, theirs = case.ours(), case.transformers(as_official=False)
    # The given mask at another resolution, and then its pointer and its memory.
    assert np.abs(ours[0].logits - theirs[0].logits).max() > 0.1
    assert np.abs(ours[1].scores - theirs[1].scores).max() > 1e-3


def needs_official() -> None:
    if importlib.util.find_spec("sam3") is None:
        pytest.skip("needs facebookresearch/sam3 on PYTHONPATH")


def watch_ours(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Recall]]:
    """Note for each frame what every object looks back to."""
    from submit_sam2.tracker import Tracker

    seen: dict[int, list[Recall]] = {}
    tokens = Tracker._tokens

    def watch(self: Tracker, keys: Any, recalls: Any) -> Any:
        seen.setdefault(self._frame, []).extend(recalls)
        return tokens(self, keys, recalls)

    monkeypatch.setattr(Tracker, "_tokens", watch)
    return seen


def watch_official(predictor: Any) -> dict[int, list[int]]:
    """Note for each frame which frames are valid."""
    seen: dict[int, list[int]] = {}
    frame_filter = predictor.frame_filter

    def watch(output: Any, reverse: bool, frame: int, *more: Any) -> Any:
        seen[frame] = frame_filter(output, reverse, frame, *more)
        return seen[frame]

    predictor.frame_filter = watch
    return seen


def assert_same_frames(ours: dict[int, list[Recall]], valid: dict[int, Any]) -> None:
    """The six newest valid frames have memories, all but the oldest pointers."""
    assert ours.keys() == valid.keys() == set(range(1, 24))
    selected = 0
    for frame, recalls in ours.items():
        newest = valid[frame][::-1]
        maps = {(known, place) for place, known in enumerate(newest[:6]) if known}
        aged = newest[: min(len(newest) - 1, 15)]
        pointers = {(known, rank) for rank, known in enumerate(aged, 1) if known}
        for recall in recalls:
            assert set(recall.maps) == maps | {(0, 6)}
            assert set(recall.pointers) == pointers | {(0, frame)}
        selected += newest[:6] != list(range(frame - 1, max(frame - 7, 0), -1))
    # The selection matters: it is not always the latest six.
    assert selected > 3


@pytest.mark.parametrize(
    ("objects", "exact"),
    [(1, True), (3, True), (8, True), (3, False)],
    ids=["one", "three", "eight", "three with rounded memories"],
)
def test_logits_are_those_of_the_official_tracker_with_its_selection(
    objects: int,
    exact: bool,
    compare_sam3: Any,
    sam3_reference: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_official()
    with sam3_reference.exact_memories() if exact else contextlib.nullcontext():
        case = make_case(
            compare_sam3, sam3_reference, objects, memory="sam3", selection="shared"
        )
        chosen = watch_ours(monkeypatch)
        ours, predictor = case.ours(), case.official(selection=True)
        valid = watch_official(predictor)
        theirs = list(sam3_reference.run_official(predictor, case.images, case.masks))
    assert_close(ours, theirs, atol=1e-3)
    assert_same_frames(chosen, valid)


def test_alone_an_object_is_tracked_as_by_the_official_tracker(
    compare_sam3: Any, sam3_reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_official()
    with sam3_reference.exact_memories():
        case = make_case(compare_sam3, sam3_reference, 3, memory="sam3")
        ours = case.ours()
        for row, (key, mask) in enumerate(case.masks.items()):
            predictor = case.official(selection=True)
            theirs = sam3_reference.run_official(predictor, case.images, {key: mask})
            for frame, other in zip(ours[1:], list(theirs)[1:], strict=True):
                for one, that in (
                    (frame.logits[row], other.logits[0]),
                    (frame.scores[row], other.scores[0]),
                ):
                    np.testing.assert_allclose(one, that, atol=1e-3, rtol=0)


def test_without_selection_it_is_the_official_tracker_without(
    compare_sam3: Any, sam3_reference: Any
) -> None:
    needs_official()
    with sam3_reference.exact_memories():
        case = make_case(compare_sam3, sam3_reference, 3, memory="sam2")
        predictor = case.official(selection=False)
        theirs = list(sam3_reference.run_official(predictor, case.images, case.masks))
        assert_close(case.ours(), theirs, atol=1e-3)


def test_the_frozen_values_are_those_of_the_official_tracker(
    compare_sam3: Any, sam3_reference: Any
) -> None:
    needs_official()
    state, chosen = golden_weights(sam3_reference), options()
    clip = wandering_discs(LENGTH, 3)
    prepare = Sam3Predictor(chosen, device="cpu").prepare
    images = [prepare(frame, SIDE) for frame in clip.frames]
    predictor = sam3_reference.build_official(SMALL, state, SIDE)
    frames = list(sam3_reference.run_official(predictor, images, clip.masks))
    scores = np.stack([frame.scores for frame in frames[1:]])
    np.testing.assert_allclose(scores, SCORES, atol=2e-3, rtol=0)
    np.testing.assert_allclose(some(frames[12].logits), LOGITS, atol=1e-2, rtol=0)


#: Prompts of one object by frame.
SCRIPTS: dict[str, dict[int, Prompt]] = {
    "box": {
        0: Box(15, 12, 26, 23),
        6: Points((Point(32, 19), Point(20.5, 30.25, inside=False))),
    },
    "point": {
        0: Points((Point(34, 26),)),
        6: Points((Point(46, 28),)),
        7: Box(38.5, 22, 55, 35),
    },
    "mask": {
        0: Mask(disc(3, 0)),
        4: Mask(disc(3, 4)),
        6: Points((Point(46, 28),)),
    },
    "absence": {0: Mask(disc(3, 0)), 4: Absent()},
    "many points": {
        0: Points(tuple(Point(20 + 2 * n, 20 + n, inside=n % 3 > 0) for n in range(20)))
    },
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_prompts_do_what_they_do_officially(
    script: str, compare_sam3: Any, sam3_reference: Any
) -> None:
    needs_official()
    clip, given = moving_discs(length=10), SCRIPTS[script]
    state = golden_weights(sam3_reference)
    state[SCORE_BIAS] += 5
    network = compare_sam3.build(SMALL, state)
    predictor = Sam3Predictor.of(network, options(), device="cpu")
    images = [predictor.prepare(frame, SIDE) for frame in clip.frames]
    session = immediate(predictor.session(Video("discs", 48, 80, 10)))
    with sam3_reference.exact_memories():
        official = sam3_reference.build_official(SMALL, state, SIDE)
        theirs = sam3_reference.correct_official(official, images, (48, 80), given)
        for number, other in enumerate(theirs):
            prompts = {1: given[number]} if number in given else {}
            ours = session.step(clip.frames[number], prompts)
            np.testing.assert_allclose(ours.logits, other.logits, atol=1e-3, rtol=0)
