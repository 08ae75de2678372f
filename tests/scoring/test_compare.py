from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from submit.errors import ScoringError
from submit.metrics.frames import FrameScores
from submit.metrics.measures import MEASURES
from submit.scoring import OFFICIAL_NAMES, SplitScore, Totals, VideoFrames, metrics_json
from submit.scoring.compare import (
    Comparison,
    ScoredEntry,
    compare_entries,
    entry_of,
    read_metrics,
)


def entry(name: str, values: dict[tuple[str, int], float]) -> ScoredEntry:
    """An entry whose measures are all the same, without clips of either kind."""
    return ScoredEntry(
        name,
        {
            key: (value, value, value, None, None, value, value)
            for key, value in values.items()
        },
    )


def compare(
    before: dict[tuple[str, int], float], after: dict[tuple[str, int], float]
) -> Comparison:
    return compare_entries(entry("a", before), entry("b", after), resamples=500)


def test_objects_are_compared_one_by_one() -> None:
    before = {("x", 1): 0.5, ("x", 2): 0.5, ("y", 1): 0.8, ("z", 1): 0.2}
    after = {("x", 1): 0.7, ("x", 2): 0.4, ("y", 1): 0.8, ("z", 1): 0.6}
    result = compare(before, after)
    measure = result.measures["jf_dot"]
    assert (measure.wins, measure.losses, measure.ties) == (2, 1, 1)
    assert measure.objects == 4
    assert measure.baseline == pytest.approx(0.5)
    assert measure.other == pytest.approx(0.625)
    assert measure.difference == pytest.approx(0.125)
    assert [(each.video, each.object) for each in result.objects] == [
        ("z", 1),
        ("x", 1),
        ("x", 2),
        ("y", 1),
    ]
    assert result.objects[2].difference == pytest.approx(-0.1)


def test_videos_add_up_to_the_difference() -> None:
    before = {("x", 1): 0.5, ("x", 2): 0.5, ("y", 1): 0.8, ("z", 1): 0.2}
    after = {("x", 1): 0.7, ("x", 2): 0.4, ("y", 1): 0.8, ("z", 1): 0.6}
    result = compare(before, after)
    assert [each.video for each in result.videos] == ["z", "x", "y"]
    assert [each.objects for each in result.videos] == [1, 2, 1]
    assert result.videos[1].difference == pytest.approx(0.05)
    assert sum(each.share for each in result.videos) == pytest.approx(
        result.measures["jf_dot"].difference
    )


def test_one_video_can_decide() -> None:
    before = dict.fromkeys((("v", 1), ("w", 1), ("x", 1), ("y", 1)), 0.5)
    lucky = before | {("w", 1): 0.9, ("x", 1): 0.45}
    assert compare(before, lucky).deciding == ("w",)
    assert compare(lucky, before).deciding == ("w",)
    assert compare(before, before).deciding == ()
    everywhere = {key: value + 0.1 for key, value in before.items()}
    assert compare(before, everywhere).deciding == ()


def test_an_advantage_everywhere_is_clear_and_a_lucky_video_is_not() -> None:
    random = np.random.default_rng(0)
    before = {(f"v{index}", 1): float(random.uniform(0.3, 0.7)) for index in range(40)}
    steady = {
        key: value + float(random.normal(0.02, 0.01)) for key, value in before.items()
    }
    measure = compare(before, steady).measures["j"]
    assert measure.is_clear
    assert measure.better_share == 1
    assert measure.low is not None
    assert measure.high is not None
    assert measure.low < 0.02 < measure.high
    lucky = before | {("v3", 1): before["v3", 1] + 0.2}
    measure = compare(before, lucky).measures["j"]
    assert not measure.is_clear
    assert measure.low == 0


def test_videos_are_drawn_and_not_objects() -> None:
    # Ten objects of one video say no more than one of them.
    before = {("v", 1): 0.5} | {("w", key): 0.5 for key in range(1, 11)}
    after = {("v", 1): 0.4} | {("w", key): 0.6 for key in range(1, 11)}
    measure = compare(before, after).measures["jf_dot"]
    assert measure.low == pytest.approx(-0.1)
    assert measure.high == pytest.approx(0.1)


