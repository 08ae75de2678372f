"""NumPy's arrays of logits or probabilities, one file for each video.

Frames are the first axis of one array, or separate arrays with the names of the frames;
a run's `soft/<video>.npz` is such a file. The file is read frame by frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.numbering import number_in
from ...data import SplitVideo
from ...errors import ArchiveError, MaskError
from ...masks import ArrayFile, ScoreKind, dequantise
from ...system.words import counted
from ..format import (
    FORMATS,
    ImportHints,
    ScoreReader,
    SoftFrame,
    VideoFiles,
    match_frames,
)
from ..planes import (
    COMPANIONS,
    MOST_BYTES,
    ScorePlanes,
    frame_arrays,
    score_array,
    video_arrays,
)

__all__ = ["ArrayVideos"]


@dataclass(frozen=True)
class ArrayVideos:
    """`<video>.npz` or `.npy`."""

    name: str = "numpy-videos"
    order: int = 60
    layout: str = "<video>.npz (or .npy, or <video>/logits.npy)"
    help: str = (
        "the same for a whole video, with the frames as the first axis, or with one "
        "array for each frame, with its name, as in a run's soft/; a .npz may have the "
        "array frames with the numbers of the frames"
    )
    soft: bool = True
    package: str | None = None

    def holds(self, files: VideoFiles) -> bool:
        """Whether there is an array of the video, and none of frames."""
        return bool(video_arrays(files)) and not frame_arrays(files)

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> ScoreReader:
        """Open a video; see `ImportFormat`."""
        paths = video_arrays(files)
        if len(paths) > 1:
            raise ArchiveError(
                f"{files.where}: has several arrays, {', '.join(paths[:3])}; expected "
                "one for the whole video, or one for each frame, named as the frame"
            )
        return _VideoArrays(files, video, hints, paths[0])


class _VideoArrays(ScoreReader):
    """Reads a video from one file, frame by frame."""

    def __init__(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints, path: str
    ) -> None:
        super().__init__()
        self._name = files.label(path)
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(files.open(path))
            self._file = stack.enter_context(ArrayFile(stream, name=self._name))
            self._tables = {
                name: self._file.read(name)
                for name in COMPANIONS
                if name in self._file.names
            }
            # Of each frame: its array, its place in the array, and its row in tables.
            self._frames = _frames_of(
                self._file, self._tables, video, partial=hints.partial
            )
            self.frames = tuple(self._frames)
            kind = hints.scores
            if (values := self._tables.get("values")) is not None:
                kind = ScoreKind.LOGITS
                _require_values(values, self._name)
            self._planes = ScorePlanes(video, self._name, kind)
            array = next(iter(self._frames.values())).array
            named = array if array in ("logits", "probabilities") else ""
            names = [named or array, path, *files.folders(path)]
            self._planes.recognise(names, map(self._read, self._frames))
            self._stack = stack.pop_all()

    def scores(self, frame: str) -> SoftFrame:
        """Read a frame; see `ScoreReader`."""
        if frame not in self._frames:
            return self._planes.annotation()
        array, row = self._read(frame), self._frames[frame].row
        found = {
            name: self._row(name, row)
            for name in ("presence", "iou")
            if name in self._tables
        }
        objects = self._tables.get("objects")
        if "values" in self._tables and objects is not None:
            # In soft files, objects that join later have no planes before.
            objects = objects[: len(array)]
            found = {name: values[: len(array)] for name, values in found.items()}
        where = f"{self._name}: frame {frame}"
        return self._planes.scores(array, where, objects=objects, **found)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _read(self, frame: str) -> NDArray[Any]:
        place = self._frames[frame]
        array = self._file.read(place.array, place.index, most=MOST_BYTES)
        values = self._tables.get("values")
        if values is None:
            return array
        if array.dtype != np.int8:
            raise MaskError(
                f"{self._name}: array {place.array}: expected int8 codes, since there "
                f"are values of codes; found {array.dtype}"
            )
        return dequantise(array, values.astype(np.float32))

    def _row(self, name: str, row: int) -> NDArray[Any]:
        table = self._tables[name]
        if table.ndim != 2 or row >= len(table):
            raise MaskError(
                f"{self._name}: {name}: expected frames × objects, "
                f"{counted(len(self._frames), 'frame')}, found the shape {table.shape}"
            )
        return np.asarray(table[row])


@dataclass(frozen=True)
class _Place:
    """Where a frame is in a file.

    Attributes:
        array: The array.
        index: Its place in the array; None for the whole of it.
        row: Its row in the tables of scores.
    """

    array: str
    index: int | None
    row: int


def _frames_of(
    file: ArrayFile,
    tables: Mapping[str, NDArray[Any]],
    video: SplitVideo,
    *,
    partial: bool,
) -> dict[str, _Place]:
    """Find the frames of a video in a file.

    Raises:
        ArchiveError: One is missing, or it is not certain which one is which.
        MaskError: The file has no array of scores.
    """
    own = [name for name in file.names if name not in COMPANIONS]
    if own and all(number_in(name) is not None for name in own):
        numbering = match_frames(
            video, own, where=file.name, suffix="", partial=partial
        )
        rows = {name: row for row, name in enumerate(own)}
        return {
            frame: _Place(name, None, rows[name])
            for frame, name in numbering.stems.items()
        }
    array = score_array(file)
    shape = file.header(array).shape
    length = shape[0] if shape else 0
    if (numbers := tables.get("frames")) is None:
        if length != video.length:
            raise ArchiveError(
                f"{file.name}: expected the {counted(video.length, 'frame')} of the "
                f"video as the first axis, found the shape {shape}; where frames are "
                "missing, say which there are in an array frames of their numbers"
            )
        return {frame: _Place(array, at, at) for at, frame in enumerate(video.frames)}
    if numbers.dtype.kind not in "iu" or numbers.shape != (length,):
        raise MaskError(
            f"{file.name}: frames: expected the numbers of {length} frames, found "
            f"{numbers.dtype} of shape {numbers.shape}"
        )
    places = {str(number): at for at, number in enumerate(numbers.tolist())}
    numbering = match_frames(video, places, where=file.name, suffix="", partial=partial)
    return {
        frame: _Place(array, places[number], places[number])
        for frame, number in numbering.stems.items()
    }


def _require_values(values: NDArray[Any], name: str) -> None:
    """Make sure that the values of codes are such.

    Raises:
        MaskError: They are not.
    """
    if (
        values.dtype.kind != "f"
        or values.shape != (256,)
        or not np.isfinite(values).all()
        or (np.diff(values) < 0).any()
    ):
        raise MaskError(
            f"{name}: values: expected 256 floating-point numbers in ascending order, "
            f"found {values.dtype} of shape {values.shape}"
        )


FORMATS.register(ArrayVideos())
