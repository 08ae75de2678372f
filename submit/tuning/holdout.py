"""The runs and the truth of a hold-out, decoded once and cached in memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..checks.sanity import as_packed
from ..data import Split
from ..ensemble import VideoMerger
from ..errors import RunError
from ..masks import VALUES, Codes
from ..png.palette import PackedLabels
from ..runs import Run, VideoMasks
from ..storage import bring
from ..system.pool import checkpoint
from ..system.words import counted, size_text
from .candidate import Candidate

__all__ = ["HoldoutRuns"]

#: Bytes of the cache of logits and masks; the rest is decoded each time.
_MEMORY = 2 << 30


class HoldoutRuns:
    """Runs over the videos of a split, for repeated reading.

    Several threads may read videos, but only one thread each video.

    Args:
        split: The split.
        runs: The runs, by name.
        memory: Bytes of the cache.

    Raises:
        RunError: A run lacks a video of the split, or has other frames or sizes.
    """

    def __init__(
        self, split: Split, runs: Mapping[str, Run], *, memory: int = _MEMORY
    ) -> None:
        self.split = split
        self.runs = dict(runs)
        self._left = memory
        self._lock = threading.Lock()
        # By run, key of a merge, or "" for the truth; and by video.
        self._kept: dict[tuple[str, str], Any] = {}
        self._pinned = ""
        for run in runs.values():
            self._check(run)

    def masks(self, run: str, video: str) -> VideoMasks:
        """One video of a run; close it after use."""
        kept: VideoMasks | None = self._kept.get((run, video))
        if kept is not None:
            return kept
        masks = self.runs[run].read(video)
        frames, (height, width) = len(masks.frames), _plane(masks)
        if not self._reserve(frames * len(masks.objects) * height * width):
            return masks
        with contextlib.closing(masks):
            decoded = _Decoded(masks)
        self._kept[run, video] = decoded
        return decoded

    def merged(self, candidate: Candidate, video: str) -> VideoMasks:
        """One video merged by a candidate, not post-processed; close it after use."""
        if candidate.is_single:
            return self.masks(candidate.members[0], video)
        key = candidate.merge_key
        kept: VideoMasks | None = self._kept.get((key, video))
        if kept is not None:
            return kept
        members: dict[str, VideoMasks] = {}
        with contextlib.ExitStack() as stack:
            for name in candidate.members:
                members[name] = self.masks(name, video)
                stack.callback(members[name].close)
            masks = _Merged(members, candidate, video)
            stack.pop_all()  # Closing it closes them.
        if key != self._pinned:
            return masks
        planes = [_plane(member) for member in members.values()]
        largest = max(height * width for height, width in planes)
        guess = len(masks.frames) * len(masks.objects) * largest
        if not self._reserve(guess):
            return masks
        with contextlib.closing(masks):
            decoded = _Decoded(masks)
        with self._lock:
            self._left += guess - decoded.nbytes
        self._kept[key, video] = decoded
        return decoded

    def pin(self, candidate: Candidate) -> None:
        """Cache the merged result of a candidate, in place of the last pinned one.

        For trying many post-processing settings on it.
        """
        if candidate.merge_key == self._pinned:
            return
        for key in [key for key in self._kept if key[0] == self._pinned != ""]:
            self._left += self._kept.pop(key).nbytes
        self._pinned = candidate.merge_key

    def truth(self, video: str) -> Sequence[PackedLabels]:
        """The annotation of each frame of a video."""
        kept: list[PackedLabels] | None = self._kept.get(("", video))
        if kept is None:
            ours, kept = self.split.videos[video], []
            bring(ours.masks)
            for frame in ours.frames:
                checkpoint()
                # The first and the last frame are never scored, and may have no mask.
                kept.append(
                    ours.packed_mask(frame, size=ours.size)
                    if frame in ours.masks
                    else as_packed(np.zeros(ours.size, np.uint8))
                )
            if self._reserve(sum(labels.data.nbytes for labels in kept)):
                self._kept["", video] = kept
        return kept

    def _reserve(self, size: int) -> bool:
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
        return fits

    def _check(self, run: Run) -> None:
        lacking = [name for name in self.split.videos if name not in run.videos]
        if lacking:
            raise RunError(
                f"run {run.name} lacks {len(lacking)} of {len(self.split.videos)} "
                f"videos of {self.split.place}, such as {lacking[0]}; predict or "
                "import them first"
            )
        for name, video in self.split.videos.items():
            record = run.videos[name]
            if (record.frames, record.size) != (video.length, video.size):
                raise RunError(
                    f"run {run.name}: {name} has {counted(record.frames, 'frame')} of "
                    f"{size_text(record.size)}, in {self.split.place} it has "
                    f"{video.length} of {size_text(video.size)}; is this the "
                    "split that the run was made from?"
                )


def _plane(masks: VideoMasks) -> tuple[int, int]:
    """Height and width of the logits; before the first object they may be smaller."""
    _, height, width = masks.codes(len(masks.frames) - 1).shape
    return height, width


class _Decoded:
    """A video of a run in memory."""

    def __init__(self, masks: VideoMasks) -> None:
        self.frames = masks.frames
        self.objects = masks.objects
        self.size = masks.size
        self.presence = masks.presence
        self.iou = masks.iou
        self.values = masks.values
        self._codes = []
        for index in range(len(masks.frames)):
            checkpoint()
            codes = masks.codes(index)
            codes.setflags(write=False)
            self._codes.append(codes)
        self.nbytes = sum(codes.nbytes for codes in self._codes)

    def codes(self, index: int) -> Codes:
        return self._codes[index]

    def close(self) -> None:
        """Do nothing: the video stays in memory."""


class _Merged:
    """A video of several runs, merged when its frames are read, in order."""

    def __init__(
        self, members: Mapping[str, VideoMasks], candidate: Candidate, video: str
    ) -> None:
        self._members = members
        self._merger = VideoMerger(members, candidate.merge, video=video)
        self.frames = self._merger.frames
        self.objects = self._merger.objects
        self.size = self._merger.size
        self.values = VALUES
        shape = len(self.frames), len(self.objects)
        # Filled frame by frame, as in a merged run.
        self.presence = np.full(shape, np.nan, np.float32)
        self.iou = np.full(shape, np.nan, np.float32)

    def codes(self, index: int) -> Codes:
        merged = self._merger.merge(index)
        self.presence[index] = merged.presence
        self.iou[index] = merged.iou
        return merged.codes

    def close(self) -> None:
        for member in self._members.values():
            member.close()
