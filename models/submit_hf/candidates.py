"""What a network of transformers says about the objects of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from submit_sam2.model import Seen

__all__ = ["GivenMasks", "HfCandidates"]


@dataclass(frozen=True)
class HfCandidates:
    """The masks that the decoder offers for N objects; all are drawn.

    Attributes:
        logits: N×K×4h×4w float32.
        ious: N×K float32, their predicted IoU in [0, 1].
        tokens: N×T×C, the tokens of the masks; one of all where the decoder chooses.
        presence: N float32, logit of the object being visible.
    """

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    presence: Tensor

    def select(self, rows: Sequence[int]) -> HfCandidates:
        """Some of the objects, in the order of `rows`, also more than once."""
        index = torch.tensor(rows, device=self.logits.device)
        return HfCandidates(
            self.logits[index],
            self.ious[index],
            self.tokens[index],
            self.presence[index],
        )


@dataclass(frozen=True)
class GivenMasks(Seen):
    """Objects whose masks are given and remembered as they are.

    Attributes:
        masks: N×S×S of zeros and ones.
    """

    masks: Tensor

    def select(self, rows: Sequence[int]) -> GivenMasks:
        """Some of the objects, in the order of `rows`."""
        index = torch.tensor(rows, device=self.logits.device)
        return GivenMasks(**{name: one[index] for name, one in vars(self).items()})
