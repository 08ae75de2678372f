"""Properties of all merge methods, and comparison with float64 references."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.ensemble import METHODS, MergedFrame, MergeSettings, VideoMerger
from submit.masks import OLD_VALUES, dequantise, quantise, to_labels
from submit.runs import HARD_CODE
from tests.ensemble.members import SIZE, Member, code, hard_member, member

#: Those that work on each pixel of each object by itself.
PIXEL_METHODS = ("mean_logits", "mean_probabilities")
#: Without the cascade, which is about nothing but order.
UNORDERED = tuple(name for name, method in METHODS.items() if not method.ordered)


def merged(
    members: dict[str, Any],
    method: str,
    weights: Sequence[float] | None = None,
) -> MergedFrame:
    named = {} if weights is None else dict(zip(members, weights, strict=True))
    settings = MergeSettings(method=method, weights=named)
    return VideoMerger(members, settings).merge(0)


def content(frame: MergedFrame) -> tuple[object, ...]:
    """Everything in a frame, to compare bit for bit."""
    labels = None if frame.labels is None else frame.labels.tobytes()
    arrays = (frame.codes, frame.presence, frame.iou)
    return frame.objects, labels, *(array.tobytes() for array in arrays)


@pytest.mark.parametrize("method", UNORDERED)
def test_the_order_of_members_does_not_change_a_bit(method: str) -> None:
    members = {
        "b": member(1, shape=(5, 7)),
        "a": member(2, shape=(6, 8)),
        "c": member(3, shape=(8, 6)),
    }
    weights = dict(zip(members, (0.1, 0.7, 0.3), strict=True))
    results = {
        content(
            merged({n: members[n] for n in order}, method, [weights[n] for n in order])
        )
        for order in permutations(members)
    }
    assert len(results) == 1


def test_a_cascade_has_the_order_of_its_settings_or_that_of_its_members() -> None:
    members: dict[str, Any] = {n: member(seed) for seed, n in enumerate("ab")}
    for one in members.values():
        one.presence[:] = one.iou[:] = np.nan
    turned = dict(reversed(members.items()))
    by_order = [content(merged(m, "cascade")) for m in (members, turned)]
    assert by_order[0] != by_order[1]
    settings = MergeSettings(method="cascade", members=("a", "b"))
    fixed = [VideoMerger(m, settings).merge(0) for m in (members, turned)]
    assert content(fixed[0]) == content(fixed[1]) == by_order[0]


@pytest.mark.parametrize("method", METHODS)
@given(weight=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_one_member_is_itself(method: str, weight: float, seed: int) -> None:
    only = member(seed, shape=(9, 11))
    frame = merged({"a": only}, method, [weight])
    labels = to_labels(only.logits[0], only.objects, SIZE)
    np.testing.assert_array_equal(frame.labels_at(SIZE), labels)
    np.testing.assert_allclose(frame.presence, only.presence[0])
    np.testing.assert_allclose(frame.iou, only.iou[0])
    if method != "vote":
        np.testing.assert_array_equal(frame.codes, only.logits[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@given(
    weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_equal_members_are_that_member(
    method: str, weights: list[float], seed: int
) -> None:
    same = member(seed, shape=(9, 11))
    frame = merged({str(n): same for n in range(len(weights))}, method, weights)
    labels = to_labels(same.logits[0], same.objects, SIZE)
    np.testing.assert_array_equal(frame.labels_at(SIZE), labels)
    if method != "vote":
        np.testing.assert_array_equal(frame.codes, same.logits[0])


@pytest.mark.parametrize("method", METHODS)
@given(
    weights=st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any),
    factor=st.sampled_from([2.0**-9, 0.1, 3.0, 1e4]),
)
def test_a_common_factor_of_the_weights_does_not_matter(
    method: str, weights: list[int], factor: float
) -> None:
    members = {name: member(seed) for seed, name in enumerate("abc")}
    one = merged(members, method, weights)
    other = merged(members, method, [weight * factor for weight in weights])
    # Means may come to lie on the other side of the half of a step.
    distance = np.abs(one.codes.astype(int) - other.codes).max()
    assert distance <= (1 if method in PIXEL_METHODS else 0)


@pytest.mark.parametrize("method", METHODS)
def test_ids_stay_with_their_objects_whatever_their_order(method: str) -> None:
    one = member(0, objects=(3, 200, 7))
    other = member(0, objects=(200, 7, 3))
    order = [1, 2, 0]
    other.logits = [steps[order] for steps in one.logits]
    other.presence, other.iou = one.presence[:, order], one.iou[:, order]
    frame = merged({"a": one, "b": other}, method)
    assert frame.objects == (3, 7, 200)
    labels = to_labels(one.logits[0][[0, 2, 1]], frame.objects, SIZE)
    np.testing.assert_array_equal(frame.labels_at(SIZE), labels)


@pytest.mark.parametrize("method", METHODS)
def test_a_member_of_weight_0_says_nothing(method: str) -> None:
    members = {name: member(seed) for seed, name in enumerate("ab")}
    alone = merged({"a": members["a"]}, method)
    assert content(merged(members, method, [1, 0])) == content(alone)


def labels_of(logits: Any, objects: Sequence[int], size: tuple[int, int]) -> Any:
    """Labels by float64, and how near each pixel is to having another one."""
    full = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear"
    )[0].numpy()
    ranked = np.sort(np.concatenate([np.zeros((1, *size)), full]), axis=0)
    winner = np.where(full.max(0) > 0, np.asarray(objects)[full.argmax(0)], 0)
    return winner, ranked[-1] - ranked[-2]


def resized(steps: NDArray[np.int8], shape: tuple[int, int]) -> Any:
    """One object's logits at another resolution, in float64."""
    plane = torch.from_numpy(dequantise(steps).astype(float))[None, None]
    return torch.nn.functional.interpolate(plane, shape, mode="bilinear")[0, 0].numpy()


