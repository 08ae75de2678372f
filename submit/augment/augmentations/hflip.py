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
)
from ..augmentation import AUGMENTATIONS
from ..view import FrameAugmentation

__all__ = ["Hflip"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Hflip(FrameAugmentation):
    """The mirror image; the flip of a flip is the plain result to the bit."""

    name = "hflip"
    order = 10
    depth = 20

    def show(self, frame: Frame) -> Frame:
        """The mirror image of a frame."""
        return np.ascontiguousarray(frame[:, ::-1])

    def show_prompts(self, prompts: Prompts, width: int) -> Prompts:
        """The prompts of the mirror image."""
        return {key: _flip_prompt(prompt, width) for key, prompt in prompts.items()}

    def back(self, prediction: Prediction) -> Prediction:
        """Mirror a prediction back."""
        return Prediction(
            objects=prediction.objects,
            logits=np.ascontiguousarray(prediction.logits[:, :, ::-1]),
            presence=prediction.presence,
            iou=prediction.iou,
        )


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
