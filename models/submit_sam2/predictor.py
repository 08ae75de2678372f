"""The predictor `sam2`: its options, its network and its frames.

Frames are resampled and normalised as in sam2/utils/misc.py (facebookresearch/sam2
@ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from submit.predictors import option

from .base import TrackerPredictor
from .config import MODELS
from .options import TrackerOptions, with_policies

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .model import Sam2Network

__all__ = ["DEVIATION", "MEAN", "Preset", "Sam2Options", "Sam2Predictor"]

#: Mean and deviation of each colour, in [0, 1], that the networks were trained with.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preset:
    """Published values of the memory options."""

    memory: str = "sam2"
    mask_scale: float = 20.0
    mask_bias: float = -10.0


#: The network where neither an option nor a checkpoint says another one.
_USUAL = "sam2.1_hiera_large"

PRESETS = {
    "sam2": Preset(),
    # MOSEv2/sam2_rcms of henghuiding/MOSE-api @ 241977a: its README and configs.
    "rcms": Preset(memory="rcms", mask_scale=7.5, mask_bias=-4.0),
    # Only mask output scaling, with the values of the MOSEv2 authors.
    "masseg": Preset(mask_scale=7.5, mask_bias=-4.0),
}


@with_policies
@dataclass(frozen=True)
class Sam2Options(TrackerOptions):
    """Options of the `sam2` predictor; None takes the preset's value.

    Once they are made, the memory options have the values that count.
    """

    side_step: ClassVar[int] = 32
    smallest_side: ClassVar[int] = 64

    model: str = option(
        "auto",
        "The network's size; auto reads it from the checkpoint.",
        choices=("auto", *MODELS),
    )
    image_size: int = option(
        1024, "Side in pixels of the square that frames are resized to; 32 divides it."
    )
    preset: str = option(
        "sam2",
        "Defaults of the memory options: sam2 for official weights, rcms for those of "
        "the MOSEv2 baseline, masseg for those trained as MASSeg was.",
        choices=tuple(PRESETS),
        decides=False,  # It fills in those.
    )

    def __post_init__(self) -> None:
        if self.model == "auto":
            # Replaced, so that the manifest names it, and policies know the size.
            object.__setattr__(self, "model", _model_of(self.checkpoint))
        super().__post_init__()

    def preset_values(self) -> Mapping[str, Any]:
        """The memory options of the preset."""
        return vars(PRESETS[self.preset])

    def resolved(self) -> Preset:
        """The memory options, with the preset's values where none is given."""
        return Preset(**{name: getattr(self, name) for name in vars(Preset())})


def _model_of(checkpoint: str | None) -> str:
    """The network whose weights a file has; the usual one if that is not known.

    Reading the weights will say what is wrong with the file.
    """
    if checkpoint is None:
        return _USUAL
    from .build import known_model

    return known_model(Path(checkpoint)) or _USUAL


class Sam2Predictor(TrackerPredictor[Sam2Options]):
    """The video tracker of SAM 2.1 and 2.0, with RCMS memory selection.

    Needs the official weights: `-o checkpoint=FILE`. Weights and code of SAM 2 are
    under the Apache License 2.0.
    """

    Options: ClassVar[type[Any]] = Sam2Options
    licence: ClassVar[str] = "Apache-2.0"
    how_to_get: ClassVar[str] = (
        "run: submit weights fetch {model}, and name it with -o checkpoint={model}; "
        "or name a file"
    )

    def read(self, path: Path) -> Sam2Network:
        """Read the network's weights.

        Raises:
            PredictorError: They do not exist, are damaged, or are of another network.
        """
        from .build import load_network

        return load_network(self._options.model, path)

    def prepare(self, frame: NDArray[np.uint8], side: int) -> torch.Tensor:
        """Resample H×W×3 to a square and normalise it: 1×3×side×side."""
        return _to_tensor(frame, side)


def _to_tensor(frame: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Resample H×W×3 to a square and normalise it: 1×3×side×side."""
    from .frames import normalise, resize_bicubic

    pixels = resize_bicubic(frame, side)
    return normalise(pixels, mean=MEAN, deviation=DEVIATION)
