"""The floor: a model that repeats the first mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .protocol import Description, Frame, Masks, Prediction, Session, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["StaticOptions", "StaticPredictor"]


@dataclass(frozen=True)
class StaticOptions:
    """The static predictor has no options."""


class StaticPredictor:
    """Repeats the given masks in every frame: the floor that every model must beat."""

    Options: ClassVar[type[Any]] = StaticOptions

    def __init__(self, options: StaticOptions, *, device: str = "auto") -> None:
        del options, device  # Nothing to configure, nothing to place.

    def describe(self) -> Description:
        """Say what this model is, for the manifest."""
        return Description(model="static", licence="Apache-2.0", devices=("cpu",))

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video; the scale makes no difference."""
        del video, scale
        return _StaticSession()


class _StaticSession:
    """Holds the masks it was given."""

    #: Logit of a pixel inside a mask: sure, and within the run store's range.
    SURE = 10.0

    def __init__(self) -> None:
        self._masks: dict[int, NDArray[np.bool_]] = {}

    def start(self, frame: Frame, masks: Masks) -> Prediction:
        return self.add(frame, masks)

    def add(self, frame: Frame, masks: Masks) -> Prediction:
        self._masks.update(masks)
        return self.step(frame)

    def step(self, frame: Frame) -> Prediction:
        import numpy as np

        stack = np.stack([self._masks[key] for key in self._masks])
        return Prediction(
            objects=tuple(self._masks),
            logits=np.where(stack, self.SURE, -self.SURE).astype(np.float32),
            presence=np.where(stack.any((1, 2)), self.SURE, -self.SURE).astype(
                np.float32
            ),
        )

    def close(self) -> None:
        self._masks.clear()
