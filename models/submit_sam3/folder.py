"""The shape of a network as config.json says it, in a folder for transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from submit.errors import PredictorError

from .config import Sam3Config, VitConfig

__all__ = ["config_table", "read_config"]

#: What holds of our network at every size: keys of the tracker, and of its trunk.
_TRACKER_MUST: Mapping[str, Any] = {
    "memory_attention_num_attention_heads": 1,
    "memory_attention_downsample_rate": 1,
    "memory_attention_feed_forward_hidden_act": "relu",
    "enable_occlusion_spatial_embedding": True,
    "enable_temporal_pos_encoding_for_object_pointers": True,
    "mask_downsampler_total_stride": 16,
    "mask_downsampler_stride": 2,
    "mask_downsampler_kernel_size": 3,
    "memory_fuser_num_layers": 2,
    "memory_fuser_kernel_size": 7,
}
_TRUNK_MUST: Mapping[str, Any] = {
    "hidden_act": "gelu",
    "layer_scale_init_value": None,
    "num_channels": 3,
    "patch_size": 14,
}
_KINDS = ("sam3_video", "sam3_tracker_video")


def read_config(path: Path) -> Sam3Config:
    """Read a config.json of SAM 3's tracker, or of detector and tracker.

    What it does not say is as in the published network.

    Args:
        path: The file.

    Raises:
        PredictorError: It cannot be read, or tells of another network.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PredictorError(
            f"{path}: cannot be read ({error}); download it again"
        ) from error
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind not in _KINDS:
        raise PredictorError(
            f"{path}: model_type is {kind!r}, expected {' or '.join(_KINDS)}; name the "
            "folder of the video model, facebook/sam3"
        )
    tracker = _Table(path, content)
    if kind == "sam3_video":
        tracker = tracker.table("tracker_config")
    vision = tracker.table("vision_config")
    trunk = vision.table("backbone_config")
    tracker.require(_TRACKER_MUST)
    trunk.require(_TRUNK_MUST)
    plain, published = VitConfig(), Sam3Config()
    channels = vision.number("fpn_hidden_size", published.channels)
    vit = VitConfig(
        channels=trunk.number("hidden_size", plain.channels),
        hidden=trunk.number("intermediate_size", plain.hidden),
        blocks=trunk.number("num_hidden_layers", plain.blocks),
        heads=trunk.number("num_attention_heads", plain.heads),
        global_blocks=trunk.numbers("global_attn_indexes", plain.global_blocks),
        window=trunk.number("window_size", plain.window),
        patch=plain.patch,
        position_size=trunk.number(
            "pretrain_image_size", plain.position_size * plain.patch
        )
        // plain.patch,
    )
    decoder = tracker.table("mask_decoder_config")
    tracker.require(
        {
            "memory_attention_hidden_size": channels,
            "memory_encoder_hidden_size": channels,
        }
    )
    return Sam3Config(
        trunk=vit,
        channels=channels,
        memory_channels=tracker.number(
            "memory_encoder_output_channels", published.memory_channels
        ),
        memory_hidden=tracker.number(
            "memory_attention_feed_forward_hidden_size", published.memory_hidden
        ),
        memory_layers=tracker.number(
            "memory_attention_num_layers", published.memory_layers
        ),
        memories=tracker.number("num_maskmem", published.memories),
        pointers=tracker.number("max_object_pointers_in_encoder", published.pointers),
        heads=decoder.number("num_attention_heads", published.heads),
    )


def config_table(config: Sam3Config, image_size: int) -> dict[str, Any]:
    """Make the content of a config.json of the tracker alone.

    Args:
        config: The shape of the network.
        image_size: Side of its input, in pixels.
    """
    trunk, cells = config.trunk, image_size // config.trunk.patch
    return {
        "model_type": "sam3_tracker_video",
        "image_size": image_size,
        "vision_config": {
            "model_type": "sam3_vision_model",
            "fpn_hidden_size": config.channels,
            "backbone_feature_sizes": [[n * cells, n * cells] for n in (4, 2, 1)],
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
        "memory_attention_rope_feat_sizes": [cells, cells],
        "memory_encoder_hidden_size": config.channels,
        "memory_encoder_output_channels": config.memory_channels,
        "memory_attention_feed_forward_hidden_size": config.memory_hidden,
        "memory_attention_num_layers": config.memory_layers,
        "num_maskmem": config.memories,
        "max_object_pointers_in_encoder": config.pointers,
    }


class _Table:
    """A part of the file; messages name its keys."""

    def __init__(self, path: Path, content: Mapping[str, Any], name: str = "") -> None:
        self._path, self._content, self._name = path, content, name

    def table(self, key: str) -> _Table:
        """A table in it; empty where there is none."""
        found = self._content.get(key)
        if found is not None and not isinstance(found, dict):
            raise self._wrong(key, found, "a table")
        return _Table(self._path, found or {}, f"{self._name}{key}.")

    def number(self, key: str, default: int) -> int:
        """A positive whole number."""
        found = self._content.get(key, default)
        if not _is_count(found, least=1):
            raise self._wrong(key, found, "a positive whole number")
        return int(found)

    def numbers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Whole numbers from zero."""
        found = self._content.get(key, default)
        if not isinstance(found, (list, tuple)) or not all(
            _is_count(one, least=0) for one in found
        ):
            raise self._wrong(key, found, "a list of whole numbers")
        return tuple(found)

    def require(self, values: Mapping[str, Any]) -> None:
        """Stop where a key is there with another value."""
        for key, value in values.items():
            found = self._content.get(key, value)
            if found != value:
                raise self._wrong(key, found, json.dumps(value))

    def _wrong(self, key: str, found: Any, expected: str) -> PredictorError:
        return PredictorError(
            f"{self._path}: {self._name}{key} is {json.dumps(found)}, expected "
            f"{expected}; the predictor sam3 runs networks of SAM 3's shape"
        )


def _is_count(value: Any, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
