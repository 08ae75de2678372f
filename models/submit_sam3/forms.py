"""The names that our weights have in the files that SAM 3 is given out as.

There are two: the official `sam3.pt` and the folder for transformers. Each is a
function from our names to those of the file, so that it serves to read such a file and,
in tests and tools, to write one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FORMS", "Form", "WeightSource"]


@dataclass(frozen=True)
class WeightSource:
    """Where one of our weights is in a file.

    Attributes:
        names: The weights that it is made of, put together along the first axis.
        row: The one row of it that counts; None for all.
        skip: Entries at the start of the second axis that do not count.
    """

    names: tuple[str, ...]
    row: int | None = None
    skip: int = 0

    def take(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Make our weight."""
        parts = [weights[name] for name in self.names]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.row is not None:
            whole = whole[self.row : self.row + 1]
        return whole[:, self.skip :] if self.skip else whole


@dataclass(frozen=True)
class Form:
    """The names of a kind of file.

    Attributes:
        source: Where a weight is, by our name.
        canonical: The name by which `source` knows a weight of a file, which may have
            another; None for what belongs to the tracker and is computed or not read.
        is_tracker: Whether a canonical name belongs to the tracker.
        mark: What the canonical name of one weight in each such file starts with.
    """

    source: Callable[[str], WeightSource]
    canonical: Callable[[str], str | None]
    is_tracker: Callable[[str], bool]
    mark: str


_OFFICIAL_TRUNK = "detector.backbone.vision_backbone.trunk."
_OFFICIAL_NECK = "detector.backbone.vision_backbone.sam2_convs."
#: Our names and the official ones, the first that fits counts.
_OFFICIAL = (
    (r"^image_encoder\.trunk\.(.*)mlp\.layers\.0\.", rf"{_OFFICIAL_TRUNK}\1mlp.fc1."),
    (r"^image_encoder\.trunk\.(.*)mlp\.layers\.1\.", rf"{_OFFICIAL_TRUNK}\1mlp.fc2."),
    (r"^image_encoder\.trunk\.", _OFFICIAL_TRUNK),
    (r"^image_encoder\.neck\.convs\.", _OFFICIAL_NECK),
    (r"^memory_attention\.", "tracker.transformer.encoder."),
    (r"^memory_encoder\.", "tracker.maskmem_backbone."),
    (r"^(sam_mask_decoder\.transformer\..*mlp\.)layers\.0\.", r"tracker.\1lin1."),
    (r"^(sam_mask_decoder\.transformer\..*mlp\.)layers\.1\.", r"tracker.\1lin2."),
    (r"^", "tracker."),
)


def _official(name: str) -> WeightSource:
    """Where a weight is in `sam3.pt`."""
    # The first position there is that of a class token, which the tracker has not.
    skip = int(name == "image_encoder.trunk.pos_embed")
    return WeightSource((_renamed(name, _OFFICIAL),), skip=skip)


def _official_canonical(name: str) -> str | None:
    # Rotations are computed; the fourth level of the neck is not read.
    computed = name.endswith(".attn.freqs_cis")
    return None if computed or name.startswith(f"{_OFFICIAL_NECK}3.") else name


def _official_is_tracker(name: str) -> bool:
    return name.startswith(("tracker.", _OFFICIAL_TRUNK, _OFFICIAL_NECK))


