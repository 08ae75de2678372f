"""The prompt encoder: embeds masks as images, and points and boxes as tokens.

Matches sam2/modeling/sam/prompt_encoder.py (facebookresearch/sam2 @ 2b90b9f). A frame
without points has the two tokens of "no point".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ChannelNorm
from .position import FourierGrid

__all__ = ["BOTTOM_RIGHT", "INSIDE", "OUTSIDE", "TOP_LEFT", "Click", "PromptEncoder"]

#: Kinds of points: outside and inside of the object, and two corners of a box.
OUTSIDE, INSIDE, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3
_POINT_KINDS = 4
_MASK_CHANNELS = 16


@dataclass(frozen=True)
class Click:
    """Points on N objects; a box is two.

    Attributes:
        places: N×P×2 float32, x and y in pixels of the input.
        kinds: N×P int32; see `PromptEncoder.points`.
    """

    places: Tensor
    kinds: Tensor

    def __len__(self) -> int:
        return self.kinds.shape[1]

    def __add__(self, other: Click) -> Click:
        return Click(
            torch.cat((self.places, other.places), 1),
            torch.cat((self.kinds, other.kinds), 1),
        )

    def ends(self, count: int) -> Click:
        """The first and the last points, `count` each; all if there are no more."""
        if len(self) <= 2 * count:
            return self
        first = Click(self.places[:, :count], self.kinds[:, :count])
        return first + Click(self.places[:, -count:], self.kinds[:, -count:])


class PromptEncoder(nn.Module):
    """Embeds masks and points, or their absence."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pe_layer = FourierGrid(channels // 2)
        self.point_embeddings = nn.ModuleList(
            nn.Embedding(1, channels) for _ in range(_POINT_KINDS)
        )
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.no_mask_embed = nn.Embedding(1, channels)
        quarter = _MASK_CHANNELS // 4
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, quarter, kernel_size=2, stride=2),
            ChannelNorm(quarter),
            nn.GELU(),
            nn.Conv2d(quarter, _MASK_CHANNELS, kernel_size=2, stride=2),
            ChannelNorm(_MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS, channels, kernel_size=1),
        )

    def no_points(self) -> Tensor:
        """The two tokens of "no point": 1×2×C."""
        token: Tensor = self.not_a_point_embed.weight
        return torch.cat((token, token))[None]

    def points(self, places: Tensor, kinds: Tensor, side: int) -> Tensor:
        """Embed points as tokens N×(P+1)×C; the last one is "no further point".

        Args:
            places: N×P×2 float32, x and y in pixels of the input.
            kinds: N×P integers: 0 outside and 1 inside of the object, 2 and 3 the top
                left and the bottom right corner of a box, -1 no point.
            side: Of the input, in pixels.
        """
        places = F.pad(places + 0.5, (0, 0, 0, 1))  # centres of pixels
        kinds = F.pad(kinds, (0, 1), value=-1)[..., None]
        tokens = self.pe_layer.encode(places / side)
        tokens = torch.where(kinds == -1, self.not_a_point_embed.weight, tokens)
        for kind, embedding in enumerate(self.point_embeddings):
            assert isinstance(embedding, nn.Embedding)
            tokens = torch.where(kinds == kind, tokens + embedding.weight, tokens)
        return tokens

    def no_mask(self) -> Tensor:
        """The embedding of "no mask", the same for each position: 1×1×C."""
        return self.no_mask_embed.weight[None]

    def forward(self, masks: Tensor) -> Tensor:
        """Embed masks N×1×4h×4w as tokens N×h·w×C."""
        dense: Tensor = self.mask_downscaling(masks)
        return dense.flatten(2).transpose(1, 2)
