"""The losses, for each pass of the mask decoder.

Matches `MultiStepMultiMasksAndIous` of training/loss_fns.py (facebookresearch/sam2
@ 2b90b9f). Sums over frames, passes and objects are left to the caller, and so is the
division by the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model import ABSENT
from .options import LossTable

__all__ = ["PARTS", "Pass", "judge", "pooled", "similarity"]

#: The parts of the loss, in the order in which `judge` returns them.
PARTS = ("mask", "dice", "iou", "presence")
_ALPHA, _GAMMA = 0.25, 2


@dataclass(frozen=True)
class Pass:
    """What one pass of the decoder says of N objects.

    Attributes:
        frame: Which frame of the clip.
        logits: N×K×h×w float32 of K candidates, whether the object is present or not.
        iou: N×K, predicted IoU of the candidates.
        presence: N, logit of the object being visible.
        image: N×h·w×C, the features it was found in; those that know of no memory
            where it was given.
    """

    frame: int
    logits: Tensor
    iou: Tensor
    presence: Tensor
    image: Tensor


def judge(
    logits: Tensor, iou: Tensor, presence: Tensor, truth: Tensor, table: LossTable
) -> Tensor:
    """Compare one pass with the truth.

    Args:
        logits: N×K×h×w; resized where the truth has another size.
        iou: N×K.
        presence: N.
        truth: Bool N×S×S.
        table: Weights, by which the best candidate is chosen, and kinds of losses.

    Returns:
        The four `PARTS`, not weighted: each the sum over objects. All but the last
        count for objects that are visible.
    """
    visible = truth.flatten(1).any(1).float()
    presence, iou = presence.float(), iou.float()
    score = F.binary_cross_entropy_with_logits(presence, visible, reduction="sum")
    if table.gate:
        logits = torch.where((presence > 0)[:, None, None, None], logits, ABSENT)
    if logits.shape[2:] != truth.shape[1:]:
        logits = F.interpolate(
            logits, size=truth.shape[1:], mode="bilinear", align_corners=False
        )
    target = truth[:, None].float().expand_as(logits)
    mask = _cross_entropy(logits, target, focal=table.focal)
    dice = _dice(logits, target)
    off = (iou - _iou(logits, truth)).abs().mean(1)
    best = (table.mask * mask + table.dice * dice).argmin(1, keepdim=True)
    parts = torch.stack((mask.gather(1, best)[:, 0], dice.gather(1, best)[:, 0], off))
    return torch.cat(((parts * visible).sum(1), score[None]))


def _cross_entropy(logits: Tensor, target: Tensor, *, focal: bool) -> Tensor:
    """Mean over pixels of the (focal) cross-entropy: N×K."""
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if focal:
        probability = logits.sigmoid()
        right = probability * target + (1 - probability) * (1 - target)
        weight = _ALPHA * target + (1 - _ALPHA) * (1 - target)
        loss = weight * loss * (1 - right) ** _GAMMA
    return loss.flatten(2).mean(2)


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    """One less the Dice coefficient of soft masks: N×K."""
    probability, target = logits.sigmoid().flatten(2), target.flatten(2)
    both = 2 * (probability * target).sum(2)
    return 1 - (both + 1) / (probability.sum(2) + target.sum(2) + 1)


def _iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of hard masks, without a gradient: N×K."""
    found, truth = logits.flatten(2) > 0, truth.flatten(1)[:, None]
    either = (found | truth).sum(2).clamp(min=1)
    return (found & truth).sum(2) / either


def pooled(image: Tensor, truth: Tensor) -> Tensor:
    """Mean of features N×l·l×C inside of masks, bool N×S×S: N×C, 0 for empty ones."""
    side = round(image.shape[1] ** 0.5)
    weights = F.adaptive_avg_pool2d(truth[:, None].float(), side).flatten(1)  # N×l·l
    total = weights.sum(1, keepdim=True).clamp(min=1e-6)
    return torch.einsum("nl,nlc->nc", weights, image.float()) / total


def similarity(features: Tensor, anchors: Tensor, counts: Tensor) -> Tensor:
    """Our similarity loss: one less the cosine, summed over the objects that count.

    Args:
        features: N×C, `pooled` from features that know of the object.
        anchors: N×C, `pooled` where the object was given.
        counts: Bool N, whether it is visible in both.
    """
    cosine = F.cosine_similarity(features, anchors.detach(), 1)
    return ((1 - cosine) * counts).sum()
