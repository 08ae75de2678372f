"""Prompt simulation: how objects are given to the network in training.

Matches `prepare_prompt_inputs` of training/model/sam2.py and the samplers of
sam2/modeling/sam2_utils.py (facebookresearch/sam2 @ 2b90b9f), with random numbers drawn
in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..modeling.prompt_encoder import BOTTOM_RIGHT, TOP_LEFT, Click
from .options import PromptTable

__all__ = ["PromptPlan", "draw_box", "draw_click", "draw_plan"]

#: Noise on the corners of a box: a share of its sides, and most pixels.
_BOX_NOISE, _BOX_NOISE_PIXELS = 0.1, 20


@dataclass(frozen=True)
class PromptPlan:
    """Who is given how, for all objects of a batch.

    Attributes:
        given: Frames in which objects are given, the first frame first.
        boxes: Of the given frames, those with a box; None where masks are given.
            The others have one click.
        corrected: For each frame with corrections: for each of its clicks, whether it
            is drawn from the truth and not from what is wrong in the prediction.
    """

    given: tuple[int, ...]
    boxes: frozenset[int] | None
    corrected: dict[int, tuple[bool, ...]]

    @property
    def masks(self) -> bool:
        """Whether objects are given as masks."""
        return self.boxes is None

    def passes(self, frames: int) -> int:
        """How often the mask decoder runs in a clip of some frames."""
        first = frames - len(self.given) * self.masks
        return first + sum(map(len, self.corrected.values()))


def draw_plan(
    random: np.random.Generator,
    frames: int,
    table: PromptTable,
    *,
    visible: Sequence[int] | None = None,
) -> PromptPlan:
    """Decide how the objects of a clip are given.

    Args:
        random: Source of all decisions.
        frames: Length of the clip.
        table: What is drawn how often.
        visible: Frames, without the first, in which further prompts may stand; None
            for all.
    """
    most_given, most_corrected = table.frames, table.corrected
    share = table.points
    if frames == 1:
        # A mask on a still image leaves nothing to predict.
        most_given, most_corrected, share = 1, 1, 1.0
    by_points = random.random() < share
    count = most_given
    if count > 1:
        count = int(random.integers(1, count, endpoint=True))
    corrections = most_corrected
    if by_points and corrections > count:
        corrections = int(random.integers(count, corrections, endpoint=True))
    others = list(range(1, frames)) if visible is None else list(visible)
    given = [0, *_choose(random, others, count - 1)]
    if not by_points:
        return PromptPlan(tuple(given), None, {})
    boxes = frozenset(frame for frame in given if random.random() < table.boxes)
    rest = [frame for frame in range(frames) if frame not in given]
    corrected = [*given, *_choose(random, rest, corrections - count)]
    # In the order in which the frames are processed.
    order = [*given, *rest]
    return PromptPlan(
        tuple(given),
        boxes,
        {
            frame: tuple(
                table.from_truth > 0 and random.random() < table.from_truth
                for _ in range(table.clicks)
            )
            for frame in order
            if frame in corrected
        },
    )


def _choose(
    random: np.random.Generator, frames: Sequence[int], count: int
) -> list[int]:
    """Choose some frames; no number is drawn for none."""
    if count < 1 or not frames:
        return []
    chosen = random.choice(np.asarray(frames), min(count, len(frames)), replace=False)
    return [int(frame) for frame in chosen]


def draw_click(truth: Tensor, predicted: Tensor | None) -> Click:
    """Click once on each of N objects where the prediction is wrong.

    Where it is right everywhere, the click is on the background.

    Args:
        truth: Bool N×S×S.
        predicted: Bool N×S×S; None for nothing.
    """
    if predicted is None:
        predicted = torch.zeros_like(truth)
    right = (truth == predicted).flatten(1).all(1)[:, None, None]
    # Random numbers compete: those of what should not be there, and of what is missing.
    lots = torch.rand(len(truth), 1, *truth.shape[1:], 2, device=truth.device)[:, 0]
    lots[..., 0] *= (~truth & predicted) | (right & ~truth)
    lots[..., 1] *= truth & ~predicted
    best = lots.flatten(1).argmax(1)
    kinds, pixels = (best % 2).int(), best // 2
    width = truth.shape[2]
    places = torch.stack((pixels % width, pixels // width), 1).float()
    return Click(places[:, None], kinds[:, None])


def draw_box(truth: Tensor) -> Click:
    """Put a box around each of N objects, not quite exactly: its two corners.

    Args:
        truth: Bool N×S×S; the box of an empty mask means nothing, as officially.
    """
    count, height, width = truth.shape
    device = truth.device
    columns = torch.arange(width, device=device, dtype=torch.int32)
    rows = torch.arange(height, device=device, dtype=torch.int32)
    across, down = truth.any(1), truth.any(2)
    box = torch.stack(
        (
            torch.where(across, columns, width).amin(1),
            torch.where(down, rows, height).amin(1),
            torch.where(across, columns, -1).amax(1),
            torch.where(down, rows, -1).amax(1),
        ),
        1,
    )
    sides = box[:, 2:] - box[:, :2]
    reach = (sides * _BOX_NOISE).clamp(max=_BOX_NOISE_PIXELS).repeat(1, 2)
    noise = 2 * torch.rand(count, 1, 4, device=device)[:, 0] - 1
    limits = torch.tensor([width, height, width, height], device=device) - 1
    corners = (box + noise * reach).clamp(min=0).minimum(limits).reshape(count, 2, 2)
    kinds = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=device, dtype=torch.int32)
    return Click(corners, kinds.expand(count, 2))
