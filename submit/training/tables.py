"""The tables of a recipe that every model has: data, clips, augmentation.

Their defaults are the numbers of the official recipe for MOSE
(sam2.1_hiera_b+_MOSE_finetune.yaml of facebookresearch/sam2 @ 2b90b9f).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingsError
from ..system.schema import WrongSettingError, check, setting

__all__ = ["AugmentTable", "ClipTable", "DataTable"]


@dataclass(frozen=True)
class DataTable:
    """One set of videos, `[[data]]`."""

    path: Path = setting(
        help="A folder with JPEGImages and Annotations; with `annotations`, the folder "
        "of the images that the file names.",
        file=True,
    )
    annotations: Path | None = setting(
        None,
        "A JSON file of YouTube-VIS, OVIS or BURST, in place of Annotations.",
        file=True,
    )
    masks: Path | None = setting(
        None,
        "Other masks for the same frames, DIR/<video>/<frame>.png: pseudo-labels that "
        "submit export wrote.",
        file=True,
    )
    name: str | None = setting(
        None, "Its name in messages. Default: the folder's.", decides=False
    )
    weight: float | None = setting(
        None,
        "Share of the clips, relative to the other sets. Default: its number of "
        "videos.",
        low=0,
    )
    steps: tuple[int, ...] = setting(
        (1,), "Distances between frames of a clip, one of which is drawn.", low=1
    )
    disappearing: float = setting(
        1.0,
        "How many times as often a video is drawn in which an object disappears; the "
        "same for clips in which one does.",
        low=1,
    )
    small: float = setting(
        1.0,
        "How many times as often a video is drawn whose objects are small, and a small "
        "object in a clip.",
        low=1,
    )
    small_area: float = setting(
        0.01, "Share of the frame below which an object is small.", low=0, high=1
    )
    videos: tuple[str, ...] = setting(
        (), "Shell patterns of the videos to take. Default: all."
    )
    exclude: tuple[str, ...] = setting(
        (), "Shell patterns of videos to leave out, or files with names, one a line."
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.steps:
            raise WrongSettingError(("steps",), "expected at least one", [])
        if self.annotations is not None and self.masks is not None:
            raise SettingsError(
                "has both `annotations` and `masks`; expected one of them"
            )

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.name or (self.annotations or self.path).stem


@dataclass(frozen=True)
class ClipTable:
    """How clips are cut out of videos, `[clips]`."""

    length: int = setting(8, "Frames of a clip.", low=1)
    objects: int = setting(3, "Most objects of a clip.", low=1, high=254)
    size: int | None = setting(
        None,
        "Side in pixels of the square that frames become. Default: the model's.",
        low=32,
    )
    reverse: float = setting(
        0.0, "Chance that a clip runs backward in time.", low=0, high=1
    )
    short: str = setting(
        "skip",
        "What happens to videos with fewer frames: skip leaves them out, bounce plays "
        "them forward and backward in turn.",
        choices=("skip", "bounce"),
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class AugmentTable:
    """How clips are changed at random, `[augment]`.

    Everything is the same for all frames of a clip, except where a name begins with
    `frame_`.
    """

    flip: float = setting(0.5, "Chance of a mirror image.", low=0, high=1)
    rotate: float = setting(25.0, "Largest rotation, in degrees.", low=0, high=180)
    shear: float = setting(20.0, "Largest shear along x, in degrees.", low=0, high=60)
    zoom: tuple[float, float] = setting(
        (1.0, 1.0), "Smallest and largest factor of the size.", low=0.1, high=10
    )
    crop: float = setting(0.0, "Chance that a part is cut out.", low=0, high=1)
    crop_area: tuple[float, float] = setting(
        (0.36, 1.0), "Smallest and largest share of the area that is cut out.", low=0.01
    )
    brightness: float = setting(0.1, "Largest change of brightness.", low=0, high=1)
    contrast: float = setting(0.03, "Largest change of contrast.", low=0, high=1)
    saturation: float = setting(0.03, "Largest change of saturation.", low=0, high=1)
    grey: float = setting(0.05, "Chance of a clip without colours.", low=0, high=1)
    frame_brightness: float = setting(
        0.1, "Largest change of a frame's brightness.", low=0, high=1
    )
    frame_contrast: float = setting(
        0.05, "Largest change of a frame's contrast.", low=0, high=1
    )
    frame_saturation: float = setting(
        0.05, "Largest change of a frame's saturation.", low=0, high=1
    )
    frame_grey: float = setting(
        0.0, "Chance of a frame without colours.", low=0, high=1
    )
    mosaic: float = setting(
        0.0,
        "Chance that a clip becomes four small copies of itself, in one of which the "
        "objects are to be found.",
        low=0,
        high=1,
    )
    fill: tuple[int, int, int] = setting(
        (123, 116, 103),
        "Red, green and blue outside of the frame.",
        low=0,
        high=255,
    )

    def __post_init__(self) -> None:
        check(self)
        for key in ("zoom", "crop_area"):
            low, high = getattr(self, key)
            if low > high:
                raise WrongSettingError(
                    (key,), "expected [smallest, largest]", [low, high]
                )
        if self.crop_area[1] > 1:
            raise WrongSettingError(
                ("crop_area",), "expected numbers up to 1", list(self.crop_area)
            )
