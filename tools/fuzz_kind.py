"""A kind of file that is read from outside, and the split that its examples are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzz_mutations import (
    Mutation,
)
from submit.data import Split, read_split
from submit.png import palette

__all__ = ["FRAMES", "HEIGHT", "VIDEOS", "WIDTH", "Kind", "Places", "labels_at"]

HEIGHT, WIDTH, FRAMES = 12, 20, 4
VIDEOS = ("alpha", "beta")


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: Its name in the table.
        file: What the file is called; a refusal must name it. Empty: it has no name.
        sound: The content of a sound one.
        damage: Makes a hostile one of it.
        read: Reads the file as the commands do.
    """

    name: str
    file: str
    sound: bytes
    damage: Mutation
    read: Callable[[Path], object]


def labels_at(frame: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Two boxes that move."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[1:6, 1 + frame : 8 + frame] = 1
    labels[7:11, 4:9] = 2
    return labels


class Places:
    """A split, and a folder for what is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.out.mkdir()
        for video in VIDEOS:
            for number in range(FRAMES):
                labels = labels_at(number)
                image = root / "split" / "JPEGImages" / video / f"{number:05d}.jpg"
                mask = root / "split" / "Annotations" / video / f"{number:05d}.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((labels * 90)[:, :, None].repeat(3, 2)).save(image)
                if number == 0:
                    mask.write_bytes(palette.encode(labels))

    @property
    def split(self) -> Split:
        """The split."""
        return read_split(self.root / "split")

    def folder(self, name: str) -> Path:
        """A new folder."""
        path = self.root / name
        path.mkdir(parents=True)
        return path
