from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from submit.predictors import Mask, Prediction, Video, as_delayed
from submit_sam2 import Sam2Options, Sam2Predictor, tracker
from submit_sam2.memory import Noted, PixelBox, Sam2LongMemory
from submit_sam2.model import Sam2Network
from submit_sam3 import Sam3Options, Sam3Predictor
from submit_sam3.model import Sam3Network
from tests.models.conftest import Clip
from tests.models.sam3_tiny import NARROW, draw
from tests.models.test_sam2_policies_reference import spread_weights

# What the predictor of SAM2Long (Mark12Ding/SAM2Long @ 7193b77) says of the second of
# three moving discs with the weights of `branching`, 3 pathways, iou_thre 0.1 and
# uncertainty 2: the mean of `pred_masks` by frame, and one pixel (row 5, column 9). The
# number of tokens in its memory attention, 4096, was replaced by 16.
MEANS = [
    *(-9.4238, 0.4794, 1.2585, 1.1204, -2.5768, -2.1186, 1.7101, 0.6539, -2.7424, 3.1),
    *(0.6149, 2.244, 3.305, 2.7192, 2.0136, 0.2967, -1.0223, 1.2299, -1024.0, 1.5689),
]
PIXELS = [
    *(-10.0, -1.476, -1.5882, -1.585, -3.3449, -0.3115, 0.0172, 0.0093, -3.2885),
    *(0.0533, -2.1138, -1.524, 0.5059, -0.6642, -0.4641, -1.8918, -0.5628, -1.3431),
    *(-1024.0, -1.1182),
]
#: The frames in which another mask seems best at first.
DOUBTFUL = [11, 12, 13]


@pytest.fixture
def branching(tiny_state: dict[str, torch.Tensor]) -> None:
    """Weights with which pathways part, and the object disappears and reappears."""
    spread_weights(tiny_state, seed=23, score=-2.0, iou=1.0)


@pytest.fixture
def discs(make_clip: Callable[..., Clip]) -> Clip:
    clip = make_clip(length=20, objects=3)
    return Clip(clip.frames, {2: clip.masks[2]})


def differing(found: list[Prediction]) -> list[int]:
    """Frames whose logits are not those of the authors' code."""
    means = np.array([one.logits[0].mean() for one in found])
    pixels = np.array([one.logits[0, 5, 9] for one in found])
    wrong = (np.abs(means - MEANS) > 1e-3) | (np.abs(pixels - PIXELS) > 1e-3)
    return np.flatnonzero(wrong).tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("branching")
