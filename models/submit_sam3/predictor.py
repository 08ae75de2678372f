"""SAM 3 behind the predictor protocol: its options, its network, its frames.

Frames are resampled and normalised as in sam3/model/utils/sam2_utils.py
(facebookresearch/sam3 @ 99d02f2), or as `Sam3VideoProcessor` of transformers (5.24.0)
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from submit.predictors import option
from submit_sam2.base import TrackerPredictor
from submit_sam2.memory import POLICIES
from submit_sam2.options import MEMORY_HELP, TrackerOptions, with_policies

from .config import MODELS

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .model import Sam3Network

__all__ = ["Sam3Options", "Sam3Predictor"]

#: Mean and deviation of each colour, in [0, 1].
_GREY = (0.5, 0.5, 0.5)


@with_policies
@dataclass(frozen=True)
class Sam3Options(TrackerOptions):
    """Options of the `sam3` predictor."""

    side_step: ClassVar[int] = 14
    smallest_side: ClassVar[int] = 56

    model: str = option("sam3", "The network.", choices=tuple(MODELS))
    checkpoint: str | None = option(
        None,
        "sam3.pt, a safetensors file, or the folder for transformers; required.",
        metavar="PATH",
        file=True,
    )
    image_size: int = option(
        1008,
        "Side in pixels of the square that frames are resized to; 14 divides it. "
        "Multiples of 336 (672, 1008, 1344) waste nothing on padding.",
    )
    memory: str | None = option("sam3", MEMORY_HELP, choices=tuple(POLICIES))
    conditioning: int | None = option(
        4,
        "Most frames with a prompt (and frames that rcms keeps) that an object looks "
        "back to, the nearest ones; none for all.",
        low=2,
    )
    mask_scale: float | None = option(
        20.0, "Mask probabilities are multiplied by it before they are remembered."
    )
    mask_bias: float | None = option(-10.0, "Added to the scaled mask probabilities.")
    preprocessing: str = option(
        "official",
        "How frames are resized: official by PIL's bicubic filter, hf as transformers "
        "does it, bilinear with antialiasing.",
        choices=("official", "hf"),
    )

    def preset_values(self) -> Mapping[str, Any]:
        """What the memory options are where they are set to none."""
        return {"memory": "sam3", "mask_scale": 20.0, "mask_bias": -10.0}


class Sam3Predictor(TrackerPredictor[Sam3Options]):
    """The video tracker of SAM 3, with its memory selection or another one.

    Needs the official weights: `-o checkpoint=PATH`. They are under the SAM License and
    given out to those who accept it. The code is the toolkit's own.
    """

    Options: ClassVar[type[Any]] = Sam3Options
    licence: ClassVar[str] = (
        "weights: SAM License of 19 November 2025 (Meta; commercial use is allowed, "
        "military, weapons, nuclear and espionage use is not; what is made of the "
        "weights stays under it; name SAM in publications; in full: "
        "github.com/facebookresearch/sam3/blob/main/LICENSE); code: Apache-2.0"
    )
    how_to_get: ClassVar[str] = (
        "accept the SAM License at huggingface.co/facebook/sam3, run: submit weights "
        "fetch sam3, and say -o checkpoint=sam3; or name sam3.pt, or the folder for "
        "transformers, with -o checkpoint=PATH"
    )

    def read(self, path: Path) -> Sam3Network:
        """Read the network's weights.

        Raises:
            PredictorError: They are not there, damaged, or of another network.
        """
        from .checkpoints import load_network

        return load_network(self._options.model, path)

    def prepare(self, frame: NDArray[np.uint8], side: int) -> torch.Tensor:
        """Resample H×W×3 to a square and normalise it: 1×3×side×side."""
        from submit_sam2.frames import normalise, resize_bicubic, resize_bilinear

        official = self._options.preprocessing == "official"
        pixels = (resize_bicubic if official else resize_bilinear)(frame, side)
        return normalise(pixels, mean=_GREY, deviation=_GREY)

    def details(self) -> dict[str, str]:
        """Further facts for the manifest."""
        return {"preprocessing": self._options.preprocessing}
