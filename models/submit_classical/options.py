"""The options of the classical tracker."""

from __future__ import annotations

from dataclasses import dataclass

from submit.predictors import check_options, option

__all__ = ["ClassicalOptions"]


@dataclass(frozen=True)
class ClassicalOptions:
    """Options of the classical tracker; the defaults are meant for every video.

    Raises:
        OptionError: A value is out of its range.
    """

    pixels: int = option(
        105_000,
        "Work on at most this many pixels of a frame; 854×480 is halved.",
        low=1024,
        high=4_000_000,
    )
    waves: int = option(
        384, "Random features of each object's appearance model.", low=16, high=4096
    )
    adapt: float = option(
        0.5,
        "Share of recent frames in the appearance model; 0 keeps the first frame's.",
        low=0,
        high=0.95,
    )
    prior: float = option(
        0.7, "Weight of the mask that the optical flow carries over.", low=0, high=1
    )
    motion: float = option(
        1.0, "Weight of moving unlike the background.", low=0, high=10
    )
    caution: float = option(
        0.5,
        "Logit taken from every pixel: higher gives tighter, lower wider masks.",
        low=-5,
        high=5,
    )
    search: bool = option(
        True, "Search the whole frame for an object that has been lost for a while."
    )

    def __post_init__(self) -> None:
        check_options(self)
