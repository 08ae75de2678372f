"""Score a source of masks against a split: read, decode and count on all cores.

The work is cut into ranges of frames, those of long videos first. Workers are threads:
reading, inflating and counting all run without the interpreter lock, and a thread
starts in no time. Results do not depend on their number.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..dataset import Split, SplitVideo
from ..errors import MaskError, ScoringError
from ..masks import Labels
from ..metrics import FrameScorer, FrameScores
from ..palette import decode, read_header
from .plan import FATAL, FramePlan, plan_frames
from .results import DavisSplitScore, SplitScore, VideoFrames

__all__ = ["MaskSource", "frames_to_score", "score_davis", "score_split"]

#: Frames in one piece of work: small enough to share a single video among all cores.
_RANGE = 32

#: Label of void pixels in DAVIS: in the truth, and in nobody's prediction.
_VOID = 255

#: How many problems a message lists.
_SHOWN = 5

Report = Callable[[str, int], None]


class MaskSource(Protocol):
    """Predicted masks: a folder or zip of `<video>/<frame>.png`; read from threads."""

    def videos(self) -> Sequence[str]:
        """Names of the video folders."""
        ...

    def frames(self, video: str) -> Sequence[str]:
        """Stems of a video's PNGs."""
        ...

    def read(self, video: str, frame: str) -> bytes:
        """The bytes of one PNG."""
        ...


def frames_to_score(split: Split) -> int:
    """Number of frames that scoring a split evaluates: the total of its progress."""
    return sum(max(video.length - 2, 0) for video in split.videos.values())


def score_split(
    split: Split,
    source: MaskSource,
    *,
    workers: int | None = None,
    as_server: bool = False,
    report: Report = lambda video, frames: None,
) -> SplitScore:
    """Score masks as the MOSEv2 server does.

    A video that is missing scores 0 and does not count to d and r, officially. Any
    other defect that the server would punish is an error, unless `as_server`.

    Args:
        split: A split with a mask for every frame.
        source: The predicted masks.
        workers: Threads; one for each core by default.
        as_server: Give the server's number for defective masks too, where it gives one.
        report: Called with a video and a number of frames that are done, from the
            caller's thread.

    Raises:
        ScoringError: The split has no complete truth, or the masks cannot be scored
            as they should be (with `as_server`: the server would fail).
        MaskError: A mask cannot be read.
    """
    videos, notes = _score(
        split, source, workers=workers, report=report, as_server=as_server
    )
    return SplitScore.of(videos, notes)


def score_davis(
    split: Split,
    source: MaskSource,
    *,
    workers: int | None = None,
    report: Report = lambda video, frames: None,
) -> DavisSplitScore:
    """Score masks as DAVIS 2017 does: classic J and F, with recall and decay.

    Label 255 of the truth is background, as in the semi-supervised task. See
    `score_split` for the arguments.

    Raises:
        ScoringError: See `score_split`; also for a missing video, which DAVIS does
            not know.
        MaskError: A mask cannot be read.
    """
    there = set(source.videos())
    if missing := [name for name in split.videos if name not in there]:
        raise ScoringError(
            f"{len(missing)} of {len(split.videos)} videos have no masks, such as "
            f"{missing[0]}; the DAVIS protocol has no score for them"
        )
    videos, notes = _score(split, source, workers=workers, report=report, davis=True)
    return DavisSplitScore.of(videos, notes)


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
    source: MaskSource,
    *,
    workers: int | None,
    report: Report,
    as_server: bool = False,
    davis: bool = False,
) -> tuple[list[VideoFrames], list[str]]:
    """Score all frames of a split."""
    _require_truth(split)
    plans, notes = _plan(split, source, as_server=as_server)
    results = {
        name: np.empty((len(plan.frames), len(split.videos[name].objects), 4))
        for name, plan in plans.items()
    }
    seconds = dict.fromkeys(plans, 0.0)

    def run(work: _Work) -> float:
        began = time.thread_time()
        scorer = FrameScorer(*work.size, work.video.objects, davis=davis)
        for index, frame in enumerate(work.frames, work.start):
            truth = _read_truth(work.video, frame, work.size)
            masks = _read_prediction(
                source, work.video, frame, work.size, as_server=as_server
            )
            if davis:
                truth[truth == _VOID] = 0
            results[work.video.name][index] = scorer.score(truth, masks)
        return time.thread_time() - began

    for work, spent in _in_threads(run, list(_pieces(split, plans)), workers):
        seconds[work.video.name] += spent
        report(work.video.name, len(work.frames))
    videos = [
        VideoFrames(
            video=name,
            objects=video.objects,
            frames=plans[name].frames if name in plans else (),
            scores=FrameScores.from_rows(results[name]) if name in plans else None,
            seconds=seconds.get(name, 0.0),
        )
        for name, video in split.videos.items()
    ]
    return videos, notes