def rounded(logits: Any) -> Any:
    return dequantise(quantise(logits)).astype(float)


def by_definition(method: str, planes: list[Any], shares: NDArray[np.float64]) -> Any:
    """Merge float64 logits of one object as the docstring of `methods` says."""
    if method == "mean_logits":
        return np.tensordot(shares, planes, 1)
    chances = 1 / (1 + np.exp(-np.asarray(planes)))
    mean = np.tensordot(shares, chances, 1)
    return np.log(mean / (1 - mean))


def smooth_member(seed: int, shape: tuple[int, int], objects: int) -> Member:
    """Blobs with soft edges, as models draw them."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]] / np.reshape(shape, (2, 1, 1))
    planes = []
    for key in range(objects):
        y, x = 0.3 + 0.2 * key + random.normal(0, 0.03, 2)
        distance = np.hypot(rows - y, columns - x)
        noise = random.normal(0, 0.6, shape)
        planes.append(np.clip((0.2 - distance) * 60 + noise, -15, 15))
    scores = np.full((1, objects), np.nan, np.float32)
    steps = quantise(np.array(planes))
    return Member([steps], tuple(range(1, objects + 1)), scores, scores, (216, 384))


@pytest.mark.parametrize(
    "shapes",
    [((64, 64),) * 3, ((64, 64), (60, 107), (64, 64))],
    ids=["one geometry", "several"],
)
@pytest.mark.parametrize("method", PIXEL_METHODS)
def test_labels_are_those_of_float64_but_for_ties(
    method: str, shapes: tuple[tuple[int, int], ...]
) -> None:
    weights = np.array([0.5, 0.2, 0.3])
    size, count = (216, 384), 3
    shape = max(shapes, key=lambda s: s[0] * s[1])
    other = pixels = 0
    for seed in range(3):
        members = {
            f"m{n}": smooth_member(10 * seed + n, one, count)
            for n, one in enumerate(shapes)
        }
        logits = []
        for row in range(count):
            planes = [resized(m.logits[0][row], shape) for m in members.values()]
            if method != "mean_logits":
                planes = [rounded(plane) for plane in planes]
            logits.append(rounded(by_definition(method, planes, weights)))
        wanted, distance = labels_of(np.array(logits), (1, 2, 3), size)
        frame = merged(members, method, list(weights))
        wrong = frame.labels_at(size) != wanted
        # A code where the mean lies on a half may go to either side.
        assert (distance[wrong] < 0.51).all()
        other += int(wrong.sum())
        pixels += wrong.size
    assert other <= 1e-4 * pixels


def test_means_have_the_values_that_the_formulas_give() -> None:
    """Of p = σ(4) and p = σ(−2): 0.982 and 0.119."""

    def step(method: str) -> float:
        one, other = member(0, shape=(1, 1)), member(0, shape=(1, 1))
        one.logits[0][:] = code(4)
        other.logits[0][:] = code(-2)
        return float(merged({"a": one, "b": other}, method).logits[0, 0, 0])

    assert step("mean_logits") == 1.0
    assert step("mean_probabilities") == 13 / 64  # logit(0.5506) = 0.203


def test_no_member_has_a_veto_in_a_mean_of_logits() -> None:
    """SAM 2's −1024 for an absent object counts as −16."""
    members: dict[str, Any] = {n: member(0, shape=(1, 1)) for n in "abc"}
    for one, logit in zip(members.values(), (8.75, 8.75, -1024), strict=True):
        one.logits[0][:] = code(logit)
    assert merged(members, "mean_logits").logits.max() == 0.5