def test_masks_are_those_of_the_authors_code(
    open_session: Callable[..., Any], track: Callable[..., Any], discs: Clip
) -> None:
    assert differing(track(open_session(memory="sam2long"), discs)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("branching")
def test_a_shorter_delay_decides_by_what_is_known_then(
    open_session: Callable[..., Any], track: Callable[..., Any], discs: Clip
) -> None:
    at_once = track(open_session(memory="sam2long", delay=0), discs)
    assert differing(at_once) == DOUBTFUL
    session, late = open_session(memory="sam2long", delay=2), []
    for index, frame in enumerate(discs.frames):
        late += session.step(frame, {} if index else {2: Mask(discs.masks[2])})
        assert len(late) >= index + 1 - 2
    late += session.finish()
    assert differing(late) == [9, 10, 11, 12]


@dataclass(frozen=True)
class Candidates:
    """What the decoder offers; see `Offer`."""

    presence: float
    ious: tuple[float, ...]

    def box(self, candidate: int) -> PixelBox | None:
        raise AssertionError("boxes are not needed")


class Endless:
    """The rules as the reference has them: all pathways, with all that they have seen.

    Attributes:
        paths: For each of the pathways, its sum and what it has in each frame:
            presence, predicted IoU, and the name of the mask.
    """

    def __init__(self, pathways: int, pointers: int) -> None:
        self.pathways, self.pointers = pathways, pointers
        self.paths: list[tuple[float, list[tuple[float, float, str]]]] = []

    def recall(self, path: int, frame: int) -> tuple[Any, ...]:
        """Maps with places, pointers with ages, and the weights of both."""
        seen = self.paths[path][1] if self.paths else []
        valid: list[int] = []
        for known in range(frame - 1, 0, -1):
            presence, iou, _ = seen[known - 1]
            if iou > 0.1 and presence > 0:
                valid.insert(0, known)
            if len(valid) >= self.pointers - 1:
                break
        if frame > 1 and frame - 1 not in valid:
            valid.append(frame - 1)
        maps, pointers = [(0, 6)], [(0, frame)]
        for back in range(6, 0, -1):
            if back <= len(valid):
                maps.append((valid[-back], back - 1))
        for rank in range(1, self.pointers):
            if rank < len(valid):
                pointers.append((valid[-rank], rank))

        def weights(chosen: list[tuple[int, int]]) -> list[float]:
            scores = [seen[known - 1][0] if known else 10.0 for known, _ in chosen]
            spaced = np.linspace(0.95, 1.05, len(chosen))
            placed = np.zeros(len(chosen))
            placed[np.argsort(scores, kind="stable")] = spaced
            return placed.round(9).tolist()

        both = (weights(maps), weights(pointers)) if len(maps) > 1 else None
        return maps, pointers, both

    def choose(self, frame: int, offers: dict[str, Candidates]) -> None:
        """Continue with what the history of each pathway is offered."""
        if not self.paths:
            offer = offers[""]
            best = int(np.argmax(offer.ious))
            step = (offer.presence, offer.ious[best], str(best))
            self.paths = [(0.0, [step])] * self.pathways
            return
        own = [offers["".join(name for *_, name in path)] for _, path in self.paths]
        scores = [
            (
                self.paths[path][0] + math.log(offer.ious[one] + 1e-5),
                path,
                one,
                round(offer.ious[one] if offer.presence > 0 else -offer.ious[one], 2),
            )
            for path, offer in enumerate(own)
            for one in range(3)
        ]
        scores.sort(key=lambda row: row[0], reverse=True)
        if max(abs(offer.presence) for offer in own) > 2:
            chosen = scores[: self.pathways]
        else:
            chosen, known = [], set()
            for row in scores:
                if row[3] not in known and len(chosen) < self.pathways:
                    known.add(row[3])
                    chosen.append(row)
            for path in range(self.pathways):
                if len(chosen) < self.pathways and path not in {
                    row[1] for row in chosen
                }:
                    chosen.append(next(row for row in scores if row[1] == path))
        self.paths = [
            (
                score,
                [*self.paths[path][1], (own[path].presence, own[path].ious[one], name)],
            )
            for score, path, one, _ in chosen
            for name in [str(one)]
        ]


@pytest.mark.slow
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_followed_is_what_a_memory_that_forgets_nothing_follows(
    data: st.DataObject,
) -> None:
    pathways = data.draw(st.sampled_from([1, 2, 3]))
    pointers = data.draw(st.sampled_from([2, 5, 16]))
    length = data.draw(st.integers(0, 20))
    policy = Sam2LongMemory(pathways=pathways, pointers=pointers, delay=1000)
    endless = Endless(pathways, pointers)
    policy.given(0)
    # The history of each mask that is remembered, by its number.
    history = {0: ""}
    maps, kept, answers = {0}, {0}, list(policy.decided())
    before = [""]
    for frame in range(1, length + 1):
        recalls = policy.recalls(frame)
        theirs = {
            "".join(name for *_, name in path): endless.recall(index, frame)
            for index, (_, path) in enumerate(endless.paths)
        } or {"": endless.recall(0, frame)}
        # Equal pathways are asked about once.
        assert sorted(before) == sorted(theirs)
        for own, recall in zip(before, recalls, strict=True):
            expected_maps, expected_pointers, weights = theirs[own]
            assert named(recall.maps, history, own) == expected_maps
            assert named(recall.pointers, history, own) == expected_pointers
            assert (recall.map_weights is None) == (weights is None)
            if weights is not None:
                assert recall.map_weights == pytest.approx(weights[0])
                assert recall.pointer_weights == pytest.approx(weights[1])
            assert {known for known, _ in recall.maps} <= maps
            assert {known for known, _ in recall.pointers} <= kept
        offers = [
            Candidates(
                data.draw(st.sampled_from([-4.0, -1.0, 1.5, 6.0])),
                tuple(data.draw(st.sampled_from([0.05, 0.4, 0.9])) for _ in range(3)),
            )
            for _ in recalls
        ]
        endless.choose(frame, dict(zip(before, offers, strict=True)))
        picks = policy.choose(frame, offers)
        policy.tracked(frame, Noted())
        before = [before[pick.recall] + str(pick.candidate) for pick in picks]
        history.update(
            (pick.number, own) for pick, own in zip(picks, before, strict=True)
        )
        answers += policy.decided()
        numbers = {pick.number for pick in picks}
        assert len(numbers) == len(picks) <= pathways
        maps = (maps | numbers) & policy.kept().maps
        kept = (kept | numbers) & policy.kept().pointers
        assert len(maps) <= 1 + 6 * pathways
        assert len(kept) <= 1 + 15 * pathways
    if pathways == 1:
        assert answers == []
        return
    # At the end the pathway with the highest sum says what was seen.
    answers += policy.decided(at_end=True)
    best = endless.paths[0][1] if endless.paths else []
    expected = "".join(name for *_, name in best)
    assert [history[number] for number in answers] == [
        expected[:frame] for frame in range(length + 1)
    ]


def named(
    chosen: tuple[tuple[int, int], ...], history: dict[int, str], own: str
) -> list[tuple[int, int]]:
    """Frames of memories, all of which belong to the pathway of a history."""
    assert all(own.startswith(history[number]) for number, _ in chosen)
    return [(len(history[number]), place) for number, place in chosen]


#: Three masks that are equally good, with a presence that is uncertain or not.
UNCERTAIN = Candidates(0.5, (0.9, 0.8, 0.7))
CERTAIN = Candidates(5.0, (0.9, 0.8, 0.7))


def play(offers: list[Candidates], **options: Any) -> tuple[Sam2LongMemory, list[int]]:
    """Show all pathways of a new policy the same; returns how many there are."""
    policy, counts = Sam2LongMemory(**options), []
    policy.given(0)
    for frame, offer in enumerate(offers, 1):
        picks = policy.choose(frame, [offer] * len(policy.recalls(frame)))
        policy.tracked(frame, Noted())
        counts.append(len(picks))
    return policy, counts


def test_pathways_that_are_equal_are_followed_once() -> None:
    assert play([CERTAIN] * 4)[1] == [1, 1, 1, 1]
    assert play([CERTAIN, UNCERTAIN, CERTAIN])[1] == [1, 3, 3]


def test_a_prompt_leaves_the_best_pathway_alone() -> None:
    policy, counts = play([CERTAIN, UNCERTAIN, UNCERTAIN], pathways=3)
    assert counts == [1, 3, 3]
    # All three continue the same mask of the second frame.
    assert len(policy.decided()) == 3
    policy.given(4)
    # What was not decided is answered by the best pathway, and the frame by itself.
    assert [number < 0 for number in policy.decided()] == [True, False]
    (recall,) = policy.recalls(5)
    # The prompt takes the first place of the window, and leaves it empty.
    assert [place for _, place in recall.maps] == [6, 6, 3, 2, 1]
    assert len(policy.choose(5, [UNCERTAIN])) == 1
    policy.tracked(5, Noted())
    assert len(policy.decided()) == 1


def test_a_single_pathway_holds_nothing_back() -> None:
    # It is not delayed, so it is not asked what it decided on.
    assert not Sam2LongMemory.is_delayed({"pathways": 1, "delay": 60})
    policy, _ = play([CERTAIN] * 4, pathways=1)
    assert not policy.decided()
    assert not policy.kept().undecided


def test_keys_are_weighted_by_the_order_of_the_presence() -> None:
    weak, strong = Candidates(3.0, (0.9,) * 3), Candidates(20.0, (0.9,) * 3)
    policy, _ = play([weak, strong, CERTAIN], pathways=1)
    (recall,) = policy.recalls(4)
    assert recall.map_weights is not None
    assert recall.pointer_weights is not None
    # The prompt counts as 10, and the frames are 3, 20 and 5.
    steps = [round((weight - 0.95) * 30) for weight in recall.map_weights]
    assert steps == [2, 0, 3, 1]
    steps = [round((weight - 0.95) * 20) for weight in recall.pointer_weights]
    assert steps == [1, 0, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("branching")
def test_objects_do_not_depend_on_those_beside_them(
    open_session: Callable[..., Any],
    track: Callable[..., list[Prediction]],
    make_clip: Callable[..., Clip],
) -> None:
    clip = make_clip(length=8, objects=3)
    late = {5: {3: clip.masks.pop(3)}}
    together = track(open_session(memory="sam2long"), clip, late)
    assert [one.objects for one in together] == [(1, 2)] * 5 + [(1, 2, 3)] * 3
    alone = track(
        open_session(memory="sam2long", batch=1), Clip(clip.frames, clip.masks)
    )
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.logits, other.logits[:2], atol=2e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("branching")
def test_pathways_go_through_the_network_together(
    open_session: Callable[..., Any],
    track: Callable[..., list[Prediction]],
    discs: Clip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, condition = [], Sam2Network.condition

    def watch(self: Any, features: Any, memory: Any, grids: Any) -> torch.Tensor:
        rows.append(len(memory.pointers))
        return condition(self, features, memory, grids)

    monkeypatch.setattr(Sam2Network, "condition", watch)
    track(open_session(memory="sam2long"), Clip(discs.frames[:10], discs.masks))
    assert len(rows) == 9
    assert max(rows) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("branching")
def test_forgetting_does_not_change_a_bit(
    open_session: Callable[..., Any],
    track: Callable[..., list[Prediction]],
    discs: Clip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = open_session(memory="sam2long", delay=3)
    forgetting = track(session, discs)
    (one,) = session._inner._tracker._tracks.values()
    assert len(one.maps) <= 1 + 3 * 6
    assert len(one.pointers) <= 1 + 3 * 15
    (held,) = session._inner._tracker._answers._objects.values()
    assert not held.decided
    assert len(held.undecided) <= 3 * 4

    def keep_all(
        self: tracker.Track, frame: int, memory: torch.Tensor, pointer: torch.Tensor
    ) -> None:
        self.maps[frame], self.pointers[frame] = memory, pointer

    monkeypatch.setattr(tracker.Track, "keep", keep_all)
    hoarding = track(open_session(memory="sam2long", delay=3), discs)
    for one_, other in zip(forgetting, hoarding, strict=True):
        np.testing.assert_array_equal(one_.logits, other.logits)


def test_the_tracker_of_sam3_follows_pathways_too(
    track: Callable[..., list[Prediction]], make_clip: Callable[..., Clip]
) -> None:
    network = Sam3Network(NARROW)
    network.load_state_dict(draw(NARROW, gain=2.0))
    options = Sam3Options(image_size=56, memory="sam2long", dtype="float32")
    predictor = Sam3Predictor.of(network.eval(), options, device="cpu")
    clip = make_clip(length=5)
    session = predictor.session(Video("discs", 48, 80, 5))
    found = track(session, clip)
    assert [one.objects for one in found] == [(1, 2)] * 5
    assert all(np.isfinite(one.logits).all() for one in found)


def test_it_says_that_it_is_delayed_and_the_licence_of_its_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"any")

    def describe(**options: Any) -> Any:
        checkpoint = str(tmp_path / "weights.pt")
        chosen = Sam2Options(checkpoint=checkpoint, **options)
        return Sam2Predictor(chosen, device="cpu").describe()

    described = describe(memory="sam2long")
    assert described.delayed
    assert "sam2long: CC-BY-NC-4.0, non-commercial" in described.licence
    assert described.details["delay"] == "60"
    assert not describe(memory="sam2long", delay=0).delayed
    assert not describe(memory="sam2").delayed


@pytest.mark.slow
def test_a_session_that_is_closed_says_so(
    open_session: Callable[..., Any], make_clip: Callable[..., Clip]
) -> None:
    session = open_session(memory="sam2long")
    assert as_delayed(session) is session
    session.close()
    session.close()
    with pytest.raises(Exception, match="the session is closed"):
        session.step(make_clip(length=1).frames[0], {})
