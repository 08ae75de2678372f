"""NumPy's arrays of logits or probabilities, one file for each frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ...data import SplitVideo
from ...masks import ArrayFile
from ..format import (
    FORMATS,
    ImportHints,
    ScoreReader,
    SoftFrame,
    VideoFiles,
    match_frames,
)
from ..planes import MOST_BYTES, ScorePlanes, frame_arrays, score_array

__all__ = ["ArrayFrames"]


@dataclass(frozen=True)
class ArrayFrames:
    """`<video>/<frame>.npy` or `.npz`."""

    name: str = "numpy-frames"
    order: int = 50
    layout: str = "<video>/<frame>.npy (or .npz)"
    help: str = (
        "logits or probabilities of a frame, objects × height × width at any "
        "resolution, objects in ascending order of their ids, optionally with the "
        "background as the first plane; in a .npz the array is named logits or "
        "probabilities, with objects (the ids), presence and iou as optional arrays"
    )
    soft: bool = True
    package: str | None = None

    def holds(self, files: VideoFiles) -> bool:
        """Whether there are arrays with the names of frames."""
        return bool(frame_arrays(files))

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> ScoreReader:
        """Open a video; see `ImportFormat`."""
        return _FrameArrays(files, video, hints)


class _FrameArrays(ScoreReader):
    """Reads a video with one file for each frame."""

    def __init__(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> None:
        super().__init__()
        self._files = files
        paths = frame_arrays(files)
        any_path = next(iter(paths.values()))
        numbering = match_frames(
            video,
            paths,
            where=files.where,
            suffix=any_path[any_path.rindex(".") :],
            partial=hints.partial,
        )
        self.frames = tuple(numbering.stems)
        self._paths = {frame: paths[stem] for frame, stem in numbering.stems.items()}
        self._planes = ScorePlanes(video, files.where, hints.scores)
        with self._opened(any_path) as file:
            array = score_array(file)
        self._planes.recognise([array, *files.folders(any_path)], self._arrays())

    def scores(self, frame: str) -> SoftFrame:
        """Read a frame; see `ScoreReader`."""
        path = self._paths.get(frame)
        if path is None:
            return self._planes.annotation()
        with self._opened(path) as file:
            found: dict[str, NDArray[Any]] = {
                name: file.read(name)
                for name in ("objects", "presence", "iou")
                if name in file.names
            }
            array = file.read(score_array(file), most=MOST_BYTES)
        return self._planes.scores(array, self._files.label(path), **found)

    def _arrays(self) -> Iterator[NDArray[Any]]:
        for path in self._paths.values():
            with self._opened(path) as file:
                yield file.read(score_array(file), most=MOST_BYTES)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[ArrayFile]:
        with (
            self._files.open(path) as stream,
            ArrayFile(stream, name=self._files.label(path)) as file,
        ):
            yield file


FORMATS.register(ArrayFrames())
