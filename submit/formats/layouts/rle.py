"""COCO RLE: the masks of a video in one JSON file, or those of all videos.

Where objects overlap, the lowest id wins, as in the folders of objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data import SplitVideo
from ...errors import MaskError
from ...masks import Labels, decode_rle
from ..format import (
    FORMATS,
    ImportHints,
    LabelReader,
    VideoFiles,
    match_frames,
    stems_of,
)

__all__ = ["CocoRle"]


@dataclass(frozen=True)
class CocoRle:
    """`<video>.json`, or one JSON file."""

    name: str = "coco-rle"
    order: int = 70
    layout: str = "SOURCE.json, or <video>.json"
    help: str = (
        "COCO RLE, as {frame: {object: RLE or null}} for each video, or one file of "
        "{video: {frame: …}}, or a COCO file with images (file_name "
        "<video>/<frame>.jpg), or one of YouTube-VIS; --object-key names the field "
        "that holds the object id. Where objects overlap, the lowest id wins"
    )
    soft: bool = False
    package: str | None = None

    def holds(self, files: VideoFiles) -> bool:
        """Whether there is a JSON file with the name of the video."""
        return files.video in stems_of(files.names, suffix=".json")

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> LabelReader:
        """Open a video; see `ImportFormat`."""
        return _RleLabels(files, video, partial=hints.partial)


class _RleLabels(LabelReader):
    """Reads the masks of one video."""

    def __init__(self, files: VideoFiles, video: SplitVideo, *, partial: bool) -> None:
        super().__init__()
        self._video = video
        path = stems_of(files.names, suffix=".json")[video.name]
        self._name = files.label(path)
        frames = _frames(files.read(path), self._name)
        numbering = match_frames(
            video, frames, where=self._name, suffix="", partial=partial
        )
        self.frames = tuple(numbering.stems)
        self._frames: dict[str, Mapping[str, Any]] = {
            frame: frames[stem] for frame, stem in numbering.stems.items()
        }

    def labels(self, frame: str) -> Labels:
        """Read a frame; see `LabelReader`."""
        labels = np.zeros(self._video.size, np.uint8)
        where = f"{self._name}: frame {frame}"
        known = self._video.objects
        masks: dict[int, Any] = {}
        for text, rle in self._frames[frame].items():
            key = int(text) if text.isascii() and text.isdecimal() else None
            if key not in known:
                listed = ", ".join(map(str, known))
                raise MaskError(
                    f"{where}: has the object {text}; the video has {listed}"
                )
            masks[key] = rle
        for key in sorted(masks, reverse=True):
            if masks[key] is None:
                continue
            try:
                labels[decode_rle(masks[key], self._video.size)] = key
            except MaskError as error:
                raise MaskError(f"{where}: object {key}: {error}") from error
        return labels


def _frames(data: bytes, name: str) -> dict[str, Mapping[str, Any]]:
    """Read {frame: {object: RLE or null}}.

    Raises:
        MaskError: It is something else.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MaskError(f"{name}: is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(entry, dict) for entry in content.values()
    ):
        raise MaskError(
            f"{name}: expected {{frame: {{object: RLE or null}}}}, found "
            f"{content!r:.60}"
        )
    return content


FORMATS.register(CocoRle())
