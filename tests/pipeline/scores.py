"""Scores of a made-up model for the split of `tests.submissions`, for other layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from submit.data import Split
from submit.masks import quantise, to_labels
from submit.pipeline import ImportHints, StepOutcome, export_run, import_masks
from submit.png.palette import read
from submit.runs import Run
from tests.inline import Inline
from tests.submissions import FRAMES, VIDEOS, labels_of

Labels = NDArray[np.uint8]

RUN = "run"


def logits_of(video: str, frame: int) -> NDArray[np.float32]:
    """N×24×32 logits: high where the object is, and rough everywhere."""
    labels = labels_of(video, frame)
    rough = np.random.default_rng(frame).normal(0, 2.5, (len(VIDEOS[video]), 24, 32))
    ids = np.array(VIDEOS[video])[:, None, None]
    return (np.where(labels == ids, 4.0, -4.0) + rough).astype(np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def channels_of(video: str, frame: int) -> NDArray[np.float32]:
    """(1 + N)×24×32 probabilities of a softmax; exactly the annotation in frame 0."""
    if frame == 0:
        labels = labels_of(video, 0)
        return np.stack([labels == key for key in (0, *VIDEOS[video])]).astype(
            np.float32
        )
    logits = logits_of(video, frame)
    powers = np.exp(np.concatenate([np.zeros_like(logits[:1]), logits]))
    return np.asarray(powers / powers.sum(0), np.float32)


def above_half_of(video: str, frame: int) -> Labels:
    """The mask of probabilities of single objects: the highest, if it exceeds 1/2."""
    scores = sigmoid(logits_of(video, frame))
    found = np.where(scores.max(0) > 0.5, scores.argmax(0) + 1, 0)
    return np.asarray(found, np.uint8)


def argmax_of(video: str, frame: int) -> Labels:
    """The mask that a program with such scores writes."""
    return np.asarray(channels_of(video, frame).argmax(0), np.uint8)


def overlaid_of(video: str, frame: int) -> Labels:
    """The mask of logits of single objects, rounded as a run keeps them."""
    logits = logits_of(video, frame)
    return to_labels(quantise(logits), VIDEOS[video], logits.shape[1:])


def take(source: Path, split: Split, **hints: Any) -> StepOutcome:
    """Import into the run beside the split."""
    path = split.root.parent / RUN
    return import_masks(
        source, path, split, executor=Inline(), hints=ImportHints(**hints)
    )


def exported(split: Split, video: str) -> list[Labels]:
    """The masks of a video that the run exports."""
    run = Run.open(split.root.parent / RUN)
    assert not export_run(run, split, executor=Inline()).failed
    folder = run.masks_folder / video
    return [read(folder / f"{frame:05}.png") for frame in range(FRAMES)]
