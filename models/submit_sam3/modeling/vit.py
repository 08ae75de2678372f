"""The Vision Transformer of SAM 3's image encoder: windows, and four global blocks.

Written from "Exploring Plain Vision Transformer Backbones for Object Detection" (Li et
al., arXiv 2203.16527), whose structure it is, with rotary positions; numbers as in
transformers' `Sam3ViTModel` (5.24.0, Apache-2.0), norms with an epsilon of 1e-5, as the
official code has them.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from submit_sam2.modeling.layers import Perceptron
from submit_sam2.modeling.position import rotary_table, rotate
from submit_sam2.modeling.windows import from_windows, to_windows

from ..config import VitConfig

__all__ = ["Vit"]

#: transformers has 1e-6.
_EPS = 1e-5


class Vit(nn.Module):
    """Image to features at one stride, that of its patches."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self._config = config
        self.patch_embed = Patches(config.channels, config.patch)
        self.pos_embed = nn.Parameter(
            torch.zeros(1, config.position_size**2, config.channels)
        )
        self.ln_pre = nn.LayerNorm(config.channels, eps=_EPS)
        self.blocks = nn.ModuleList()
        for index in range(config.blocks):
            window = 0 if index in config.global_blocks else config.window
            self.blocks.append(VitBlock(config, window=window))

    def positions(self, image_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the positions of the patches of images of image_size×image_size.

        Returns:
            1×s×s×C, learned ones, repeated like tiles; and the rotations inside a
            window and in the whole grid, which spans as far as a window.
        """
        config, device = self._config, self.pos_embed.device
        side, tile = image_size // config.patch, config.position_size
        learned = self.pos_embed.reshape(1, tile, tile, -1)
        repeats = -(-side // tile)
        learned = learned.tile(1, repeats, repeats, 1)[:, :side, :side]
        width = config.channels // config.heads
        inside = rotary_table(config.window, width)
        across = rotary_table(side, width, step=config.window / side)
        return learned, inside.to(device), across.to(device)

    def forward(
        self, image: Tensor, learned: Tensor, inside: Tensor, across: Tensor
    ) -> Tensor:
        """Encode images.

        Args:
            image: N×3×S×S.
            learned: See `positions`, and so the others.
            inside: Rotations in a window.
            across: Rotations in the whole grid.

        Returns:
            N×C×s×s for a stride S/s.
        """
        x = self.ln_pre(self.patch_embed(image) + learned)  # N×s×s×C
        for block in self.blocks:
            x = block(x, inside, across)
        features: Tensor = x.permute(0, 3, 1, 2)
        return features


class Patches(nn.Module):
    """Image to a grid of tokens, patches that do not overlap."""

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=patch, stride=patch, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """N×3×S×S to N×s×s×C."""
        tokens: Tensor = self.proj(image)
        return tokens.permute(0, 2, 3, 1)


class VitBlock(nn.Module):
    """Attention inside windows, or over the whole grid, and a perceptron."""

    def __init__(self, config: VitConfig, *, window: int) -> None:
        super().__init__()
        channels = config.channels
        norm = partial(nn.LayerNorm, eps=_EPS)
        self.norm1 = norm(channels)
        self.attn = RotaryAttention(channels, config.heads)
        self.norm2 = norm(channels)
        self.mlp = Perceptron((channels, config.hidden, channels), activation=F.gelu)
        self._window = window

    def forward(self, x: Tensor, inside: Tensor, across: Tensor) -> Tensor:
        """N×H×W×C to the same; see `Vit.forward`."""
        height, width = x.shape[1:3]
        found = self.norm1(x)
        if self._window:
            # The padding takes part in attention as keys, as the weights expect.
            windows, grid = to_windows(found, self._window)
            found = from_windows(self.attn(windows, inside), grid)[:, :height, :width]
        else:
            found = self.attn(found, across)
        x = x + found
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class RotaryAttention(nn.Module):
    """Attention of the tokens of a square, with positions as rotations."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self._heads = heads

    def forward(self, x: Tensor, rotations: Tensor) -> Tensor:
        """B×h×w×C to the same, with rotations h·w×C/heads/2 (complex)."""
        q, k, v = map(self._split, self.qkv(x).chunk(3, -1))
        found = F.scaled_dot_product_attention(
            rotate(q, rotations), rotate(k, rotations), v
        )
        out: Tensor = self.proj(found.transpose(1, 2).reshape(x.shape))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """B×h×w×C to B×heads×h·w×C/heads."""
        return x.reshape(len(x), -1, self._heads, x.shape[-1] // self._heads).transpose(
            1, 2
        )
