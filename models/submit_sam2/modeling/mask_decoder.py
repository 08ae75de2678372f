"""The mask decoder: predicts masks from conditioned features.

Matches sam2/modeling/sam/mask_decoder.py and `TwoWayTransformer` of
sam2/modeling/sam/transformer.py (facebookresearch/sam2 @ 2b90b9f). The official decoder
computes four masks and keeps one. Here `forward` predicts their quality, and `draw`
computes only the selected mask. Training needs all of them: `draw_all`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import TrackerConfig
from .attention import Attention
from .layers import ChannelNorm, Perceptron
from .position import Grids

__all__ = ["Decoded", "MaskDecoder"]

#: One mask for an unambiguous prompt, and three for an ambiguous prompt.
_MASKS = 4
_HIDDEN = 2048
_IOU_HIDDEN = 256


@dataclass(frozen=True)
class Decoded:
    """The output of the decoder for N objects before masks are computed.

    Attributes:
        masks: N×4×C, tokens of the candidate masks.
        iou: N×4, predicted IoU of the candidates in [0, 1].
        presence: N, logit of the object being visible.
        image: N×h·w×C, features for the computation of the masks.
    """

    masks: Tensor
    iou: Tensor
    presence: Tensor
    image: Tensor

    @property
    def ious(self) -> Tensor:
        """N×3, predicted IoU of the candidates for ambiguous prompts and memories."""
        return self.iou[:, 1:]

    def select(self, rows: Sequence[int]) -> Decoded:
        """Some of the objects, in the order of `rows`, also more than once."""
        index = torch.tensor(rows, device=self.image.device)
        return Decoded(
            self.masks[index], self.iou[index], self.presence[index], self.image[index]
        )


class MaskDecoder(nn.Module):
    """A two-way transformer between a few tokens and the image, with four heads."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        channels = config.channels
        self.transformer = TwoWayTransformer(channels, config.heads)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(_MASKS, channels)
        self.obj_score_token = nn.Embedding(1, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, kernel_size=2, stride=2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, channels // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(channels, channels // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(channels, channels // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron((channels, channels, channels, channels // 8))
            for _ in range(_MASKS)
        )
        self.iou_prediction_head = Perceptron(
            (channels, _IOU_HIDDEN, _IOU_HIDDEN, _MASKS)
        )
        self.pred_obj_score_head = Perceptron((channels, channels, channels, 1))

    def forward(self, image: Tensor, points: Tensor, grids: Grids) -> Decoded:
        """Run the transformer and predict the quality of the candidates.

        Args:
            image: N×h·w×C, features with the embedding of the prompt added.
            points: N×P×C from the prompt encoder; 1×P×C if they are the same for all
                objects.
            grids: Position encodings of the input size.
        """
        fixed = torch.cat(
            (
                self.obj_score_token.weight,
                self.iou_token.weight,
                self.mask_tokens.weight,
            )
        )
        tokens = torch.cat((fixed.expand(len(points), -1, -1), points), 1)
        tokens, image = self.transformer(tokens, image, grids.image)
        presence, iou, masks, _ = tokens.split((1, 1, _MASKS, points.shape[1]), 1)
        return Decoded(
            masks=masks,
            iou=self.iou_prediction_head(iou[:, 0]).sigmoid(),
            presence=self.pred_obj_score_head(presence[:, 0])[:, 0],
            image=image,
        )

    def draw(
        self,
        image: Tensor,
        tokens: Tensor,
        choice: Tensor,
        fine: Tensor,
        middle: Tensor,
    ) -> Tensor:
        """Compute one mask for each of N objects.

        Args:
            image: N×h·w×C from `forward`.
            tokens: N×C, token of the chosen candidate.
            choice: N, number of the chosen candidate.
            fine: 1×C/8×4h×4w features.
            middle: 1×C/4×2h×2w features.

        Returns:
            Logits N×4h×4w.
        """
        x = self._enlarge(image, fine, middle)
        # There are few objects and small perceptrons, so a loop is fast enough.
        brush = torch.stack(
            [
                self.output_hypernetworks_mlps[index](token)
                for index, token in zip(choice.tolist(), tokens, strict=True)
            ]
        )
        return torch.einsum("nc,nchw->nhw", brush, x)

    def draw_all(
        self, image: Tensor, masks: Tensor, fine: Tensor, middle: Tensor
    ) -> Tensor:
        """Compute all candidates, without waiting for the device: N×4×4h×4w logits.

        Args:
            image: N×h·w×C from `forward`.
            masks: N×4×C from `forward`.
            fine: N×C/8×4h×4w features, or 1×… for all.
            middle: N×C/4×2h×2w features, or 1×… for all.
        """
        x = self._enlarge(image, fine, middle)
        brushes = torch.stack(
            [
                brush(masks[:, index])
                for index, brush in enumerate(self.output_hypernetworks_mlps)
            ],
            1,
        )
        drawn: Tensor = brushes @ x.flatten(2)
        return drawn.reshape(*drawn.shape[:2], *x.shape[2:])

    def _enlarge(self, image: Tensor, fine: Tensor, middle: Tensor) -> Tensor:
        """Upsample features to the resolution of masks: N×C/8×4h×4w."""
        grow, norm, act, grow_again, act_again = self.output_upscaling
        side = middle.shape[-1] // 2
        x = image.transpose(1, 2).reshape(len(image), -1, side, side)  # N×C×h×w
        x = act(norm(grow(x) + middle))
        out: Tensor = act_again(grow_again(x) + fine)
        return out


class TwoWayTransformer(nn.Module):
    """Attention between tokens and image in both directions, in two layers."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayLayer(channels, heads, first=index == 0) for index in range(2)
        )
        self.final_attn_token_to_image = Attention(channels, heads, inner=channels // 2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(
        self, tokens: Tensor, image: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attention between tokens, N×T×C or 1×T×C, and the image, N×L×C."""
        initial = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, initial, positions)
        found = self.final_attn_token_to_image(
            tokens + initial, image + positions, image
        )
        return self.norm_final_attn(tokens + found), image


class TwoWayLayer(nn.Module):
    """Four steps, each followed by a norm."""

    def __init__(self, channels: int, heads: int, *, first: bool) -> None:
        super().__init__()
        inner = channels // 2
        self.self_attn = Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = Attention(channels, heads, inner=inner)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Perceptron((channels, _HIDDEN, channels))
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = Attention(channels, heads, inner=inner)
        self._first = first

    def forward(
        self, tokens: Tensor, image: Tensor, initial: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One round.

        Args:
            tokens: N×T×C; 1×T×C while they are the same for all objects.
            image: N×L×C.
            initial: The first tokens, which serve as their positions.
            positions: 1×L×C, positions of the image.
        """
        # Self-attention of the tokens; in the first layer they are only positions.
        if self._first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + initial
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens).expand(len(image), -1, -1)

        # Attention of the tokens to the image.
        found = self.cross_attn_token_to_image(
            tokens + initial, image + positions, image
        )
        tokens = self.norm2(tokens + found)
        tokens = self.norm3(tokens + self.mlp(tokens))

        # Attention of the image to the tokens.
        found = self.cross_attn_image_to_token(
            image + positions, tokens + initial, tokens
        )
        return tokens, self.norm4(image + found)
