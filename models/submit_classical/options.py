"""The options of the classical tracker."""

from __future__ import annotations

from dataclasses import dataclass, fields

from submit.predictors import option

__all__ = ["ClassicalOptions"]

#: Legal ranges of the numeric options, both ends included.
RANGES = {
    "pixels": (1024, 4_000_000),
    "waves": (16, 4096),
    "adapt": (0.0, 0.95),
    "prior": (0.0, 1.0),
    "motion": (0.0, 10.0),
    "caution": (-5.0, 5.0),
}


@dataclass(frozen=True)
class ClassicalOptions:
    """Options of the classical tracker; one setting serves every video.

    Raises:
        ValueError: A value is out of its range.
    """

    pixels: int = option(
        105_000, "Work on at most this many pixels of a frame; 854×480 is halved."
    )
    waves: int = option(384, "Random features of each object's appearance model.")
    adapt: float = option(
        0.5,
        "Share of recent frames in the appearance model; 0 keeps the first frame's.",
    )
    prior: float = option(0.7, "Weight of the mask that the optical flow carries over.")
    motion: float = option(1.0, "Weight of moving unlike the background.")
    caution: float = option(
        0.5, "Logit taken from every pixel: higher gives tighter, lower wider masks."
    )
    search: bool = option(
        True, "Search the whole frame for an object that has been lost for a while."
    )

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in RANGES:
                continue
            low, high = RANGES[field.name]
            value = getattr(self, field.name)
            if not low <= value <= high:
                raise ValueError(
                    f"{field.name} must be between {low} and {high}, found {value}"
                )
