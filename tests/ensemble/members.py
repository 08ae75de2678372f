"""Members of an ensemble in memory, for tests that merge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from submit.masks import VALUES, quantise
from submit.runs import HardVideo
from tests.splits import write_masks

SIZE = (12, 20)


@dataclass
class Member:
    """One video of a run, in memory."""

    logits: list[NDArray[np.int8]]
    objects: tuple[int, ...]
    presence: NDArray[np.float32]
    iou: NDArray[np.float32]
    size: tuple[int, int] = SIZE
    values: NDArray[np.float32] = field(default_factory=VALUES.copy)

    @property
    def frames(self) -> tuple[str, ...]:
        return tuple(f"{index:05d}" for index in range(len(self.logits)))

    def codes(self, index: int) -> NDArray[np.int8]:
        return self.logits[index]

    def close(self) -> None:
        pass


def code(logit: float) -> int:
    """The code of a logit."""
    return int(quantise(np.array([logit], np.float32))[0])


def member(
    seed: int,
    *,
    objects: Sequence[int] = (1, 2),
    shape: tuple[int, int] = (6, 8),
    counts: Sequence[int] = (),
) -> Member:
    """Make a member with random logits; `counts` are its objects in each frame.

    The logits are within ±16, where a mean of logits does not limit them.
    """
    random = np.random.default_rng(seed)
    counts = counts or [len(objects)] * 2
    tables = random.normal(size=(2, len(counts), len(objects))).astype(np.float32)
    tables[random.random(tables.shape) < 0.2] = np.nan
    return Member(
        [random.integers(-96, 97, (n, *shape)).astype(np.int8) for n in counts],
        tuple(objects),
        tables[0],
        tables[1],
    )


def hard_member(
    folder: Path, maps: Sequence[NDArray[np.uint8]], objects: Sequence[int]
) -> HardVideo:
    """Write label maps as a run of another program would have them."""
    paths = write_masks(folder, maps)
    return HardVideo(paths, objects=objects, size=maps[0].shape)
