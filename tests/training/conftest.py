from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.png.palette import encode

WriteVideos = Callable[..., Path]


def discs(
    length: int, objects: int, size: tuple[int, int], *, absent: Sequence[int] = ()
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Discs that move over a striped ground: frames, and labels.

    Object 1 is absent in some frames.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    ground = np.stack([(3 * x + 2 * y) % 97, (5 * y) % 113, (x + y) % 89], 2)
    frames, labels = [], []
    for time in range(length):
        frame, found = ground.copy(), np.zeros(size, np.uint8)
        for key in range(1, objects + 1):
            if key == 1 and time in absent:
                continue
            row, column = height * key // (objects + 1), 6 + 3 * time + 4 * key
            inside = (y - row) ** 2 + (x - column) ** 2 < (height / 8) ** 2
            frame[inside] = (70 * key % 256, 250 - 60 * key % 256, 40 * key % 256)
            found[inside] = key
        frames.append(frame.astype(np.uint8))
        labels.append(found)
    return frames, labels


@pytest.fixture
def write_videos(tmp_path: Path) -> WriteVideos:
    """Write a split with a mask for every frame; `absent` are frames by video."""

    def write(
        lengths: Sequence[int] = (10, 12),
        *,
        objects: int = 2,
        size: tuple[int, int] = (48, 80),
        absent: dict[int, Sequence[int]] | None = None,
        root: str = "train",
    ) -> Path:
        folder = tmp_path / root
        for index, length in enumerate(lengths):
            name = f"v{index}"
            for kind in ("JPEGImages", "Annotations"):
                (folder / kind / name).mkdir(parents=True)
            frames, labels = discs(
                length, objects, size, absent=(absent or {}).get(index, ())
            )
            for time, (frame, found) in enumerate(zip(frames, labels, strict=True)):
                Image.fromarray(frame).save(
                    folder / "JPEGImages" / name / f"{time:05d}.jpg", quality=95
                )
                (folder / "Annotations" / name / f"{time:05d}.png").write_bytes(
                    encode(found)
                )
        return folder

    return write
