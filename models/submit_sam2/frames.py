"""Convert frames to the input of the networks: square and normalised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["normalise", "resize_bicubic", "resize_bilinear"]

Colour = tuple[float, float, float]


def resize_bicubic(frame: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Resample H×W×3 uint8 to 1×3×side×side uint8, as the official loaders do."""
    # The default of their `resize`; no other library's filter is equal.
    image = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def resize_bilinear(frame: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Resample H×W×3 uint8 to 1×3×side×side uint8, as transformers does."""
    return F.interpolate(
        torch.from_numpy(frame.copy()).permute(2, 0, 1)[None],
        size=(side, side),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )


def normalise(pixels: torch.Tensor, *, mean: Colour, deviation: Colour) -> torch.Tensor:
    """Shift and scale the colours of N×3×H×W uint8 pixels.

    Args:
        pixels: The pixels.
        mean: The value of each colour in [0, 1] that becomes 0.
        deviation: The distance from the mean that becomes 1.
    """
    centre, spread = torch.tensor(mean), torch.tensor(deviation)
    scaled = pixels.float() / 255
    return (scaled - centre[:, None, None]) / spread[:, None, None]
