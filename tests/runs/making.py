"""Runs for tests: small, and of noise."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from submit.runs import Identity, Run, SoftWriter, VideoRecord
from submit.system.files import digest
from tests.splits import write_masks

__all__ = ["SETTINGS", "SPLIT", "add_hard", "add_soft", "identity", "make_run"]

SPLIT = {"path": "/data/valid", "fingerprint": "f" * 64}
SETTINGS: dict[str, Any] = {
    "predictor": "static",
    "options": {"size": 512, "threshold": 0.5},
    "tta": ["hflip"],
}


def identity(**changes: Any) -> Identity:
    wanted = {"kind": "predict", "settings": SETTINGS, "split": SPLIT, **changes}
    return Identity(**{"videos": ("v", "w"), **wanted})


def make_run(path: Path, *videos: str, **changes: Any) -> Run:
    """Make or continue a run, with some soft videos."""
    with Run.making(path, identity(**changes)) as run:
        for seed, video in enumerate(videos):
            add_soft(run, video, seed)
    return run


def add_soft(run: Run, video: str = "v", seed: int = 0, **more: Any) -> VideoRecord:
    """Write a soft file of three frames; the run must be held."""
    path = run.soft_path(video)
    random = np.random.default_rng(seed)
    with SoftWriter(path, size=(20, 30)) as writer:
        for index in range(3):
            logits = random.normal(0, 6, (2, 5, 7)).astype(np.float32)
            writer.write(f"{index:05d}", (1, 2), logits, None, None)
    record = VideoRecord(
        frames=3,
        objects=(1, 2),
        size=(20, 30),
        seconds=1.5,
        digest=digest(path),
        details={"agreement": 0.5},
        **more,
    )
    run.add(video, record)
    return record


def add_hard(
    run: Run, video: str = "v", *, frames: tuple[str, ...] = ("2", "10")
) -> Path:
    """Write masks, as earlier versions recorded them; the run must be held."""
    folder = run.masks_folder / video
    shutil.rmtree(folder, ignore_errors=True)
    write_masks(folder, dict.fromkeys(frames, np.ones((20, 30), np.uint8)))
    run.add(
        video,
        VideoRecord(
            frames=len(frames),
            objects=(1,),
            size=(20, 30),
            seconds=1,
            digest=digest(folder),
            soft=False,
        ),
    )
    return folder
