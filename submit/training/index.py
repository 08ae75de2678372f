"""What is known of each video before training: sizes, objects, and where they are.

All masks are read once. So clips can be chosen by what is visible in them, and damaged
videos are found before the first step and not after a night.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data import image_size
from ..errors import MaskError, SplitError, TrainingError
from ..masks import Labels
from ..system.pool import checkpoint, run_in_threads
from ..system.words import counted
from .sources import list_source
from .tables import ClipTable, DataTable
from .videos import TrainingVideo

__all__ = [
    "IndexedSource",
    "IndexedVideo",
    "build_index",
    "count_labels",
    "index_source",
]


@dataclass(frozen=True, eq=False)
class IndexedVideo:
    """A video and what is in it.

    Attributes:
        video: The video.
        size: Height and width of its frames.
        objects: Ids of its objects, ascending.
        areas: T×N int32, pixels of each object in each frame.
    """

    video: TrainingVideo
    size: tuple[int, int]
    objects: tuple[int, ...]
    areas: NDArray[np.int32]

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.areas)

    @property
    def shares(self) -> NDArray[np.float64]:
        """T×N, share of the frame that each object covers."""
        height, width = self.size
        return self.areas / (height * width)

    @property
    def disappears(self) -> bool:
        """Whether an object that was visible is absent in a later frame."""
        seen = np.logical_or.accumulate(self.areas > 0)
        return bool(np.any(seen & (self.areas == 0)))

    def is_small(self, area: float) -> bool:
        """Whether its objects cover less than a share of the frame, in the median."""
        shares = self.shares[self.areas > 0]
        return bool(len(shares)) and float(np.median(shares)) < area


@dataclass(frozen=True, eq=False)
class IndexedSource:
    """A source whose videos are known.

    Attributes:
        table: Its table in the recipe.
        videos: The videos to train on, by name.
        notes: Remarks about what is left out.
    """

    table: DataTable
    videos: tuple[IndexedVideo, ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what decides which clips are drawn."""
        sha = hashlib.sha256()
        for one in self.videos:
            sha.update(f"{one.video.name}\0{one.size}\0{one.objects}\n".encode())
            sha.update("\0".join(one.video.frames).encode())
            sha.update(np.ascontiguousarray(one.areas, "<i4").tobytes())
        return sha.hexdigest()


def build_index(
    tables: Sequence[DataTable],
    clips: ClipTable,
    *,
    held_out: frozenset[str] = frozenset(),
    some: int | None = None,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda name, frames: None,
) -> tuple[IndexedSource, ...]:
    """Read the masks of all sources.

    Args:
        tables: The sources.
        clips: How clips are cut out; too short videos are left out.
        held_out: Names of videos that must not be trained on.
        some: Read only so many videos of each source, to try it; None reads all.
        workers: Threads; one for each core by default.
        progress: Called with each video and its number of frames.

    Raises:
        TrainingError: A source has nothing to train on.
    """
    if not tables:
        raise TrainingError("expected at least one [[data]] with a path, found none")
    return tuple(
        index_source(
            table,
            clips,
            held_out=held_out,
            some=some,
            workers=workers,
            progress=progress,
        )
        for table in tables
    )


def index_source(
    table: DataTable,
    clips: ClipTable,
    *,
    held_out: frozenset[str] = frozenset(),
    some: int | None = None,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda name, frames: None,
) -> IndexedSource:
    """Read the masks of one source; see `build_index`."""
    videos, notes = list_source(table, held_out=held_out)
    if some is not None:
        enough = [each for each in videos if _is_long_enough(each, clips)] or videos
        videos = enough[:: max(len(enough) // some, 1)][:some]
    indexed: list[IndexedVideo] = []
    problems: list[str] = []

    def work(video: TrainingVideo) -> IndexedVideo | str:
        if not _is_long_enough(video, clips):
            return ""
        try:
            return _index(video)
        except (SplitError, MaskError) as error:
            return str(error)

    def done(video: TrainingVideo, found: IndexedVideo | str) -> None:
        progress(video.name, len(video.frames))

    results = run_in_threads(work, videos, workers=workers, done=done)
    short = results.count("")
    for video, found in zip(videos, results, strict=True):
        if isinstance(found, IndexedVideo):
            indexed.append(found)
        elif found:
            problems.append(f"{table.label}: {video.name} is left out: {found}")
    if short:
        longest = max(len(video.frames) for video in videos)
        notes.append(
            f"{table.label}: {counted(short, 'video has', 'videos have')} fewer than "
            f"{clips.length} frames and {'is' if short == 1 else 'are'} left out"
        )
        if short == len(videos):
            raise TrainingError(
                f"{table.path}: no video has {clips.length} frames with masks; the "
                f"longest has {longest}; set [clips] length to at most {longest}, or "
                'short = "bounce"'
            )
    if not indexed:
        raise TrainingError(
            f"{table.path}: no video can be trained on; "
            f"{problems[0] if problems else 'no mask holds an object'}"
        )
    return IndexedSource(table, tuple(indexed), (*notes, *problems))


def _is_long_enough(video: TrainingVideo, clips: ClipTable) -> bool:
    return len(video.frames) >= (clips.length if clips.short == "skip" else 1)


def _index(video: TrainingVideo) -> IndexedVideo:
    """Read all masks of a video.

    Raises:
        SplitError: Its first frame cannot be read.
        MaskError: A mask cannot be read, or none holds an object.
    """
    size = image_size(Path(video.image_path(0)))
    counts = np.zeros((len(video.frames), 256), np.int32)
    for place in range(len(video.frames)):
        checkpoint()
        counts[place] = count_labels(video.labels(place, size))
    counts[:, 0] = 0
    objects = np.flatnonzero(counts.any(0))
    if not len(objects):
        raise MaskError("no mask holds an object")
    return IndexedVideo(video, size, tuple(map(int, objects)), counts[:, objects])


def count_labels(labels: Labels) -> NDArray[np.int32]:
    """Count the pixels of each of the 256 ids."""
    histogram = cv2.calcHist([labels], [0], None, [256], [0, 256])
    return histogram.reshape(256).astype(np.int32)
