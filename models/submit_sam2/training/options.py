"""The tables of a recipe that are SAM 2's own; defaults are the official recipe.

The numbers are those of sam2/configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LossTable", "PromptTable"]


@dataclass(frozen=True)
class PromptTable:
    """How objects are given to the network."""

    points: float = 0.5
    boxes: float = 0.5
    frames: int = 2
    corrected: int = 2
    clicks: int = 7
    from_truth: float = 0.1


@dataclass(frozen=True)
class LossTable:
    """What is wrong, and how much each kind of it weighs."""

    mask: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    presence: float = 1.0
    similarity: float = 0.0
    focal: bool = True
    gate: bool = True
