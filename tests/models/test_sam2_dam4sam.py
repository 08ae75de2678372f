from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.predictors import Prediction
from submit_sam2.memory import Dam4SamMemory, Noted, Recall

#: A frame without the object, with it, and with something like it beside it.
GONE = Noted(presence=-1.0, iou=0.9, visible=False, area=0)
SEEN = Noted(iou=0.9, area=100)
RIVAL = Noted(iou=0.9, area=100, rivals=(0.9, 0.5))


class Endless:
    """The rules as the reference has them: everything is kept and searched."""

    def __init__(self, most: int, pointers: int) -> None:
        self.most, self.pointers = most, pointers
        self.conditioning, self.visible = [0], set[int]()

    def recall(self, frame: int) -> Recall:
        past = [known for known in self.conditioning if 0 < known < frame - 1]
        anchors = [0, *past[::-1][: self.most - 1]]
        recent: list[int] = []
        known = frame - 1
        if known == 0 or known not in self.conditioning:
            while known > 0 and known not in self.visible:
                known -= 1
        while known > 0 and len(recent) < 7 - len(anchors):
            recent.append(known)
            known = (known - 1) // 5 * 5
            while known > 0 and known not in self.visible:
                known -= 5
        maps = [(known, 6) for known in anchors]
        maps += [(known, place) for place, known in reversed([*enumerate(recent)])]
        pointers = [(known, frame - known) for known in anchors]
        for age in range(1, self.pointers):
            known = frame - age
            if known in self.visible or known in {*self.conditioning} - {*anchors}:
                pointers.append((known, age))
        span = max(min(frame + 1, self.pointers) - 1, 1)
        return Recall(tuple(maps), tuple(pointers), span=span)


def play(frames: list[Noted], **options: Any) -> Dam4SamMemory:
    policy = Dam4SamMemory(**options)
    policy.given(0)
    for frame, seen in enumerate(frames, 1):
        policy.tracked(frame, seen)
    return policy


def test_the_window_has_gaps_and_only_frames_with_the_object() -> None:
    frames = [SEEN] * 40
    frames[34] = GONE  # Frame 35.
    # Frame 40 is the latest; 35 is skipped.
    assert play(frames).recall(41).maps == (
        *((0, 6), (10, 5), (15, 4), (20, 3), (25, 2), (30, 1), (40, 0)),
    )


def test_a_frame_with_a_distractor_stays_and_is_remembered_sharply() -> None:
    policy = play([SEEN] * 9 + [RIVAL])
    assert policy.sharp
    # As the latest it is recent; afterwards it is conditioning.
    assert policy.recall(11).maps[-1] == (10, 0)
    policy.tracked(11, SEEN)
    assert not policy.sharp
    assert (10, 6) in policy.recall(12).maps
    for frame in range(12, 99):
        policy.tracked(frame, SEEN)
    assert (10, 6) in policy.recall(99).maps


@pytest.mark.parametrize(
    "seen",
    [
        Noted(iou=0.8, area=100, rivals=(0.5,)),
        Noted(iou=0.9, area=121, rivals=(0.5,)),
        Noted(iou=0.9, area=79, rivals=(0.5,)),
        Noted(iou=0.9, area=100, rivals=(0.71,)),
        Noted(iou=0.9, area=100),
    ],
    ids=["a poor mask", "larger", "smaller", "hardly beyond", "no other mask"],
)
def test_an_unreliable_frame_is_like_any(seen: Noted) -> None:
    assert not play([SEEN] * 9 + [seen]).sharp


def test_the_first_predicted_frame_has_nothing_to_compare_with() -> None:
    assert not play([RIVAL]).sharp
    assert play([RIVAL, RIVAL]).sharp


def test_two_frames_with_distractors_are_six_frames_apart() -> None:
    policy = play([SEEN, RIVAL])
    added = []
    for frame in range(3, 20):
        policy.tracked(frame, RIVAL)
        if policy.sharp:
            added.append(frame)
    assert added == [8, 14]


@pytest.mark.slow
@given(
    frames=st.lists(st.sampled_from([GONE, SEEN, SEEN, RIVAL]), max_size=90),
    most=st.integers(2, 6),
    pointers=st.sampled_from([2, 5, 16]),
)
def test_what_is_recalled_is_that_of_a_memory_that_forgets_nothing(
    frames: list[Noted], most: int, pointers: int
) -> None:
    policy = Dam4SamMemory(pointers=pointers, distractor_frames=most)
    endless = Endless(most, pointers)
    policy.given(0)
    maps, kept_pointers = {0}, {0}
    for number, seen in enumerate(frames, 1):
        recall = policy.recall(number)
        assert recall == endless.recall(number)
        assert {known for known, _ in recall.maps} <= maps
        assert {known for known, _ in recall.pointers} <= kept_pointers
        policy.tracked(number, seen)
        if policy.sharp:
            endless.conditioning.append(number)
        elif seen.visible:
            endless.visible.add(number)
        kept = policy.kept()
        maps = (maps | {number}) & kept.maps
        kept_pointers = (kept_pointers | {number}) & kept.pointers
        assert len(maps) <= 1 + most + 6 + 1
        assert len(kept_pointers) <= 1 + most + pointers


@pytest.mark.slow
def test_objects_do_not_depend_on_those_beside_them(
    open_session: Callable[..., Any],
    track: Callable[..., list[Prediction]],
    make_clip: Callable[..., Any],
) -> None:
    clip = make_clip(length=14, objects=3)
    options = {"memory": "dam4sam", "distractor_iou": 0.0, "distractor_growth": 9.0}
    together = track(open_session(**options), clip)
    masks = dict(clip.masks)
    for index, key in enumerate(masks):
        clip.masks.clear()
        clip.masks[key] = masks[key]
        alone = track(open_session(**options), clip)
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one.logits[0], all_.logits[index], atol=2e-3)


def test_the_licence_of_its_code_is_named(tmp_path: Path) -> None:
    from submit_sam2 import Sam2Options, Sam2Predictor

    path = tmp_path / "weights.pt"
    path.write_bytes(b"any")

    def licence(memory: str) -> str:
        options = Sam2Options(checkpoint=str(path), memory=memory)
        return Sam2Predictor(options, device="cpu").describe().licence

    assert "setup.py" in licence("dam4sam")
    assert licence("rcms") == "Apache-2.0"
