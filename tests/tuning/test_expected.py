from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.ensemble import MergeSettings
from submit.errors import SettingsError
from submit.tuning import Candidate, Evaluator, ExpectedScore, fit_expected
from submit.tuning.agreement import ObjectLook
from submit.tuning.expected import FEATURES, Row, features_of, maker_of


def rows_of(
    videos: int, *, seed: int = 0, noise: float = 0.05, luck: float = 0.0
) -> list[Row]:
    """Two objects a video in two runs, whose score follows their agreement."""
    random = np.random.default_rng(seed)
    rows = []
    for video in range(videos):
        shift = luck * random.normal()
        for run in ("a", "b"):
            for _ in range(2):
                agreement = random.uniform(0.2, 1)
                score = 0.1 + 0.8 * agreement + shift + noise * random.normal()
                features = (agreement, 0.5, None, random.uniform(-4, -1), 0.0)
                rows.append(
                    Row(run, f"v{video}", features, float(np.clip(score, 0, 1)))
                )
    return rows


def test_scores_that_follow_the_features_are_expected() -> None:
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(30))
    found = model.estimate(["x", "y"], [(0.9, 0.5, None, -2.0, 0.0), (0.3,) * 5])
    assert found.objects[0] == pytest.approx(0.82, abs=0.04)
    assert found.objects[0] > found.objects[1] + 0.3
    assert found.score == pytest.approx(np.mean(found.objects))
    assert found.low < found.score < found.high
    calibration = model.calibration
    assert calibration.error < 0.07 < 0.15 < calibration.floor
    assert calibration.correlation is not None
    assert calibration.correlation > 0.9
    assert (calibration.videos, calibration.objects) == (30, 120)


def test_features_that_say_nothing_leave_the_mean() -> None:
    random = np.random.default_rng(3)
    rows = [
        Row("a", f"v{place}", (float(random.random()),) * 5, float(random.random()))
        for place in range(40)
    ]
    calibration = ExpectedScore.fit("jf_dot", ("a",), rows).calibration
    assert calibration.error > 0.9 * calibration.floor


def test_a_feature_that_is_nowhere_or_the_same_everywhere_has_no_say() -> None:
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(10))
    base = model.estimate(["x"], [(0.7, 0.5, None, -2.0, 0.0)]).score
    assert model.estimate(["x"], [(0.7, 9.0, 0.3, -2.0, 7.0)]).score == base


def test_a_missing_feature_counts_as_usual() -> None:
    rows = rows_of(10)
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows)
    mean = float(np.mean([row.features[0] for row in rows if row.features[0]]))
    missing = model.estimate(["x"], [(None, 0.5, None, -2.0, 0.0)])
    usual = model.estimate(["x"], [(mean, 0.5, None, -2.0, 0.0)])
    assert missing.score == pytest.approx(usual.score, abs=1e-12)


def test_expected_scores_stay_scores() -> None:
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(10))
    found = model.estimate(["x", "y"], [(9.0,) * 5, (-9.0,) * 5])
    assert found.objects == (1.0, 0.0)
    assert 0 <= found.low <= found.high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("luck", [0.02, 0.15])
def test_intervals_hold_nine_of_ten_scores(luck: float) -> None:
    hits = []
    for seed in range(30):
        rows = rows_of(20, seed=seed, luck=luck)
        model = ExpectedScore.fit("jf_dot", ("a", "b"), rows[:48])
        later = [row for row in rows[48:] if row.run == "a"]
        found = model.estimate(
            [row.video for row in later], [row.features for row in later]
        )
        hits.append(found.low <= np.mean([row.score for row in later]) <= found.high)
        assert found.high - found.low < 0.8
    assert np.mean(hits) >= 0.8


def test_fewer_videos_make_wider_intervals() -> None:
    features = [(0.6, 0.5, None, -2.0, 0.0)] * 20
    videos = [f"x{place}" for place in range(20)]
    widths = []
    for count in (4, 40):
        model = ExpectedScore.fit("jf_dot", ("a",), rows_of(count, luck=0.1))
        found = model.estimate(videos, features)
        widths.append(found.high - found.low)
    assert widths[0] > 1.3 * widths[1]


