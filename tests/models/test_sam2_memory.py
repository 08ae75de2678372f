from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.predictors import option_infos
from submit_sam2.memory import (
    POLICIES,
    MemoryPolicy,
    Noted,
    RcmsMemory,
    Recall,
    Sam2Memory,
    Sam3Memory,
)
from tests.toolkit import Toolkit

#: Presence and quality of one frame.
Frames = list[tuple[float, float]]


class Endless:
    """The rules as the reference has them: everything is kept and searched.

    `promote` is None for SAM 2.
    """

    def __init__(self, promote: int | None, quality: float, pointers: int) -> None:
        self.promote, self.quality, self.pointers = promote, quality, pointers
        self.conditioning: dict[int, float] = {0: 1.0}
        self.others: dict[int, float] = {}
        self.disappeared = False

    def tracked(self, frame: int, presence: float, quality: float) -> None:
        self.others[frame] = quality
        if self.promote is None or self.disappeared or presence > 0:
            return
        self.disappeared = True
        promoted, back = 0, 1
        while promoted < self.promote and back < frame:
            known = frame - back
            if known in self.others and self.others[known] > self.quality:
                self.conditioning[known] = self.others.pop(known)
                promoted += 1
            back += 1

    def recall(self, frame: int) -> Recall:
        maps = [(known, 6) for known in self.conditioning]
        maps += [
            (frame - age, age - 1)
            for age in range(6, 0, -1)
            if frame - age in self.others
        ]
        pointers = [(known, frame - known) for known in self.conditioning]
        pointers += [
            (frame - age, age)
            for age in range(1, self.pointers)
            if frame - age in self.others
        ]
        return Recall(tuple(maps), tuple(pointers))


def play(policy: MemoryPolicy, frames: Frames) -> list[Recall]:
    """Announce frames; returns what each looks back to."""
    policy.given(0)
    recalls: list[Recall] = []
    for number, (presence, quality) in enumerate(frames, 1):
        recalls += policy.recalls(number)
        policy.tracked(number, Noted(presence=presence, quality=quality))
    return recalls


def test_the_first_frame_looks_back_to_the_given_one() -> None:
    policy = Sam2Memory()
    policy.given(5)
    assert policy.recall(6) == Recall(((5, 6),), ((5, 1),))


def test_sam2_looks_back_six_frames_and_fifteen_pointers() -> None:
    recall = play(Sam2Memory(), [(1.0, 1.0)] * 30)[-1]
    assert recall.maps == (
        (0, 6),
        *((24, 5), (25, 4), (26, 3), (27, 2), (28, 1), (29, 0)),
    )
    assert recall.pointers == ((0, 30), *((30 - age, age) for age in range(1, 16)))


def test_a_short_video_has_a_short_window_of_pointers() -> None:
    recall = play(Sam2Memory(pointers=4), [(1.0, 1.0)] * 9)[-1]
    assert [age for _, age in recall.pointers] == [9, 1, 2, 3]


def test_rcms_keeps_the_latest_good_frames_when_the_object_disappears() -> None:
    # Frames 9 and 10 are bad, 12 is the first without the object.
    frames = [(1.0, 0.5 if n in (9, 10) else 0.9) for n in range(1, 12)]
    frames += [(-1.0, 0.0)] * 8
    recalls = play(RcmsMemory(promote=4), frames)
    assert recalls[12].maps == (  # frame 13
        *((0, 6), (11, 6), (8, 6), (7, 6), (6, 6)),
        *((9, 3), (10, 2), (12, 0)),
    )
    assert [known for known, _ in recalls[12].pointers] == [
        *(0, 11, 8, 7, 6),
        *(12, 10, 9, 5, 4, 3, 2, 1),
    ]
    assert len(recalls[18].maps) == 1 + 4 + 6


def test_rcms_acts_on_the_first_disappearance_only() -> None:
    frames = [(1.0, 0.9)] * 3 + [(0.0, 0.0)] + [(1.0, 0.9)] * 3 + [(-1.0, 0.0)] * 2
    policy = RcmsMemory(promote=1)
    recalls = play(policy, frames)
    assert [one.frame for one in policy.promoted] == [3]
    assert [place for place in recalls[-1].maps if place[1] == 6] == [(0, 6), (3, 6)]


def test_an_object_that_disappears_at_once_has_nothing_to_keep() -> None:
    recalls = play(RcmsMemory(), [(-1.0, 0.0), *[(1.0, 0.9)] * 9, (-1.0, 0.0)] * 2)
    assert all(len(recall.maps) <= 7 for recall in recalls)


def test_rcms_asks_for_quality_until_it_has_acted() -> None:
    class Seen:
        def __init__(self, presence: float) -> None:
            self.presence = presence

        @property
        def quality(self) -> float:
            asked.append(self.presence)
            return 1.0

    asked: list[float] = []
    policy = RcmsMemory()
    policy.given(0)
    for frame, presence in enumerate((2.0, -1.0, 3.0), 1):
        policy.tracked(frame, cast(Any, Seen(presence)))
    assert asked == [2.0]


