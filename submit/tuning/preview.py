"""Previews of runs without ground truth: disagreement, and suspicious objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..data import Split, SplitVideo
from ..errors import RunError
from ..postprocess import Postprocess
from ..runs import Run
from ..system.pool import run_in_threads
from .agreement import ObjectLook, VideoLook, look_at
from .expected import Estimate, ExpectedScore, features_of, maker_of

__all__ = [
    "Pair",
    "Preview",
    "RunPreview",
    "Suspect",
    "VideoPreview",
    "frames_to_look_at",
    "look_at_all",
    "preview",
]


#: Added to the doubt about an object for each kind of finding: findings are rarely
#: wrong, and runs may agree in a mistake.
_FINDING = 0.1
#: A larger difference between runs in the share of absent frames is a reason.
_ABSENCES = 0.2


@dataclass(frozen=True)
class Pair:
    """Two runs: the mean over so many objects of the J&Ḟ of one against the other."""

    one: str
    other: str
    agreement: float
    objects: int


@dataclass(frozen=True)
class RunPreview:
    """One run.

    Attributes:
        run: Its name.
        videos: Videos of the split that it has.
        objects: Their objects.
        agreement: Mean over objects of the agreement with the other runs; None for a
            single run.
        expected: Its expected score, without missing videos; None without a model that
            was fitted on it.
    """

    run: str
    videos: int
    objects: int
    agreement: float | None
    expected: Estimate | None


@dataclass(frozen=True)
class Suspect:
    """An object, and the reasons to look at it.

    Attributes:
        video: Its video.
        object: Its id.
        doubt: The list is sorted by it: the expected loss, or else the disagreement of
            runs, plus a constant for each kind of finding.
        agreement: Mean over all pairs of runs; None for a single run.
        pairs: The agreement of each two runs.
        expected: Mean of its expected scores in all runs; None without a model.
        reasons: Sentences.
    """

    video: str
    object: int
    doubt: float
    agreement: float | None
    pairs: tuple[Pair, ...]
    expected: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class VideoPreview:
    """One video: the means over its objects, as in `Suspect`."""

    video: str
    frames: int
    objects: int
    agreement: float | None
    expected: float | None


@dataclass(frozen=True)
class Preview:
    """The result of a preview.

    Attributes:
        runs: The runs, in the order they were given.
        pairs: How much each two of them agree.
        videos: The videos, in the split's order.
        suspects: All objects, the most doubtful first.
        notes: Remarks about the numbers.
    """

    runs: tuple[RunPreview, ...]
    pairs: tuple[Pair, ...]
    videos: tuple[VideoPreview, ...]
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...]


def frames_to_look_at(split: Split) -> int:
    """Number of frames that a preview reads: the total of its progress."""
    return sum(video.length for video in split.videos.values())


def preview(
    split: Split,
    runs: Mapping[str, Run],
    *,
    model: ExpectedScore | None = None,
    workers: int | None = None,
    seed: int = 0,
    known: Mapping[str, VideoLook] | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> Preview:
    """Compare runs over a split without ground truth.

    Args:
        split: The split.
        runs: The runs, by name; a run may lack videos.
        model: A model of the score.
        workers: Threads; one for each core by default.
        seed: Seed of the intervals.
        known: Videos that were compared already; see `look_at_all`.
        progress: Called with a video and its frames when it is done.

    Raises:
        RunError: A run has no video of the split, or has other frames or sizes.
    """
    lacking = {
        name: [video for video in split.videos if video not in run.videos]
        for name, run in runs.items()
    }
    for name, absent in lacking.items():
        if len(absent) == len(split.videos):
            raise RunError(f"run {name}: has no video of {split.place}")
    looks = look_at_all(split, runs, workers=workers, known=known, progress=progress)
    unknown = {} if model is None else _unknown(model, runs)
    expected = {
        name: None
        if model is None or name in unknown
        else _expect(model, name, looks, runs.keys() - unknown.keys(), seed)
        for name in runs
    }
    suspects = sorted(
        _suspects(looks, expected),
        key=lambda one: (-one.doubt, one.video, one.object),
    )
    return Preview(
        runs=tuple(_of_run(name, looks, expected[name]) for name in runs),
        pairs=tuple(_pairs(tuple(runs), looks)),
        videos=tuple(_of_video(look, suspects) for look in looks.values()),
        suspects=tuple(suspects),
        notes=tuple(_notes(split, lacking, model, unknown)),
    )


def look_at_all(
    split: Split,
    runs: Mapping[str, Run],
    *,
    workers: int | None = None,
    known: Mapping[str, VideoLook] | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> dict[str, VideoLook]:
    """Compare all videos that any run has; see `preview` for the arguments.

    Returns:
        The looks by video, in the order of the split.

    Raises:
        RunError: A run has other frames or sizes.
    """
    found = dict(known or {})

    def look(video: SplitVideo) -> VideoLook:
        with ExitStack() as stack:
            opened = {}
            for name, run in runs.items():
                if video.name in run.videos:
                    masks = run.read(video.name)
                    stack.callback(masks.close)
                    opened[name] = masks, Postprocess()
            return look_at(video, opened)

    there = [
        video
        for video in sorted(split.videos.values(), key=lambda video: -video.length)
        if video.name not in found
        and any(video.name in run.videos for run in runs.values())
    ]
    looks = run_in_threads(
        look,
        there,
        workers=workers,
        done=lambda video, _: progress(video.name, video.length),
    )
    found |= {one.video: one for one in looks}
    return {name: found[name] for name in split.videos if name in found}


def _walk(
    run: str, looks: Mapping[str, VideoLook]
) -> list[tuple[str, int, ObjectLook]]:
    """All objects of a run."""
    return [
        (look.video, key, one)
        for look in looks.values()
        for key, one in look.objects.get(run, {}).items()
    ]


def _unknown(model: ExpectedScore, runs: Mapping[str, Run]) -> dict[str, str]:
    """The runs that the model cannot be used for, with the reasons."""
    found = {
        name: model.why_not(name, maker_of(run.kind, run.settings))
        for name, run in runs.items()
    }
    return {name: reason for name, reason in found.items() if reason is not None}


def _expect(
    model: ExpectedScore,
    run: str,
    looks: Mapping[str, VideoLook],
    known: Set[str],
    seed: int,
) -> tuple[Estimate, dict[tuple[str, int], float]]:
    """The expected scores of a run and of each of its objects.

    Only agreement with `known` runs has the same meaning as in the fit.
    """
    walked = _walk(run, looks)
    others = [name for name in model.runs if name in known]
    estimate = model.estimate(
        [video for video, _, _ in walked],
        [features_of(one, others) for _, _, one in walked],
        seed=seed,
    )
    places = [(video, key) for video, key, _ in walked]
    return estimate, dict(zip(places, estimate.objects, strict=True))


def _of_run(
    run: str,
    looks: Mapping[str, VideoLook],
    expected: tuple[Estimate, dict[tuple[str, int], float]] | None,
) -> RunPreview:
    walked = _walk(run, looks)
    agreed = [np.mean(list(o.agreement.values())) for _, _, o in walked if o.agreement]
    return RunPreview(
        run=run,
        videos=len({video for video, _, _ in walked}),
        objects=len(walked),
        agreement=float(np.mean(agreed)) if agreed else None,
        expected=None if expected is None else expected[0],
    )


def _of_video(look: VideoLook, suspects: Sequence[Suspect]) -> VideoPreview:
    ours = [one for one in suspects if one.video == look.video]
    agreed = [one.agreement for one in ours if one.agreement is not None]
    scores = [one.expected for one in ours if one.expected is not None]
    return VideoPreview(
        video=look.video,
        frames=look.frames,
        objects=len(ours),
        agreement=float(np.mean(agreed)) if agreed else None,
        expected=float(np.mean(scores)) if scores else None,
    )


def _pairs(runs: Sequence[str], looks: Mapping[str, VideoLook]) -> list[Pair]:
    """The agreement of each two runs over the objects that both have."""
    found = []
    for one, other in combinations(runs, 2):
        values = [
            look.agreement[other]
            for _, _, look in _walk(one, looks)
            if other in look.agreement
        ]
        if values:
            found.append(Pair(one, other, float(np.mean(values)), len(values)))
    return found


def _suspects(
    looks: Mapping[str, VideoLook],
    expected: Mapping[str, tuple[Estimate, dict[tuple[str, int], float]] | None],
) -> list[Suspect]:
    """All objects, with reasons for doubt."""
    found = []
    for look in looks.values():
        runs = list(look.objects)
        for key in look.objects[runs[0]]:
            ours = {run: look.objects[run][key] for run in runs}
            pairs = tuple(
                Pair(one, other, ours[one].agreement[other], 1)
                for one, other in combinations(runs, 2)
                if other in ours[one].agreement
            )
            agreement = (
                float(np.mean([pair.agreement for pair in pairs])) if pairs else None
            )
            scores = [
                known[1][look.video, key]
                for run in runs
                if (known := expected[run]) is not None
            ]
            score = float(np.mean(scores)) if scores else None
            reasons, kinds = _findings(look, key)
            basis = score if score is not None else agreement
            doubt = _FINDING * kinds + (0.0 if basis is None else 1 - basis)
            reasons = [*_about_pairs(pairs), *_about_absence(ours), *reasons]
            found.append(
                Suspect(
                    video=look.video,
                    object=key,
                    doubt=doubt,
                    agreement=agreement,
                    pairs=pairs,
                    expected=score,
                    reasons=tuple(reasons),
                )
            )
    return found


def _about_pairs(pairs: Sequence[Pair]) -> list[str]:
    if len(pairs) < 2:
        return []
    least = min(pairs, key=lambda pair: (pair.agreement, pair.one, pair.other))
    return [f"{least.one} and {least.other} agree least, {least.agreement:.0%}"]


def _about_absence(looks: Mapping[str, ObjectLook]) -> list[str]:
    absences = {run: look.absence for run, look in looks.items()}
    least = min(absences, key=lambda run: (absences[run], run))
    most = max(absences, key=lambda run: (absences[run], run))
    if absences[most] - absences[least] <= _ABSENCES:
        return []
    return [
        f"absent in {absences[most]:.0%} of the frames in {most}, in "
        f"{absences[least]:.0%} in {least}"
    ]


def _findings(look: VideoLook, key: int) -> tuple[list[str], int]:
    """The findings of each run, and the number of their kinds."""
    ours = [
        (run, finding)
        for run, findings in look.findings.items()
        for finding in findings
        if not finding.objects or key in finding.objects
    ]
    return (
        [f"{run}: {finding.what}" for run, finding in ours],
        len({finding.code for _, finding in ours}),
    )


def _notes(
    split: Split,
    lacking: Mapping[str, Sequence[str]],
    model: ExpectedScore | None,
    unknown: Mapping[str, str],
) -> list[str]:
    notes = [
        f"run {name} lacks {len(absent)} of {len(split.videos)} videos, such as "
        f"{absent[0]}, which would score 0; no number here counts them"
        for name, absent in lacking.items()
        if absent
    ]
    notes += [
        f"run {name}: no score is predicted, since {reason}; fit the model again with "
        "it (submit tune --expected-score)"
        for name, reason in unknown.items()
    ]
    known = lacking.keys() - unknown.keys()
    if model is not None and known and (absent := sorted(set(model.runs) - known)):
        notes.append(
            f"the model was fitted with the runs {', '.join(model.runs)}; without "
            f"{', '.join(absent)} the agreement, and so the expected score, means less"
        )
    return notes
