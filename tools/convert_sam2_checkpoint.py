"""Convert SAM 2 weights between the official file and the folder for transformers.

    python tools/convert_sam2_checkpoint.py sam2.1_hiera_large.pt sam2.1-large/
    python tools/convert_sam2_checkpoint.py sam2.1-large/ sam2.1_hiera_large.pt

So weights that were fine-tuned with one code run with the other. The folder gets
model.safetensors and config.json, which is what `Sam2VideoModel` of transformers and
the predictor `sam2-hf` read. Each weight keeps its bytes. A weight that is missing, is
too much or does not fit a published network is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from submit.errors import PredictorError, SubmitError
from submit_sam2.build import build_network, read_state, recognise
from submit_sam2.config import MODELS, Sam2Config
from submit_sam2.model import Sam2Network
from submit_sam2.safe_weights import SafeWeights
from submit_sam3.forms import FORMS, WeightSource

WEIGHTS, CONFIG = "model.safetensors", "config.json"

#: Names of the image encoder, ours and those of transformers; all rules that fit count.
_ENCODER = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
)
#: Behind the image encoder, SAM 3's tracker has the same names, after this.
_TRACKER = "tracker_model."
#: A weight that the folder has twice: the one that counts, and the other one.
_MATRIX = "shared_image_embedding.positional_embedding"
_MATRIX_AGAIN = "prompt_encoder.shared_embedding.positional_embedding"

#: transformers has this number of memory channels in its code.
_MEMORY_CHANNELS = 64


def source(name: str) -> WeightSource:
    """Where a weight with an official name is in the folder."""
    if name.startswith("image_encoder."):
        for pattern, put in _ENCODER:
            name = re.sub(pattern, put, name)
        return WeightSource((name,))
    found = FORMS["transformers"].source(name)
    names = tuple(one.removeprefix(_TRACKER) for one in found.names)
    return WeightSource(names, row=found.row)


def to_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename official weights to those of transformers."""
    found: dict[str, Tensor] = {}
    rows: dict[str, dict[int, Tensor]] = {}
    for key, tensor in state.items():
        place = source(key)
        (name,) = place.names
        if place.row is None:
            found[name] = tensor.contiguous()
        else:
            rows.setdefault(name, {})[place.row] = tensor
    for name, parts in rows.items():
        found[name] = torch.cat([parts[row] for row in sorted(parts)])
    found[_MATRIX_AGAIN] = found[_MATRIX].clone()
    return found


