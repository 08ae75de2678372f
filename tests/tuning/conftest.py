from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from submit.data import Split, read_split
from submit.runs import Identity, Run, SoftWriter, VideoRecord
from submit.system.files import digest
from tests.inline import Inline
from tests.splits import write_split

SIZE = (36, 48)
FRAMES = 9


def truth(video: int, frame: int) -> NDArray[np.uint8]:
    """Two discs: one moves, leaves and returns, the other one stays."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    labels = np.zeros(SIZE, np.uint8)
    if frame not in (4, 5):
        labels[(rows - 10) ** 2 + (columns - 8 - 3 * frame) ** 2 < 40 + video] = 1
    labels[(rows - 26) ** 2 + (columns - 14 - 2 * video) ** 2 < 50] = 2
    return labels


def write_truth(root: Path, videos: int) -> Split:
    """Write a split with complete truth."""
    shown = {
        f"v{video}": [truth(video, frame) for frame in range(FRAMES)]
        for video in range(videos)
    }
    return read_split(write_split(root, shown))


def write_run(
    path: Path,
    split: Split,
    *,
    noise: float,
    seed: int = 0,
    signal: float = 3.0,
    skip: Sequence[str] = (),
    prompts: bool = False,
) -> Run:
    """Write a run whose logits are those of the truth times `signal`, and noise."""
    settings = {"name": path.name, **({"prompts": "digest"} if prompts else {})}
    identity = Identity.of("predict", settings, split)
    random = np.random.default_rng(seed)
    with Run.making(path, identity) as run:
        for index, (video, entry) in enumerate(split.videos.items()):
            if video in skip:
                continue
            soft = run.soft_path(video)
            with SoftWriter(soft, size=SIZE) as writer:
                for frame, stem in enumerate(entry.frames):
                    labels = truth(index, frame)[::2, ::2]
                    inside = np.stack([labels == key for key in (1, 2)])
                    logits = signal * np.where(inside, 1.0, -1.0)
                    logits += noise * random.normal(size=logits.shape)
                    seen = inside.any(axis=(1, 2))
                    scores = np.where(seen, 4.0, -4.0)
                    scores += noise * random.normal(size=2)
                    presence = scores.astype(np.float32)
                    writer.write(stem, (1, 2), logits, presence, None)
            run.add(video, VideoRecord(FRAMES, (1, 2), SIZE, 0.1, digest(soft)))
    return run


class MakeSplit(Protocol):
    """Calls `write_truth` for a folder of the test."""

    def __call__(self, videos: int, *, name: str = "split") -> Split: ...


class MakeRun(Protocol):
    """Calls `write_run` for a run of the test."""

    def __call__(self, name: str, split: Split, **more: Any) -> Run: ...


@pytest.fixture
def make_split(tmp_path: Path) -> MakeSplit:
    def make(videos: int, *, name: str = "split") -> Split:
        return write_truth(tmp_path / name, videos)

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(name: str, split: Split, **more: Any) -> Run:
        return write_run(tmp_path / "runs" / name, split, **more)

    return make


@pytest.fixture
def inline() -> Inline:
    return Inline()
