"""SAM 3's tracker of transformers and of the official repository, on the processor.

The predictor `sam3` is compared with them: by tools/compare_sam3.py, and by the tests
in tests/models/test_sam3_reference.py. They need

- transformers 5.24.0 and safetensors, or
- facebookresearch/sam3 (commit 99d02f2) on PYTHONPATH, einops and tqdm. Only its
  tracker's modules are imported. What they import and do not use (torchvision, Triton,
  the training code) is replaced by empty modules, and timm by the three names of it
  that are used.

Weights are random and given to both by their own names (`submit_sam3.checkpoints`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from compare_sam2 import SCORE_BIAS, Frame
from submit.predictors import Absent, Box, Mask, Points, Prompt
from submit_sam3.checkpoints import arrange, random_weights
from submit_sam3.config import Sam3Config
from submit_sam3.folder import config_table

__all__ = [
    "boosted_weights",
    "build_official",
    "build_transformers",
    "correct_official",
    "exact_memories",
    "lively_weights",
    "run_official",
    "run_transformers",
    "scale_logits",
]

#: What the predictor `sam3` makes of a given mask: ± this, as logits.
_SURE = 8.0
#: Pixels of a mask that is remembered for each cell of the features.
_MASK_STRIDE = 16

State = Mapping[str, Tensor]

#: Factors that make an object's mask and pointer matter among random weights.
_BOOSTS = {
    r"mask_downscaling\.6\.": 10,
    r"mask_downsampler\.encoder\.12\.": 30,
    r"^memory_attention\..*cross.*\.([qkv]|out)_proj\.weight": 3,
    r"^obj_ptr_proj\.layers\.2\.weight": 5,
    r"pred_obj_score_head\.layers\.2\.weight": 20,
}
_LAST_LAYERS = re.compile(r"output_hypernetworks_mlps\.\d\.layers\.2\.")
#: Times that the scores are shifted so that objects disappear.
_SHIFTS = 8


def boosted_weights(config: Sam3Config, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw random weights with which masks depend on what is remembered."""
    state = random_weights(config, seed=seed)
    for pattern, factor in _BOOSTS.items():
        for name in state:
            if re.search(pattern, name):
                state[name] *= factor
    return state


def scale_logits(state: dict[str, Tensor], factor: float) -> None:
    """Change the weights so that logits of masks are multiplied by a factor."""
    for name in state:
        if _LAST_LAYERS.search(name):
            state[name] *= factor


def lively_weights(
    config: Sam3Config,
    track: Callable[[State], Iterable[Frame]],
    *,
    seed: int = 0,
    absent: float = 0.0,
) -> dict[str, Tensor]:
    """Draw boosted weights whose logits reach ±5, and whose objects disappear.

    Args:
        config: The shape of the network.
        track: Tracks with weights, the first frame with a prompt.
        seed: Equal seeds give equal weights.
        absent: About the share of frames in which objects are absent.
    """
    state = boosted_weights(config, seed=seed)
    state[SCORE_BIAS] += 100  # All are present at first.
    _, *frames = track(state)
    scale_logits(state, 5 / max(float(np.abs(one.logits).max()) for one in frames))
    if not absent:
        return state
    scores = np.concatenate([frame.scores for frame in frames])
    low, high = float(scores.min()), float(scores.max())
    bias = state[SCORE_BIAS].clone()
    for _ in range(_SHIFTS):
        # What an absent object leaves in the memory moves the scores that follow.
        shift = low + absent * (high - low)
        state[SCORE_BIAS] = bias - shift
        _, *frames = track(state)
        share = np.mean([frame.scores <= 0 for frame in frames])
        if absent / 2 < share < 2 * absent:
            break
        low, high = (shift, high) if share < absent else (low, shift)
    return state


