"""Fitting the model of expected scores on the runs of a hold-out."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

from ..ensemble import MergeSettings
from ..system.pool import run_in_threads
from .agreement import VideoLook, look_at
from .candidate import Candidate
from .evaluate import Evaluator
from .expected import TUNED, ExpectedScore, Row, features_of, maker_of

__all__ = ["fit_expected"]

#: The measure that the model predicts, which is also that of agreement.
_METRIC = "jf_dot"


def fit_expected(
    evaluator: Evaluator,
    tuned: Candidate,
    *,
    seed: int = 0,
    workers: int | None = None,
) -> ExpectedScore:
    """Fit the model on all runs and on the tuned result.

    Args:
        evaluator: The hold-out; known scores are not computed again. Its budget does
            not count.
        tuned: The result of tuning.
        seed: Seed of the calibration.
        workers: Threads; one for each core by default.
    """
    evaluator.budget = dataclasses.replace(
        evaluator.budget, evaluations=float("inf"), seconds=float("inf")
    )
    runs = tuple(sorted(evaluator.runs.runs))
    candidates = {name: Candidate(MergeSettings(members=(name,))) for name in runs}
    makers = {
        name: maker_of(run.kind, run.settings)
        for name, run in sorted(evaluator.runs.runs.items())
    }
    if tuned not in candidates.values():
        candidates[TUNED] = tuned
        merge = tuned.merge.for_members(tuned.members)
        makers[TUNED] = maker_of("ensemble", merge.to_table())

    def look(video: str) -> VideoLook:
        with ExitStack() as stack:
            opened = {}
            for name, candidate in candidates.items():
                masks = evaluator.runs.merged(candidate, video)
                stack.callback(masks.close)
                opened[name] = masks, candidate.post
            return look_at(evaluator.split.videos[video], opened)

    videos = sorted(evaluator.videos)
    looks = run_in_threads(look, videos, workers=workers)
    rows = []
    for name, candidate in candidates.items():
        scores = evaluator.scores(candidate, videos)
        rows += [
            Row(
                run=name,
                video=one.video,
                features=features_of(one.objects[name][key], runs),
                score=getattr(score, _METRIC),
            )
            for one in looks
            for key, score in scores[one.video].items()
        ]
    return ExpectedScore.fit(_METRIC, runs, rows, makers=makers, seed=seed)
