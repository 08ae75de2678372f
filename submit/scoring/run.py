"""Score a source of masks against a split: read, decode and count on all cores.

The work is cut into ranges of frames, those of long videos first. Workers are threads:
reading, inflating and counting all run without the interpreter lock, and threads start
fast. Results do not depend on their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..archive import FATAL, Masks
from ..data import Split, SplitVideo
from ..errors import MaskError, ScoringError
from ..masks import Labels
from ..metrics.frames import FrameScorer, FrameScores
from ..png.palette import PackedLabels, decode_packed, read_header
from ..png.pillow import decode_as_server, size_of_image
from ..system.pool import checkpoint, run_in_threads
from ..system.words import size_text
from .plan import ScoringPlan, plan_as_server, plan_davis, plan_split, require_truth
from .results import DavisSplitScore, SplitScore, VideoFrames

__all__ = ["frames_to_score", "score_davis", "score_split"]

#: Frames in one piece of work: small enough to share a single video among all cores.
_RANGE = 32


def frames_to_score(split: Split) -> int:
    """Number of frames that scoring a split evaluates: the total of its progress."""
    return sum(max(video.length - 2, 0) for video in split.videos.values())


def score_split(
    split: Split,
    masks: Masks,
    *,
    workers: int | None = None,
    as_server: bool = False,
    known: Mapping[str, VideoFrames] | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> SplitScore:
    """Score masks as the MOSEv2 server does.

    Officially, a missing video scores 0 and does not count in d and r. Any other defect
    that lowers the server's score is an error, unless `as_server`.

    Args:
        split: A split with a mask for every frame.
        masks: The predicted masks.
        workers: Threads; one for each core by default.
        as_server: Return the server's score for defective masks too, if it gives one.
        known: Videos that were scored already.
        progress: Called with a video and a number of frames that are done, from the
            caller's thread.

    Raises:
        ScoringError: The split has no complete truth, or the masks have a defect (with
            `as_server`: the server would fail).
        MaskError: A mask cannot be read.
    """
    require_truth(split)
    plan = plan_as_server(split, masks) if as_server else plan_split(split, masks)
    videos = _score(
        split, masks, plan, workers, progress, as_server=as_server, known=known or {}
    )
    return SplitScore.of(videos, (*_subset_notes(split), *plan.notes))


def score_davis(
    split: Split,
    masks: Masks,
    *,
    workers: int | None = None,
    known: Mapping[str, VideoFrames] | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> DavisSplitScore:
    """Score masks as DAVIS 2017 does: classic J and F, with recall and decay.

    Label 255 of the truth is background, as in the semi-supervised task. See
    `score_split` for the arguments.

    Raises:
        ScoringError: See `score_split`; also for a missing video, for which DAVIS has
            no score.
        MaskError: A mask cannot be read.
    """
    require_truth(split)
    plan = plan_davis(split, masks)
    videos = _score(
        split, masks, plan, workers, progress, davis=True, known=known or {}
    )
    return DavisSplitScore.of(videos, (*_subset_notes(split), *plan.notes))


def _subset_notes(split: Split) -> tuple[str, ...]:
    """A remark if only some of the videos are scored."""
    note = split.subset_note
    return () if note is None else (f"{note}; the server scores all of them",)


@dataclass(frozen=True)
class _Work:
    """A range of frames of one video.

    Attributes:
        video: The video.
        size: Height and width of its masks.
        frames: Stems of the frames.
        start: Place of the first among the evaluated frames of the video.
    """

    video: SplitVideo
    size: tuple[int, int]
    frames: tuple[str, ...]
    start: int


def _score(
    split: Split,
    masks: Masks,
    plan: ScoringPlan,
    workers: int | None,
    progress: Callable[[str, int], None],
    *,
    as_server: bool = False,
    davis: bool = False,
    known: Mapping[str, VideoFrames],
) -> list[VideoFrames]:
    """Score all frames of a plan."""
    results = {
        name: np.empty((len(frames), len(split.videos[name].objects), 4))
        for name, frames in plan.frames.items()
        if name not in known
    }
    seconds = dict.fromkeys(plan.frames, 0.0)

    def run(work: _Work) -> float:
        began = time.thread_time()
        scorer = FrameScorer(*work.size, work.video.objects, davis=davis)
        for index, frame in enumerate(work.frames, work.start):
            checkpoint()
            truth = work.video.packed_mask(frame, size=work.size)
            name = f"{plan.prefix}{work.video.name}/{frame}.png"
            labels = _decode(masks.read_entry(name), name, work.size, lenient=as_server)
            results[work.video.name][index] = scorer.score_packed(truth, labels)
        return time.thread_time() - began

    def done(work: _Work, spent: float) -> None:
        seconds[work.video.name] += spent
        progress(work.video.name, len(work.frames))

    pieces = [work for work in _pieces(split, plan) if work.video.name not in known]
    run_in_threads(run, pieces, workers=workers, done=done)
    return [
        known[name]
        if name in known
        else VideoFrames(
            video=name,
            objects=video.objects,
            frames=plan.frames.get(name, ()),
            scores=FrameScores.from_rows(results[name]) if name in results else None,
            seconds=seconds.get(name, 0.0),
        )
        for name, video in split.videos.items()
    ]


def _pieces(split: Split, plan: ScoringPlan) -> Iterator[_Work]:
    """Cut the work into ranges of frames, long videos first."""
    for name in sorted(plan.frames, key=lambda name: (-len(plan.frames[name]), name)):
        frames = plan.frames[name]
        if not frames:
            continue
        video = split.videos[name]
        size = video.mask_size
        for start in range(0, len(frames), _RANGE):
            yield _Work(video, size, frames[start : start + _RANGE], start)


def _decode(
    data: bytes, name: str, size: tuple[int, int], *, lenient: bool
) -> PackedLabels:
    """Decode a predicted mask.

    Args:
        data: The file.
        name: Its name in messages.
        size: Height and width that it should have.
        lenient: Accept what the server accepts.

    Raises:
        MaskError: It is not a mask of ids, or has another size.
        ScoringError: With `lenient`: the server would fail.
    """
    try:
        header = read_header(data, name=name)
        # A mask of a wrong size could be huge, so it is not decoded.
        _require_size((header.height, header.width), name, size, lenient=lenient)
        if (header.height, header.width) == size:
            return decode_packed(data, name=name, header=header)
    except MaskError:
        if not lenient:
            raise
    return _decode_as_server(data, name, size)


def _decode_as_server(data: bytes, name: str, size: tuple[int, int]) -> PackedLabels:
    """Decode anything that Pillow opens, as the official scorer does.

    Raises:
        ScoringError: The server would fail.
    """
    try:
        _require_size(size_of_image(data, name=name), name, size, lenient=True)
        labels = decode_as_server(data, name=name)
    except MaskError as error:
        raise ScoringError(f"{error}; {FATAL}") from error
    return _packed(np.broadcast_to(labels, size))


def _require_size(
    found: tuple[int, int], name: str, size: tuple[int, int], *, lenient: bool
) -> None:
    """Make sure that a mask can be scored.

    Raises:
        MaskError: It has another size.
        ScoringError: With `lenient`: the server would fail.
    """
    # The server copies the mask into an array, which repeats a single row or column.
    if found == size or (
        lenient and all(a in (1, b) for a, b in zip(found, size, strict=True))
    ):
        return
    problem = (
        f"{name}: expected {size_text(size)} pixels, found {size_text(found)}; "
        f"{FATAL} (ValueError)"
    )
    raise ScoringError(problem) if lenient else MaskError(problem)


def _packed(labels: Labels) -> PackedLabels:
    """A label map in the packed form that is scored."""
    height, width = labels.shape
    data = np.ascontiguousarray(labels).reshape(-1)
    return PackedLabels(data, (height, width), stride=width, lead=0, depth=8)
