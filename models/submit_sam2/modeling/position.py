"""The four position encodings of SAM 2.

Matches sam2/modeling/position_encoding.py and `get_1d_sine_pe` of
sam2/modeling/sam2_utils.py (facebookresearch/sam2 @ 2b90b9f). They have different
conventions, which the checkpoints require: in two dimensions sines and cosines are
interleaved, with y before x; in one dimension they are concatenated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["FourierGrid", "Grids", "rotary_table", "rotate", "sine_grid", "sine_steps"]

_TEMPERATURE = 10000.0


def _periods(count: int, device: torch.device | None = None) -> Tensor:
    """One period for each of `count` channels; pairs of channels have the same one."""
    channel = torch.arange(count, dtype=torch.float32, device=device)
    exponent = 2 * torch.div(channel, 2, rounding_mode="floor") / count
    return torch.pow(_TEMPERATURE, exponent)


def sine_grid(side: int, channels: int) -> Tensor:
    """Encode the cells of a square grid, row by row: side²×channels, y before x."""
    steps = torch.arange(1, side + 1, dtype=torch.float32)
    phase = steps / (side + 1e-6) * (2 * math.pi)
    waves = phase[:, None] / _periods(channels // 2)  # side×C/2
    axis = torch.stack((waves[:, 0::2].sin(), waves[:, 1::2].cos()), 2).flatten(1)
    y = axis[:, None].expand(-1, side, -1)
    x = axis[None, :].expand(side, -1, -1)
    return torch.cat((y, x), 2).flatten(0, 1)  # side²×C


def sine_steps(steps: Tensor, channels: int) -> Tensor:
    """Encode numbers: … to …×channels, all sines before all cosines."""
    waves = steps[..., None] / _periods(channels // 2, steps.device)
    return torch.cat((waves.sin(), waves.cos()), -1)


def rotary_table(side: int, channels: int, *, step: float = 1.0) -> Tensor:
    """Rotations for the cells of a square grid: side²×channels/2, complex.

    The first half of the pairs of channels rotates with x, the second half with y.
    Neighbouring cells have a distance of `step`.
    """
    frequencies = 1.0 / _TEMPERATURE ** (
        torch.arange(0, channels, 4).float() / channels
    )
    cells = torch.arange(side * side, dtype=torch.float32)
    x = torch.outer(cells % side * step, frequencies)
    rows = torch.div(cells, side, rounding_mode="floor")
    y = torch.outer(rows * step, frequencies)
    angles = torch.cat((x, y), 1)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate each pair of neighbouring channels of …×L×C by a table, L×C/2."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table).flatten(-2).type_as(x)


@dataclass(frozen=True)
class Grids:
    """The encodings of one input size, computed once for a video.

    Attributes:
        image_size: Side of the input, in pixels.
        side: Side of the grid of a frame's coarsest features.
        queries: 1×side²×C, for a frame's features.
        memories: side²×C', for a memory.
        rotary: side²×C/2 complex, for queries and keys in the memory attention.
        image: 1×side²×C, for the image in the mask decoder.
        patches: The tensors of the image encoder; only the encoder uses them.
    """

    image_size: int
    side: int
    queries: Tensor
    memories: Tensor
    rotary: Tensor
    image: Tensor
    patches: tuple[Tensor, ...]


class FourierGrid(nn.Module):
    """Random Fourier features of positions, for image and clicks as in SAM."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.register_buffer(
            "positional_encoding_gaussian_matrix", torch.randn(2, frequencies)
        )

    def forward(self, side: int) -> Tensor:
        """Encode a square grid, row by row: side²×2·frequencies."""
        matrix = self.positional_encoding_gaussian_matrix
        centres = torch.arange(side, dtype=torch.float32, device=matrix.device)
        centres = (centres + 0.5) / side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self.encode(torch.stack((x, y), -1).flatten(0, 1))

    def encode(self, places: Tensor) -> Tensor:
        """Encode positions …×2, x and y in [0, 1]: …×2·frequencies."""
        matrix = self.positional_encoding_gaussian_matrix
        waves = 2 * math.pi * ((2 * places - 1) @ matrix.float())
        return torch.cat((waves.sin(), waves.cos()), -1)
