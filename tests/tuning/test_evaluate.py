from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.archive import open_masks
from submit.data import Split, read_split
from submit.ensemble import METHODS, Gate, MergeSettings
from submit.errors import RunError, ScoringError
from submit.metrics.frames import ObjectScore
from submit.pipeline import ensemble_runs, export_run
from submit.postprocess import Postprocess
from submit.runs import Run
from submit.scoring import score_split
from submit.tuning import Budget, Candidate, Evaluator
from submit.tuning.evaluate import BudgetSpentError
from submit.tuning.holdout import HoldoutRuns
from tests.tuning.conftest import write_run, write_truth

MEMBERS = ("a", "b", "c")
ALL = {"a": 2.0, "b": 1.0, "c": 0.5}

CANDIDATES = {
    "single": Candidate(MergeSettings(members=("b",))),
    "single, tidied": Candidate(
        MergeSettings(members=("b",)),
        Postprocess(threshold=0.75, components=0.2, holes=0.1, min_area=4, gaps=2),
    ),
    "mean": Candidate(MergeSettings(members=MEMBERS)),
    "weights": Candidate(MergeSettings(members=MEMBERS, weights=ALL)),
    "gate": Candidate(
        MergeSettings(members=MEMBERS, gate=Gate(threshold=0.6)),
        Postprocess(flicker=3, flicker_score=1.0, dropout=3, threshold=-0.5),
    ),
    "time": Candidate(
        MergeSettings(members=("a", "c")), Postprocess(flicker=4, dropout=4)
    ),
    **{
        method: Candidate(MergeSettings(members=("a", "b"), method=method))
        for method in METHODS
    },
}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return write_truth(tmp_path_factory.mktemp("evaluate") / "split", 3)


@pytest.fixture(scope="module")
def runs(split: Split) -> dict[str, Run]:
    return {
        name: write_run(split.root.parent / "runs" / name, split, noise=2.5, seed=seed)
        for seed, name in enumerate(MEMBERS)
    }


def by_files(
    candidate: Candidate, split: Split, runs: dict[str, Run], merged: Path, inline: Any
) -> dict[str, dict[int, ObjectScore]]:
    """What the commands ensemble, export and score would give."""
    ensemble_runs(
        [runs[name].path for name in candidate.members],
        merged,
        executor=inline,
        settings=candidate.merge,
    ).require_complete("here")
    export_run(
        Run.open(merged), split, executor=inline, postprocess=candidate.post
    ).require_complete("here")
    with open_masks(merged / "masks") as masks:
        scored = score_split(split, masks, workers=1)
    return {name: video.objects for name, video in scored.videos.items()}


@pytest.mark.parametrize("name", CANDIDATES)
def test_scores_are_those_of_ensemble_export_and_score(
    name: str, split: Split, runs: dict[str, Run], tmp_path: Path, inline: Any
) -> None:
    candidate = CANDIDATES[name]
    evaluator = Evaluator(split, runs, workers=1)
    found = evaluator.scores(candidate)
    wanted = by_files(candidate, split, runs, tmp_path / "merged", inline)
    assert {name: found[name] for name in wanted} == wanted
    every = [score.jf_dot for video in wanted.values() for score in video.values()]
    assert evaluator.mean(candidate) == pytest.approx(np.mean(every), abs=1e-15)


def test_what_does_not_fit_in_memory_is_decoded_each_time(
    split: Split, runs: dict[str, Run]
) -> None:
    wanted = Evaluator(split, runs).scores(CANDIDATES["gate"])
    small = Evaluator(split, runs)
    small.runs = HoldoutRuns(split, runs, memory=20_000)
    assert small.scores(CANDIDATES["gate"]) == wanted
    assert small.scores(CANDIDATES["single"]).keys() == wanted.keys()