def test_the_same_seed_gives_the_same_interval() -> None:
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(6), seed=4)
    again = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(6), seed=4)
    assert model == again
    one = [(0.5, 0.5, None, -2.0, 0.0)]
    assert model.estimate(["x"], one, seed=1) == again.estimate(["x"], one, seed=1)
    assert model.estimate(["x"], one, seed=1) != model.estimate(["x"], one, seed=2)


def test_a_model_is_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(5))
    model.save(path)
    assert ExpectedScore.load(path) == model


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"rows": []},
        {"rows": [{"run": "a"}]},
        {"rows": [{"run": "a", "video": "v", "features": [1.0], "score": 0.5}]},
        *(
            {
                "rows": [
                    {"run": "a", "video": "v", "features": [1] * 5, "score": 1} | bad
                ]
            }
            for bad in (
                {"features": ["a", 1, 1, 1, 1]},
                {"features": [[1], 1, 1, 1, 1]},
                {"features": [1e300, 1, 1, 1, 1]},
                {"video": ["v"]},
                {"score": None},
            )
        ),
        {"rows": [{"run": "a", "video": "v", "features": [1] * 5, "score": 1}]},
        {"penalty": 0},
        {"penalty": float("nan")},
        {"calibration": {"videos": 3}},
        {"runs": None},
        {"makers": None},
    ],
    ids=str,
)
def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "expected.json"
    ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(5)).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(
        SettingsError, match=r"expected\.json: is not a model of submit"
    ):
        ExpectedScore.load(path)


def test_files_that_are_not_there_or_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json: cannot be read"):
        ExpectedScore.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("[")
    with pytest.raises(SettingsError, match=r"text\.json: is not a model"):
        ExpectedScore.load(tmp_path / "text.json")


def test_a_run_that_the_model_has_not_seen_is_told_from_one_that_it_has() -> None:
    makers = {"a": maker_of("predict", {"x": 1}), "tuned": maker_of("ensemble", {})}
    model = ExpectedScore.fit("jf_dot", ("a", "b"), rows_of(5), makers=makers)
    assert model.why_not("a", maker_of("predict", {"x": 1})) is None
    # What tuning made of the runs may have any name.
    assert model.why_not("both", maker_of("ensemble", {})) is None
    other = model.why_not("c", maker_of("predict", {"x": 1}))
    assert other == "the model was fitted on a, tuned and not on it"
    changed = model.why_not("a", maker_of("predict", {"x": 2}))
    assert changed == "the model was fitted on a run of this name with other settings"


def test_only_runs_of_the_model_count_for_the_agreement() -> None:
    look = ObjectLook({"a": 0.5, "b": 0.7, "other": 0.0}, None, None, 0.01, 0.25)
    features = dict(zip(FEATURES, features_of(look, ("a", "b")), strict=True))
    assert features["agreement"] == pytest.approx(0.6)
    assert features["area"] == pytest.approx(-2)
    assert features_of(look, ("none",))[0] is None


@pytest.mark.slow
def test_the_model_is_fitted_on_all_runs_and_on_the_tuned_one(
    make_split: Any, make_run: Any
) -> None:
    split = make_split(4)
    runs = {
        name: make_run(name, split, noise=noise, seed=seed)
        for seed, (name, noise) in enumerate({"good": 1.0, "bad": 4.0}.items())
    }
    evaluator = Evaluator(split, runs)
    both = Candidate(MergeSettings(members=("bad", "good")))
    model = fit_expected(evaluator, both)
    assert model.runs == ("bad", "good")
    assert list(model.makers) == ["bad", "good", "tuned"]
    assert len(model.rows) == 3 * 4 * 2
    scores = evaluator.scores(both)
    tuned = [row.score for row in model.rows if row.run == "tuned"]
    assert tuned == [s.jf_dot for v in sorted(scores) for s in scores[v].values()]
    single = fit_expected(evaluator, Candidate(MergeSettings(members=("good",))))
    assert {row.run for row in single.rows} == {"good", "bad"}