def test_members_of_older_runs_count_as_the_logits_they_stand_for() -> None:
    """Their codes are steps of 1/8."""
    older, same = member(0), member(0)
    older.values = OLD_VALUES
    same.logits = [quantise(steps / 8.0) for steps in older.logits]
    for method in METHODS:
        one, other = (
            merged({"a": first, "b": member(1)}, method) for first in (older, same)
        )
        assert content(one) == content(other)


@pytest.mark.parametrize("method", PIXEL_METHODS)
@pytest.mark.parametrize("count", [2, 3, 11], ids="{} members".format)
def test_masks_are_merged_as_the_logits_they_stand_for(
    tmp_path: Path, method: str, count: int
) -> None:
    random = np.random.default_rng(count)
    hard: dict[str, Any] = {}
    soft: dict[str, Any] = {}
    for n in range(count):
        labels = random.choice(np.array([0, 0, 2, 9], np.uint8), SIZE)
        hard[f"m{n}"] = hard_member(tmp_path / str(n), [labels], (2, 9))
        steps = np.where(labels == np.array([[[2]], [[9]]]), HARD_CODE, -HARD_CODE)
        steps = steps.astype(np.int8)
        nothing = np.full((1, 2), np.nan, np.float32)
        soft[f"m{n}"] = Member([steps], (2, 9), nothing, nothing)
    weights = list(random.random(count))
    one, other = merged(hard, method, weights), merged(soft, method, weights)
    np.testing.assert_array_equal(one.codes, other.codes)


