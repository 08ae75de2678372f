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

from submit.ensemble import MergedFrame, MergeSettings, VideoMerger, normalised
from submit.errors import RunError, SettingsError
from submit.masks import LOGIT_LIMIT, dequantise, quantise, to_labels
from submit.runs import SoftWriter
from tests.ensemble.members import SIZE, Member, code, hard_member, member


def merged(
    members: dict[str, Any],
    weights: Sequence[float] | None = None,
    *,
    reweight: bool = False,
    index: int = 0,
) -> MergedFrame:
    named = {} if weights is None else dict(zip(members, weights, strict=True))
    settings = MergeSettings(method="mean_logits", weights=named)
    return VideoMerger(members, settings, reweight=reweight).merge(index)


def content(frame: MergedFrame) -> tuple[object, ...]:
    """Everything in a frame, to compare bit for bit."""
    arrays = (frame.logits, frame.presence, frame.iou)
    return frame.objects, frame.logits.shape, *(array.tobytes() for array in arrays)


def reference(
    members: list[Member], weights: Sequence[float], index: int
) -> dict[int, tuple[Any, float, float]]:
    """Merge in float64, object by object, as the docstrings say."""
    height, width = max(
        (m.logits[index].shape[1:] for m in members), key=lambda s: s[0] * s[1]
    )
    result = {}
    for key in sorted({key for m in members for key in m.objects}):
        total: Any = 0.0
        share = 0.0
        scores = {"presence": [0.0, 0.0], "iou": [0.0, 0.0]}
        for one, weight in zip(members, weights, strict=True):
            steps = one.logits[index]
            if key not in one.objects[: len(steps)]:
                continue
            row = one.objects.index(key)
            plane = torch.from_numpy(dequantise(steps[row]).astype(float))[None, None]
            resized = torch.nn.functional.interpolate(
                plane, (height, width), mode="bilinear"
            )
            total = total + weight * resized[0, 0].numpy()
            share += weight
            for name, sums in scores.items():
                value = float(getattr(one, name)[index, row])
                if not np.isnan(value):
                    sums[0] += weight * value
                    sums[1] += weight
        means = [sums[0] / sums[1] if sums[1] else np.nan for sums in scores.values()]
        absent = np.full((height, width), -LOGIT_LIMIT)
        result[key] = (total / share if share else absent, means[0], means[1])
    return result


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@pytest.mark.slow
@given(data=st.data())
def test_merging_is_the_weighted_mean_of_those_that_have_the_object(
    data: st.DataObject,
) -> None:
    count = data.draw(st.integers(1, 4))
    members = []
    for seed in range(count):
        objects = data.draw(
            st.lists(st.sampled_from([1, 2, 7, 254]), min_size=1, unique=True)
        )
        counts = sorted(
            data.draw(st.lists(st.integers(0, len(objects)), min_size=2, max_size=2))
        )
        members.append(
            member(seed, objects=objects, shape=data.draw(shapes), counts=counts)
        )
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=count, max_size=count))
    index = data.draw(st.integers(0, 1))
    found = merged(
        {f"run{n}": m for n, m in enumerate(members)},
        weights,
        reweight=True,
        index=index,
    )
    wanted = reference(members, weights, index)
    assert found.objects == tuple(wanted)
    for place, key in enumerate(found.objects):
        logits, presence, iou = wanted[key]
        # The nearest value, or the one beside it where both are as near.
        distance = quantise(logits).astype(int) - quantise(found.logits[place])
        assert np.abs(distance).max() <= 1
        assert np.abs(dequantise(quantise(logits)) - logits).max() <= 0.51
        np.testing.assert_allclose(found.presence[place], presence, atol=1e-5)
        np.testing.assert_allclose(found.iou[place], iou, atol=1e-5)


