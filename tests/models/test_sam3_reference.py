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

from submit.predictors import parse_options
from submit_sam2.memory import Recall
from submit_sam3 import Sam3Options, Sam3Predictor
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
