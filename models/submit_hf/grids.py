"""Position encodings of the models of transformers, for one side of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from submit_sam2.model import to_tokens

__all__ = ["HfGrids"]


@dataclass(frozen=True)
class HfGrids:
    """The model for one side of the input, and its position encodings.

    Attributes:
        model: The model; its weights are shared with those for other sides.
        image_size: Side of the input, in pixels.
        side: Side of the grid of a frame's coarsest features.
        queries: side²×1×C, for a frame's features.
        memories: L×M, for a memory.
        image: 1×C×side×side, for the image in the mask decoder.
    """

    model: Any
    image_size: int
    side: int
    queries: Tensor
    memories: Tensor
    image: Tensor

    @classmethod
    def of(cls, model: Any, image_size: int, side: int) -> HfGrids:
        """Compute them with the modules of the model.

        Args:
            model: The model for this input.
            image_size: Side of the input, in pixels.
            side: Side of the grid of a frame's coarsest features.
        """
        features = _encoded(model, model.vision_encoder.neck.position_encoding, side)
        return cls(
            model=model,
            image_size=image_size,
            side=side,
            queries=features.transpose(0, 1),
            memories=_of_memories(model, side),
            image=model.get_image_wide_positional_embeddings(),
        )


def _of_memories(model: Any, side: int) -> Tensor:
    """Encode the tokens of a memory: L×M."""
    perceiver = getattr(model, "spatial_perceiver", None)
    if perceiver is None:
        return _encoded(model, model.memory_encoder.position_encoding, side)[0]
    # Some tokens of EdgeTAM have no place, the others are a small grid.
    places = int(perceiver.num_latents_2d**0.5)
    codes = _encoded(model, perceiver.positional_encoding, places)[0]
    return F.pad(codes, (0, 0, perceiver.num_latents_1d, 0))


def _encoded(model: Any, encoding: Any, side: int) -> Tensor:
    """Encode the cells of a square grid with a module: 1×side²×C."""
    channels = 2 * encoding.num_position_features
    shape = torch.Size((1, channels, side, side))
    device = model.no_object_pointer.device
    return to_tokens(encoding(shape, device, torch.float32))
