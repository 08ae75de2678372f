from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.masks import OLD_VALUES
from submit.postprocess import Postprocess, labels_of, steady_frames


@dataclass
class Memory:
    """One video of a run, in memory; counts what is read."""

    logits: list[NDArray[np.int8]]
    presence: NDArray[np.float32]
    objects: tuple[int, ...] = (3,)
    size: tuple[int, int] = (2, 4)
    reads: int = 0

    def __post_init__(self) -> None:
        self.frames = tuple(f"{index:05d}" for index in range(len(self.logits)))
        self.iou = np.full_like(self.presence, np.nan)
        self.values = OLD_VALUES.copy()

    def codes(self, index: int) -> NDArray[np.int8]:
        self.reads += 1
        self.logits[index].setflags(write=False)
        return self.logits[index]

    def close(self) -> None:
        pass


def video(pattern: str, *, scores: Sequence[float] | None = None) -> Memory:
    """One moving object that is visible (#) or absent (.)."""
    logits = []
    for index, there in enumerate(pattern):
        plane = np.full((1, 2, 4), -40, np.int8)
        if there == "#":
            plane[0, 0, index % 4] = 40
        logits.append(plane)
    table = np.full((len(pattern), 1), np.nan if scores is None else 0, np.float32)
    if scores is not None:
        table[:, 0] = scores
    return Memory(logits, table)


def seen(masks: Memory, **settings: float) -> str:
    found = labels_of(masks, Postprocess(**settings))
    return "".join("#" if labels.any() else "." for labels in found)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("##..#..", "##....."),
        ("##..##.", "##....."),
        ("##..###.", "##..###."),
        ("#.......", "#......."),
        ("##....##", "##....##"),
        ("..#..###", ".....###"),
        ("##.#.#.#", "##.....#"),
    ],
)
def test_objects_that_show_up_for_a_moment_are_taken_out(
    pattern: str, wanted: str
) -> None:
    assert seen(video(pattern), flicker=3, flicker_score=6.0) == wanted


def test_sure_objects_stay_however_short() -> None:
    scores = [9, 9, -5, 2.5, -5, 1.5, -5]
    masks = video("##.#.#.", scores=scores)
    assert seen(masks, flicker=3, flicker_score=2.0) == "##.#..."


def test_the_highest_logit_stands_in_for_a_score() -> None:
    assert seen(video("##..#.."), flicker=3, flicker_score=5.0) == "##..#.."
    assert seen(video("##..#.."), flicker=3, flicker_score=5.1) == "##....."


def test_an_object_that_is_annotated_later_is_no_flicker() -> None:
    masks = video("...#...#..")
    masks.logits[:3] = [np.zeros((0, 2, 4), np.int8)] * 3
    assert seen(masks, flicker=3, flicker_score=9.0) == "...#......"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("##..##", "######"),
        ("##...##", "##...##"),
        ("#.#.#..", "#####.."),
        ("..#.", "..#."),
    ],
)
def test_objects_that_are_gone_for_a_moment_are_filled_in(
    pattern: str, wanted: str
) -> None:
    assert seen(video(pattern), dropout=3) == wanted


def test_filled_in_logits_are_those_of_the_nearest_frame() -> None:
    masks = video("#...#")
    found = list(steady_frames(masks, Postprocess(dropout=4)))
    for place, source in ((1, 0), (2, 0), (3, 4)):
        np.testing.assert_array_equal(found[place], masks.logits[source])


def test_flicker_goes_before_dropouts_are_filled() -> None:
    assert (
        seen(video("##..#..##"), flicker=2, dropout=3, flicker_score=9) == "##.....##"
    )


def test_a_higher_threshold_is_what_makes_an_object_absent() -> None:
    masks = video("##.##")
    masks.logits[2] = np.where(masks.logits[2] > 0, 24, -40).astype(np.int8)
    masks.logits[2][0, 0, 2] = 24
    assert seen(masks, threshold=4.0) == "##.##"
    found = list(labels_of(masks, Postprocess(threshold=4.0, dropout=2)))
    np.testing.assert_array_equal(found[2], found[1])
    assert seen(masks, threshold=5.0, dropout=2) == "....."


@given(st.text("#.", min_size=1, max_size=30), st.integers(2, 6), st.integers(2, 6))
def test_looking_ahead_is_bounded_and_changes_no_other_frame(
    pattern: str, flicker: int, dropout: int
) -> None:
    masks = video(pattern)
    settings = Postprocess(flicker=flicker, flicker_score=9.0, dropout=dropout)
    originals = [plane.copy() for plane in masks.logits]
    for index, steps in enumerate(steady_frames(masks, settings)):
        assert masks.reads <= index + flicker + dropout - 1
        # A frame is as it was unless the object has come or gone in it.
        if (steps.max() > 0) == (originals[index].max() > 0):
            np.testing.assert_array_equal(steps, originals[index])
    for plane, original in zip(masks.logits, originals, strict=True):
        np.testing.assert_array_equal(plane, original)


@given(st.text("#.", min_size=1, max_size=30), st.integers(2, 6))
def test_no_inner_stretch_is_shorter_than_asked_for(pattern: str, length: int) -> None:
    shown = seen(video(pattern), flicker=length, flicker_score=9.0)
    assert all(len(part) >= length for part in shown.split(".")[1:-1] if part)
    filled = seen(video(pattern), dropout=length)
    assert all(len(part) >= length for part in filled.split("#")[1:-1] if part)
