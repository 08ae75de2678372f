"""Cut a grid of tokens into square windows, and join them again.

Matches sam2/modeling/backbones/utils.py (facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["from_windows", "to_windows"]


def to_windows(x: Tensor, side: int) -> tuple[Tensor, tuple[int, int, int]]:
    """Cut N×H×W×C into windows, B×side×side×C, padded with zeros at the end.

    The grid of windows, N×rows×columns, is returned with them.
    """
    count, height, width, channels = x.shape
    x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = x.shape[1] // side, x.shape[2] // side
    x = x.view(count, rows, side, columns, side, channels).transpose(2, 3)
    return x.reshape(-1, side, side, channels), (count, rows, columns)


def from_windows(windows: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Join windows, B×side×side×C, to a grid: N×rows·side×columns·side×C."""
    windows = windows.reshape(*grid, *windows.shape[1:]).transpose(2, 3)
    return windows.flatten(3, 4).flatten(1, 2)