@pytest.mark.slow
def test_the_order_of_members_does_not_change_a_bit() -> None:
    members = {
        "b": member(1, shape=(5, 7)),
        "a": member(2, shape=(6, 8)),
        "d": member(3, shape=(8, 6)),
        "c": member(4, shape=(1, 1)),
    }
    weights = dict(zip(members, (0.1, 0.7, 1e-9, 0.3), strict=True))
    results = {
        content(
            merged({n: members[n] for n in order}, [weights[name] for name in order])
        )
        for order in permutations(members)
    }
    assert len(results) == 1


def test_shares_do_not_depend_on_the_order_of_weights() -> None:
    weights = (0.1, 1e-17, 0.7, 3e-9, 0.3)
    results = {tuple(sorted(normalised(o, 5))) for o in permutations(weights)}
    assert len(results) == 1


@pytest.mark.parametrize("weight", [1.0, 0.3, 1e-9, 1e9])
def test_one_member_is_itself(weight: float) -> None:
    only = member(0)
    only.logits[0].ravel()[:] = np.linspace(-127, 127, only.logits[0].size)
    frame = merged({"a": only}, [weight])
    np.testing.assert_array_equal(quantise(frame.logits), only.logits[0])
    np.testing.assert_allclose(frame.presence, only.presence[0])


@pytest.mark.parametrize("weights", [None, (1, 2, 4), (0.1, 0.2, 0.7), (1e-9, 1, 1e3)])
def test_equal_members_are_that_member(weights: Sequence[float] | None) -> None:
    same = member(0, shape=(20, 30))
    frame = merged({"a": same, "b": same, "c": same}, weights)
    np.testing.assert_array_equal(quantise(frame.logits), same.logits[0])


@given(st.lists(st.integers(1, 100), min_size=3, max_size=3), st.integers(-9, 9))
def test_a_common_factor_of_the_weights_does_not_matter(
    weights: list[int], power: int
) -> None:
    members = {name: member(seed) for seed, name in enumerate("abc")}
    scaled = [weight * 2.0**power for weight in weights]
    assert content(merged(members, weights)) == content(merged(members, scaled))


def test_equal_weights_are_no_weights() -> None:
    members = {name: member(seed) for seed, name in enumerate("abc")}
    assert content(merged(members)) == content(merged(members, [7, 7, 7]))


def test_a_member_of_weight_0_says_nothing() -> None:
    members = {name: member(seed) for seed, name in enumerate("ab")}
    np.testing.assert_array_equal(
        merged(members, [1, 0]).logits, merged({"a": members["a"]}).logits
    )
    # Not even of an object that only it has.
    members["b"] = member(1, objects=(1, 2, 3))
    frame = merged(members, [1, 0], reweight=True)
    assert frame.objects == (1, 2, 3)
    assert (frame.logits[2] == -LOGIT_LIMIT).all()
    assert np.isnan(frame.presence[2])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0], "expected 2 weights, one per run, found 1"),
        ([1.0, 1.0, 1.0], "expected 2 weights, one per run, found 3"),
        ([0, 0], r"must not be negative and not all 0, found \[0, 0\]"),
        ([2, -1], r"found \[2, -1\]"),
        ([1, float("nan")], "nan"),
        ([1, float("inf")], "inf"),
    ],
)
def test_weights_that_make_no_mean_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        normalised(weights, 2)


def test_ids_stay_with_their_objects_whatever_their_order() -> None:
    one = member(0, objects=(200, 3))
    other = member(0, objects=(3, 200))
    other.logits = [steps[::-1] for steps in one.logits]
    other.presence = one.presence[:, ::-1]
    frame = merged({"a": one, "b": other})
    assert frame.objects == (3, 200)
    np.testing.assert_array_equal(quantise(frame.logits[1]), one.logits[0][0])
    np.testing.assert_array_equal(frame.presence, one.presence[0, ::-1])


def test_the_largest_resolution_is_kept() -> None:
    members = {"a": member(0, shape=(3, 4)), "b": member(1, shape=(12, 20))}
    assert merged(members).logits.shape == (2, 12, 20)