def to_official(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename weights of transformers to the official ones, in their order.

    Args:
        weights: By the names of transformers.
        path: Where they are from, for messages.

    Raises:
        PredictorError: They are not those of a published network.
    """
    name = _recognise(weights)
    if name is None:
        raise PredictorError(
            f"{path}: holds the weights of none of {', '.join(MODELS)}; expected a "
            "folder of Sam2VideoModel, such as huggingface.co/facebook/sam2.1-hiera-"
            "tiny"
        )
    again = weights.get(_MATRIX_AGAIN, weights[_MATRIX])
    if not torch.equal(again, weights[_MATRIX]):
        raise PredictorError(
            f"{path}: {_MATRIX_AGAIN} and {_MATRIX} differ, and the official file has "
            "one for both; the file is damaged or of another model"
        )
    with torch.device("meta"):
        keys = list(Sam2Network(MODELS[name]).state_dict())
    sources = {key: source(key) for key in keys}
    state = {
        key: place.take(weights).clone()
        for key, place in sources.items()
        if all(one in weights for one in place.names)
    }
    used = {one for place in sources.values() for one in place.names}
    state |= {one: weights[one] for one in weights.keys() - used - {_MATRIX_AGAIN}}
    build_network(MODELS[name], state, path)
    return state


def describe(config: Sam2Config, *, image_size: int = 1024) -> dict[str, Any]:
    """What config.json says of a network.

    Raises:
        PredictorError: transformers has no network of this shape.
    """
    if config.memory_channels != _MEMORY_CHANNELS:
        raise PredictorError(
            f"the network has {config.memory_channels} memory channels and "
            f"transformers always {_MEMORY_CHANNELS}; convert a published network"
        )
    trunk, side = config.trunk, image_size // 16
    sides = [[4 * side] * 2, [2 * side] * 2, [side] * 2]
    return {
        "architectures": ["Sam2VideoModel"],
        "model_type": "sam2_video",
        "dtype": "float32",
        "image_size": image_size,
        "vision_config": {
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [image_size, image_size],
                "hidden_size": trunk.channels,
                "num_attention_heads": trunk.heads,
                "blocks_per_stage": list(trunk.blocks),
                "embed_dim_per_stage": list(trunk.stage_channels),
                "num_attention_heads_per_stage": [
                    trunk.heads << stage for stage in range(len(trunk.blocks))
                ],
                "window_size_per_stage": list(trunk.windows),
                "global_attention_blocks": list(trunk.global_blocks),
                "window_positional_embedding_background_size": [trunk.position_size]
                * 2,
            },
            "backbone_channel_list": list(trunk.stage_channels[::-1]),
            "backbone_feature_sizes": sides,
            "fpn_hidden_size": config.channels,
        },
        "prompt_encoder_config": {
            "model_type": "sam2_video_prompt_encoder",
            "hidden_size": config.channels,
            "image_size": image_size,
        },
        "mask_decoder_config": {
            "model_type": "sam2_video_mask_decoder",
            "hidden_size": config.channels,
            "num_attention_heads": config.heads,
        },
        "num_maskmem": config.memories,
        "max_object_pointers_in_encoder": config.pointers,
        "enable_occlusion_spatial_embedding": config.timed_pointers,
        "enable_temporal_pos_encoding_for_object_pointers": config.timed_pointers,
        "memory_attention_hidden_size": config.channels,
        "memory_attention_num_layers": config.memory_layers,
        "memory_attention_feed_forward_hidden_size": config.memory_hidden,
        "memory_attention_rope_feat_sizes": [side, side],
        "memory_encoder_hidden_size": config.channels,
        "memory_encoder_output_channels": config.memory_channels,
        "mask_downsampler_embed_dim": config.channels,
        "memory_fuser_embed_dim": config.channels,
        "memory_fuser_intermediate_dim": 4 * config.channels,
    }


def convert(origin: Path, target: Path) -> str:
    """Convert a file into a folder, or a folder into a file.

    Args:
        origin: An official file, or the folder for transformers.
        target: A folder that does not exist or is empty, or a file that does not exist.

    Returns:
        The name of the network.

    Raises:
        PredictorError: The weights are not those of a published network.
        SubmitError: The target exists.
    """
    if target.exists() and not (
        origin.is_file() and target.is_dir() and not any(target.iterdir())
    ):
        raise SubmitError(f"{target}: exists; name another place or delete it")
    if origin.is_dir():
        state = to_official(SafeWeights(origin / WEIGHTS), origin / WEIGHTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        # A file that is only named would have its name inside, too.
        with part.open("wb") as stream:
            torch.save({"model": state}, stream)
        os.replace(part, target)
        return str(recognise(state))
    state = dict(read_state(origin))
    name = recognise(state)
    if name is None:
        raise PredictorError(
            f"{origin}: holds the weights of none of {', '.join(MODELS)}; expected an "
            "official SAM 2 checkpoint"
        )
    build_network(MODELS[name], state, origin)
    config = describe(MODELS[name])
    _save(to_hugging_face(state), target, config)
    return name


def _save(weights: dict[str, Tensor], folder: Path, config: Mapping[str, Any]) -> None:
    """Write what transformers reads; the file with the weights comes last."""
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise SubmitError(
            f"{folder}: the package safetensors is needed to write it and is not "
            "installed; run: pip install safetensors"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(f"{json.dumps(config, indent=2)}\n", "utf-8")
    part = folder / f"{WEIGHTS}.part"
    save_file(weights, part, metadata={"format": "pt"})
    os.replace(part, folder / WEIGHTS)


def _recognise(weights: Mapping[str, Tensor]) -> str | None:
    """The network with these weights, by what tells the published ones apart."""
    start = "vision_encoder.backbone."
    telling = {
        "image_encoder.trunk.pos_embed": f"{start}pos_embed",
        "no_obj_embed_spatial": "occlusion_spatial_embedding_parameter",
    }
    seen = {key: weights[name] for key, name in telling.items() if name in weights}
    for name in weights:
        if found := re.match(rf"{re.escape(start)}blocks\.(\d+)\.", name):
            seen[f"image_encoder.trunk.blocks.{found[1]}"] = torch.empty(0)
    return recognise(seen) if _MATRIX in weights else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and convert; the exit status is 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("origin", type=Path, help="the file or the folder")
    parser.add_argument("target", type=Path, help="the folder or the file to write")
    args = parser.parse_args(arguments)
    try:
        name = convert(args.origin, args.target)
    except SubmitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{args.target}: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
