"""The results of other programs, as they write them, for `tests.submissions`.

Volumes are written with h5py in the layout of hickle 5.0.3, as `tests.masks` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.masks import encode_rle
from submit.png.palette import write
from tests.pipeline.scores import (
    Labels,
    above_half_of,
    channels_of,
    logits_of,
    overlaid_of,
    sigmoid,
)
from tests.submissions import FRAMES, VIDEOS, A, B, C, labels_of, write_masks

__all__ = [
    "SHUFFLED",
    "WRITERS",
    "Writer",
    "by_cutie",
    "volume_of",
    "write_hickle",
    "write_scores",
]

#: Channels of XMem are in the order in which it meets objects.
SHUFFLED = {A: (2, 1), B: (1,), C: (3, 1, 2)}


def volume_of(video: str, frame: int) -> NDArray[np.uint8]:
    """As both programs cut probabilities off to bytes."""
    return (channels_of(video, frame) * 255).astype(np.uint8)


def write_hickle(path: Path, data: Any) -> None:
    """Write an array or a table of channels."""
    h5py: Any = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if isinstance(data, Mapping):
            group = file.create_group("data")
            for key, value in data.items():
                group.create_dataset(str(key), data=value)
        else:
            file.create_dataset("data", data=data, compression="lzf")


def write_scores(
    root: Path, order: Mapping[str, Sequence[int]], *, table: bool, last: bool = True
) -> Path:
    """The volumes of each video with the objects in an order of channels."""
    for video, objects in order.items():
        for frame in range(FRAMES if last else FRAMES - 1):
            rows = [0, *(1 + VIDEOS[video].index(key) for key in objects)]
            volume = volume_of(video, frame)[rows]
            write_hickle(root / video / f"{frame:05}.hkl", volume)
        if table:
            channels = {key: at for at, key in enumerate(objects, start=1)}
            write_hickle(root / video / "backward.hkl", channels)
    return root


def by_cutie(root: Path) -> Path:
    """All that Cutie writes: the last frame has a mask and no scores."""
    write_scores(root / "Scores", VIDEOS, table=False, last=False)
    for video in VIDEOS:
        for frame in range(FRAMES):
            path = root / "Annotations" / video / f"{frame:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, volume_of(video, frame).argmax(0).astype(np.uint8))
    return root


def _xmem(root: Path) -> None:
    write_scores(root / "Scores", SHUFFLED, table=True)


def _davis(root: Path) -> None:
    write_masks(root / "Annotations" / "480p")


def _youtube(root: Path) -> None:
    write_masks(root / "Annotations")


def _objects(root: Path) -> None:
    for video, objects in VIDEOS.items():
        for key in objects:
            folder = root / video / f"{key:03}"
            folder.mkdir(parents=True)
            for frame in range(FRAMES):
                mask = labels_of(video, frame) == key
                Image.fromarray(mask).save(folder / f"{frame:05}.png")


def _numpy_frames(root: Path) -> None:
    for video in VIDEOS:
        folder = root / "logits" / video
        folder.mkdir(parents=True)
        for frame in range(FRAMES):
            np.save(folder / f"{frame:05}.npy", logits_of(video, frame))


def _numpy_videos(root: Path) -> None:
    root.mkdir(parents=True)
    for video in VIDEOS:
        scores = [sigmoid(logits_of(video, frame)) for frame in range(FRAMES)]
        np.savez_compressed(root / f"{video}.npz", probabilities=np.stack(scores))


def _coco_rle(root: Path) -> None:
    root.mkdir(parents=True)
    for video, objects in VIDEOS.items():
        frames = {
            f"{frame:05}": {
                str(key): encode_rle(labels_of(video, frame) == key) for key in objects
            }
            for frame in range(FRAMES)
        }
        (root / f"{video}.json").write_text(json.dumps(frames))


def _argmax_of(video: str, frame: int) -> Labels:
    return np.asarray(volume_of(video, frame).argmax(0), np.uint8)


@dataclass(frozen=True)
class Writer:
    """A program's way to write its results.

    Attributes:
        layout: The layout that it has.
        soft: Whether it writes scores.
        write: Writes them into a new folder.
        mask: The mask of a frame that they stand for.
    """

    layout: str
    soft: bool
    write: Callable[[Path], object]
    mask: Callable[[str, int], Labels]


#: By what is written.
WRITERS = {
    "palette": Writer("frames", False, write_masks, labels_of),
    "davis": Writer("frames", False, _davis, labels_of),
    "youtube-vos": Writer("frames", False, _youtube, labels_of),
    "objects": Writer("objects", False, _objects, labels_of),
    "cutie": Writer("cutie", True, by_cutie, _argmax_of),
    "xmem": Writer("xmem", True, _xmem, _argmax_of),
    "numpy logits": Writer("numpy-frames", True, _numpy_frames, overlaid_of),
    "numpy probabilities": Writer("numpy-videos", True, _numpy_videos, above_half_of),
    "coco-rle": Writer("coco-rle", False, _coco_rle, labels_of),
}