_HF_TRUNK = "detector_model.vision_encoder.backbone."
_HF_NECK = "tracker_neck.fpn_layers."
_HF_TRACKER = "tracker_model."
#: For each part of our network what its names begin with there, and how names inside of
#: it differ, one after the other.
_HUGGING_FACE = (
    (
        "image_encoder.trunk.",
        _HF_TRUNK,
        (
            (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
            (r"^pos_embed$", "embeddings.position_embeddings"),
            (r"^ln_pre\.", "layer_norm."),
            (r"^blocks\.", "layers."),
            (r"\.norm(\d)\.", r".layer_norm\1."),
            (r"\.attn\.proj\.", ".attention.o_proj."),
            (r"\.attn\.", ".attention."),
            (r"\.mlp\.layers\.0\.", ".mlp.fc1."),
            (r"\.mlp\.layers\.1\.", ".mlp.fc2."),
        ),
    ),
    (
        "image_encoder.neck.convs.",
        _HF_NECK,
        (
            (r"\.dconv_2x2(_0)?\.", ".scale_layers.0."),
            (r"\.dconv_2x2_1\.", ".scale_layers.2."),
            (r"\.conv_1x1\.", ".proj1."),
            (r"\.conv_3x3\.", ".proj2."),
        ),
    ),
    (
        "memory_attention.",
        f"{_HF_TRACKER}memory_attention.",
        (
            (r"\bnorm(\d?)\.", r"layer_norm\1."),
            (r"\.out_proj\.", ".o_proj."),
        ),
    ),
    (
        "memory_encoder.",
        f"{_HF_TRACKER}memory_encoder.",
        (
            (r"^out_proj\.", "projection."),
            (r"^pix_feat_proj\.", "feature_projection."),
            (r"^fuser\.", "memory_fuser."),
            (r"\.gamma$", ".scale"),
            (r"\.dwconv\.", ".depthwise_conv."),
            (r"\.norm\.", ".layer_norm."),
            (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
            (r"\.encoder\.12\.", ".final_conv."),
            *(
                (rf"\.encoder\.{3 * step + part}\.", f".layers.{step}.{name}.")
                for step in range(4)
                for part, name in enumerate(("conv", "layer_norm"))
            ),
        ),
    ),
    (
        "sam_prompt_encoder.",
        _HF_TRACKER,
        (
            (
                r"^pe_layer\.positional_encoding_gaussian_matrix$",
                "shared_image_embedding.positional_embedding",
            ),
            (r"^(no_mask_embed|not_a_point_embed)\.", r"prompt_encoder.\1."),
            (r"^point_embeddings\.\d\.", "prompt_encoder.point_embed."),
            *(
                (rf"^mask_downscaling\.{index}\.", f"prompt_encoder.mask_embed.{name}.")
                for index, name in (
                    *((0, "conv1"), (1, "layer_norm1"), (3, "conv2")),
                    *((4, "layer_norm2"), (6, "conv3")),
                )
            ),
        ),
    ),
    (
        "sam_mask_decoder.transformer.",
        f"{_HF_TRACKER}mask_decoder.transformer.",
        (
            (r"\.norm(\d)\.", r".layer_norm\1."),
            (r"^norm_final_attn\.", "layer_norm_final_attn."),
            (r"\.out_proj\.", ".o_proj."),
            (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
            (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        ),
    ),
    (
        "sam_mask_decoder.",
        f"{_HF_TRACKER}mask_decoder.",
        (
            (r"^output_upscaling\.0\.", "upscale_conv1."),
            (r"^output_upscaling\.1\.", "upscale_layer_norm."),
            (r"^output_upscaling\.3\.", "upscale_conv2."),
        ),
    ),
    (
        "",
        _HF_TRACKER,
        (
            (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
            (r"^no_obj_ptr$", "no_object_pointer"),
            (r"^no_mem_embed$", "no_memory_embedding"),
            (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
            (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
            (r"^obj_ptr_proj\.", "object_pointer_proj."),
            (
                r"^obj_ptr_tpos_proj\.",
                "temporal_positional_encoding_projection_layer.",
            ),
        ),
    ),
)
#: Perceptrons of three layers name their first and their last one.
_THREE_LAYERS = re.compile(
    r"(output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head"
    r"|object_pointer_proj)\.layers\.(\d)\."
)
_LAYER_NAMES = ("proj_in", "layers.0", "proj_out")
#: Weights that a file has twice, and the name of the one that counts.
_TIED = {
    f"{_HF_TRACKER}prompt_encoder.shared_embedding.positional_embedding": (
        f"{_HF_TRACKER}shared_image_embedding.positional_embedding"
    )
}


def _hugging_face(name: str) -> WeightSource:
    """Where a weight is in a folder for transformers."""
    for start, their_start, rules in _HUGGING_FACE:
        if name.startswith(start):
            rest = name.removeprefix(start)
            for pattern, put in rules:
                rest = re.sub(pattern, put, rest)
            theirs = their_start + rest
            break
    theirs = _THREE_LAYERS.sub(
        lambda found: f"{found[1]}.{_LAYER_NAMES[int(found[2])]}.", theirs
    )
    if ".qkv." in theirs:
        return WeightSource(
            tuple(theirs.replace("qkv", f"{one}_proj") for one in "qkv")
        )
    point = re.match(r"sam_prompt_encoder\.point_embeddings\.(\d)\.", name)
    return WeightSource((theirs,), row=int(point[1]) if point else None)


def _hugging_face_canonical(name: str) -> str | None:
    """As in a folder of detector and tracker; one of the tracker alone has others."""
    bare = name.removeprefix(_HF_TRACKER)
    if bare.startswith("vision_encoder.neck."):
        bare = bare.replace("vision_encoder.neck.", "tracker_neck.", 1)
    elif bare.startswith("vision_encoder."):
        bare = f"detector_model.{bare}"
    if bare.startswith(f"{_HF_NECK}3."):
        return None  # The fourth level of the neck is not read.
    if not bare.startswith(("detector_model.", _HF_NECK)):
        bare = f"{_HF_TRACKER}{bare}"
    return _TIED.get(bare, bare)


def _hugging_face_is_tracker(name: str) -> bool:
    return name.startswith((_HF_TRACKER, _HF_TRUNK, _HF_NECK))


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Apply the first rule that fits."""
    for pattern, put in rules:
        found, count = re.subn(pattern, put, name, count=1)
        if count:
            return found
    return name


#: All forms, by what a user knows them as.
FORMS = {
    "official": Form(
        _official, _official_canonical, _official_is_tracker, mark="tracker."
    ),
    "transformers": Form(
        _hugging_face,
        _hugging_face_canonical,
        _hugging_face_is_tracker,
        mark=f"{_HF_TRACKER}mask_decoder.",
    ),
}
