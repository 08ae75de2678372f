"""Groups of parameters: learning rates and weight decay.

Matches the options of sam2.1_hiera_b+_MOSE_finetune.yaml, `layer_decay_param_modifier`
of training/optimizer.py and `Hiera.get_layer_id` (facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from submit.training import ParameterGroup

from ..model import Sam2Network

__all__ = ["parameter_groups"]

_ENCODER, _TRUNK = "image_encoder.", "image_encoder.trunk."


def parameter_groups(
    network: Sam2Network,
    *,
    rate: float,
    encoder_rate: float,
    layer_decay: float,
    decay: float,
) -> Sequence[ParameterGroup]:
    """Assign all parameters that are trained to groups.

    Args:
        network: The network.
        rate: Learning rate of all but the image encoder.
        encoder_rate: That of the image encoder …
        layer_decay: … which falls by this factor from each block of the trunk to the
            one before; position encodings are not affected.
        decay: Weight decay; none for biases and layer norms.
    """
    blocks = len(network.image_encoder.trunk.blocks)
    plain = {
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
    groups: dict[tuple[float, float], list[str]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        own = encoder_rate if name.startswith(_ENCODER) else rate
        if name.startswith(_TRUNK):
            own *= layer_decay ** _depth(name, blocks)
        without = "bias" in name or name in plain
        groups.setdefault((own, 0.0 if without else decay), []).append(name)
    return [
        ParameterGroup(tuple(names), own, weight)
        for (own, weight), names in groups.items()
    ]


def _depth(name: str, blocks: int) -> int:
    """How many blocks of the trunk lie behind a weight, itself included."""
    if "pos_embed" in name:
        return 0
    if "patch_embed" in name:
        return blocks + 1
    if "blocks." in name:
        return blocks - int(name.partition("blocks.")[2].partition(".")[0])
    return 0
