"""Compile all numba functions, so that the first command does not wait for it.

python tools/compile_kernels.py

It runs all commands that use compiled code on a split of two tiny videos. If the
compiled code is in numba's cache already, this takes a few seconds.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from submit.cli import cli
from submit.png.palette import encode

VIDEOS, FRAMES, SIZE = ("a", "b"), 4, (48, 64)

COMMANDS = (
    "predict split --predictor static --name plain",
    "predict split --predictor static --variant hflip --name flipped",
    "ensemble plain flipped --name both --gate all",
    "ensemble plain flipped --name vote --method vote --split split",
    "export both --holes 0.1 --components 0.1 --gaps 1 -o changed",
    "pack both -o both.zip",
    "check both.zip --split split",
    "score both.zip --split split",
    "preview plain both --split split",
    "import both.zip --name taken --split split",
)


def write_split(root: Path) -> None:
    """Write a split of noise with two moving bars, one of them thin."""
    random = np.random.default_rng(0)
    for video in VIDEOS:
        images, masks = root / "JPEGImages" / video, root / "Annotations" / video
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame in range(FRAMES):
            noise = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(noise).save(images / f"{frame:05d}.jpg")
            labels = np.zeros(SIZE, np.uint8)
            labels[4:20, 4 + frame : 30 + frame] = 1
            labels[24:26, 10:40] = 2
            (masks / f"{frame:05d}.png").write_bytes(encode(labels))


def main() -> None:
    """Run the commands, which compiles all functions."""
    quiet = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        os.chdir(folder)
        write_split(Path("split"))
        for line in COMMANDS:
            cli(line.split(), standalone_mode=False)
        os.chdir("/")


if __name__ == "__main__":
    os.environ["SUBMIT_WORKERS"] = "1"
    main()
