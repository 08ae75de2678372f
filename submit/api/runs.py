"""Runs in scripts and notebooks: logits, probabilities, labels, presence."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..archive import Masks
from ..data import Split, SplitVideo
from ..errors import MaskError, RunError
from ..executors.local import LocalExecutor
from ..masks import Labels, Logits, dequantise, to_labels
from ..pipeline import exported_masks, is_exported, split_of
from ..pipeline.sources import find_run, open_source
from ..report.views import view_of_masks
from ..runs import Run, VideoMasks
from ..runs.kept import runs_folder
from ..system.words import counted
from .pictures import as_frame, html_picture, html_table, overlay
from .splits import OpenSplit, image_of, split_behind, stem_of

if TYPE_CHECKING:
    import pandas

__all__ = ["OpenRun", "OpenRunVideo", "open_run"]


def open_run(
    source: Path | str,
    *,
    split: OpenSplit | Path | str | None = None,
    runs: Path | str = "runs",
) -> OpenRun:
    """Open the masks of a run, of a folder or of a zip.

    Nothing is written until it is scored: then a run that is not exported yet is.

    Args:
        source: A run's name or folder, a folder of `<video>/<frame>.png`, or a zip of
            one.
        split: The split that the masks belong to; None for the one that the run
            records.
        runs: The folder that names of runs are looked up in, or its URL in a storage.

    Raises:
        RunError: There is neither such a run nor such a file or folder, or it is a
            folder or a zip and no split is named.
        SplitError: The split is not there, or is another one than the run's.
    """
    folder = runs_folder(runs)
    run = find_run(folder, str(source))
    if split is not None:
        found = split_behind(split)
    elif run is not None:
        found = split_of(run)
    else:
        raise RunError(
            f"{source}: is no run, so that its split is not known; name it: "
            "open_run(…, split=PATH)"
        )
    return OpenRun(str(source), folder, run, found)


class OpenRun(Mapping[str, "OpenRunVideo"]):
    """A run, a folder of masks or a zip: its videos by name.

    Attributes:
        name: The run's name; the file or folder if it is not a run.
        videos: Names of the videos that have masks, sorted.
        settings: What decided the masks; empty if it is not a run.
    """

    def __init__(self, source: str, runs: Path, run: Run | None, split: Split) -> None:
        self._source, self._runs, self._run, self._split = source, runs, run, split
        self.name = source if run is None else run.name
        self.settings: Mapping[str, Any] = {} if run is None else dict(run.settings)
        there = self._masks.videos() if run is None else run.videos
        self.videos = tuple(name for name in split.videos if name in there)

    @cached_property
    def _masks(self) -> Masks:
        """The label maps, if they are files."""
        masks = self.open_masks()
        weakref.finalize(self, masks.close)
        return masks

    def open_masks(self, split: Split | None = None) -> Masks:
        """Open its palette masks; a run is exported if it is not yet.

        It is exported in this process: worker processes would run the caller's script
        again (https://docs.python.org/3/library/multiprocessing.html, "spawn").
        """
        return open_source(
            self._runs,
            self._source,
            split or self._split,
            executor=LocalExecutor,
        )

    def __getitem__(self, name: str) -> OpenRunVideo:
        """Open a video.

        Raises:
            KeyError: There are no masks of such a video.
            RunError: Its file is damaged, or has changed since it was written.
        """
        if name not in self.videos:
            raise KeyError(name)
        video = self._split.videos[name]
        run = self._run
        if run is None:
            return OpenRunVideo(self.name, video, labels=self._masks)
        masks = None
        if not run.videos[name].soft or is_exported(run, [name]):
            masks = exported_masks(run, [name])
        soft = run.read(name) if run.videos[name].soft else None
        return OpenRunVideo(self.name, video, labels=masks, soft=soft)

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def __repr__(self) -> str:
        return f"<run {self.name}: {counted(len(self), 'video')}>"

    def _repr_html_(self) -> str:
        rows = [tuple(row.values()) for row in self._rows()]
        table = html_table(("video", "frames", "objects", "logits"), rows)
        if not self.videos:
            return table
        return self[self.videos[0]]._repr_html_() + table

    def _rows(self) -> list[dict[str, Any]]:
        run = self._run
        return [
            {
                "video": name,
                "frames": self._split.videos[name].length,
                "objects": len(self._split.videos[name].objects),
                "logits": run is not None and run.videos[name].soft,
            }
            for name in self.videos
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A pandas frame with a row for each video: video, frames, objects, logits.

        Raises:
            SubmitError: pandas is not installed.
        """
        return as_frame(self._rows())


class OpenRunVideo:
    """The masks of one video.

    Methods accept a frame by its index (0 is the first, −1 the last) or by its stem,
    such as "00012".

    Attributes:
        name: The video's name.
        run: The run's name.
        frames: Stems of all frames, in order.
        objects: Ids of the N objects, in the order of the first axis of `logits`.
        size: Height and width of the frames in pixels.
    """

    def __init__(
        self,
        run: str,
        video: SplitVideo,
        *,
        labels: Masks | None,
        soft: VideoMasks | None = None,
    ) -> None:
        self._video, self._soft = video, soft
        if soft is not None:
            weakref.finalize(self, soft.close)
        self._view = None if labels is None else view_of_masks(run, labels, video)
        self.run, self.name = run, video.name
        self.frames = video.frames
        self.objects = video.objects if soft is None else soft.objects
        self.size = video.mask_size

    def logits(self, frame: int | str) -> Logits:
        """Logits of a frame, > 0 means object: n×h×w float32 at the model's resolution.

        n is less than N in frames before an object's first prompt.

        Raises:
            RunError: Only label maps are kept, or the file is damaged.
            SplitError: There is no such frame.
        """
        soft = self._require_soft()
        place = self.frames.index(stem_of(self._video, frame))
        return dequantise(soft.codes(place), soft.values)

    def probabilities(self, frame: int | str) -> NDArray[np.float32]:
        """Probabilities of a frame, n×h×w float32 from 0 to 1; see `logits`."""
        logits = self.logits(frame)
        return cast("NDArray[np.float32]", 1 / (1 + np.exp(-logits)))

    def labels(self, frame: int | str) -> Labels:
        """Label map of a frame: H×W uint8 object ids, 0 for background.

        These are the masks that are scored and packed: with post-processing if the run
        was exported with it. The first one is the given mask.

        Raises:
            MaskError: There is no mask of this frame, or it cannot be read.
            RunError: The file is damaged.
            SplitError: There is no such frame.
        """
        stem = stem_of(self._video, frame)
        if self._view is not None:
            labels = self._view.labels(stem)
            if labels is None:
                raise MaskError(f"{self.run}: has no mask {self.name}/{stem}.png")
            return labels
        place = self.frames.index(stem)
        if not place:
            return self._video.first_mask()
        soft = self._require_soft()
        codes = soft.codes(place)
        ids = soft.objects[: len(codes)]
        return to_labels(codes, ids, self.size, values=soft.values)

    def presence(self, key: int) -> NDArray[np.float32]:
        """Object scores of one object as logits, T float32; NaN where there is none.

        Raises:
            RunError: Only label maps are kept.
            KeyError: There is no such object.
        """
        return self._column(self._require_soft().presence, key)

    def iou(self, key: int) -> NDArray[np.float32]:
        """Predicted IoU of one object, T float32; NaN where there is none.

        Raises:
            RunError: Only label maps are kept.
            KeyError: There is no such object.
        """
        return self._column(self._require_soft().iou, key)

    def picture(self, frame: int | str = 0) -> NDArray[np.uint8]:
        """A frame with its masks over it: H×W×3 uint8 RGB.

        Raises:
            SplitError: There is no such frame, or the split has no images.
            MaskError: There is no mask of this frame.
        """
        return overlay(image_of(self._video, frame), self.labels(frame))

    def _require_soft(self) -> VideoMasks:
        if self._soft is None:
            raise RunError(
                f"{self.run}: video {self.name} has label maps only; logits are kept "
                "by predict and ensemble without --no-soft, and by import of soft "
                "masks"
            )
        return self._soft

    def _column(self, table: NDArray[np.float32], key: int) -> NDArray[np.float32]:
        if key not in self.objects:
            raise KeyError(key)
        return table[:, self.objects.index(key)].copy()

    def __repr__(self) -> str:
        return (
            f"<video {self.name} of {self.run}: {counted(len(self.frames), 'frame')}, "
            f"{counted(len(self.objects), 'object')}>"
        )

    def _repr_html_(self) -> str:
        middle = len(self.frames) // 2
        if not self._video.images:
            return repr(self)
        text = (
            f"frame {self.frames[middle]} of {self.name} with the masks of {self.run}"
        )
        return html_picture(self.picture(middle), text)
