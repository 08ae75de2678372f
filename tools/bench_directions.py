"""Measure `submit predict` in both directions against forward: time and memory.

The video has a prompt in its last frame, so that the backward pass covers all of it:
the longest case. Frames are small, so that what the toolkit does itself counts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

from measuring import Usage, measure, show_table
from submit.png.palette import encode

__all__ = ["directions"]

#: `both` may take so many times as long as forward …
_MOST_TIME = 2.1
#: … and a longer video so many times as much memory.
_MOST_MEMORY = 1.1


@click.command()
@click.option("--frames", default=400, show_default=True, help="For the time.")
@click.option("--long", default=8000, show_default=True, help="For the memory.")
@click.option("--repeat", default=3, show_default=True, help="Each time, the median.")
@click.option("--predictor", default="classical", show_default=True)
def directions(frames: int, long: int, repeat: int, predictor: str) -> None:
    """Predict a video forward, backward and in both directions.

    The exit status is 1 if `both` takes more than 2.1 times as long as forward, or if
    memory grows with the length of the video.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_split(root / "short", frames)
        _predict(root, "short", "both", "first", predictor)  # Loads compiled code.
        turns: dict[str, list[Usage]] = {"forward": [], "backward": [], "both": []}
        for turn in range(repeat):
            for way, usages in turns.items():
                usages.append(_predict(root, "short", way, f"{way}{turn}", predictor))
        medians = {way: _median(usages) for way, usages in turns.items()}
        show_table(
            f"{predictor}, {frames} frames, 3 objects, load average "
            f"{os.getloadavg()[0]:.1f}, median of {repeat}",
            medians,
        )
        ratio = medians["both"].cpu / medians["forward"].cpu
        growth = {}
        for way in turns:
            sizes: dict[str, Usage] = {}
            for length in (long // 8, long):
                _write_split(root / "long", length)
                sizes[f"{length} frames"] = _predict(root, "long", way, way, "static")
                shutil.rmtree(root / "runs" / way)
            show_table(f"static, {way}", sizes)
            least, most = (usage.memory or 0 for usage in sizes.values())
            growth[way] = most / least if least else 1.0
    click.echo(f"\nboth: {ratio:.2f} times forward (at most {_MOST_TIME} is right)")
    for way, times in growth.items():
        click.echo(
            f"{way}: {times:.2f} times the memory for 8 times the frames (at most "
            f"{_MOST_MEMORY} is right)"
        )
    if ratio > _MOST_TIME or max(growth.values()) > _MOST_MEMORY:
        sys.exit(1)


def _predict(root: Path, split: str, way: str, name: str, predictor: str) -> Usage:
    command: list[str | Path] = [sys.executable, "-m", "submit", "predict", split]
    command += ["--predictor", predictor, "--name", name, "--workers", "1"]
    command += ["--prompts", f"{split}.json", "--direction", way]
    return measure(command, cwd=root)


def _median(usages: list[Usage]) -> Usage:
    return Usage(
        statistics.median(usage.wall for usage in usages),
        statistics.median(usage.cpu for usage in usages),
        max((usage.memory for usage in usages if usage.memory), default=None),
    )


def _write_split(split: Path, frames: int) -> None:
    """Write one video of moving noise, its first mask, and a prompt in its last frame.

    A longer one continues a shorter one.
    """
    images, masks = split / "JPEGImages" / "v", split / "Annotations" / "v"
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    for frame in range(len(list(images.iterdir())), frames):
        Image.fromarray(np.roll(noise, frame, 1)).save(images / f"{frame:05d}.jpg")
    labels = np.zeros((90, 160), np.uint8)
    for key in (1, 2, 3):
        labels[20 * key :, 50 * key - 40 :][:25, :30] = key
    (masks / "00000.png").write_bytes(encode(labels))
    box = {"box": [10, 10, 50, 40]}
    given = {f"{frames - 1:05d}": {str(key): box for key in (1, 2, 3)}}
    content = {"version": 1, "videos": {"v": given}}
    split.with_suffix(".json").write_text(json.dumps(content))
