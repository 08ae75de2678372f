"""The mirror image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...predictors import (
    Box,
    Frame,
    Mask,
    Point,
    Points,
    Prediction,
    Prompt,
    Prompts,
    Session,
)
from ..augmentation import AUGMENTATIONS, Augmentation

__all__ = ["Hflip"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Hflip(Augmentation):
    """The mirror image; the flip of a flip is the plain result to the bit."""

    name = "hflip"
    order = 10
    depth = 20

    def wrap(self, session: Session) -> Session:
        """Return a session that shows the mirror image to this one."""
        return _FlippedSession(session)


class _FlippedSession:
    """Shows a session the mirror image, and mirrors back what it says."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        flipped = {
            key: _flip_prompt(prompt, frame.shape[1]) for key, prompt in prompts.items()
        }
        return _flip_prediction(self._inner.step(_flip(frame), flipped))

    def close(self) -> None:
        self._inner.close()


def _flip(array: Frame) -> Frame:
    return np.ascontiguousarray(array[:, ::-1])


def _flip_prompt(prompt: Prompt, width: int) -> Prompt:
    if isinstance(prompt, Mask):
        return Mask(np.ascontiguousarray(prompt.pixels[:, ::-1]))
    if isinstance(prompt, Box):
        return Box(width - prompt.right, prompt.top, width - prompt.left, prompt.bottom)
    if isinstance(prompt, Points):
        # Whole numbers are centres of pixels here, and edges in a box.
        return Points(
            tuple(Point(width - 1 - x, y, inside) for x, y, inside in prompt.points)
        )
    return prompt


def _flip_prediction(prediction: Prediction) -> Prediction:
    return Prediction(
        objects=prediction.objects,
        logits=np.ascontiguousarray(prediction.logits[:, :, ::-1]),
        presence=prediction.presence,
        iou=prediction.iou,
    )
