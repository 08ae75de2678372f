"""Score volumes of Cutie and XMem: one HDF5 file for each frame.

A volume has a channel for the background and one for each object that has appeared so
far; `submit.masks.read_volume` says more. XMem also writes which channel is which
object, as `backward.hkl`. Cutie, whose channels are in ascending order of the objects,
should, and never does: the thread that writes scores ends before the last frame's. So
the last frame is taken from Cutie's mask of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data import SplitVideo
from ...errors import ArchiveError, MaskError
from ...masks import (
    HARD_LOGIT,
    Labels,
    ScoreKind,
    object_ids,
    read_channels,
    read_volume,
    scores_to_logits,
)
from ...png.palette import decode
from ...system.words import size_text
from ..format import (
    FORMATS,
    ImportHints,
    ScoreReader,
    SoftFrame,
    VideoFiles,
    annotation_scores,
    appearance_order,
    match_frames,
    stems_of,
)

__all__ = ["Cutie", "XMem"]

_SUFFIX, _CHANNELS = ".hkl", "backward"
#: Where `ForeignFiles` puts the masks that lie beside the scores.
_BESIDE = "Annotations"


@dataclass(frozen=True)
class XMem:
    """`Scores/<video>/<frame>.hkl` and `Scores/<video>/backward.hkl`."""

    name: str = "xmem"
    order: int = 30
    layout: str = "<video>/<frame>.hkl with <video>/backward.hkl"
    help: str = (
        "scores of XMem (--save_scores) and of programs built on it; backward.hkl has "
        "the object of each channel. Needs the extra [volumes]"
    )
    soft: bool = True
    package: str | None = "h5py"

    def holds(self, files: VideoFiles) -> bool:
        """Whether there are volumes, and the table of their channels."""
        return _CHANNELS in _volumes(files) and len(_volumes(files)) > 1

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> ScoreReader:
        """Open a video; see `ImportFormat`."""
        path = _volumes(files)[_CHANNELS]
        channels = read_channels(files.read(path), name=files.label(path))
        known = video.objects
        if unknown := sorted(channels.keys() - set(known)):
            raise MaskError(
                f"{files.label(path)}: names the object {unknown[0]}; the video has "
                f"{', '.join(map(str, known))}"
            )
        first = object_ids(video.first_mask())
        if lacking := sorted(set(first) - channels.keys()):
            raise MaskError(
                f"{files.label(path)}: names no channel of object {lacking[0]}; found "
                f"{channels}"
            )
        order = sorted(channels, key=lambda key: channels[key])
        return _VolumeScores(files, video, order, partial=hints.partial)


@dataclass(frozen=True)
class Cutie:
    """`Scores/<video>/<frame>.hkl`."""

    name: str = "cutie"
    order: int = 40
    layout: str = "<video>/<frame>.hkl"
    help: str = (
        "scores of Cutie (save_scores=True): channels in ascending order of the "
        "objects; import the folder that has Scores/ and Annotations/, since Cutie "
        "does not write the scores of the last frame. Needs the extra [volumes]"
    )
    soft: bool = True
    package: str | None = "h5py"

    def holds(self, files: VideoFiles) -> bool:
        """Whether there are volumes, and no table of their channels."""
        return bool(_volumes(files)) and _CHANNELS not in _volumes(files)

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> ScoreReader:
        """Open a video; see `ImportFormat`."""
        order = appearance_order(video)
        reader = _VolumeScores(
            files, video, order, last_may_lack=True, partial=hints.partial
        )
        if len(order) > 1:
            reader.require_order(named=hints.format == self.name)
        return reader


class _VolumeScores(ScoreReader):
    """Reads the volumes of one video.

    Args:
        files: Its files.
        video: The video.
        order: The object of each channel but the first.
        last_may_lack: Whether the last frame's volume may be missing, if its mask lies
            beside the scores.
        partial: Whether any frame's volume may be missing.
    """

    def __init__(
        self,
        files: VideoFiles,
        video: SplitVideo,
        order: Sequence[int],
        *,
        last_may_lack: bool = False,
        partial: bool = False,
    ) -> None:
        super().__init__()
        self._files, self._video, self._order = files, video, tuple(order)
        self._known = 0
        stems = {k: path for k, path in _volumes(files).items() if k != _CHANNELS}
        self._last: str | None = None
        masks = stems_of(files.names, _BESIDE)
        last = video.frames[-1]
        if last_may_lack and last not in stems and last in masks:
            self._last = masks[last]
            stems[last] = masks[last]
        try:
            numbering = match_frames(
                video,
                stems,
                where=files.where,
                suffix=_SUFFIX,
                late=video.first_annotated != video.frames[0],
                partial=partial,
            )
        except ArchiveError as error:
            if not last_may_lack or f"{last}{_SUFFIX}" not in str(error):
                raise
            raise ArchiveError(
                f"{files.where}: lacks {last}{_SUFFIX}, as Cutie never writes the "
                "scores of the last frame; import the folder that has Scores/ and "
                f"{_BESIDE}/, so that the last frame's mask is taken instead"
            ) from error
        self._paths = {frame: stems[stem] for frame, stem in numbering.stems.items()}
        self.frames = tuple(self._paths)

    def require_order(self, *, named: bool) -> None:
        """Make sure that the channels are the objects in their order.

        The first frame's scores show the annotation.

        Args:
            named: Whether the user says that Cutie wrote them.

        Raises:
            MaskError: They are not, or that cannot be seen.
        """
        frame = self._video.frames[0]
        truth = self._video.first_mask()
        objects = object_ids(truth)
        why = "the first frame has no scores to compare with the annotation"
        if frame in self._paths:
            shown: Labels = self._volume(frame).argmax(0).astype(np.uint8)
            found = _best(shown, truth)
            expected = dict(enumerate(objects, start=1))
            if any(expected.get(channel) != key for channel, key in found.items()):
                raise MaskError(
                    f"{self._files.where}: its channels are the objects "
                    f"{', '.join(map(str, found.values()))} in the first frame and not "
                    f"{', '.join(map(str, objects))}, as XMem's may be; add "
                    f"{_CHANNELS}{_SUFFIX}, which says which channel is which object "
                    "(XMem writes it after the last frame)"
                )
            # The only channel that is not seen is the only object that is left.
            if len(found) >= len(objects) - 1:
                return
            why = "the first frame's scores do not show all objects"
        if not named:
            raise MaskError(
                f"{self._files.where}: has no {_CHANNELS}{_SUFFIX}, without which the "
                f"order of XMem's channels is not known, and {why}; add the file, or "
                "say that Cutie wrote the scores: --format cutie"
            )

    def scores(self, frame: str) -> SoftFrame:
        """Read a frame; see `ScoreReader`."""
        path = self._paths.get(frame)
        if path is None:
            # Nothing is visible before the first annotation, if that comes later.
            return annotation_scores(self._video, self._order)
        if path == self._last:
            return self._mask(path)
        volume = self._volume(frame)
        count = len(volume) - 1
        if not self._known <= count <= len(self._order):
            raise MaskError(
                f"{self._files.label(path)}: expected a background and "
                f"{len(self._order)} objects, found {count + 1} channels"
            )
        self._known = count
        try:
            logits = scores_to_logits(volume, ScoreKind.PROBABILITIES, background=True)
        except MaskError as error:
            raise MaskError(f"{self._files.label(path)}: {error}") from error
        return SoftFrame(self._order[:count], logits)

    def _volume(self, frame: str) -> NDArray[np.uint8]:
        path = self._paths[frame]
        name = self._files.label(path)
        volume = read_volume(self._files.read(path), name=name)
        if volume.shape[1:] != self._video.size:
            raise MaskError(
                f"{name}: expected scores of the video's size, "
                f"{size_text(self._video.size)}, found {size_text(volume.shape[1:])}"
            )
        return volume

    def _mask(self, path: str) -> SoftFrame:
        """The last frame by its mask."""
        name = self._files.label(path)
        labels = decode(self._files.read(path), name=name, size=self._video.size)
        if unknown := sorted(set(object_ids(labels)) - set(self._order)):
            raise MaskError(
                f"{name}: holds the ids {unknown}; the video has {sorted(self._order)}"
            )
        self.remarks["scores missing in the last frame, its mask taken"] += 1
        ids = np.asarray(self._order, np.uint8)[:, None, None]
        hard = np.float32(HARD_LOGIT)
        return SoftFrame(self._order, np.where(labels == ids, hard, -hard))


def _volumes(files: VideoFiles) -> dict[str, str]:
    return stems_of(files.names, suffix=_SUFFIX)


def _best(shown: Labels, truth: Labels) -> dict[int, int]:
    """For each channel that is seen, the object that it overlaps most."""
    found = {}
    for channel in object_ids(shown):
        counts = np.bincount(truth[shown == channel], minlength=256)
        counts[0] = 0
        if counts.any():
            found[channel] = int(counts.argmax())
    return found


FORMATS.register(XMem())
FORMATS.register(Cutie())
