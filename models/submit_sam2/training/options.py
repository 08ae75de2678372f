"""The tables of a recipe that are SAM 2's own; defaults are the official recipe.

The numbers are those of sam2/configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml
(facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from submit.errors import SettingsError
from submit.training import Scalar, check, setting

from ..config import MODELS

__all__ = [
    "FREEZABLE",
    "LossTable",
    "ModelTable",
    "PromptTable",
    "Sam2TrainerOptions",
]

#: Parts of the network by the beginning of the names of their weights.
FREEZABLE = {
    "trunk": ("image_encoder.trunk.",),
    "encoder": ("image_encoder.",),
    "memory": (
        *("memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "no_mem_"),
        *("no_obj_", "obj_ptr_"),
    ),
    "decoder": ("sam_mask_decoder.",),
    "prompts": ("sam_prompt_encoder.", "mask_downsample."),
}


@dataclass(frozen=True)
class ModelTable:
    """The network and how it is trained, `[model]`."""

    name: str = setting(
        "sam2.1_hiera_base_plus", "The network's size.", choices=tuple(MODELS)
    )
    checkpoint: Path | None = setting(
        None,
        "The weights that training starts from: a file, or a name of submit weights.",
        file=True,
    )
    scratch: bool = setting(
        False, "Start from random weights; for narrow networks and experiments."
    )
    image_size: int = setting(
        1024, "Side of the square that frames become; 32 divides it.", low=64
    )
    encoder_rate: float = setting(
        3e-6, "Learning rate of the image encoder at the start.", low=0
    )
    layer_decay: float = setting(
        0.9,
        "Factor of the learning rate from each block of the trunk to the one before.",
        low=0,
        high=1,
    )
    dropout: float = setting(
        0.1, "Share of values dropped in the memory attention.", low=0, high=0.9
    )
    drop_path: float = setting(
        0.1, "How often the trunk's last block is skipped.", low=0, high=0.9
    )
    freeze: tuple[str, ...] = setting(
        (), "Parts that are not trained.", choices=tuple(FREEZABLE)
    )
    lora: int = setting(
        0,
        "Rank of low-rank changes of the trunk's products, which are trained in place "
        "of the trunk and merged on save; 0 trains the trunk itself.",
        low=0,
    )
    recompute: bool = setting(
        False,
        "Keep less for the backward pass and compute it once more: a third slower, "
        "with a fraction of the memory.",
        decides=False,
    )
    mask_scale: float = setting(
        20.0, "Mask probabilities are multiplied by it before they are remembered."
    )
    mask_bias: float = setting(-10.0, "Added to the scaled mask probabilities.")
    memory: str = setting(
        "sam2",
        "Which earlier frames of a clip are looked back to: sam2, or rcms, which keeps "
        "good frames when an object disappears.",
        choices=("sam2", "rcms"),
    )
    memory_options: Mapping[str, Scalar] = setting(
        help="Options of rcms: promote, quality.", factory=dict
    )
    predict: Mapping[str, Scalar] = setting(
        help="Further options of the predictor, for validation and for the result, "
        "such as memory.",
        factory=dict,
    )
    threads: int = setting(
        2, "Processor threads, on which last bits depend; not for GPUs.", low=1
    )

    def __post_init__(self) -> None:
        check(self)
        if self.image_size % 32:
            raise SettingsError(
                f"image_size = {self.image_size}: expected a multiple of 32"
            )
        if self.checkpoint is None and not self.scratch:
            raise SettingsError(
                "expected the key checkpoint with the official weights of "
                f"{self.name} (run: submit weights fetch {self.name}), found none"
            )
        if self.checkpoint is not None and self.scratch:
            raise SettingsError("expected checkpoint or scratch = true, found both")
        if self.lora and {"trunk", "encoder"} & set(self.freeze):
            raise SettingsError(
                "lora changes the trunk, which freeze leaves as it is; choose one"
            )
        if self.memory_options and self.memory != "rcms":
            raise SettingsError('memory_options are those of memory = "rcms"')


@dataclass(frozen=True)
class PromptTable:
    """How objects are given to the network, `[prompts]`."""

    points: float = setting(
        0.5, "Share of steps with points or boxes in place of masks.", low=0, high=1
    )
    boxes: float = setting(
        0.5, "Share of these frames with a box in place of a click.", low=0, high=1
    )
    frames: int = setting(2, "Most frames in which objects are given.", low=1)
    corrected: int = setting(
        2, "Most frames that are corrected, in steps with points.", low=1
    )
    clicks: int = setting(7, "Clicks that correct a frame.", low=0)
    from_truth: float = setting(
        0.1,
        "Share of clicks drawn from the whole object, not from what is wrong.",
        low=0,
        high=1,
    )
    visible: bool = setting(
        False,
        "Give further prompts only in frames in which all objects are visible; "
        "officially in any.",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LossTable:
    """What is wrong, and how much each kind of it weighs, `[loss]`."""

    mask: float = setting(20.0, "Weight of the focal loss.", low=0)
    dice: float = setting(1.0, "Weight of the Dice loss.", low=0)
    iou: float = setting(1.0, "Weight of the error of the predicted IoU.", low=0)
    presence: float = setting(1.0, "Weight of the loss of presence.", low=0)
    similarity: float = setting(
        0.0,
        "Weight of our similarity loss: how much the features of an object differ from "
        "those of its first frame.",
        low=0,
    )
    focal: bool = setting(
        True, "Whether the loss of masks is the focal loss, or plain cross-entropy."
    )
    gate: bool = setting(
        True,
        "Whether masks of objects that are taken for absent are empty in the loss, as "
        "officially; they have no gradient then.",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Sam2TrainerOptions:
    """The tables of the `sam2` trainer."""

    model: ModelTable = setting(help="The network.")
    prompts: PromptTable = field(default_factory=PromptTable)
    loss: LossTable = field(default_factory=LossTable)
