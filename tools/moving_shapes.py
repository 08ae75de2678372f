"""Write videos of moving shapes, of which any number can be made in seconds.

python tools/moving_shapes.py DIRECTORY --videos 200 --seed 1

Discs, boxes and diamonds with colours and stripes of their own move over a soft ground,
hide each other, and disappear for some frames. All frames have masks.
A narrow network can learn to follow them on a processor (docs/training.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from submit.png.palette import encode

__all__ = ["shapes"]


@click.command(help=__doc__)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--videos", default=200, show_default=True)
@click.option("--frames", default=16, show_default=True, help="Frames of each video.")
@click.option("--size", default="160x96", show_default=True, metavar="WxH")
@click.option("--seed", default=0, show_default=True)
def shapes(directory: Path, videos: int, frames: int, size: str, seed: int) -> None:
    """Write the split."""
    width, height = map(int, size.split("x"))
    for number in range(videos):
        random = np.random.default_rng((seed, number))
        name = f"s{seed:02}v{number:04}"
        for kind in ("JPEGImages", "Annotations"):
            (directory / kind / name).mkdir(parents=True)
        for time, (pixels, labels) in enumerate(
            draw_video(random, frames, (height, width))
        ):
            Image.fromarray(pixels).save(
                directory / "JPEGImages" / name / f"{time:05}.jpg", quality=90
            )
            (directory / "Annotations" / name / f"{time:05}.png").write_bytes(
                encode(labels)
            )


class Shape:
    """One object: where it is, how it looks, and when it is in the frame."""

    def __init__(
        self, random: np.random.Generator, frames: int, size: tuple[int, int]
    ) -> None:
        height, width = size
        self.kind = int(random.integers(3))
        self.radius = height * random.uniform(0.14, 0.26)
        self.place = random.uniform(0.2, 0.8, 2) * size
        angle = random.uniform(0, 2 * np.pi)
        self.speed = (
            random.uniform(0.03, 0.06)
            * height
            * np.array([np.sin(angle), np.cos(angle)])
        )
        self.colours = random.uniform(0, 255, (2, 3))
        self.wave = random.uniform(0.2, 0.7, 2)
        # One in three leaves for some frames, never in the first ones.
        self.away = range(0)
        if random.random() < 0.33:
            begin = int(random.integers(3, max(frames // 2, 4)))
            self.away = range(begin, begin + int(random.integers(2, 6)))
        self.size = np.array([height, width])

    def move(self) -> None:
        """Take a step; edges throw it back."""
        self.place = self.place + self.speed
        outside = (self.place < 0.1 * self.size) | (self.place > 0.9 * self.size)
        self.speed = np.where(outside, -self.speed, self.speed)
        self.place = np.clip(self.place, 0.1 * self.size, 0.9 * self.size)

    def inside(self, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.bool_]:
        """The pixels that it covers."""
        dy, dx = np.abs(y - self.place[0]), np.abs(x - self.place[1])
        if self.kind == 0:
            return np.asarray(np.hypot(dy, dx) < self.radius)
        if self.kind == 1:
            return np.asarray(np.maximum(dy, dx) < 0.85 * self.radius)
        return np.asarray(dy + dx < 1.2 * self.radius)

    def paint(self, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
        """Its colours everywhere: H×W×3."""
        mix = 0.5 + 0.5 * np.sin(
            self.wave[0] * (y - self.place[0]) + self.wave[1] * (x - self.place[1])
        )
        return np.asarray(
            mix[..., None] * self.colours[0] + (1 - mix[..., None]) * self.colours[1]
        )


def draw_video(
    random: np.random.Generator, frames: int, size: tuple[int, int]
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Draw frames and labels, the first object in front of the others."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(float)
    waves = random.uniform(-0.08, 0.08, (3, 2))
    base = random.uniform(60, 190, 3)
    ground = np.stack(
        [
            b + 45 * np.sin(w[0] * y + w[1] * x)
            for b, w in zip(base, waves, strict=True)
        ],
        2,
    )
    ground += random.normal(0, 6, (height, width, 1))
    shapes = [Shape(random, frames, size) for _ in range(int(random.integers(1, 4)))]
    video = []
    for time in range(frames):
        pixels, labels = ground.copy(), np.zeros(size, np.uint8)
        for key in range(len(shapes), 0, -1):
            shape = shapes[key - 1]
            if time not in shape.away:
                inside = shape.inside(y, x)
                pixels[inside] = shape.paint(y, x)[inside]
                labels[inside] = key
            shape.move()
        pixels += random.normal(0, 3, (height, width, 1))
        video.append((pixels.clip(0, 255).astype(np.uint8), labels))
    return video


if __name__ == "__main__":
    shapes()
