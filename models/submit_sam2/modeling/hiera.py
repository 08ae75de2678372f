"""Hiera, the image encoder's trunk: a transformer with windows and four stages.

Matches sam2/modeling/backbones/hieradet.py (facebookresearch/sam2 @ 2b90b9f); the
paper is Ryali et al., "Hiera" (arXiv 2306.00989).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrunkConfig
from .layers import DropPath, Perceptron, run
from .windows import from_windows, to_windows

__all__ = ["Hiera"]

_EPS = 1e-6
#: Pixels of the input for each token of the first stage.
_STRIDE = 4


class Hiera(nn.Module):
    """Image to features at strides 4, 8, 16 and 32.

    Attributes:
        recompute: Whether training stores only the input of each block and computes the
            block again in the backward pass (gradient checkpointing).
    """

    def __init__(self, config: TrunkConfig, *, drop_path: float = 0.0) -> None:
        """Build the trunk.

        Args:
            config: Its shape.
            drop_path: Probability that training skips the last block; lower for
                earlier blocks.
        """
        super().__init__()
        self.recompute = False
        self.patch_embed = PatchEmbed(config.channels)
        background, window = config.position_size, config.windows[0]
        self.pos_embed = nn.Parameter(
            torch.zeros(1, config.channels, background, background)
        )
        self.pos_embed_window = nn.Parameter(
            torch.zeros(1, config.channels, window, window)
        )
        self.blocks = nn.ModuleList()
        self._stage_ends = config.stage_ends
        channels, heads, stage = config.channels, config.heads, 0
        for index in range(sum(config.blocks)):
            # The first block of a stage still has the window of the stage before:
            # it halves the grid, and so its windows.
            window = 0 if index in config.global_blocks else config.windows[stage]
            pool = index - 1 in config.stage_ends
            before = channels
            if pool:
                channels, heads, stage = 2 * channels, 2 * heads, stage + 1
            self.blocks.append(
                Block(
                    *(before, channels, heads),
                    window=window,
                    pool=pool,
                    drop_path=drop_path * index / max(sum(config.blocks) - 1, 1),
                )
            )

    def forward(self, image: Tensor, positions: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            image: N×3×S×S.
            positions: 1×S/4×S/4×C from `positions`.

        Returns:
            N×C×S/s×S/s for strides s of 4, 8, 16 and 32.
        """
        x = self.patch_embed(image)  # N×S/4×S/4×C
        x = x + positions
        stages = []
        for index, block in enumerate(self.blocks):
            x = run(block, x, recompute=self.recompute)
            if index in self._stage_ends:
                stages.append(x.permute(0, 3, 1, 2))
        return stages

    def positions(self, image_size: int) -> tuple[Tensor]:
        """Position encoding 1×s×s×C: a resized coarse map plus a repeated fine map."""
        side = image_size // _STRIDE
        stretched = F.interpolate(self.pos_embed, size=(side, side), mode="bicubic")
        repeats = side // self.pos_embed_window.shape[-1]
        repeated = self.pos_embed_window.tile(1, 1, repeats, repeats)
        return ((stretched + repeated).permute(0, 2, 3, 1),)


class PatchEmbed(nn.Module):
    """Image to a grid of tokens, overlapping patches of 7×7 at stride 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, kernel_size=7, stride=_STRIDE, padding=3)

    def forward(self, image: Tensor) -> Tensor:
        """N×3×S×S to N×S/4×S/4×C."""
        tokens: Tensor = self.proj(image)
        return tokens.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Attention inside windows, or over the whole grid, and a perceptron.

    The first block of a stage also pools the grid 2×2 and doubles the channels.
    """

    def __init__(
        self,
        channels: int,
        channels_out: int,
        heads: int,
        *,
        window: int,
        pool: bool,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=_EPS)
        self.norm1 = norm(channels)
        self.attn = WindowAttention(channels, channels_out, heads, pool=pool)
        self.norm2 = norm(channels_out)
        self.mlp = Perceptron(
            (channels_out, 4 * channels_out, channels_out), activation=F.gelu
        )
        if pool:
            self.proj = nn.Linear(channels, channels_out)
        self.drop_path = DropPath(drop_path)
        self._window, self._pool = window, pool

    def forward(self, x: Tensor) -> Tensor:
        """N×H×W×C to N×H×W×C, or N×H/2×W/2×2C."""
        shortcut, x = x, self.norm1(x)
        if self._pool:
            shortcut = _max_pool(self.proj(x))  # of the normalised tokens
        if self._window:
            height, width = shortcut.shape[1:3]
            # Padding tokens are keys of the attention, too; the weights are trained so.
            windows, grid = to_windows(x, self._window)
            x = from_windows(self.attn(windows), grid)[:, :height, :width]
        else:
            x = self.attn(x)
        x = shortcut + self.drop_path(x)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class WindowAttention(nn.Module):
    """Attention inside each window; queries may be pooled 2×2."""

    def __init__(
        self, channels: int, channels_out: int, heads: int, *, pool: bool
    ) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels_out)
        self.proj = nn.Linear(channels_out, channels_out)
        self._heads, self._pool = heads, pool

    def forward(self, x: Tensor) -> Tensor:
        """B×h×w×C to B×h×w×C', or B×h/2×w/2×C'."""
        q, k, v = self.qkv(x).chunk(3, -1)  # each B×h×w×C'
        if self._pool:
            q = _max_pool(q)
        found = F.scaled_dot_product_attention(
            self._split(q), self._split(k), self._split(v)
        )
        # B×heads×l×c to B×h×w×C'
        found = found.transpose(1, 2).reshape(q.shape)
        out: Tensor = self.proj(found)
        return out

    def _split(self, x: Tensor) -> Tensor:
        """B×h×w×C to B×heads×h·w×C/heads."""
        return x.reshape(len(x), -1, self._heads, x.shape[-1] // self._heads).transpose(
            1, 2
        )


def _max_pool(x: Tensor) -> Tensor:
    """N×H×W×C to N×H/2×W/2×C."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