def build_transformers(
    config: Sam3Config, state: State, side: int, *, as_official: bool = True
) -> Any:
    """Build `Sam3TrackerVideoModel` with these weights.

    Args:
        config: The shape of the network.
        state: The weights by our names.
        side: Of the input, in pixels.
        as_official: Take the official numbers where transformers has others: see
            `_follow_official`. The norms of the image encoder have an epsilon of 1e-5
            in both cases.
    """
    from safetensors.torch import save_file
    from transformers import Sam3TrackerVideoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    table = config_table(config, side)
    table["vision_config"]["backbone_config"]["layer_norm_eps"] = 1e-5
    weights = arrange(state, "transformers")
    for twice in ("shared_image_embedding", "prompt_encoder.shared_embedding"):
        weights[f"tracker_model.{twice}.positional_embedding"] = state[
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        ].clone()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(table))
        save_file(weights, Path(folder) / "model.safetensors")
        model = Sam3TrackerVideoModel.from_pretrained(folder).eval()
    if as_official:
        _follow_official(model)
    return model


def run_transformers(
    model: Any, images: Sequence[Tensor], masks: Mapping[int, NDArray[np.bool_]]
) -> Iterator[Frame]:
    """Track with transformers, frame by frame, as its streaming does.

    Args:
        model: From `build_transformers`.
        images: 1×3×S×S each, normalised.
        masks: H×W by object, given in the first frame.
    """
    from transformers import Sam3TrackerVideoInferenceSession

    height, width = next(iter(masks.values())).shape
    session = Sam3TrackerVideoInferenceSession(
        video_height=height, video_width=width, dtype=torch.float32
    )
    for key, mask in masks.items():
        index = session.obj_id_to_idx(key)
        session.add_mask_inputs(index, 0, torch.from_numpy(mask)[None, None].float())
    session.obj_with_new_inputs = list(masks)
    for number, image in enumerate(images):
        with torch.inference_mode():
            seen = model(inference_session=session, frame=image, frame_idx=number)
        logits = seen.pred_masks[:, 0].float()
        yield Frame(
            # It makes ± 10 of the given mask.
            (logits * _SURE / 10 if number == 0 else logits).numpy(),
            seen.object_score_logits.flatten().float().numpy(),
        )


def _follow_official(model: Any) -> None:
    """Replace what transformers computes in another way than the official tracker.

    - Of a given mask, the official tracker resizes soft edges to 16 pixels for each
      cell; transformers takes the side of the input. The pointer is that of the first
      mask token; transformers takes the token with the highest predicted IoU. The
      memory is made of the low-resolution logits; transformers takes the mask itself.
    - Masks are scaled for the memory and then resized; transformers resizes logits.
    """
    config = model.config

    def take_mask(
        backbone_features: Tensor, high_res_features: list[Tensor], mask_inputs: Tensor
    ) -> Any:
        cells = backbone_features.shape[-1]
        wide = _shrink(mask_inputs, _MASK_STRIDE * cells)
        seen = model._single_frame_forward(
            input_masks=model.mask_downsample(wide),
            image_embeddings=[*high_res_features, backbone_features],
            multimask_output=False,
        )
        given = wide.flatten(1).any(1)[:, None]
        low = _shrink(mask_inputs * 20 - 10, 4 * cells)
        seen.pred_masks = low
        seen.high_res_masks = F.interpolate(
            low, size=(model.image_size,) * 2, mode="bilinear", align_corners=False
        )
        seen.object_pointer = torch.where(
            given, seen.object_pointer, model.no_object_pointer
        )
        seen.object_score_logits = torch.where(given, 10.0, -10.0)[..., None]
        return seen

    def remember(
        current_vision_feats: Tensor,
        pred_masks_high_res: Tensor,
        object_score_logits: Tensor,
        is_mask_from_pts: bool,
    ) -> tuple[Tensor, Tensor]:
        cells, _ = model.backbone_feature_sizes[-1]
        inside = pred_masks_high_res.sigmoid()
        if is_mask_from_pts:
            inside = (pred_masks_high_res > 0).float()
        scaled = (
            inside * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        )
        features = current_vision_feats.permute(1, 2, 0)
        features = features.reshape(*features.shape[:2], cells, cells)
        memories, places = model.memory_encoder(
            features, _shrink(scaled, _MASK_STRIDE * cells)
        )
        absent = (object_score_logits.flatten() <= 0).float()[:, None, None, None]
        mark = model.occlusion_spatial_embedding_parameter[..., None, None]
        memories = (memories + absent * mark).bfloat16()
        return tuple(x.flatten(2).permute(2, 0, 1) for x in (memories, places))

    model._use_mask_as_output = take_mask
    model._encode_new_memory = remember


