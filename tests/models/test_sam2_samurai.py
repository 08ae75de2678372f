from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.predictors import Mask, Prediction
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.memory import Noted, PixelBox, Recall, SamuraiMemory
from submit_sam2.memory.motion import BoxMotion
from submit_sam2.model import ABSENT

#: Two boxes far from each other.
HERE, THERE = (10, 10, 30, 40), (200, 200, 220, 230)


@dataclass(frozen=True)
class Candidates:
    """What the decoder offers; see `Offer`."""

    ious: tuple[float, ...]
    boxes: tuple[PixelBox | None, ...] = (HERE, THERE, None)
    presence: float = 1.0

    def box(self, candidate: int) -> PixelBox | None:
        return self.boxes[candidate]


#: The first mask is the best one, or good, or unreliable.
GOOD, FAIR, POOR = (
    Candidates((0.9, 0.5, 0.1)),
    Candidates((0.8, 0.9, 0.1)),
    Candidates((0.2, 0.1, 0.1)),
)


def play(offers: list[Candidates], **options: Any) -> tuple[SamuraiMemory, list[int]]:
    """Show a new policy what is offered; returns what it chooses as well."""
    policy, chosen = SamuraiMemory(**options), []
    policy.given(0)
    for frame, offer in enumerate(offers, 1):
        (pick,) = policy.choose(frame, [offer])
        assert (pick.recall, pick.number) == (0, frame)
        chosen.append(pick.candidate)
        iou = offer.ious[pick.candidate]
        policy.tracked(frame, Noted(presence=offer.presence, iou=iou))
    return policy, chosen


def test_the_motion_counts_after_fifteen_good_frames() -> None:
    _, chosen = play([GOOD, *[FAIR] * 3], motion_frames=3)
    assert chosen == [0, 1, 1, 1]
    # After as many good frames the box decides between two good masks.
    _, chosen = play([GOOD] * 15 + [FAIR])
    assert chosen == [0] * 16
    _, chosen = play([GOOD] * 14 + [FAIR])
    assert chosen[-1] == 1


def test_a_much_better_mask_is_taken_wherever_it_is() -> None:
    better = Candidates((0.5, 0.9, 0.1))
    assert play([GOOD] * 15 + [better], motion_weight=0.15)[1][-1] == 1
    assert play([GOOD] * 15 + [better], motion_weight=0.5)[1][-1] == 0


@pytest.mark.parametrize("length", [4, 15], ids=["before it counts", "afterwards"])
def test_an_unreliable_frame_starts_the_motion_again(length: int) -> None:
    _, chosen = play([GOOD] * length + [POOR] + [GOOD] * 14 + [FAIR])
    assert chosen[-1] == 1
    _, chosen = play([GOOD] * length + [POOR] + [GOOD] * 15 + [FAIR])
    assert chosen[-1] == 0


def test_a_prompt_starts_the_motion_again() -> None:
    policy, _ = play([GOOD] * 20)
    policy.given(21)
    assert policy.choose(22, [FAIR])[0].candidate == 1


def test_the_window_has_good_frames_and_the_one_just_before() -> None:
    gone = Candidates((0.9, 0.1, 0.1), presence=-0.5)
    policy, _ = play([GOOD] * 9 + [POOR, gone, POOR])
    assert policy.recall(13).maps == (
        *((0, 6), (5, 5), (6, 4), (7, 3), (8, 2), (9, 1), (12, 0)),
    )
    # Pointers are those of SAM 2.
    assert [age for _, age in policy.recall(13).pointers] == [13, *range(1, 13)]


def test_a_mask_far_from_where_it_should_be_is_not_looked_back_to() -> None:
    away = Candidates((0.9,) * 3, boxes=(THERE,) * 3)
    policy, _ = play([GOOD] * 16 + [away, GOOD])
    assert [known for known, _ in policy.recall(19).maps] == [0, *range(12, 17), 18]


class Endless:
    """The rules as the reference has them: everything is kept and searched."""

    def __init__(self, pointers: int) -> None:
        self.pointers = pointers
        self.seen: dict[int, Candidates] = {}

    def recall(self, frame: int) -> Recall:
        valid = [
            known
            for known in range(2, frame)
            if self.seen[known].ious[0] > 0.5 and self.seen[known].presence > 0
        ]
        if frame - 1 not in valid:
            valid.append(frame - 1)
        maps = [(0, 6)]
        for place in range(5, -1, -1):
            if place < len(valid) and valid[-1 - place] > 0:
                maps.append((valid[-1 - place], place))
        ages = range(1, min(self.pointers, frame))
        return Recall(tuple(maps), ((0, frame), *((frame - age, age) for age in ages)))


@pytest.mark.slow
@given(
    frames=st.lists(
        st.builds(
            Candidates,
            ious=st.sampled_from([(0.9, 0.1), (0.4, 0.1), (0.2, 0.1)]),
            boxes=st.just((HERE, HERE)),
            presence=st.sampled_from([-2.0, -0.5, 3.0]),
        ),
        max_size=40,
    ),
    pointers=st.sampled_from([2, 5, 16]),
)
def test_what_is_recalled_is_that_of_a_memory_that_forgets_nothing(
    frames: list[Candidates], pointers: int
) -> None:
    policy, endless = SamuraiMemory(pointers=pointers), Endless(pointers)
    policy.given(0)
    maps, kept = {0}, {0}
    for frame, offer in enumerate(frames, 1):
        (recall,) = policy.recalls(frame)
        assert recall == endless.recall(frame)
        assert {known for known, _ in recall.maps} <= maps
        assert {known for known, _ in recall.pointers} <= kept
        policy.choose(frame, [offer])
        policy.tracked(frame, Noted(presence=offer.presence, iou=offer.ious[0]))
        endless.seen[frame] = offer
        maps = (maps | {frame}) & policy.kept().maps
        kept = (kept | {frame}) & policy.kept().pointers
        assert len(maps) <= 7
        assert len(kept) <= max(pointers, 7)


