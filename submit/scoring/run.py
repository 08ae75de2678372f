"""Score a source of masks against a split: read, decode and count on all cores.

The work is cut into ranges of frames, those of long videos first. Threads or workers of
an executor do it, see `submit.executors.mapping`; results do not depend on that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..archive import FATAL, Masks
from ..data import Split, SplitVideo
from ..errors import MaskError, ScoringError
from ..executors import Executor, Job, map_jobs
from ..masks import Labels
from ..metrics.frames import FrameScorer, FrameScores
from ..png.palette import PackedLabels, decode_packed, read_header
from ..png.pillow import decode_as_server, size_of_image
from ..storage import bring
from ..system.pool import checkpoint
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
    executor: Executor | None = None,
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
        executor: Scores elsewhere; None for threads.
        as_server: Return the server's score for defective masks too, if it gives one.
        known: Videos that were scored already.
        progress: Called with a video and a number of frames that are done, from any
            thread; see `map_jobs`.

    Raises:
        ScoringError: The split has no complete truth, or the masks have a defect (with
            `as_server`: the server would fail).
        MaskError: A mask cannot be read.
    """
    require_truth(split)
    plan = plan_as_server(split, masks) if as_server else plan_split(split, masks)
    videos = _score(
        split,
        plan,
        _Scorer.of(split, masks, plan, as_server=as_server),
        workers=workers,
        executor=executor,
        known=known or {},
        progress=progress,
    )
    return SplitScore.of(videos, (*_subset_notes(split), *plan.notes))


def score_davis(
    split: Split,
    masks: Masks,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
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
        split,
        plan,
        _Scorer.of(split, masks, plan, davis=True),
        workers=workers,
        executor=executor,
        known=known or {},
        progress=progress,
    )
    return DavisSplitScore.of(videos, (*_subset_notes(split), *plan.notes))


def _subset_notes(split: Split) -> tuple[str, ...]:
    """A remark if only some of the videos are scored."""
    note = split.subset_note
    return () if note is None else (f"{note}; the server scores all of them",)


@dataclass(frozen=True)
class _Piece:
    """A range of frames of one video.

    Attributes:
        video: The video.
        size: Height and width of its masks.
        frames: Stems of the frames.
        start: Place of the first among the evaluated frames of the video.
    """

    video: str
    size: tuple[int, int]
    frames: tuple[str, ...]
    start: int

    @property
    def name(self) -> str:
        """What no other range is called."""
        return f"{self.video}/{self.frames[0]}"


@dataclass(frozen=True)
class _Scored:
    """A range that was scored.

    Attributes:
        rows: T×N×4 numbers; see `FrameScorer`.
        seconds: Processor time.
    """

    rows: NDArray[np.float64]
    seconds: float


@dataclass(frozen=True)
class _Scorer:
    """Scores ranges of frames; it can be sent to another process.

    Attributes:
        videos: The videos with their truth.
        masks: The predicted masks.
        prefix: Prefix of `<video>/<frame>.png` in the names of the masks.
        as_server: Whether masks are taken that only the server accepts.
        davis: Whether to score as DAVIS does.
    """

    videos: Mapping[str, SplitVideo]
    masks: Masks
    prefix: str
    as_server: bool
    davis: bool

    @classmethod
    def of(
        cls,
        split: Split,
        masks: Masks,
        plan: ScoringPlan,
        *,
        as_server: bool = False,
        davis: bool = False,
    ) -> _Scorer:
        videos = {name: split.videos[name] for name in plan.frames}
        return cls(videos, masks, plan.prefix, as_server, davis)

    def __call__(self, work: _Piece, progress: Callable[[int], None]) -> _Scored:
        """Score a range of frames.

        Raises:
            MaskError: A mask cannot be read.
            ScoringError: The server would fail.
        """
        began = time.thread_time()
        video = self.videos[work.video]
        bring(video.masks, work.frames)
        scorer = FrameScorer(*work.size, video.objects, davis=self.davis)
        rows = np.empty((len(work.frames), len(video.objects), 4))
        for index, frame in enumerate(work.frames):
            checkpoint()
            truth = video.packed_mask(frame, size=work.size)
            name = f"{self.prefix}{video.name}/{frame}.png"
            data = self.masks.read_entry(name)
            labels = _decode(data, name, work.size, lenient=self.as_server)
            rows[index] = scorer.score_packed(truth, labels)
        progress(len(work.frames))
        return _Scored(rows, time.thread_time() - began)


def _score(
    split: Split,
    plan: ScoringPlan,
    scorer: _Scorer,
    *,
    workers: int | None,
    executor: Executor | None,
    known: Mapping[str, VideoFrames],
    progress: Callable[[str, int], None],
) -> list[VideoFrames]:
    """Score all frames of a plan but those of known videos.

    Raises:
        ScoringError: A known video has other frames or objects than the plan.
        MaskError: A mask cannot be read.
    """
    for name, one in known.items():
        wanted = plan.frames.get(name, one.frames), split.videos[name].objects
        if one.scores is not None and (one.frames, one.objects) != wanted:
            raise ScoringError(
                f"video {name}: its scores so far are of other frames or objects; "
                "score it again"
            )
    pieces = [work for work in _pieces(split, plan) if work.video not in known]
    scored = map_jobs(
        scorer,
        [Job(work.name, len(plan.frames[work.video]), work) for work in pieces],
        executor=executor,
        workers=workers,
        needs=(scorer.masks.path, *split.needs),
        progress=lambda name, frames: progress(name.rpartition("/")[0], frames),
    )
    rows = {
        name: np.empty((len(frames), len(split.videos[name].objects), 4))
        for name, frames in plan.frames.items()
        if name not in known
    }
    seconds = dict.fromkeys(plan.frames, 0.0)
    for work, found in zip(pieces, scored, strict=True):
        rows[work.video][work.start : work.start + len(work.frames)] = found.rows
        seconds[work.video] += found.seconds
    return [
        known[name]
        if name in known
        else VideoFrames(
            video=name,
            objects=video.objects,
            frames=plan.frames.get(name, ()),
            scores=FrameScores.from_rows(rows[name]) if name in rows else None,
            seconds=seconds.get(name, 0.0),
        )
        for name, video in split.videos.items()
    ]


def _pieces(split: Split, plan: ScoringPlan) -> Iterator[_Piece]:
    """Cut the work into ranges of frames, long videos first."""
    for name in sorted(plan.frames, key=lambda name: (-len(plan.frames[name]), name)):
        frames = plan.frames[name]
        if not frames:
            continue
        size = split.videos[name].mask_size
        for start in range(0, len(frames), _RANGE):
            yield _Piece(name, size, frames[start : start + _RANGE], start)


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
