"""A small network of SAM 3's shape, for the tests that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from submit_sam3.checkpoints import arrange, random_weights
from submit_sam3.config import Sam3Config, VitConfig
from tests.models.conftest import Clip

State = dict[str, torch.Tensor]

#: As narrow as transformers can build it; takes inputs of 112 pixels, a grid of 8×8.
SMALL = Sam3Config(
    trunk=VitConfig(
        channels=64,
        hidden=128,
        blocks=3,
        heads=2,
        global_blocks=(1, 2),
        window=4,
        position_size=4,
    ),
    memory_hidden=64,
    memory_layers=2,
)

#: The same, narrower than that: for what does not need numbers of others.
NARROW = Sam3Config(
    trunk=VitConfig(
        channels=32,
        hidden=48,
        blocks=2,
        heads=2,
        global_blocks=(1,),
        window=4,
        position_size=4,
    ),
    channels=32,
    memory_channels=8,
    memory_hidden=64,
    memory_layers=2,
)


def write_official(
    state: State, path: Path, *, nested: bool = True, detector: bool = True
) -> Path:
    """Write weights as `sam3.pt` has them, among others that no tracker reads."""
    official = arrange(state, "official")
    trunk = "detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis"
    official[trunk] = torch.polar(torch.ones(3), torch.ones(3))
    neck = "detector.backbone.vision_backbone.sam2_convs.3.conv_1x1.bias"
    official[neck] = torch.ones(4)
    if detector:
        official["detector.transformer.encoder.norm.weight"] = torch.ones(4)
        official["detector.backbone.vision_backbone.convs.0.conv_1x1.bias"] = (
            torch.ones(4)
        )
    torch.save({"model": official} if nested else official, path)
    return path


def draw(config: Sam3Config, *, seed: int = 0, gain: float = 1.0) -> State:
    """Random weights."""
    return random_weights(config, seed=seed, gain=gain)


def wandering_discs(length: int, objects: int) -> Clip:
    """Up to nine discs that do not touch at first, on 56×80 pixels."""
    y, x = np.mgrid[:56, :80]
    ground = np.stack([(3 * x + 2 * y) % 97, (5 * y) % 113, (x * y) % 89], 2)
    frames, masks = [], {}
    for time in range(length):
        frame = ground.copy()
        for key in range(1, objects + 1):
            column, row = divmod(key - 1, 3)
            turn = 1 if key % 2 else -1
            down = y - (8 + 16 * row + time // 6)
            across = x - (8 + 22 * column + turn * time // 2)
            inside = down**2 + across**2 < (4 + key % 3) ** 2
            frame[inside] = (30 * key, 250 - 30 * key, 40 * key % 255)
            if not time:
                masks[key] = inside
        frames.append(frame.astype(np.uint8))
    return Clip(frames, masks)
