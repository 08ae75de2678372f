"""The baseline: a model that repeats the last given mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .prompts import AcceptedPrompts, Box, Mask, Prompt, Prompts
from .protocol import Description, Frame, Prediction, Session, State, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["StaticOptions", "StaticPredictor"]


@dataclass(frozen=True)
class StaticOptions:
    """The static predictor has no options."""


class StaticPredictor:
    """Repeats the given masks in every frame: the lowest baseline.

    A box stands for the mask of all its pixels.
    """

    Options: ClassVar[type[Any]] = StaticOptions

    def __init__(self, options: StaticOptions, *, device: str = "auto") -> None:
        del options, device  # It has no options and uses no device.

    def describe(self) -> Description:
        """Say what this model is, for the manifest."""
        return Description(
            model="static",
            licence="Apache-2.0",
            devices=("cpu",),
            prompts=AcceptedPrompts(boxes=True, absences=True, corrections=True),
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video; the scale makes no difference."""
        del video, scale
        return _StaticSession()


class _StaticSession:
    """Holds the masks it was given."""

    #: Logit of a pixel inside a mask: a high confidence within the run store's range.
    SURE = 10.0

    def __init__(self) -> None:
        self._masks: dict[int, NDArray[np.bool_]] = {}

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        import numpy as np

        for key, prompt in prompts.items():
            self._masks[key] = _pixels(prompt, frame.shape[0], frame.shape[1])
        stack = np.stack([self._masks[key] for key in self._masks])
        return Prediction(
            objects=tuple(self._masks),
            logits=np.where(stack, self.SURE, -self.SURE).astype(np.float32),
            presence=np.where(stack.any((1, 2)), self.SURE, -self.SURE).astype(
                np.float32
            ),
        )

    def state(self) -> State:
        return dict(self._masks)

    def restore(self, state: State) -> None:
        self._masks = state

    def close(self) -> None:
        self._masks.clear()


def _pixels(prompt: Prompt, height: int, width: int) -> NDArray[np.bool_]:
    """The mask that a prompt stands for."""
    import numpy as np

    if isinstance(prompt, Mask):
        return prompt.pixels
    if isinstance(prompt, Box):
        return prompt.to_mask(height, width).pixels
    return np.zeros((height, width), bool)