def test_what_is_pinned_is_merged_once(split: Split, runs: dict[str, Run]) -> None:
    plain, pinned = Evaluator(split, runs), Evaluator(split, runs)
    for name in ("gate", "weights", "time"):
        candidate = CANDIDATES[name]
        pinned.runs.pin(candidate)
        first = pinned.runs.merged(candidate, "v0")
        assert pinned.runs.merged(candidate, "v0") is first
        tidied = dataclasses.replace(candidate, post=Postprocess(holes=0.1))
        assert pinned.scores(tidied) == plain.scores(tidied)
    # What was pinned before makes room.
    assert pinned.runs.merged(CANDIDATES["gate"], "v0") is not first
    kept = [key for key, _ in pinned.runs._kept if key.startswith("{")]
    assert set(kept) == {CANDIDATES["time"].merge_key}


def test_each_video_is_scored_once_and_paid_for(
    split: Split, runs: dict[str, Run]
) -> None:
    told: list[tuple[str, int]] = []
    evaluator = Evaluator(
        split,
        runs,
        budget=Budget(1.0),
        progress=lambda video, frames: told.append((video, frames)),
    )
    candidate = CANDIDATES["single"]
    evaluator.scores(candidate, ["v1"])
    evaluator.scores(candidate)
    evaluator.scores(candidate)
    assert sorted(told) == [("v0", 9), ("v1", 9), ("v2", 9)]
    assert evaluator.budget.spent == pytest.approx(1.0)
    with pytest.raises(BudgetSpentError):
        evaluator.scores(CANDIDATES["mean"], ["v1"])


def test_the_budget_of_time_ends(split: Split, runs: dict[str, Run]) -> None:
    now = [0.0]
    budget = Budget(seconds=10.0, clock=lambda: now[0])
    evaluator = Evaluator(split, runs, budget=budget)
    evaluator.scores(CANDIDATES["single"])
    now[0] = 10.5
    with pytest.raises(BudgetSpentError):
        evaluator.scores(CANDIDATES["mean"])
    assert evaluator.scores(CANDIDATES["single"])


@pytest.mark.parametrize("name", ["mean", "gate"])
def test_skipped_frames_change_no_mask_of_the_others(
    name: str, split: Split, runs: dict[str, Run]
) -> None:
    candidate = CANDIDATES[name]
    every = Evaluator(split, runs, every=100)
    # Only frame 1 is scored: as in a video that ends after it.
    short = Evaluator(split, runs).runs
    masks = short.merged(candidate, "v0")
    assert masks.frames == split.videos["v0"].frames
    found = every.scores(candidate)["v0"]
    whole = Evaluator(split, runs)._score(candidate, "v0")
    assert found.keys() == whole.keys()
    assert all(0 <= score.jf_dot <= 1 for score in found.values())


@pytest.mark.slow
def test_a_hopeless_candidate_is_given_up_after_some_videos(
    make_split: Any, make_run: Any
) -> None:
    split = make_split(9)
    runs = {
        "good": make_run("good", split, noise=0.5),
        "noise": make_run("noise", split, noise=4, signal=0),
    }
    evaluator = Evaluator(split, runs)
    good = Candidate(MergeSettings(members=("good",)))
    noise = dataclasses.replace(good, merge=MergeSettings(members=("noise",)))
    assert evaluator.gain(noise, good, evaluator.videos) is None
    # The better one was scored on all videos or on as many.
    assert evaluator.budget.spent == pytest.approx(2 / 3)
    gain = evaluator.gain(good, noise, evaluator.videos)
    assert gain is not None
    assert gain > 0.3


def test_runs_must_have_the_videos_of_the_split(make_split: Any, make_run: Any) -> None:
    split = make_split(3)
    run = make_run("short", split, noise=1, skip=["v1"])
    with pytest.raises(RunError, match=r"short lacks 1 of 3 videos of .*such as v1"):
        Evaluator(split, {"short": run})


def test_truth_is_needed(make_split: Any, make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", make_split(3), noise=1)
    for path in (tmp_path / "split" / "Annotations").rglob("0000[1-9].png"):
        path.unlink()
    with pytest.raises(ScoringError, match="ground truth for first frames only"):
        Evaluator(read_split(tmp_path / "split"), {"a": run})