def test_masks_beside_logits_count_as_the_logits_they_stand_for(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(4)
    labels = random.choice(np.array([0, 1, 2], np.uint8), (2, *SIZE))
    nothing = np.full((2, 2), np.nan, np.float32)
    mixed: dict[str, Any] = {"a": member(0), "d": member(1, shape=(5, 9))}
    soft = dict(mixed)
    for name, one in zip("bc", labels, strict=True):
        mixed[name] = hard_member(tmp_path / name, [one], (1, 2))
        mixed[name].frames = mixed["a"].frames
        mixed[name].presence = mixed[name].iou = nothing
        steps = np.where(one == np.array([[[1]], [[2]]]), HARD_CODE, -HARD_CODE)
        steps = steps.astype(np.int8)
        soft[name] = Member([steps] * 2, (1, 2), nothing, nothing)
    weights = [0.3, 0.1, 0.2, 0.4]
    one, other = (merged(m, "mean_logits", weights) for m in (mixed, soft))
    assert one.codes.shape == (2, *SIZE)
    # Sums in single precision may lie on the other side of the half of a step.
    distance = np.abs(one.codes.astype(int) - other.codes)
    assert distance.max() <= 1
    assert (distance > 0).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_large_frames_are_compared_small(tmp_path: Path, method: str) -> None:
    """Two soft and two hard members; two of the four are equal, one is empty."""
    labels = np.zeros((600, 800), np.uint8)
    labels[100:400, 200:500] = 1
    nothing = np.full((1, 1), np.nan, np.float32)
    steps = np.full((1, 150, 200), -40, np.int8)
    steps[0, 25:100, 50:125] = 40
    members: dict[str, Any] = {
        "a": hard_member(tmp_path / "a", [labels], (1,)),
        "b": Member([steps], (1,), nothing, nothing, labels.shape),
        "c": hard_member(tmp_path / "c", [labels * 0], (1,)),
    }
    merger = VideoMerger(members, MergeSettings(method=method))
    merger.merge(0)
    influence = merger.influence()
    pixels = influence["a"].differs.pixels
    assert pixels <= 384 * 512
    share = influence["a"].differs.other_pixels / pixels
    assert share < 0.02
    for one in influence.values():
        assert one.changes is not None


@given(
    seed=st.integers(0, 999),
    weights=st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_a_vote_gives_each_pixel_to_the_label_with_most_votes(
    seed: int, weights: list[int]
) -> None:
    random = np.random.default_rng(seed)
    members: dict[str, Any] = {}
    maps = []
    for n in range(len(weights)):
        steps = random.integers(-127, 128, (2, *SIZE)).astype(np.int8)
        steps = np.repeat(steps[:, :, ::4], 4, axis=2)
        nothing = np.full((1, 2), np.nan, np.float32)
        members[f"m{n}"] = Member([steps], (4, 8), nothing, nothing)
        maps.append(to_labels(steps, (4, 8), SIZE))
    votes = np.array(
        [
            sum(w * (one == key) for w, one in zip(weights, maps, strict=True))
            for key in (0, 4, 8)
        ]
    )
    frame = merged(members, "vote", weights)
    # The first of equal ones, so the background before all.
    wanted = np.array([0, 4, 8])[votes.argmax(0)]
    np.testing.assert_array_equal(frame.labels, wanted)
    inside = frame.logits > 0
    np.testing.assert_array_equal(inside[0], wanted == 4)


def test_who_does_not_know_an_object_does_not_vote_against_it() -> None:
    both, one = member(0, objects=(1, 2)), member(1, objects=(1,))
    both.logits = [np.full((2, *SIZE), -40, np.int8)]
    both.logits[0][1, 2:5, 3:9] = 40
    one.logits = [np.full((1, *SIZE), -40, np.int8)]
    both.presence = both.iou = np.full((1, 2), np.nan, np.float32)
    one.presence = one.iou = np.full((1, 1), np.nan, np.float32)
    members: dict[str, Any] = {"a": both, "b": one}
    merger = VideoMerger(members, MergeSettings(method="vote"), reweight=True)
    labels = merger.merge(0).labels
    assert labels is not None
    assert (labels[2:5, 3:9] == 2).all()
    assert (labels == 2).sum() == 18


def test_weights_of_a_video_and_of_an_object_take_the_place_of_the_general_ones() -> (
    None
):
    members: dict[str, Any] = {n: member(seed) for seed, n in enumerate("ab")}
    settings = MergeSettings(
        weights={"a": 2, "b": 1},
        overrides={"v": {"a": 0}, "v/2": {"a": 6, "b": 2}, "w/1": {"b": 0}},
    )
    alone = merged({"b": members["b"]}, "mean_probabilities")
    frame = VideoMerger(members, settings, video="v").merge(0)
    np.testing.assert_array_equal(frame.codes[0], alone.codes[0])
    wanted = merged(members, "mean_probabilities", [3, 1])
    np.testing.assert_array_equal(frame.codes[1], wanted.codes[1])
    other = VideoMerger(members, settings, video="w").merge(0)
    np.testing.assert_array_equal(other.codes[0], members["a"].logits[0][0])
    general = merged(members, "mean_probabilities", [2, 1])
    np.testing.assert_array_equal(other.codes[1], general.codes[1])
    # A partial entry is on the scale of the general weights.
    partial = MergeSettings(weights={"a": 2, "b": 1}, overrides={"v/1": {"b": 4}})
    frame = VideoMerger(members, partial, video="v").merge(0)
    wanted = merged(members, "mean_probabilities", [1, 2])
    np.testing.assert_array_equal(frame.codes[0], wanted.codes[0])
