"""Small models of transformers with random weights, and the library's own loop.

For measurements and tests; transformers 5.24 is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from submit_hf import EdgeTamPredictor, Sam2HfPredictor, Sam3HfPredictor
from submit_hf.predictor import HfPredictor
from submit_sam2.model import shrink

__all__ = ["SIDES", "Library", "Model", "fitted_mask", "make_model", "write_folder"]

Model = type[HfPredictor[Any]]

#: The smallest useful side of each model's input.
SIDES: dict[Model, int] = {
    Sam2HfPredictor: 64,
    Sam3HfPredictor: 112,
    EdgeTamPredictor: 256,
}

#: A trunk of SAM 2 as narrow as can be. What follows has the published widths, since
#: the library's modules demand it.
_HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 16,
    "num_attention_heads": 1,
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [16, 32, 64, 128],
    "num_attention_heads_per_stage": [1, 2, 4, 8],
    "window_size_per_stage": [8, 4, 14, 7],
    "global_attention_blocks": [3],
}
_VIT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "global_attn_indexes": [1],
    "window_size": 4,
    "pretrain_image_size": 56,
}


def make_config(kind: Model, side: int) -> Any:
    """The configuration of a small model for inputs of side×side."""
    import transformers

    if kind is Sam3HfPredictor:
        return transformers.Sam3TrackerVideoConfig(
            image_size=side,
            vision_config=transformers.Sam3VisionConfig(
                backbone_config=transformers.Sam3ViTConfig(**_VIT, image_size=side)
            ),
            memory_attention_num_layers=2,
            memory_attention_feed_forward_hidden_size=64,
        )
    cells = side // 16
    made = {
        Sam2HfPredictor: transformers.Sam2VideoConfig,
        EdgeTamPredictor: transformers.EdgeTamVideoConfig,
    }[kind]
    return made(
        image_size=side,
        vision_config=transformers.Sam2VisionConfig(
            backbone_config={**_HIERA, "image_size": [side, side]},
            backbone_channel_list=[128, 64, 32, 16],
            backbone_feature_sizes=[[scale * cells] * 2 for scale in (4, 2, 1)],
        ),
        prompt_encoder_config={"image_size": side},
        memory_attention_rope_feat_sizes=[cells, cells],
    )


def make_model(
    kind: Model, side: int, *, seed: int = 0, presence: float = 1.0, gain: float = 1.0
) -> Any:
    """Make a small model with random weights that all matter.

    Args:
        kind: Which.
        side: Of its input, in pixels.
        seed: Equal seeds give equal weights.
        presence: Added to the logit of each object being visible.
        gain: Factor of all weight matrices; a larger one makes attention sharper.
    """
    import transformers

    model = getattr(transformers, kind.family.architecture)(make_config(kind, side))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in model.state_dict().items():
            noise = torch.randn(one.shape, generator=random)
            if name.endswith("positional_embedding"):
                one.copy_(noise)
            elif "norm" in name and name.endswith("weight"):
                one.copy_(1 + 0.1 * noise)
            elif name.endswith("weight") and one.ndim > 1 and "embed" not in name:
                one.copy_(gain * noise / one[0].numel() ** 0.5)
            else:
                one.copy_(0.1 * noise)
        # The same matrix in two places.
        matrix = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(matrix)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.add_(presence)
    return model.eval()


def write_folder(kind: Model, folder: Path, side: int, **options: Any) -> Path:
    """Write the folder of a small model; see `make_model`."""
    make_model(kind, side, **options).save_pretrained(folder)
    return folder


class Library:
    """The library's own loop, frame by frame.

    Attributes:
        ious: Predicted IoU of the masks of the latest frame, N; it does not return them
            by itself.
    """

    def __init__(self, kind: Model, folder: Path, side: int) -> None:
        """Open a video.

        Args:
            kind: The kind of model.
            folder: Its folder.
            side: Of its input, in pixels; that of the folder.
        """
        import transformers

        name = kind.family.architecture
        self._model = getattr(transformers, name).from_pretrained(folder)
        opened = getattr(transformers, name.replace("Model", "InferenceSession"))
        self._session = opened(dtype=torch.float32)
        self._side = side
        self.ious: list[float] = []
        self._watch()

    def _watch(self) -> None:
        inner = self._model._single_frame_forward

        def watched(*args: Any, **inputs: Any) -> Any:
            found = inner(*args, **inputs)
            self.ious.append(float(found.iou_scores.max()))
            return found

        self._model._single_frame_forward = watched

    def step(
        self, number: int, image: torch.Tensor, masks: Mapping[int, NDArray[np.bool_]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take a frame, 1×3×S×S, with masks H×W: logits N×h×w and presences N."""
        self.ious.clear()
        for key, mask in masks.items():
            fitted = fitted_mask(mask, self._side)[None, None].float()
            index = self._session.obj_id_to_idx(key)
            self._session.add_mask_inputs(index, number, fitted)
        if masks:
            # All in one go: the library keeps no others.
            self._session.obj_with_new_inputs = list(masks)
        found = self._model(
            inference_session=self._session, frame=image, frame_idx=number
        )
        logits, score = found.pred_masks[:, 0], found.object_score_logits.flatten()
        return logits.numpy(), score.numpy()


def fitted_mask(mask: NDArray[np.bool_], side: int) -> torch.Tensor:
    """A mask as the library's processor makes it, S×S bool."""
    return shrink(torch.from_numpy(mask).float()[None], side)[0] >= 0.5
