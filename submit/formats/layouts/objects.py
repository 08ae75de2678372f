"""One folder for each object, as SAM 2 writes with `--per_obj_png_file`.

Where objects overlap, the lowest id wins, as in SAM 2's own `put_per_obj_mask`
(`tools/vos_inference.py` of https://github.com/facebookresearch/sam2, which paints ids
from the highest to the lowest).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...archive import shown
from ...data import SplitVideo
from ...errors import ArchiveError, MaskError
from ...masks import Labels, object_ids
from ...png.pictures import Kind, NoIdsError, Picture, decode_picture
from ..format import (
    FORMATS,
    ImportHints,
    LabelReader,
    VideoFiles,
    match_frames,
    stems_of,
)

__all__ = ["Objects"]


@dataclass(frozen=True)
class Objects:
    """`<video>/<object>/<frame>.png`."""

    name: str = "objects"
    order: int = 20
    layout: str = "<video>/<object>/<frame>.png"
    help: str = (
        "one folder for each object (SAM 2 with --per_obj_png_file), black where the "
        "object is not; where objects overlap, the lowest id wins"
    )
    soft: bool = False
    package: str | None = None

    def holds(self, files: VideoFiles) -> bool:
        """Whether there are PNGs in folders named by numbers."""
        return any(
            stems_of(files.names, folder)
            for folder in _folders(files.names)
            if folder.isdecimal()
        )

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> LabelReader:
        """Open a video; see `ImportFormat`."""
        return _ObjectLabels(files, video, partial=hints.partial)


class _ObjectLabels(LabelReader):
    """Reads the masks of one video."""

    def __init__(self, files: VideoFiles, video: SplitVideo, *, partial: bool) -> None:
        super().__init__()
        self._partial = partial
        self._files, self._video = files, video
        first = set(object_ids(video.first_mask()))
        self._paths: dict[int, Mapping[str, str]] = {}
        for folder in sorted(_folders(files.names)):
            key = int(folder) if folder.isdecimal() and len(folder) < 99 else None
            if key is None or key not in video.objects:
                known = ", ".join(map(str, video.objects))
                raise ArchiveError(
                    f"{files.where}: has the folder {shown(folder)}; expected one for "
                    f"each object, named by its id: {known}"
                )
            if key in self._paths:
                raise ArchiveError(
                    f"{files.where}: has two folders of object {key}; remove one"
                )
            self._paths[key] = self._match(folder, key, late=key not in first)
        there = {frame for paths in self._paths.values() for frame in paths}
        self.frames = tuple(frame for frame in video.frames if frame in there)
        lacking = [key for key in video.objects if key not in self._paths]
        if lacking and not partial:
            raise ArchiveError(
                f"{files.where}: lacks the folder of object {lacking[0]}; expected "
                f"{video.name}/{lacking[0]:03}/<frame>.png"
            )

    def _match(self, folder: str, key: int, *, late: bool) -> dict[str, str]:
        """Find the mask of each frame of an object: paths by frame.

        Raises:
            ArchiveError: A mask is missing, and not only because the object appears
                later; or it is not certain which frames the masks belong to.
        """
        stems = stems_of(self._files.names, folder)
        numbering = match_frames(
            self._video,
            stems,
            where=f"{self._files.where}/{folder}",
            is_first=lambda stem: self._is_first(stems[stem], key),
            late=late,
            partial=self._partial,
        )
        if numbering.shifted:
            what = "number changed to that of the frame, by the order"
            self.remarks[what] += len(stems)
        return {frame: stems[stem] for frame, stem in numbering.stems.items()}

    def _is_first(self, path: str, key: int) -> bool:
        """Whether a file is the annotation of an object in the first frame."""
        try:
            truth = self._video.first_mask() == key
            return bool(truth.any()) and np.array_equal(self._read(path), truth)
        except (ArchiveError, MaskError):
            return False

    def _read(self, path: str) -> NDArray[np.bool_]:
        """Read one object's mask as H×W bool."""
        name = self._files.label(path)
        data = self._files.read(path)
        picture = decode_picture(data, name=name, size=self._video.size)
        found = [value for value in picture.used if not _is_black(picture, value)]
        if len(found) > 1:
            values = ", ".join(map(str, picture.used[:6]))
            raise NoIdsError(
                f"{name}: has the values {values}; expected black (0) and one other, "
                "the mask of one object"
            )
        return picture.values == found[0] if found else picture.values > 255

    def labels(self, frame: str) -> Labels:
        labels = np.zeros(self._video.size, np.uint8)
        for key in sorted(self._paths, reverse=True):
            if (path := self._paths[key].get(frame)) is not None:
                labels[self._read(path)] = key
        return labels


def _is_black(picture: Picture, value: int) -> bool:
    """Whether a value means that the object is not at this pixel."""

    def is_black(value: int) -> bool:
        return picture.palette[3 * value : 3 * value + 3] == bytes(3)

    # Values of a palette may be renumbered, unless the palette has no black.
    renumbered = bool(picture.palette) and not is_black(0)
    by_colour = renumbered and any(is_black(used) for used in picture.used)
    if picture.kind is Kind.COLOUR or by_colour:
        return is_black(value)
    return value == 0


def _folders(names: Collection[str]) -> set[str]:
    """Folders directly below the video's."""
    return {name.partition("/")[0] for name in names if name.count("/") == 1}


FORMATS.register(Objects())