def _shrink(masks: Tensor, side: int) -> Tensor:
    return F.interpolate(
        masks.float(),
        size=(side, side),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )


def build_official(
    config: Sam3Config, state: State, side: int, *, selection: bool = True
) -> Any:
    """Build the official `Sam3TrackerPredictor` with these weights.

    It is made as `build_tracker` of sam3/model_builder.py makes it, of the numbers of
    `config`.

    Args:
        config: The shape of the network.
        state: The weights by our names.
        side: Of the input, in pixels.
        selection: Select memories by their scores, as is the default there.
    """
    modules = _Official()
    cells, mask_side = side // config.trunk.patch, _MASK_STRIDE * side // 14
    trunk, channels = config.trunk, config.channels

    def attention(**more: Any) -> Any:
        return modules.transformer.RoPEAttention(
            embedding_dim=channels,
            num_heads=1,
            downsample_rate=1,
            dropout=0.1,
            rope_theta=10000.0,
            feat_sizes=[cells, cells],
            **more,
        )

    def places(width: int) -> Any:
        return modules.position_encoding.PositionEmbeddingSine(
            num_pos_feats=width, normalize=True, scale=None, temperature=10000
        )

    layer = modules.decoder.TransformerDecoderLayerv2(
        cross_attention_first=False,
        activation="relu",
        dim_feedforward=config.memory_hidden,
        dropout=0.1,
        pos_enc_at_attn=False,
        pre_norm=True,
        self_attention=attention(),
        d_model=channels,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        cross_attention=attention(kv_in_dim=config.memory_channels, rope_k_repeat=True),
    )
    encoder = modules.decoder.TransformerEncoderCrossAttention(
        remove_cross_attention_layers=[],
        batch_first=True,
        d_model=channels,
        frozen=False,
        pos_enc_at_input=True,
        layer=layer,
        num_layers=config.memory_layers,
    )
    image_encoder = modules.necks.Sam3DualViTDetNeck(
        position_encoding=places(channels),
        d_model=channels,
        scale_factors=[4.0, 2.0, 1.0, 0.5],
        trunk=modules.vitdet.ViT(
            img_size=side,
            pretrain_img_size=trunk.patch * trunk.position_size,
            patch_size=trunk.patch,
            embed_dim=trunk.channels,
            depth=trunk.blocks,
            num_heads=trunk.heads,
            mlp_ratio=trunk.hidden / trunk.channels,
            norm_layer="LayerNorm",
            tile_abs_pos=True,
            global_att_blocks=trunk.global_blocks,
            rel_pos_blocks=(),
            use_rope=True,
            use_interp_rope=True,
            window_size=trunk.window,
            retain_cls_token=False,
            ln_pre=True,
            bias_patch_embed=False,
        ),
        add_sam2_neck=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It would like to run on a GPU.
        predictor = modules.tracking.Sam3TrackerPredictor(
            image_size=side,
            num_maskmem=config.memories,
            max_obj_ptrs_in_encoder=config.pointers,
            backbone=modules.vl_combiner.SAM3VLBackbone(
                visual=image_encoder, text=None, scalp=1
            ),
            backbone_stride=trunk.patch,
            transformer=modules.misc.TransformerWrapper(
                encoder=encoder, decoder=None, d_model=channels
            ),
            maskmem_backbone=modules.memory.SimpleMaskEncoder(
                out_dim=config.memory_channels,
                in_dim=channels,
                position_encoding=places(config.memory_channels),
                mask_downsampler=modules.memory.SimpleMaskDownSampler(
                    embed_dim=channels,
                    kernel_size=3,
                    stride=2,
                    padding=1,
                    interpol_size=[mask_side, mask_side],
                ),
                fuser=modules.memory.SimpleFuser(
                    modules.memory.CXBlock(channels), num_layers=2
                ),
            ),
            multimask_output_in_sam=True,
            forward_backbone_per_frame_for_eval=True,
            multimask_output_for_tracking=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            non_overlap_masks_for_output=False,
            max_cond_frames_in_attn=4,
            sam_mask_decoder_extra_args={
                "dynamic_multimask_via_stability": True,
                "dynamic_multimask_stability_delta": 0.05,
                "dynamic_multimask_stability_thresh": 0.98,
            },
            clear_non_cond_mem_around_input=True,
            use_memory_selection=selection,
        )
    _load_official(predictor, state)
    return predictor.eval()


def _load_official(predictor: Any, state: State) -> None:
    """Give it the weights; what is left as it was is read by no tracker."""
    weights = {}
    for name, tensor in arrange(state, "official").items():
        inner = name.removeprefix("tracker.").removeprefix("detector.")
        weights[inner] = tensor
    missing, unexpected = predictor.load_state_dict(weights, strict=False)
    unread = (
        "backbone.vision_backbone.convs.",
        "backbone.vision_backbone.sam2_convs.3.",
    )
    computed = ".freqs_cis"
    wrong = [
        name
        for name in missing
        if not name.startswith(unread) and not name.endswith(computed)
    ]
    if wrong or unexpected:
        raise RuntimeError(f"weights differ: missing {wrong}, unexpected {unexpected}")


def run_official(
    predictor: Any, images: Sequence[Tensor], masks: Mapping[int, NDArray[np.bool_]]
) -> Iterator[Frame]:
    """Track with the official predictor, all objects in one batch.

    Args:
        predictor: From `build_official`.
        images: 1×3×S×S each, normalised.
        masks: H×W by object, given in the first frame.
    """
    height, width = next(iter(masks.values())).shape
    with _on_processor():
        state = predictor.init_state(
            height, width, len(images), offload_state_to_cpu=True
        )
        state["images"] = [image[0] for image in images]
        for key, mask in masks.items():
            predictor.add_new_mask(state, 0, key, torch.from_numpy(mask))
    run = predictor.propagate_in_video(
        state, 0, None, False, tqdm_disable=True, propagate_preflight=True
    )
    while True:
        with _on_processor():
            found = next(run, None)
        if found is None:
            return
        number, _, logits, _, scores = found
        yield Frame(
            # It makes ± 1024 of the given mask.
            (logits[:, 0] * (_SURE / 1024 if number == 0 else 1)).numpy(),
            scores.flatten().numpy(),
        )


def correct_official(
    predictor: Any,
    images: Sequence[Tensor],
    size: tuple[int, int],
    given: Mapping[int, Prompt],
) -> Iterator[Frame]:
    """Track one object as a person would who corrects it on the way.

    Args:
        predictor: From `build_official`.
        images: 1×3×S×S each, normalised.
        size: Height and width of the video.
        given: Prompts by frame, the first frame among them.
    """
    height, width = size
    scale = torch.tensor((width, height))
    with _on_processor():
        state = predictor.init_state(
            height, width, len(images), offload_state_to_cpu=True
        )
        state["images"] = [image[0] for image in images]
        for number in range(len(images)):
            prompt = given.get(number)
            if number:
                (found,) = _propagate(predictor, state, number)
            if isinstance(prompt, Box):
                corners = ((prompt.left, prompt.top), (prompt.right, prompt.bottom))
                box = (torch.tensor(corners) / scale).flatten()
                predictor.add_new_points_or_box(state, number, 1, box=box)
            elif isinstance(prompt, Points):
                places = torch.tensor([(one.x, one.y) for one in prompt.points])
                kinds = [int(one.inside) for one in prompt.points]
                predictor.add_new_points_or_box(
                    state, number, 1, points=places / scale, labels=kinds
                )
            elif prompt is not None:
                mask = np.zeros(size, bool)
                if isinstance(prompt, Mask):
                    mask = prompt.pixels.copy()
                predictor.add_new_mask(state, number, 1, torch.from_numpy(mask))
            if prompt is not None:
                (found,) = _propagate(predictor, state, number)
            as_given = isinstance(prompt, (Mask, Absent))
            yield Frame(
                (found[2][:, 0] * (_SURE / 1024 if as_given else 1)).numpy(),
                found[4].flatten().numpy(),
            )


def _propagate(predictor: Any, state: Any, frame: int) -> list[Any]:
    """Track one frame, after making memories of what was given."""
    return list(
        predictor.propagate_in_video(
            state, frame, 0, False, tqdm_disable=True, propagate_preflight=True
        )
    )


@contextlib.contextmanager
def exact_memories() -> Iterator[None]:
    """Keep memories in float32, on all sides.

    Rounded to bfloat16, they differ in a last bit where two float32 numbers on both
    sides of a step do, and what follows differs by some 1e-4.
    """
    to = Tensor.to

    def convert(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        return tensor if args == (torch.bfloat16,) else to(tensor, *args, **options)

    with (
        mock.patch.object(Tensor, "bfloat16", Tensor.float),
        mock.patch.object(Tensor, "to", convert),
    ):
        yield


@contextlib.contextmanager
def _on_processor() -> Iterator[None]:
    """Let official code run that copies tensors to a GPU."""

    def stay(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
        return tensor

    with (
        mock.patch.object(Tensor, "cuda", stay),
        mock.patch.object(Tensor, "pin_memory", stay),
    ):
        yield


class _Official:
    """The official modules, imported without those that no tracker needs."""

    def __init__(self) -> None:
        if "sam3" not in sys.modules:
            found = importlib.util.find_spec("sam3")
            if found is None or not found.submodule_search_locations:
                raise ImportError("sam3: put facebookresearch/sam3 on PYTHONPATH")
            # Its own __init__ imports the detector and what that needs.
            sys.modules["sam3"] = importlib.util.module_from_spec(found)
        with _replaced():
            load = importlib.import_module
            self.decoder = load("sam3.model.decoder")
            self.memory = load("sam3.model.memory")
            self.misc = load("sam3.model.model_misc")
            self.necks = load("sam3.model.necks")
            self.position_encoding = load("sam3.model.position_encoding")
            self.tracking = load("sam3.model.sam3_tracking_predictor")
            self.transformer = load("sam3.sam.transformer")
            self.vitdet = load("sam3.model.vitdet")
            self.vl_combiner = load("sam3.model.vl_combiner")


class _Mlp(nn.Module):
    """Stands for that of timm."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: Callable[[], nn.Module],
        drop: object,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


#: Modules that official ones import, and what of them.
_REPLACED: Mapping[str, Mapping[str, Any]] = {
    "sam3.model.edt": {"edt_triton": None},
    "sam3.train.data.collator": {"BatchedDatapoint": object},
    "timm.layers": {
        "DropPath": nn.Identity,
        "Mlp": _Mlp,
        "trunc_normal_": nn.init.trunc_normal_,
    },
    "torchvision.ops.roi_align": {"RoIAlign": object},
}


@contextlib.contextmanager
def _replaced() -> Iterator[None]:
    """Put small modules in the places of those that are not needed."""
    put: dict[str, types.ModuleType] = {}
    for name, content in _REPLACED.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            if path in ("sam3", "sam3.model"):
                continue
            put.setdefault(path, types.ModuleType(path)).__path__ = []
        vars(put[name]).update(content)
    with mock.patch.dict(sys.modules, put):
        yield
        # `patch.dict` forgets what is imported meanwhile; the official modules stay.
        loaded = {name: it for name, it in sys.modules.items() if name not in put}
    sys.modules.update(loaded)
