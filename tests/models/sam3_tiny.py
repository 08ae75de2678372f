"""A small network of SAM 3's shape, for the tests that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from submit_sam3.checkpoints import arrange, random_weights
from submit_sam3.config import Sam3Config, VitConfig

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


def hugging_face_config(config: Sam3Config, image_size: int) -> dict[str, Any]:
    """What config.json of a folder of the tracker alone says."""
    trunk = config.trunk
    return {
        "model_type": "sam3_tracker_video",
        "image_size": image_size,
        "vision_config": {
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": config.channels,
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": trunk.channels,
                "intermediate_size": trunk.hidden,
                "num_hidden_layers": trunk.blocks,
                "num_attention_heads": trunk.heads,
                "global_attn_indexes": list(trunk.global_blocks),
                "window_size": trunk.window,
                "pretrain_image_size": trunk.patch * trunk.position_size,
                "patch_size": trunk.patch,
                "image_size": image_size,
            },
        },
        "mask_decoder_config": {"num_attention_heads": config.heads},
        "memory_attention_hidden_size": config.channels,
        "memory_encoder_hidden_size": config.channels,
        "memory_encoder_output_channels": config.memory_channels,
        "memory_attention_feed_forward_hidden_size": config.memory_hidden,
        "memory_attention_num_layers": config.memory_layers,
        "num_maskmem": config.memories,
        "max_object_pointers_in_encoder": config.pointers,
    }


def draw(config: Sam3Config, *, seed: int = 0, gain: float = 1.0) -> State:
    """Random weights."""
    return random_weights(config, seed=seed, gain=gain)
