"""Tiny splits and folders of masks: the tests write theirs here and nowhere else.

A test says what a video shows by its label maps, H×W of uint8 object ids, one a frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from submit.png.palette import encode

__all__ = ["Labels", "Shown", "bars", "meta_of", "write_masks", "write_split"]

Labels = NDArray[np.uint8]
#: The label maps of a video by the names of its frames; a sequence counts from 00000.
Shown = Mapping[str, Labels] | Sequence[Labels]


def numbered(shown: Shown) -> dict[str, Labels]:
    """Label maps by the names of their frames."""
    if isinstance(shown, Mapping):
        return dict(shown)
    return {f"{number:05d}": labels for number, labels in enumerate(shown)}


def write_masks(folder: Path, shown: Shown) -> dict[str, Path]:
    """Write the masks of one video into a new folder; returns the files by frame."""
    folder.mkdir(parents=True)
    paths = {}
    for frame, labels in numbered(shown).items():
        paths[frame] = folder / f"{frame}.png"
        paths[frame].write_bytes(encode(labels))
    return paths


def write_pictures(folder: Path, shown: Shown, random: np.random.Generator) -> None:
    """Write the frames of one video into a new folder: bright objects in noise."""
    folder.mkdir(parents=True)
    for frame, labels in numbered(shown).items():
        noise = random.integers(0, 60, (*labels.shape, 3), dtype=np.uint8)
        picture = noise + (90 * labels)[:, :, None]
        Image.fromarray(picture).save(folder / f"{frame}.jpg", quality=90)


def meta_of(videos: Mapping[str, Shown]) -> dict[str, dict[str, Any]]:
    """What a meta file of the official form says of videos."""
    found = {}
    for video, shown in videos.items():
        maps = list(numbered(shown).values())
        height, width = maps[0].shape
        objects = [str(key) for key in np.unique(maps[0]) if key]
        found[video] = {
            "length": len(maps),
            "height": height,
            "width": width,
            "objects": objects,
        }
    return found


def write_split(
    root: Path,
    videos: Mapping[str, Shown],
    *,
    annotated: int | None = None,
    pictures: bool = True,
    between: str = "",
    meta: Mapping[str, Any] | None = None,
) -> Path:
    """Write a split, or add videos to one; returns its folder.

    The first `annotated` frames of each video have masks, all of them if None.
    `between` is a folder as DAVIS has it, and `meta` are the videos of a meta file.
    """
    random = np.random.default_rng(0)
    for video, shown in videos.items():
        if pictures:
            write_pictures(root / "JPEGImages" / between / video, shown, random)
        truth = dict(list(numbered(shown).items())[:annotated])
        write_masks(root / "Annotations" / between / video, truth)
    if meta is not None:
        (root / "meta.json").write_text(json.dumps({"videos": meta}))
    return root


def bars(
    frames: Sequence[str], objects: Sequence[int], size: tuple[int, int]
) -> dict[str, Labels]:
    """A video in which each object is a bar that moves down."""
    shown = {}
    for index, frame in enumerate(frames):
        labels = np.zeros(size, np.uint8)
        for place, key in enumerate(objects):
            labels[2 + index : 9 + index, 2 + 5 * place : 6 + 5 * place] = key
        shown[frame] = labels
    return shown
