"""What a step of post-processing is.

A step is one file in `submit/postprocess/steps/`: a frozen dataclass of its settings,
with what it does to logits, to labels or to a stretch of frames. Its settings are
options of `submit export` and keys of the table `[postprocess]`, its `tried` is a stage
of `submit tune`, and docs/methods.md lists it.
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
    "LONGEST",
    "STEPS",
    "HeldFrame",
    "LabelStep",
    "LogitStep",
    "LookAheadStep",
    "Step",
]

#: Most frames to look ahead: so many are held in memory at their logits' resolution.
LONGEST = 100


@dataclass
class HeldFrame:
    """One frame on its way through the steps that look ahead.

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
        """Take an object out of the frame."""
        self.codes = self.codes.copy()
        self.codes[row] = LOWEST
        self.present[row] = False


class Step:
    """One step; a subclass is a frozen dataclass of its settings.

    Steps that look ahead come first, then those of logits, the overlap rule, and those
    of labels; those of one kind in their order.

    Attributes:
        name: What its stage of `submit tune` is called.
        order: Its place among steps of its kind.
        tried: What `submit tune` tries: settings and their values.
        several: Whether it needs a video of several objects to do anything.

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
        """The same step without values that change nothing: equal for equal masks."""
        return type(self)() if self.is_off else self


class LogitStep(Step):
    """Changes the logits of a frame before the overlap rule, each by itself."""

    def apply_to_values(self, values: Values) -> Values:
        """Return what the codes of logits stand for now, still in ascending order."""
        raise NotImplementedError


class LabelStep(Step):
    """Changes the labels of a frame after the overlap rule."""

    def apply_to_labels(self, labels: Labels) -> None:
        """Change H×W labels in place."""
        raise NotImplementedError


class LookAheadStep(Step):
    """Changes frames by what comes after them."""

    def apply_to_frames(self, frames: Iterable[HeldFrame]) -> Iterator[HeldFrame]:
        """Yield all frames in their order, each as soon as its future is known."""
        raise NotImplementedError


#: All steps by name: logits, labels, look-ahead, each in their order.
STEPS: Registry[type[Step]] = Registry("submit.postprocess.steps")