class Matrices:
    """The filter as the reference has it, one state of eight numbers."""

    def __init__(self, measured: list[float]) -> None:
        height = measured[3]
        place, velocity = height / 20, height / 160
        self.mean = np.array([*measured, 0, 0, 0, 0], float)
        self.covariance = np.diag(
            np.square(
                [
                    *(2 * place, 2 * place, 1e-2, 2 * place),
                    *(10 * velocity, 10 * velocity, 1e-5, 10 * velocity),
                ]
            )
        )

    def step(self, measured: list[float] | None) -> None:
        motion = np.eye(8) + np.eye(8, k=4)
        place, velocity = self.mean[3] / 20, self.mean[3] / 160
        noise = [place, place, 1e-2, place, velocity, velocity, 1e-5, velocity]
        self.mean = motion @ self.mean
        self.covariance = motion @ self.covariance @ motion.T
        self.covariance += np.diag(np.square(noise))
        if measured is None:
            return
        place = self.mean[3] / 20
        uncertain = np.diag(np.square([place, place, 1e-1, place]))
        total = self.covariance[:4, :4] + uncertain
        gain = self.covariance[:, :4] @ np.linalg.inv(total)
        self.mean = self.mean + gain @ (np.array(measured) - self.mean[:4])
        self.covariance = self.covariance - gain @ total @ gain.T


def test_the_motion_is_that_of_the_filter_with_matrices() -> None:
    random = np.random.default_rng(0)
    motion, expected = BoxMotion(HERE), Matrices([20, 25, 2 / 3, 30])
    for step in range(40):
        left, top = map(int, random.integers([3 * step, 10], [3 * step + 4, 16]))
        wide, high = map(int, random.integers([8, 9], [20, 40]))
        box = left, top, left + wide, top + high
        measured = [left + wide / 2, top + high / 2, wide / high, high]
        motion.predict()
        if step % 5:
            motion.correct(box)
        expected.step(measured if step % 5 else None)
        x, y, shape, height = expected.mean[:4]
        half = shape * height / 2
        predicted = x - half, y - height / 2, x + half, y + height / 2
        across = min(predicted[2], box[2]) - max(predicted[0], box[0])
        common = across * (min(predicted[3], box[3]) - max(predicted[1], box[1]))
        united = shape * height**2 + wide * high - common
        assert motion.overlap(box) == pytest.approx(common / united, rel=1e-9)


def test_the_box_of_an_empty_mask_overlaps_nothing() -> None:
    motion = BoxMotion(None)
    motion.predict()
    motion.correct(None)
    assert motion.overlap(None) == 0
    assert motion.overlap(HERE) == 0


@pytest.mark.parametrize(
    ("model", "weight"), [("sam2.1_hiera_large", 0.15), ("sam2_hiera_base_plus", 0.25)]
)
def test_the_weight_of_the_motion_follows_the_size(model: str, weight: float) -> None:
    options = Sam2Options(model=model, memory="samurai")
    assert options.of_policy()["motion_weight"] == weight
    own = Sam2Options(model=model, memory="samurai", motion_weight=0.4)  # type: ignore[call-arg]
    assert own.of_policy()["motion_weight"] == 0.4


@pytest.mark.slow
def test_a_mask_is_shown_where_the_presence_is_above_the_policys_threshold(
    open_session: Callable[..., Any],
    track: Callable[..., list[Prediction]],
    make_clip: Callable[..., Any],
) -> None:
    clip = make_clip(length=2)
    _, shown = track(open_session(memory="samurai", score=-0.5), clip)
    _, plain = track(open_session(score=-0.5), clip)
    assert shown.presence is not None
    assert plain.presence is not None
    assert (plain.presence < 0).all()
    assert (plain.logits == ABSENT).all()
    assert (shown.presence > 0).all()
    assert (shown.logits > ABSENT).all()
    assert (shown.presence < 1).all()  # Above −1, and said as above zero.


@pytest.mark.slow
def test_objects_do_not_depend_on_those_beside_them(
    open_session: Callable[..., Any],
    make_clip: Callable[..., Any],
) -> None:
    clip = make_clip(length=6, objects=3)

    def run(keys: list[int]) -> list[Prediction]:
        session = open_session(memory="samurai", motion_frames=2)
        given = {key: Mask(clip.masks[key]) for key in keys}
        return [
            session.step(frame, given if index == 0 else {})
            for index, frame in enumerate(clip.frames)
        ]

    together = run([1, 2, 3])
    for one, all_ in zip(run([2]), together, strict=True):
        np.testing.assert_allclose(one.logits[0], all_.logits[1], atol=2e-3)


def test_the_licence_of_its_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"any")
    options = Sam2Options(checkpoint=str(tmp_path / "weights.pt"), memory="samurai")
    licence = Sam2Predictor(options, device="cpu").describe().licence
    assert "samurai: Apache-2.0" in licence
