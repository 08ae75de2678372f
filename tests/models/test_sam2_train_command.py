"""`submit train` of a narrow network: processes and breaks change no weight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from submit.png.palette import encode

pytestmark = pytest.mark.slow

#: Two clips a step, with clicks or masks, dropout and a moving average.
RECIPE = """
trainer = "sam2"
[model]
name = "sam2.1_narrow"
scratch = true
image_size = 64
threads = 1
[prompts]
clicks = 1
[[data]]
path = "train"
[clips]
length = 3
objects = 2
[schedule]
steps = 5
clips = 2
[optimiser]
rate = 1e-3
[average]
decay = 0.9
[run]
save = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the recipe and its data."""
    random = np.random.default_rng(0)
    for video in range(3):
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / "train" / kind / f"v{video}").mkdir(parents=True)
        for time in range(5):
            pixels = random.integers(0, 256, (48, 64, 3), np.uint8)
            labels = np.zeros((48, 64), np.uint8)
            labels[8:24, 4 + 3 * time : 24 + 3 * time] = 1
            labels[28:44, 20:40] = 2
            pixels[labels > 0] = 200
            name = f"v{video}/{time:05}"
            Image.fromarray(pixels).save(tmp_path / "train" / f"JPEGImages/{name}.jpg")
            (tmp_path / "train" / f"Annotations/{name}.png").write_bytes(encode(labels))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def train(folder: Path, name: str, *more: str, processes: int = 1) -> dict[str, Any]:
    """Run the command; returns what it saved at its end."""
    several = ("-m", "torch.distributed.run", "--nproc-per-node", str(processes))
    place = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")
    subprocess.run(
        [
            sys.executable,
            *((*several, *place) if processes > 1 else ()),
            *("-m", "submit", "train", "recipe.toml", "--name", name),
            *("--device", "cpu", *more),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    path = folder / "trainings" / name / "last.pt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def assert_equal(one: Any, other: Any, place: str = "") -> None:
    """Compare saved states, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key, value in one.items():
            assert_equal(value, other[key], f"{place} {key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for index, value in enumerate(one):
            assert_equal(value, other[index], f"{place} {index}")
    else:
        assert one == other, place


def test_two_processes_equal_one_that_takes_two_batches(folder: Path) -> None:
    one = train(folder, "one", "--workers", "0")
    two = train(folder, "two", "--workers", "0", processes=2)
    # Sums of two numbers do not depend on their order.
    assert_equal(one, two)


def test_a_break_at_any_step_and_other_workers_change_nothing(folder: Path) -> None:
    whole = train(folder, "whole", "--workers", "2")
    step = int(np.random.default_rng().integers(1, 5))
    train(folder, "parted", "--workers", "0", "--until", str(step))
    assert_equal(whole, train(folder, "parted", "--workers", "1"), f"at step {step}")
