"""Make what a page shows of each video: scores, findings, strips.

Nearly all time of a report is spent here, and each video is made by itself: in threads,
or as one job of an executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks import VideoCheck, check_videos, masks_to_check
from ..data import Split
from ..executors import Executor, Job, map_jobs
from ..pipeline.outcome import Monitor, silent
from ..runs import KnownMasks
from ..scoring import VideoFrames, frames_to_score, score_split
from ..system.files import remove_partial
from ..tuning import frames_to_look_at, look_at_all
from .drawing import draw_videos, shown_videos
from .pieces import ReportedRun, ReportPiece

__all__ = ["Viewer", "make_pieces"]


@dataclass(frozen=True)
class Viewer:
    """What is shown of a video.

    Attributes:
        truth: Whether there is truth.
        most: Largest number of frames.
        long_side: Longer side of these frames in pixels.
    """

    truth: bool
    most: int = 24
    long_side: int = 480


def make_pieces(
    split: Split,
    sources: Sequence[ReportedRun],
    folder: Path,
    viewer: Viewer,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    monitor: Monitor = silent,
) -> dict[str, ReportPiece]:
    """Make the pieces of all videos that some run has, in the order of the split.

    Args:
        split: The videos, with frames.
        sources: The runs.
        folder: Where the strips go, into the folders `0`, `1` … in the same order. It
            exists; the workers of an executor need it at the same path.
        viewer: What is shown.
        workers: Threads; one for each core by default.
        executor: Makes them elsewhere; None for threads.
        monitor: Opens progress bars.

    Raises:
        SplitError: A video has no frames, or one cannot be read.
        ScoringError: The masks, or the truth, have a defect; see `score_split`.
        MaskError: A mask cannot be read.
        RunError: A file of a run has changed since it was written.
        StorageError: The disk refuses.
    """
    shown = shown_videos(split, {one.name: one.masks for one in sources})
    places = {name: folder / str(number) for number, name in enumerate(shown)}
    maker = _Maker(split.only(shown), sources, places, viewer)
    if executor is None:
        return maker.make(workers=workers, monitor=monitor)
    with monitor("draw, score and check", total=frames_to_look_at(maker.split)) as bar:
        made = map_jobs(
            maker,
            [Job(name, video.length, name) for name, video in shown.items()],
            executor=executor,
            needs=(*split.needs, folder, *(one.masks.path for one in sources)),
            progress=bar.advance,
        )
    # A worker that died may have left one.
    remove_partial(folder)
    return dict(zip(shown, made, strict=True))


@dataclass(frozen=True)
class _Maker:
    """Makes pieces; it can be sent to another process.

    Attributes:
        split: The videos.
        sources: The runs.
        places: The folder of the strips of each video.
        viewer: What is shown.
    """

    split: Split
    sources: Sequence[ReportedRun]
    places: Mapping[str, Path]
    viewer: Viewer

    def __call__(self, name: str, progress: Callable[[int], None]) -> ReportPiece:
        """Make the piece of one video."""
        alone = _Maker(
            self.split.only([name]),
            [_only(one, name) for one in self.sources],
            {name: self.places[name]},
            self.viewer,
        )
        piece = alone.make(workers=1)[name]
        progress(self.split.videos[name].length)
        return piece

    def make(
        self, *, workers: int | None, monitor: Monitor = silent
    ) -> dict[str, ReportPiece]:
        """Make the pieces of all videos in threads."""
        scores: dict[str, Mapping[str, VideoFrames]] = {}
        looks = {}
        if self.viewer.truth:
            for one in self.sources:
                total = frames_to_score(self.split)
                with monitor(f"score {one.name}", total=total) as bar:
                    scores[one.name] = self._score(one, workers, bar.advance)
        else:
            with monitor("preview", total=frames_to_look_at(self.split)) as bar:
                looks = look_at_all(
                    self.split,
                    {one.name: one.run for one in self.sources if one.run is not None},
                    workers=workers,
                    progress=bar.advance,
                )
        checks: dict[str, Mapping[str, VideoCheck]] = {}
        for one in self.sources:
            total = masks_to_check(self.split)
            with monitor(f"check {one.name}", total=total) as bar:
                checks[one.name] = check_videos(
                    one.masks, self.split, workers=workers, progress=bar.advance
                )
        with monitor("draw", total=frames_to_look_at(self.split)) as bar:
            drawn = draw_videos(
                self.split,
                {one.name: one.masks for one in self.sources},
                self.places,
                truth=self.viewer.truth,
                most=self.viewer.most,
                long_side=self.viewer.long_side,
                workers=workers,
                progress=bar.advance,
            )
        return {
            name: ReportPiece(
                strips=strips,
                scores={run: one[name] for run, one in scores.items()},
                checks={run: one[name] for run, one in checks.items() if name in one},
                look=looks.get(name),
            )
            for name, strips in drawn.items()
        }

    def _score(
        self,
        source: ReportedRun,
        workers: int | None,
        progress: Callable[[str, int], None],
    ) -> dict[str, VideoFrames]:
        """The scores of all videos, also where nothing can be scored."""
        videos = self.split.videos
        none = {
            name: VideoFrames(name, video.objects, (), None)
            for name, video in videos.items()
        }
        some = [name for name, video in videos.items() if video.objects]
        if not set(some) & set(source.masks.videos()):
            return none
        scored = score_split(
            self.split.only(some), source.masks, workers=workers, progress=progress
        )
        # A page does not show how long it took.
        return none | {
            name: replace(one.frames, seconds=0.0)
            for name, one in scored.videos.items()
        }


def _only(source: ReportedRun, video: str) -> ReportedRun:
    """A run with one video, where it need not list all of them."""
    if not isinstance(source.masks, KnownMasks):
        return source
    return replace(source, masks=source.masks.only([video]))