@pytest.mark.slow
def test_the_interval_is_that_of_the_means_over_objects_of_drawn_videos() -> None:
    random = np.random.default_rng(1)
    sizes = random.integers(1, 5, 12)
    keys = [(f"v{v:02d}", o + 1) for v, size in enumerate(sizes) for o in range(size)]
    change = dict(zip(keys, random.normal(0, 0.1, len(keys)), strict=True))
    result = compare_entries(
        entry("a", dict.fromkeys(keys, 0.0)), entry("b", change), resamples=4000, seed=3
    )
    means = []
    for _ in range(4000):
        drawn = random.integers(0, 12, 12)
        values = [
            change[key] for video in drawn for key in keys if key[0] == f"v{video:02d}"
        ]
        means.append(np.mean(values))
    measure = result.measures["jf_dot"]
    assert [measure.low, measure.high] == pytest.approx(
        np.quantile(means, (0.025, 0.975)), abs=0.01
    )


def test_equal_seeds_give_equal_intervals() -> None:
    random = np.random.default_rng(1)
    before = {(f"v{index}", 1): 0.5 for index in range(9)}
    after = {key: float(random.random()) for key in before}
    assert compare(before, after) == compare(before, after)


def test_measures_without_values_have_no_difference() -> None:
    result = compare({("x", 1): 0.5}, {("x", 1): 0.6})
    measure = result.measures["disappear"]
    assert (measure.difference, measure.low, measure.objects) == (None, None, 0)
    assert not measure.is_clear


def test_an_object_with_a_value_in_one_entry_only_is_counted_apart() -> None:
    some = ScoredEntry("a", {("x", 1): (0.5,) * 7, ("y", 1): (0.5,) * 7})
    less = ScoredEntry(
        "b", {("x", 1): (0.6,) * 7, ("y", 1): (0.0, 0.0, 0.0, None, None, 0.0, 0.0)}
    )
    measure = compare_entries(some, less, resamples=50).measures["disappear"]
    assert (measure.objects, measure.unpaired) == (1, 1)
    assert measure.difference == pytest.approx(0.1)


def test_entries_of_different_splits_are_refused() -> None:
    with pytest.raises(ScoringError, match=r"only b has 1 object, such as 2 of x"):
        compare({("x", 1): 0.5}, {("x", 1): 0.5, ("x", 2): 0.5})
    with pytest.raises(ScoringError, match="a: holds no objects"):
        compare({}, {})


@pytest.fixture
def score() -> SplitScore:
    values = np.linspace(0.2, 0.9, 8).reshape(4, 2)
    empty = np.zeros((4, 2), bool)
    empty[1:3, 1] = True
    frames = FrameScores(values, values**2, values / 2, empty)
    return SplitScore.of(
        [VideoFrames("some_video", (1, 12), ("1", "2", "3", "4"), frames)]
    )


def test_a_scored_split_is_an_entry(score: SplitScore) -> None:
    found = entry_of("a", score)
    assert list(found.objects) == [("some_video", 1), ("some_video", 12)]
    first, second = (
        dict(zip(MEASURES, values, strict=True)) for values in found.objects.values()
    )
    assert first["disappear"] is None
    assert second["reappear"] == score.videos["some_video"].objects[12].reappear


def test_the_servers_metrics_are_an_entry(score: SplitScore, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(metrics_json(score))
    read, exact = read_metrics(path), entry_of("a", score)
    assert read.objects.keys() == exact.objects.keys()
    for key, values in read.objects.items():
        assert values == pytest.approx(exact.objects[key], abs=0.0001)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", json.dumps({"video": 3}), json.dumps({"a_b": dict.fromkeys("JF")})],
)
def test_a_file_that_is_no_metrics_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(
        ScoringError, match=r"metrics.json: is not (a metrics.json|valid JSON)"
    ):
        read_metrics(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=r"metrics.json: cannot be read"):
        read_metrics(tmp_path / "metrics.json")


def test_the_measures_are_those_of_the_totals_in_their_order() -> None:
    # Entries from files are read in the official order, and from scores by attribute.
    assert list(MEASURES) == [field.name for field in dataclasses.fields(Totals)]
    assert len(MEASURES) == len(OFFICIAL_NAMES)
