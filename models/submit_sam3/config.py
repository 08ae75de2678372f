"""The published size of SAM 3's tracker.

The numbers are those of transformers' `Sam3TrackerVideoConfig` (5.24.0, Apache-2.0),
which has them from the official checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from submit_sam2.config import TrackerConfig

__all__ = ["MODELS", "Sam3Config", "VitConfig"]


@dataclass(frozen=True)
class VitConfig:
    """The shape of a Vision Transformer.

    Attributes:
        channels: Of each token.
        hidden: Width inside the perceptrons.
        blocks: How many there are.
        heads: Attention heads.
        global_blocks: Blocks that attend to the whole grid.
        window: Side of the windows of the others, in tokens.
        patch: Side of a patch, in pixels.
        position_size: Side of the learned map of positions, in tokens.
    """

    channels: int = 1024
    hidden: int = 4736
    blocks: int = 32
    heads: int = 16
    global_blocks: tuple[int, ...] = (7, 15, 23, 31)
    window: int = 24
    patch: int = 14
    position_size: int = 24


@dataclass(frozen=True)
class Sam3Config(TrackerConfig):
    """The shape of the network.

    Attributes:
        trunk: The image encoder's trunk.
    """

    trunk: VitConfig = VitConfig()


#: The published networks by name.
MODELS = {"sam3": Sam3Config()}
