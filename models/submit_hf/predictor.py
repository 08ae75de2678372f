"""The predictors `sam2-hf`, `sam3-hf` and `edgetam`: options, weights and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from submit.predictors import option
from submit_sam2.base import TrackerPredictor
from submit_sam2.memory import POLICIES
from submit_sam2.options import MEMORY_HELP, TrackerOptions, with_policies
from submit_sam2.predictor import DEVIATION, MEAN
from submit_sam3 import Sam3Predictor

from .families import EDGETAM, SAM2, SAM3, Family
from .folder import ModelFolder, find_folder

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .network import HfNetwork

__all__ = [
    "EdgeTamOptions",
    "EdgeTamPredictor",
    "Sam2HfOptions",
    "Sam2HfPredictor",
    "Sam3HfOptions",
    "Sam3HfPredictor",
]

_GREY = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class HfOptions(TrackerOptions):
    """Options of all models of transformers."""

    checkpoint: str | None = option(
        None,
        "The folder of the model, or its name on huggingface.co if the cache has it; "
        "required.",
        metavar="FOLDER|NAME",
        decides=False,  # Its digest is that of the description.
    )
    download: bool = option(
        False,
        "Download the model that checkpoint names, if the cache does not have it.",
        decides=False,
    )
    rules: str = option(
        "official",
        "Where transformers differs from the code of the model's authors: official as "
        "they do it, transformers as the library. This concerns the memory of frames "
        "with a prompt, the ages of pointers in short videos, and prompts of more than "
        "16 points for SAM 3.",
        choices=("official", "transformers"),
    )
    preprocessing: str = option(
        "official",
        "How frames are resized: official by PIL's bicubic filter, hf as transformers "
        "does it, bilinear with antialiasing.",
        choices=("official", "hf"),
    )
    mask_scale: float | None = option(
        None,
        "Mask probabilities are multiplied by it before they are remembered; none: as "
        "the folder says.",
    )
    mask_bias: float | None = option(
        None, "Added to the scaled mask probabilities; none: as the folder says."
    )


@with_policies
@dataclass(frozen=True)
class Sam2HfOptions(HfOptions):
    """Options of the `sam2-hf` predictor."""

    side_step: ClassVar[int] = 32
    smallest_side: ClassVar[int] = 64

    model: str = option("sam2_video", "The network.", choices=("sam2_video",))
    image_size: int = option(
        1024, "Side in pixels of the square that frames are resized to; 32 divides it."
    )
    memory: str | None = option("sam2", MEMORY_HELP, choices=tuple(POLICIES))

    def preset_values(self) -> Mapping[str, Any]:
        """What options are where they are set to none."""
        return {"memory": "sam2"}


@with_policies
@dataclass(frozen=True)
class Sam3HfOptions(HfOptions):
    """Options of the `sam3-hf` predictor."""

    side_step: ClassVar[int] = 14
    smallest_side: ClassVar[int] = 56

    model: str = option(
        "sam3_tracker_video", "The network.", choices=("sam3_tracker_video",)
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

    def preset_values(self) -> Mapping[str, Any]:
        """What options are where they are set to none."""
        return {"memory": "sam3"}


@with_policies
@dataclass(frozen=True)
class EdgeTamOptions(HfOptions):
    """Options of the `edgetam` predictor."""

    side_step: ClassVar[int] = 256
    smallest_side: ClassVar[int] = 256

    model: str = option("edgetam_video", "The network.", choices=("edgetam_video",))
    image_size: int = option(
        1024, "Side in pixels of the square that frames are resized to; 256 divides it."
    )
    memory: str | None = option("sam2", MEMORY_HELP, choices=tuple(POLICIES))

    def preset_values(self) -> Mapping[str, Any]:
        """What options are where they are set to none."""
        return {"memory": "sam2"}


OptionsT = TypeVar("OptionsT", bound=HfOptions)


class HfPredictor(TrackerPredictor[OptionsT]):
    """A video model of transformers on the tracker of SAM 2.

    Attributes:
        family: What kind of model it is.
        mean: The value of each colour in [0, 1] that becomes 0.
        deviation: The distance from the mean that becomes 1.
    """

    family: ClassVar[Family]
    mean: ClassVar[tuple[float, float, float]] = MEAN
    deviation: ClassVar[tuple[float, float, float]] = DEVIATION

    @cached_property
    def folder(self) -> ModelFolder:
        """The folder of the model.

        Raises:
            OptionError: There is no checkpoint option.
            PredictorError: It is not there, or of another kind.
        """
        return find_folder(self.family, self.named(), download=self._options.download)

    def locate(self) -> Path:
        """Find the folder of the model."""
        return self.folder.path

    def digest(self) -> str:
        """The SHA-256 of the weights."""
        return self.folder.digest()

    def read(self, path: Path) -> HfNetwork:
        """Load the model.

        Raises:
            PredictorError: A package is missing, or the weights do not fit.
        """
        from .loading import load_model
        from .network import HfNetwork

        del path  # It is that of the folder.
        options = self._options
        return HfNetwork(
            self.family,
            partial(load_model, self.folder),
            image_size=options.image_size,
            official=options.rules == "official",
        )

    def prepare(self, frame: NDArray[np.uint8], side: int) -> torch.Tensor:
        """Resample H×W×3 to a square and normalise it: 1×3×side×side."""
        from submit_sam2.frames import normalise, resize_bicubic, resize_bilinear

        official = self._options.preprocessing == "official"
        pixels = (resize_bicubic if official else resize_bilinear)(frame, side)
        return normalise(pixels, mean=self.mean, deviation=self.deviation)

    def mask_scaling(self) -> tuple[float, float]:
        """Factor of mask probabilities for the memory, and what is added then."""
        folder, options = self.folder, self._options
        scale = folder.setting("sigmoid_scale_for_mem_enc", 20.0)
        bias = folder.setting("sigmoid_bias_for_mem_enc", -10.0)
        return (
            scale if options.mask_scale is None else options.mask_scale,
            bias if options.mask_bias is None else options.mask_bias,
        )

    def details(self) -> dict[str, str]:
        """Additional facts for the manifest."""
        options = self._options
        return {
            "rules": options.rules,
            "preprocessing": options.preprocessing,
            "config": self.folder.config_digest(),
        }


class Sam2HfPredictor(HfPredictor[Sam2HfOptions]):
    """SAM 2.1 and 2.0 by the library transformers.

    Takes the folder of a `Sam2VideoModel`, or its name on huggingface.co:
    `-o checkpoint=facebook/sam2.1-hiera-large`. Needs the extra `[hf]`.
    """

    Options: ClassVar[type[Any]] = Sam2HfOptions
    family: ClassVar[Family] = SAM2
    licence: ClassVar[str] = "Apache-2.0"
    how_to_get: ClassVar[str] = (
        f"run: hf download {SAM2.known}, and say -o checkpoint={SAM2.known}, or name "
        "a folder"
    )


class Sam3HfPredictor(HfPredictor[Sam3HfOptions]):
    """The video tracker of SAM 3 by the library transformers.

    Takes the folder of SAM 3, or its name on huggingface.co:
    `-o checkpoint=facebook/sam3`. The weights are under the SAM License and given out
    to those who accept it. Needs the extra `[hf]`.
    """

    Options: ClassVar[type[Any]] = Sam3HfOptions
    family: ClassVar[Family] = SAM3
    mean: ClassVar[tuple[float, float, float]] = _GREY
    deviation: ClassVar[tuple[float, float, float]] = _GREY
    licence: ClassVar[str] = Sam3Predictor.licence
    how_to_get: ClassVar[str] = (
        f"{SAM3.how_to_get}, run: hf download {SAM3.known}, and say "
        f"-o checkpoint={SAM3.known}, or name a folder"
    )


class EdgeTamPredictor(HfPredictor[EdgeTamOptions]):
    """EdgeTAM, a small and fast relative of SAM 2, by the library transformers.

    Takes the folder of an `EdgeTamVideoModel`, or its name on huggingface.co:
    `-o checkpoint=yonigozlan/EdgeTAM-hf`. Needs the extra `[edgetam]`: its image
    encoder is one of the packages timm and torchvision.
    """

    Options: ClassVar[type[Any]] = EdgeTamOptions
    family: ClassVar[Family] = EDGETAM
    licence: ClassVar[str] = "Apache-2.0"
    how_to_get: ClassVar[str] = (
        f"run: hf download {EDGETAM.known}, and say -o checkpoint={EDGETAM.known}, or "
        "name a folder"
    )
