"""The published sizes of SAM 2 and 2.1.

The numbers are those of the official sam2/configs/ (facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODELS", "NARROW", "Sam2Config", "TrunkConfig"]


@dataclass(frozen=True)
class TrunkConfig:
    """The shape of a Hiera trunk.

    Attributes:
        channels: Channels of the first stage; each later stage has twice as many.
        heads: Attention heads of the first stage; each later stage has twice as many.
        blocks: Number of blocks of each stage.
        global_blocks: Indices of the blocks that attend to the whole grid, counted over
            all stages.
        windows: Side of the windows of each stage, in tokens.
        position_size: Side of the learned coarse position map.
    """

    channels: int
    heads: int
    blocks: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    position_size: int = 7

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """Index of the last block of each stage, counted over all stages."""
        return tuple(sum(self.blocks[: end + 1]) - 1 for end in range(len(self.blocks)))

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.channels << stage for stage in range(len(self.blocks)))


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """The shape of everything behind the image encoder; defaults are those of SAM 2.1.

    Attributes:
        timed_pointers: Whether object pointers have a code of their age, and memories
            of frames without the object have a mark. False for SAM 2.0.
        channels: Channels of all parts after the trunk.
        memory_channels: Channels of a memory.
        memory_hidden: Width inside the perceptrons of the memory attention.
        memory_layers: Layers of the memory attention.
        memories: Frames with a place in time that a frame looks back to, the
            conditioning frame included.
        pointers: Most object pointers that a frame looks back to, without those of
            further conditioning frames.
        heads: Attention heads of the mask decoder.
    """

    timed_pointers: bool = True
    channels: int = 256
    memory_channels: int = 64
    memory_hidden: int = 2048
    memory_layers: int = 4
    memories: int = 7
    pointers: int = 16
    heads: int = 8


@dataclass(frozen=True)
class Sam2Config(TrackerConfig):
    """The shape of a SAM 2 network; all published sizes differ in the trunk only.

    Attributes:
        trunk: The image encoder's trunk.
    """

    trunk: TrunkConfig


_TRUNKS = {
    "tiny": TrunkConfig(96, 1, (1, 2, 7, 2), (5, 7, 9)),
    "small": TrunkConfig(96, 1, (1, 2, 11, 2), (7, 10, 13)),
    "base_plus": TrunkConfig(112, 2, (2, 3, 16, 3), (12, 16, 20), position_size=14),
    "large": TrunkConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
}

#: A small network of the same kind, to try out training on a processor; there are no
#: published weights of it.
NARROW = "sam2.1_narrow"

#: The published networks by name, and the narrow one.
MODELS = {
    **{
        f"{version}_hiera_{size}": Sam2Config(trunk, timed_pointers=version == "sam2.1")
        for version in ("sam2.1", "sam2")
        for size, trunk in _TRUNKS.items()
    },
    NARROW: Sam2Config(
        TrunkConfig(24, 1, (1, 2, 3, 1), (4,)),
        channels=64,
        memory_channels=16,
        memory_hidden=256,
        memory_layers=2,
        heads=4,
    ),
}