@pytest.mark.parametrize("promote", [None, 0, 1, 4])
@given(
    frames=st.lists(
        st.tuples(st.sampled_from([-1.0, 1.0, 1.0, 1.0]), st.sampled_from([0.5, 0.9])),
        max_size=60,
    ),
    pointers=st.sampled_from([2, 5, 16]),
)
def test_what_is_recalled_is_that_of_a_memory_that_forgets_nothing(
    promote: int | None, frames: Frames, pointers: int
) -> None:
    policy = (
        Sam2Memory(pointers=pointers)
        if promote is None
        else RcmsMemory(promote=promote, pointers=pointers)
    )
    endless = Endless(promote, 0.6, pointers)
    policy.given(0)
    maps, kept_pointers = {0}, {0}
    for number, (presence, quality) in enumerate(frames, 1):
        recall = policy.recall(number)
        expected = endless.recall(number)
        assert recall == expected
        # Nothing is recalled that was forgotten, and little is kept.
        assert {known for known, _ in recall.maps} <= maps
        assert {known for known, _ in recall.pointers} <= kept_pointers
        policy.tracked(number, Noted(presence=presence, quality=quality))
        endless.tracked(number, presence, quality)
        maps = (maps | {number}) & policy.kept().maps
        kept_pointers = (kept_pointers | {number}) & policy.kept().pointers
        assert len(maps) <= 7 + (promote or 0)
        assert len(kept_pointers) <= pointers + (promote or 0)


@given(
    prompted=st.lists(st.booleans(), min_size=1, max_size=40),
    limit=st.integers(2, 5),
    pointers=st.integers(1, 20),
)
def test_the_nearest_prompted_frames_are_conditioning_and_others_like_any(
    prompted: list[bool], limit: int, pointers: int
) -> None:
    """Against the rules of the reference, said again with everything kept."""
    policy = Sam2Memory(pointers=pointers, conditioning=limit)
    policy.given(0)
    given, kept = {0}, policy.kept()
    for frame, is_given in enumerate(prompted, 1):
        # All are in the past: the latest, then the others by distance.
        near = sorted(given, reverse=True)[:limit]
        recall = policy.recall(frame)
        assert {known for known, place in recall.maps if place == 6} == set(near)
        assert {(frame - place - 1) for _, place in recall.maps if place < 6} == {
            known for known in range(max(frame - 6, 0), frame) if known not in near
        }
        assert set(recall.pointers) == {(known, frame - known) for known in near} | {
            (known, frame - known)
            for known in range(max(frame - pointers + 1, 0), frame)
            if known not in near
        }
        # What is looked back to was kept, and was kept before.
        now = {known for known, _ in recall.maps}
        assert now <= kept.maps
        assert {known for known, _ in recall.pointers} <= kept.pointers
        if is_given:
            policy.given(frame)
            given.add(frame)
        else:
            policy.tracked(frame, Noted())
        latest = policy.kept()
        assert latest.maps - {frame} <= kept.maps
        kept = latest


#: The whole of a file that adds a policy.
TREE = """
from dataclasses import dataclass
from submit.predictors import option
from .policy import POLICIES
from .sam2 import Sam2Memory

@dataclass(frozen=True)
class _Options:
    branches: int = option(3, "Hypotheses that are kept.", low=1)

@POLICIES.register
class TreeMemory(Sam2Memory):
    name = "tree"
    order = 30
    Options = _Options

    def __init__(self, *, branches=3, **places):
        super().__init__(**places)
"""


@pytest.mark.slow
def test_a_new_policy_is_an_option_with_its_own_options(tmp_path: Path) -> None:
    """Put one file into the folder, and ask the command."""
    toolkit = Toolkit(tmp_path, "models/submit_sam2/memory/tree.py", TREE)
    first, *shown = toolkit.run("""
    import pickle
    from submit.predictors import parse_options
    from submit_sam2 import Sam2Options
    one = parse_options("sam2", Sam2Options, ["memory=tree", "branches=5"])
    print(pickle.loads(pickle.dumps(one)).of_policy())

    from submit.cli import cli
    cli(["predictors", "sam2"])
    """)
    assert first == "{'branches': 5}"
    text = "\n".join(shown)
    assert "sam2|rcms|sam3|dam4sam|tree|samurai" in text
    assert "branches" in text
    assert "int of at least 1" in text


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_says_what_it_does(name: str) -> None:
    assert POLICIES[name].__doc__
    assert all(one.help for one in option_infos(POLICIES[name].Options))


def filtered(scores: list[float], frame: int, pointers: int) -> Recall:
    """The rules of SAM 3's `frame_filter`, said again with everything kept."""
    valid = [n for n in range(1, frame) if scores[n] > 0.01][-(pointers - 1) :]
    if frame - 1 not in valid:
        valid.append(frame - 1)
    maps, aged = [(0, 6)], [(0, frame)]
    for back in range(6, 0, -1):
        if back <= len(valid) and valid[-back] != 0:
            maps.append((valid[-back], back - 1))
    for back in range(1, pointers):
        if back >= len(valid):
            break
        aged.append((valid[-back], back))
    return Recall(tuple(maps), tuple(aged))


@given(
    seen=st.lists(
        st.tuples(st.sampled_from([-2.0, 0.0, 0.01, 4.0]), st.sampled_from([0.0, 0.9])),
        max_size=60,
    ),
    pointers=st.sampled_from([2, 5, 16]),
)
def test_sam3_recalls_the_latest_valid_frames_by_rank(
    seen: list[tuple[float, float]], pointers: int
) -> None:
    policy, scores = Sam3Memory(pointers=pointers), [0.0]
    policy.given(0)
    maps, kept = {0}, {0}
    for frame, (presence, iou) in enumerate(seen, 1):
        recall = policy.recall(frame)
        assert recall == filtered(scores, frame, pointers)
        assert {known for known, _ in recall.maps} <= maps
        assert {known for known, _ in recall.pointers} <= kept
        policy.tracked(frame, Noted(presence=presence, iou=iou))
        scores.append(max(0.0, 2 / (1 + math.exp(-presence)) - 1) * iou)
        maps = (maps | {frame}) & policy.kept().maps
        kept = (kept | {frame}) & policy.kept().pointers
        assert len(maps) <= 7
        assert len(kept) <= pointers + 1