@pytest.mark.slow
def test_soft_members_and_masks_are_merged(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[3:8, 4:9] = 2
    hard = hard_member(tmp_path / "hard", [labels, labels], (1, 2))
    np.testing.assert_array_equal(
        to_labels(merged({"a": hard}).logits, (1, 2), SIZE), labels
    )
    unsure = member(0)
    unsure.logits = [np.full((2, 3, 4), code(1), np.int8)] * 2
    frame = merged({"hard": hard, "soft": unsure})
    np.testing.assert_array_equal(frame.logits[1], np.where(labels == 2, 3.0, -2.0))
    np.testing.assert_array_equal(frame.presence, unsure.presence[0])


def test_late_objects_keep_their_place_in_the_merged_file(tmp_path: Path) -> None:
    """An object that joins later may have a smaller id than those before it."""
    members: dict[str, Any] = {
        "a": member(0, objects=(5, 2), counts=(1, 2)),
        "b": member(1, objects=(5, 2), counts=(1, 2)),
    }
    merger = VideoMerger(members)
    with SoftWriter(tmp_path / "v.npz", size=SIZE) as writer:
        for index, name in enumerate(merger.frames):
            frame = merger.merge(index)
            assert frame.objects == (2, 5)
            writer.write(name, frame.objects, frame.logits, frame.presence, frame.iou)
    assert (merger.merge(0).logits[0] == -LOGIT_LIMIT).all()
    assert not to_labels(merger.merge(0).logits[:1], (2,), SIZE).any()


def test_frames_without_any_object_are_merged() -> None:
    both = {name: member(seed, counts=(0, 2)) for seed, name in enumerate("ab")}
    frame = merged(both)
    assert frame.logits.shape == (2, 6, 8)
    assert (frame.logits == -LOGIT_LIMIT).all()
    assert np.isnan(frame.presence).all()


def shorter() -> Member:
    return member(1, counts=(2,))


def renamed() -> Member:
    class Renamed(Member):
        frames = ("00000", "00002")

    plain = member(1)
    return Renamed(plain.logits, plain.objects, plain.presence, plain.iou)


def larger() -> Member:
    one = member(1)
    one.size = (13, 20)
    return one


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            shorter,
            "run z has frames other than run a: none (1 frame) against 00001 "
            "(2 frames); predict or import the video again",
        ),
        (
            renamed,
            "run z has frames other than run a: 00002 (2 frames) against 00001 "
            "(2 frames); predict or import the video again",
        ),
        (
            larger,
            "run z has a frame size other than run a: 20×13 against 20×12; predict or "
            "import the video again",
        ),
        (
            lambda: member(1, objects=(1,)),
            "run z lacks the objects [2]; predict or import the video again, or leave "
            "them to the other runs with --missing reweight",
        ),
        (
            lambda: member(1, objects=(1, 2, 3)),
            "run a lacks the objects [3]; predict or import the video again, or leave "
            "them to the other runs with --missing reweight",
        ),
    ],
    ids=["fewer frames", "other frames", "size", "fewer objects", "more objects"],
)
def test_members_that_do_not_fit_are_refused_by_name(other: Any, said: str) -> None:
    with pytest.raises(RunError) as caught:
        merged({"a": member(0), "z": other()})
    assert str(caught.value) == said


def test_members_that_lack_an_object_leave_it_to_the_others() -> None:
    one, other = member(0, objects=(1, 2)), member(1, objects=(2, 9))
    frame = merged({"a": one, "b": other}, [1, 3], reweight=True)
    assert frame.objects == (1, 2, 9)
    np.testing.assert_array_equal(quantise(frame.logits[0]), one.logits[0][0])
    np.testing.assert_array_equal(quantise(frame.logits[2]), other.logits[0][1])
    wanted = (dequantise(one.logits[0][1]) + 3 * dequantise(other.logits[0][0])) / 4
    np.testing.assert_array_equal(quantise(frame.logits[1]), quantise(wanted))
