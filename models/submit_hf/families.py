"""The video models of transformers that can be predictors, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EDGETAM", "SAM2", "SAM3", "Family"]


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: What the predictor is called.
        architecture: Its class in transformers.
        kinds: Values of model_type in a config.json that it can be made from.
        tracker: Key of the tracker's part in the config.json of the first kind; empty
            if that is the whole.
        stride: Pixels of the input for each cell of the coarsest features.
        known: A model of this kind on huggingface.co.
        how_to_get: What to do before it can be downloaded; empty for nothing.
        sharp_prompts: Whether the authors' code remembers the frame of a prompt by its
            mask alone.
        soft_masks: Whether the authors' code gives the network masks with soft edges.
        corrects_with_memory: Whether points that correct an object are looked at with
            its memories.
        end_points: Of more points in a frame than twice this number, the authors' code
            uses the first and the last; None: all count.
    """

    name: str
    architecture: str
    kinds: tuple[str, ...]
    known: str
    stride: int = 16
    tracker: str = ""
    how_to_get: str = ""
    sharp_prompts: bool = False
    soft_masks: bool = False
    corrects_with_memory: bool = True
    end_points: int | None = None


SAM2 = Family(
    name="sam2-hf",
    architecture="Sam2VideoModel",
    kinds=("sam2_video",),
    known="facebook/sam2.1-hiera-large",
)

SAM3 = Family(
    name="sam3-hf",
    architecture="Sam3TrackerVideoModel",
    kinds=("sam3_video", "sam3_tracker_video"),
    tracker="tracker_config",
    known="facebook/sam3",
    how_to_get="accept the SAM License at huggingface.co/facebook/sam3 and log in with "
    "hf auth login",
    stride=14,
    sharp_prompts=True,
    soft_masks=True,
    corrects_with_memory=False,
    end_points=8,
)

EDGETAM = Family(
    name="edgetam",
    architecture="EdgeTamVideoModel",
    kinds=("edgetam_video",),
    known="yonigozlan/EdgeTAM-hf",
)
