"""The interface of a filter of post-processing.

A filter is one file in `submit/postprocess/filters/`: a frozen dataclass of its
settings, with a method that changes logits, labels or a sequence of frames. Its
settings are options of `submit export` and keys of the table `[postprocess]`, its
`tried` is a stage of `submit tune`, and docs/methods.md lists it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..masks import LOWEST, Codes, Labels, Values
from ..system.registry import Registry
from ..system.schema import check

__all__ = [
    "FILTERS",
    "LONGEST",
    "HeldFrame",
    "LabelFilter",
    "LogitFilter",
    "LookAheadFilter",
    "MaskFilter",
]

#: Most frames to look ahead; they are held in memory at their logits' resolution.
LONGEST = 100


@dataclass
class HeldFrame:
    """One frame in the filters that look ahead.

    Attributes:
        codes: n×h×w codes of logits; those of the run, so never written to.
        scores: n object scores.
        present: n, whether any pixel of the object is above the threshold.
    """

    codes: Codes
    scores: NDArray[np.float32]
    present: NDArray[np.bool_]

    def replace(self, row: int, plane: Codes) -> None:
        """Give an object the logits of another frame, in which it is present."""
        self.codes = self.codes.copy()
        self.codes[row] = plane
        self.present[row] = True

    def remove(self, row: int) -> None:
        """Remove an object from the frame."""
        self.codes = self.codes.copy()
        self.codes[row] = LOWEST
        self.present[row] = False


class MaskFilter:
    """One filter; a subclass is a frozen dataclass of its settings.

    Steps that look ahead run first, then those of logits, the overlap rule, and those
    of labels. Steps of one kind run by their `order`.

    Attributes:
        name: Name of its stage of `submit tune`.
        order: Its place among filters of its kind.
        tried: What `submit tune` tries: settings and their values.
        several: Whether it only has an effect in videos of several objects.

    Raises:
        SettingsError: A value is out of its range.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    tried: ClassVar[tuple[Mapping[str, float], ...]]
    several: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        raise NotImplementedError

    def effective(self) -> Any:
        """A copy without values that change nothing: equal for equal masks."""
        return type(self)() if self.is_off else self


class LogitFilter(MaskFilter):
    """Changes the logits of a frame before the overlap rule, each by itself."""

    def apply_to_values(self, values: Values) -> Values:
        """Return the changed values of the codes, in ascending order."""
        raise NotImplementedError


class LabelFilter(MaskFilter):
    """Changes the labels of a frame after the overlap rule."""

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        raise NotImplementedError


class LookAheadFilter(MaskFilter):
    """Changes frames depending on later ones."""

    def apply_to_frames(self, frames: Iterable[HeldFrame]) -> Iterator[HeldFrame]:
        """Yield all frames in their order, each as soon as its future is known."""
        raise NotImplementedError


#: All filters by name: logits, labels, look-ahead, each in their order.
FILTERS: Registry[type[MaskFilter]] = Registry("submit.postprocess.filters")
