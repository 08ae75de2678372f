"""One PNG for each frame, with all objects: the layout of challenges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from ...checks.colours import Colours, is_annotation
from ...checks.numbering import number_frames
from ...data import SplitVideo
from ...errors import ArchiveError, MaskError
from ...masks import Labels, object_ids
from ...png.pictures import Kind, NoIdsError, decode_picture
from .base import VideoFiles, VideoReader, stems_of

__all__ = ["FRAMES"]


@dataclass(frozen=True)
class _Frames:
    """`<video>/<frame>.png`."""

    name: str = "frames"
    layout: str = "<video>/<frame>.png"
    help: str = (
        "one PNG for each frame, whose values are object ids, or whose colours are "
        "those of the annotations"
    )

    def holds(self, names: Collection[str]) -> bool:
        return bool(stems_of(names))

    def open(self, files: VideoFiles, video: SplitVideo) -> VideoReader:
        return _Reader(files, video)


class _Reader:
    """Reads the masks of one video."""

    def __init__(self, files: VideoFiles, video: SplitVideo) -> None:
        stems = stems_of(files.names)

        def is_first(stem: str) -> bool:
            return is_annotation(files.read(stems[stem]), video)

        numbering = number_frames(
            video.frames, list(stems), video=files.where, is_first=is_first
        )
        # The first mask may be missing, since the annotation replaces it.
        missing = [frame for frame in numbering.missing if frame != video.frames[0]]
        if missing:
            raise ArchiveError(
                f"{files.where}: lacks {len(missing)} of {video.length} masks, such as "
                f"{missing[0]}.png (submit check says what that costs)"
            )
        self.remarks: Counter[str] = Counter()
        self._files, self._video = files, video
        self._paths = {frame: stems[stem] for frame, stem in numbering.stems.items()}
        if numbering.shifted:
            self.remarks["number changed to that of the frame, by the order"] = len(
                self._paths
            )
        self._colours = Colours.of(video)
        evidence = video.first_annotated
        if evidence is not None and evidence in self._paths:
            self._learn(evidence)

    def _learn(self, frame: str) -> None:
        path = self._paths[frame]
        truth = self._video.read_mask(frame)
        try:
            picture = decode_picture(self._files.read(path), size=self._video.size)
        except (ArchiveError, MaskError):
            return  # It is read again when it is needed.
        self._colours.learn(picture, truth)

    def labels(self, frame: str) -> Labels:
        path = self._paths[frame]
        name = self._files.label(path)
        data = self._files.read(path)
        picture = decode_picture(data, name=name, size=self._video.size)
        try:
            meaning = self._colours.meaning(picture)
        except NoIdsError as error:
            raise NoIdsError(f"{name}: {error}") from error
        if meaning.doubt is not None:
            raise MaskError(
                f"{name}: {meaning.doubt}; put the annotation, as the same program "
                "writes it, in the place of the video's first mask, or write object "
                "ids as values"
            )
        if picture.kind is Kind.COLOUR:
            self.remarks["colours converted to ids"] += 1
        elif meaning.by_colour:
            self.remarks["ids corrected by the colours of the palette"] += 1
        elif meaning.table is not None:
            self.remarks["ids changed to those of the annotation"] += 1
        labels = meaning.labels(picture.values)
        known = self._video.objects
        if unknown := sorted(set(object_ids(labels)) - set(known)):
            raise MaskError(
                f"{name}: holds the ids {unknown}; the video has {sorted(known)} "
                "(submit check says more)"
            )
        return labels


FRAMES = _Frames()