def _in_threads(
    run: Callable[[_Work], float], pieces: Sequence[_Work], workers: int | None
) -> Iterator[tuple[_Work, float]]:
    """Do all pieces of work and yield each with its seconds when it is done.

    Raises:
        SubmitError: What went wrong with the first piece that failed; the others are
            not begun.
    """
    count = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max(1, min(count, len(pieces)))) as pool:
        futures: dict[Future[float], _Work] = {
            pool.submit(run, piece): piece for piece in pieces
        }
        try:
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, 0.2, FIRST_EXCEPTION)
                for future in done:
                    yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _require_truth(split: Split) -> None:
    """Make sure that every frame of every video can be compared with something.

    Raises:
        ScoringError: A video lacks truth.
    """
    lacking = [
        video
        for video in split.videos.values()
        if any(frame not in video.masks for frame in video.frames)
    ]
    if not lacking:
        return
    if all(len(video.masks) <= 1 for video in lacking):
        raise ScoringError(
            f"{split.root}: has ground truth for first frames only, against which "
            "nothing can be scored; make a local split with truth from the train set "
            "(submit holdout), or judge without truth (submit preview)"
        )
    video = lacking[0]
    missing = [frame for frame in video.frames if frame not in video.masks]
    raise ScoringError(
        f"{split.root}: {len(lacking)} of {len(split.videos)} videos lack ground "
        f"truth, such as {video.name} in {len(missing)} of {video.length} frames "
        f"({missing[0]}.png); scoring needs a mask for every frame"
    )


def _plan(
    split: Split, source: MaskSource, *, as_server: bool
) -> tuple[dict[str, FramePlan], list[str]]:
    """Choose the frames of each video that is there.

    Raises:
        ScoringError: The masks cannot be scored as they should be.
    """
    there = set(source.videos())
    present = [name for name in split.videos if name in there]
    if not present and not as_server:
        raise ScoringError(
            f"the masks hold no video of {split.root}: expected folders such as "
            f"{next(iter(split.videos))}/ at their root, found "
            f"{', '.join(sorted(there)[:3]) or 'none'}; the server would score 0.0 for "
            "everything"
        )
    notes = []
    if missing := [name for name in split.videos if name not in there]:
        notes.append(
            f"{len(missing)} of {len(split.videos)} videos have no masks, such as "
            f"{missing[0]}: their objects score 0"
        )
    plans = {
        name: plan_frames(split.videos[name].frames, source.frames(name))
        for name in present
    }
    wrong = {name: plan for name, plan in plans.items() if plan.problem is not None}
    if as_server:
        fatal = {name: plan for name, plan in wrong.items() if plan.fatal}
        notes += [f"{name}: {plan.problem}" for name, plan in wrong.items()]
        wrong = fatal
    if wrong:
        lines = [f"{name}: {plan.problem}" for name, plan in wrong.items()]
        more = len(lines) - _SHOWN
        if more > 0:
            lines[_SHOWN:] = [f"and {more} more videos with such problems"]
        raise ScoringError("\n".join(lines))
    return plans, notes


def _pieces(split: Split, plans: dict[str, FramePlan]) -> Iterator[_Work]:
    """Cut the work into ranges of frames, long videos first."""
    for name in sorted(plans, key=lambda name: (-len(plans[name].frames), name)):
        video, frames = split.videos[name], plans[name].frames
        if not frames:
            continue
        size = _mask_size(video)
        for start in range(0, len(frames), _RANGE):
            yield _Work(video, size, frames[start : start + _RANGE], start)


def _mask_size(video: SplitVideo) -> tuple[int, int]:
    """Height and width of a video's masks: the meta file's, else the first mask's."""
    meta = video.meta
    if meta is not None and meta.height is not None and meta.width is not None:
        return meta.height, meta.width
    path = next(iter(video.masks.values()))
    with path.open("rb") as stream:
        header = read_header(stream.read(64), name=str(path))
    return header.height, header.width


def _read_truth(video: SplitVideo, frame: str, size: tuple[int, int]) -> Labels:
    """Read a mask of the split.

    Raises:
        MaskError: It cannot be read, or has another size than the video.
    """
    path = video.masks[frame]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror})") from error
    labels = decode(data, name=str(path))
    if labels.shape != size:
        raise MaskError(
            f"{path}: expected {size[1]}×{size[0]} pixels as the split says, found "
            f"{labels.shape[1]}×{labels.shape[0]}"
        )
    return labels


def _read_prediction(
    source: MaskSource,
    video: SplitVideo,
    frame: str,
    size: tuple[int, int],
    *,
    as_server: bool,
) -> Labels:
    """Read a predicted mask.

    Raises:
        MaskError: It cannot be read, or has another size than the video.
        ScoringError: With `as_server`: the server would fail.
    """
    name = f"{video.name}/{frame}.png"
    data = source.read(video.name, frame)
    try:
        labels = decode(data, name=name)
    except MaskError:
        if not as_server:
            raise
        labels = _decode_as_server(data, name)
    if labels.shape == size:
        return labels
    found = f"{name}: expected {size[1]}×{size[0]} pixels, found " + "×".join(
        map(str, labels.shape[::-1])
    )
    if not as_server:
        raise MaskError(f"{found}; {FATAL} (ValueError)")
    try:
        # The server assigns a mask to its place in an array, which repeats a single
        # row or column.
        return np.ascontiguousarray(np.broadcast_to(labels, size))
    except ValueError as error:
        raise ScoringError(f"{found}; {FATAL} (ValueError)") from error


def _decode_as_server(data: bytes, name: str) -> Labels:
    """Decode anything that Pillow opens, as the official scorer does.

    Raises:
        ScoringError: The server would fail.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("P"), np.uint8)
    except Exception as error:  # Pillow raises nearly anything on damaged files.
        raise ScoringError(f"{name}: {error}; {FATAL}") from error
