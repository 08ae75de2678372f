"""The presence gate, the best member, and the cascade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.ensemble import METHODS, Gate, MergeSettings, VideoMerger
from submit.ensemble.methods.cascade import Cascade
from submit.ensemble.methods.select import Select
from tests.ensemble.members import SIZE, Member, hard_member

#: A mask, another one that overlaps with it, and one far from both.
HERE, NEAR, FAR = np.s_[2:6, 3:9], np.s_[3:7, 4:10], np.s_[8:11, 14:19]


def seen(
    *places: Any,
    presence: float | list[float] = float("nan"),
    iou: float | list[float] = float("nan"),
    sure: int = 48,
) -> Member:
    """A member with one object at the given place in each frame; None: absent."""
    logits = []
    for place in places:
        steps = np.full((1, *SIZE), -sure, np.int8)
        if place is not None:
            steps[0][place] = sure
        logits.append(steps)
    shape = (len(places), 1)
    scores, ious = (
        np.broadcast_to(np.asarray(values, np.float32), len(places)).reshape(shape)
        for values in (presence, iou)
    )
    return Member(logits, (1,), scores, ious)


def masks(members: dict[str, Any], settings: MergeSettings) -> list[Any]:
    """The merged mask of each frame, in order."""
    merger = VideoMerger(members, settings)
    return [merger.merge(n).labels_at(SIZE) == 1 for n in range(len(merger.frames))]


def place(where: Any) -> Any:
    mask = np.zeros(SIZE, bool)
    if where is not None:
        mask[where] = True
    return mask


def test_an_object_goes_when_most_of_the_evidence_says_so() -> None:
    members: dict[str, Any] = {
        "a": seen(HERE, HERE, presence=[4, -4]),
        "b": seen(HERE, HERE, presence=[4, -4]),
        "c": seen(HERE, HERE, presence=[4, 4]),
    }
    settings = MergeSettings(gate=Gate())
    first, second = masks(members, settings)
    np.testing.assert_array_equal(first, place(HERE))
    assert not second.any()
    frames = VideoMerger(members, settings)
    assert frames.merge(0).presence[0] > 0 > frames.merge(1).presence[0]
    # Without a gate the masks decide, not the scores.
    assert masks(members, MergeSettings())[1].any()


def test_a_shape_comes_from_those_who_see_the_object() -> None:
    """Two of three have empty masks, but small weights in the gate."""
    members: dict[str, Any] = {
        "a": seen(HERE, presence=5),
        "b": seen(None, presence=-1),
        "c": seen(None, presence=-1),
    }
    assert not masks(members, MergeSettings())[0].any()
    gate = Gate(weights={"a": 3, "b": 1, "c": 1})
    (mask,) = masks(members, MergeSettings(gate=gate))
    np.testing.assert_array_equal(mask, place(HERE))
    keeping = Gate(weights={"a": 3, "b": 1, "c": 1}, drop_blind=False)
    assert not masks(members, MergeSettings(gate=keeping))[0].any()


def test_one_member_says_when_it_goes_and_another_when_it_is_back() -> None:
    """One member decides about disappearance, the other about reappearance."""
    members: dict[str, Any] = {
        "cutie": seen(HERE, None, None, None, presence=[5, -5, -5, -5]),
        "sam": seen(HERE, HERE, HERE, NEAR, presence=[5, 5, -5, 5]),
    }
    leave, back = {"cutie": 1.0}, {"sam": 1.0}
    gate = Gate(weights=leave, return_weights=back)
    found = masks(members, MergeSettings(gate=gate))
    for mask, wanted in zip(found, (HERE, None, None, NEAR), strict=True):
        np.testing.assert_array_equal(mask, place(wanted))
    alone = masks(members, MergeSettings(gate=Gate(weights=leave)))
    assert [bool(mask.any()) for mask in alone] == [True, False, False, False]


def test_coming_back_may_take_more_evidence_than_staying() -> None:
    chances = np.array([0.9, 0.45, 0.2, 0.45, 0.7])
    logits = list(np.log(chances / (1 - chances)))
    members = {"a": seen(*[HERE] * 5, presence=logits)}
    gate = Gate(threshold=0.4, return_threshold=0.6)
    found = [bool(m.any()) for m in masks(members, MergeSettings(gate=gate))]
    assert found == [True, True, False, False, True]
    plain = [
        bool(m.any()) for m in masks(members, MergeSettings(gate=Gate(threshold=0.4)))
    ]
    assert plain == [True, True, False, True, True]


def test_masks_are_evidence_where_there_are_no_scores(tmp_path: Path) -> None:
    labels = place(HERE).astype(np.uint8)
    members: dict[str, Any] = {
        "hard": hard_member(tmp_path / "h", [labels, labels * 0], (1,)),
        "soft": seen(HERE, HERE, presence=[5, -5]),
    }
    first, second = masks(members, MergeSettings(gate=Gate()))
    np.testing.assert_array_equal(first, place(HERE))
    assert not second.any()
    by_mask = masks(members, MergeSettings(gate=Gate(evidence="mask")))
    np.testing.assert_array_equal(by_mask[1], place(HERE))


@pytest.mark.parametrize("method", list(METHODS))
def test_the_gate_holds_for_every_method(method: str) -> None:
    members: dict[str, Any] = {
        "a": seen(HERE, HERE, presence=[5, -5]),
        "b": seen(None, HERE, presence=[1, -5]),
    }
    settings = MergeSettings(method=method, gate=Gate())
    first, second = masks(members, settings)
    np.testing.assert_array_equal(first, place(HERE))
    assert not second.any()


def test_a_gate_without_voices_leaves_it_to_the_masks() -> None:
    """The only member with a weight does not know the object."""
    one, other = seen(HERE, presence=-9), seen(HERE)
    other.objects = (2,)
    members: dict[str, Any] = {"a": one, "b": other}
    settings = MergeSettings(gate=Gate(weights={"b": 1}))
    frame = VideoMerger(members, settings, reweight=True).merge(0)
    assert (frame.logits[0] > 0).any()
    assert frame.presence[0] == -9


@pytest.mark.parametrize(
    ("by", "best"),
    [(("iou",), "c"), (("presence",), "b"), (("agreement",), "a")],
    ids=["IoU", "score", "agreement"],
)
def test_the_best_member_is_taken_whole(by: tuple[str, ...], best: str) -> None:
    members: dict[str, Any] = {
        "a": seen(HERE, presence=1.0, iou=0.5),
        "b": seen(NEAR, presence=4.0, iou=0.6),
        "c": seen(FAR, presence=2.0, iou=0.9),
        "d": seen(HERE, presence=0.5, iou=0.2),
    }
    settings = MergeSettings(method="select", merging=Select(by=by))
    frame = VideoMerger(members, settings).merge(0)
    np.testing.assert_array_equal(frame.codes, members[best].logits[0])
    assert frame.iou[0] == members[best].iou[0, 0]
    assert frame.presence[0] == members[best].presence[0, 0]


def test_a_video_has_one_best_member() -> None:
    members: dict[str, Any] = {
        "a": seen(HERE, HERE, HERE, iou=[0.9, 0.9, 0.1]),
        "b": seen(FAR, FAR, FAR, iou=[0.5, 0.5, 0.6]),
    }
    whole = MergeSettings(method="select", merging=Select(by=("iou",)))
    for mask in masks(members, whole):
        np.testing.assert_array_equal(mask, place(HERE))
    heavy = MergeSettings(
        method="select", merging=Select(by=("iou",)), weights={"a": 1, "b": 2}
    )
    np.testing.assert_array_equal(masks(members, heavy)[0], place(FAR))


def test_a_mark_that_one_member_lacks_does_not_count() -> None:
    members: dict[str, Any] = {
        "a": seen(HERE, iou=0.1),
        "b": seen(HERE),
        "c": seen(FAR, iou=0.9),
    }
    settings = MergeSettings(method="select", merging=Select(by=("iou",)))
    np.testing.assert_array_equal(masks(members, settings)[0], place(HERE))


@pytest.mark.parametrize(
    ("first", "taken"),
    [
        (seen(HERE, presence=5.0, iou=0.9), HERE),
        (seen(HERE), HERE),
        (seen(HERE, presence=5.0, iou=0.4), FAR),
        (seen(HERE, presence=0.5, iou=0.9), FAR),
        (seen(HERE, presence=-0.5, iou=0.9), FAR),
        (seen(None, presence=-5.0, iou=0.9), FAR),
    ],
    ids=["sure", "no scores", "low IoU", "unsure", "unsure of absence", "empty"],
)
def test_a_cascade_asks_the_next_one_in_doubt(first: Member, taken: Any) -> None:
    members = {"b": first, "a": seen(FAR, presence=5.0, iou=0.9)}
    settings = MergeSettings(method="cascade", members=("b", "a"))
    np.testing.assert_array_equal(masks(members, settings)[0], place(taken))


def test_the_first_one_is_taken_when_all_are_in_doubt() -> None:
    members = {"b": seen(HERE, iou=0.1), "a": seen(FAR, iou=0.2)}
    settings = MergeSettings(method="cascade", members=("b", "a"))
    np.testing.assert_array_equal(masks(members, settings)[0], place(HERE))
    # What counts as a doubt is a matter of settings.
    bold = MergeSettings(
        method="cascade",
        members=("b", "a"),
        merging=Cascade(min_iou=0.15, empty=False),
    )
    np.testing.assert_array_equal(masks(members, bold)[0], place(FAR))


def test_pixels_near_the_edge_are_taken_from_the_next_one() -> None:
    first, other = seen(HERE), seen(NEAR)
    first.logits[0][0, :, 6:] //= 16  # Logits of ±3/8 on the right.
    settings = MergeSettings(
        method="cascade", members=("b", "a"), merging=Cascade(margin=1.0)
    )
    (mask,) = masks({"b": first, "a": other}, settings)
    np.testing.assert_array_equal(mask[:, :6], place(HERE)[:, :6])
    np.testing.assert_array_equal(mask[:, 6:], place(NEAR)[:, 6:])
