"""One PNG for each frame, with all objects: the layout of challenges.

MOSE, DAVIS, YouTube-VOS and LVOS require it; DAVIS below `480p/`, YouTube-VOS below
`Annotations/`. Folders that contain all videos are searched.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...checks.colours import Colours, is_annotation
from ...data import SplitVideo
from ...errors import ArchiveError, MaskError
from ...masks import Labels, object_ids
from ...png.pictures import Kind, NoIdsError, decode_picture
from ..format import (
    FORMATS,
    ImportHints,
    LabelReader,
    VideoFiles,
    match_frames,
    stems_of,
)

__all__ = ["Frames"]


@dataclass(frozen=True)
class Frames:
    """`<video>/<frame>.png`."""

    name: str = "frames"
    order: int = 10
    layout: str = "<video>/<frame>.png"
    help: str = (
        "one PNG for each frame, whose values are object ids, or whose colours are "
        "those of the annotations: results for MOSE, DAVIS, YouTube-VOS and LVOS"
    )
    soft: bool = False
    package: str | None = None

    def holds(self, files: VideoFiles) -> bool:
        """Whether there are PNGs in the folder of the video."""
        return bool(stems_of(files.names))

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> LabelReader:
        """Open a video; see `ImportFormat`."""
        return _FrameLabels(files, video, partial=hints.partial)


class _FrameLabels(LabelReader):
    """Reads the masks of one video."""

    def __init__(self, files: VideoFiles, video: SplitVideo, *, partial: bool) -> None:
        super().__init__()
        stems = stems_of(files.names)

        def is_first(stem: str) -> bool:
            return is_annotation(files.read(stems[stem]), video)

        # The first mask may be missing, since the annotation replaces it.
        numbering = match_frames(
            video, stems, where=files.where, is_first=is_first, partial=partial
        )
        self.frames = tuple(numbering.stems)
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


FORMATS.register(Frames())
