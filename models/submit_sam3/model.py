"""The network of SAM 3's tracker: another image encoder before the blocks of SAM 2.

Follows `Sam3TrackerPredictor` of sam3/model/sam3_tracking_predictor.py and
sam3_tracker_base.py (facebookresearch/sam3 @ 99d02f2), whose behaviour is reproduced
and whose code is not. What differs from SAM 2 behind the encoder:

- The input has 14 pixels for each cell of the features and the memory encoder still
  takes masks of 16; they are resized after their scaling.
- A given mask goes to the memory through its low resolution, as inside and outside
  alone, and to the prompt encoder with soft edges.
- Points that correct an object are looked at without memory.
- Of more than 16 points in a frame, the first eight and the last eight count.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from submit_sam2.model import TrackerNetwork, shrink
from submit_sam2.modeling.neck import ImageEncoder
from submit_sam2.modeling.position import Grids

from .config import Sam3Config
from .modeling.pyramid import Pyramid
from .modeling.vit import Vit

__all__ = ["Sam3Network"]

#: A given mask as a logit is ± this. The official ±1024 by a power of two, so that all
#: that follows is rounded alike, and small enough to be merged with other logits.
_SURE = 8.0
#: Pixels of a mask for the prompt encoder for each cell of the features.
_MASK_STRIDE = 16


class Sam3Network(TrackerNetwork):
    """SAM 3's tracker with its image encoder."""

    stride: ClassVar[int] = 14
    sharp_prompts: ClassVar[bool] = True
    corrects_with_memory: ClassVar[bool] = False
    end_points: ClassVar[int | None] = 8
    image_encoder: ImageEncoder[Vit]

    def __init__(self, config: Sam3Config) -> None:
        """Build the network.

        Args:
            config: Its shape.
        """
        trunk = Vit(config.trunk)
        neck = Pyramid(config.trunk.channels, config.channels)
        super().__init__(config, ImageEncoder(trunk, neck))

    def fit_masks(self, masks: Tensor, grids: Grids) -> tuple[Tensor, Tensor]:
        """Resize given masks, N×H×W of zeros and ones.

        Returns:
            Logits N×4h×4w of them, and N×16h×16w in [0, 1] for the prompt encoder.
        """
        logits = shrink(masks * (2 * _SURE) - _SURE, 4 * grids.side)
        return logits, shrink(masks, _MASK_STRIDE * grids.side)
