"""Measure the cost of idle threads that poll, on a quiet and on a busy machine.

`submit predict` tracks with SAM 2.1 tiny and random weights in one worker. Threads poll
for a short time (the toolkit's setting), for a long time (libgomp's default), or not at
all. The three settings alternate, so that other load slows all of them equally. On the
busy machine one more process per core computes all the time. The soft files must be the
same.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from PIL import Image

from measuring import Usage, measure, show_table
from submit.png.palette import encode
from submit.system.files import digest
from submit.system.machine import cores

__all__ = ["threads"]

#: The environment variables of each setting. libgomp polls 300,000 times by default
#: (config/linux/wait.h and env.c of GCC).
WAYS = {
    "mose-submit": {},
    "libgomp's own": {"GOMP_SPINCOUNT": "300000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}

_WEIGHTS = """
import torch
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS
weights = random_weights(MODELS["sam2.1_hiera_tiny"], gain=2.0)
weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 5
torch.save({"model": weights}, "weights.pt")
"""


@click.command()
@click.option("--image-size", default=256, show_default=True, help="Side of the input.")
@click.option("--frames", default=24, show_default=True)
@click.option("--objects", default=3, show_default=True)
@click.option("--repeat", default=3, show_default=True, help="Runs per setting.")
def threads(image_size: int, frames: int, objects: int, repeat: int) -> None:
    """Track without and with competing load, with three settings of idle threads."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_split(root / "split", frames, objects)
        subprocess.run([sys.executable, "-c", _WEIGHTS], cwd=root, check=True)
        for load in (0, cores()):
            turns: dict[str, list[Usage]] = {way: [] for way in WAYS}
            with _busy(load):
                for turn in range(repeat):
                    for place, (way, environment) in enumerate(WAYS.items()):
                        name = f"run{load}_{turn}_{place}"
                        command = [sys.executable, "-m", "submit", "predict", "split"]
                        command += ["--name", name, "--workers", "1"]
                        command += ["--predictor", "sam2", "--device", "cpu"]
                        for option in (
                            "model=sam2.1_hiera_tiny",
                            "checkpoint=weights.pt",
                            f"image_size={image_size}",
                            "dtype=float32",
                        ):
                            command += ["-o", option]
                        turns[way].append(
                            measure(command, cwd=root, environment=environment)
                        )
            show_table(
                f"{frames} frames, {objects} objects, {cores()} cores, "
                f"{load} busy processes, load average {os.getloadavg()[0]:.1f}, "
                f"median of {repeat}",
                {way: _median(usages) for way, usages in turns.items()},
            )
        found = {digest(path) for path in root.glob("runs/*/soft/*.npz")}
        click.echo(f"\ndifferent soft files: {len(found)} (1 is right)")
        if len(found) != 1:
            sys.exit(1)


def _median(usages: list[Usage]) -> Usage:
    return Usage(
        statistics.median(usage.wall for usage in usages),
        statistics.median(usage.cpu for usage in usages),
        max((usage.memory for usage in usages if usage.memory), default=None),
    )


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Run `count` processes that compute all the time."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _write_split(split: Path, frames: int, objects: int) -> None:
    """Write one video of moving noise, and its first mask."""
    images, masks = split / "JPEGImages" / "v", split / "Annotations" / "v"
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    for frame in range(frames):
        Image.fromarray(np.roll(noise, frame, 1)).save(images / f"{frame:05d}.jpg")
    labels = np.zeros((180, 320), np.uint8)
    for key in range(1, objects + 1):
        left = 300 * (key - 1) // objects
        labels[20 * key % 120 :, left : left + 250 // objects][:50] = key
    (masks / "00000.png").write_bytes(encode(labels))
