"""The session of a predictor that uses the tracker: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from submit.errors import PredictorError
from submit.predictors import (
    Absent,
    Box,
    Mask,
    MemoryEvent,
    Prediction,
    Prompt,
    Prompts,
    State,
    Video,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .model import Seen
    from .modeling.prompt_encoder import Click
    from .tracker import Tracker

__all__ = ["DelayedTrackerSession", "TrackerSession"]


def _prediction(objects: tuple[int, ...], seen: Seen) -> Prediction:
    """What objects show, as arrays."""
    return Prediction(
        objects=objects,
        logits=seen.logits.float().cpu().numpy(),
        presence=seen.presence.float().cpu().numpy(),
        iou=seen.iou.float().cpu().numpy(),
    )


class TrackerSession:
    """Tracks one video; see `submit.predictors.Session`."""

    def __init__(
        self,
        video: Video,
        tracker: Tracker,
        *,
        side: int,
        prepare: Callable[[NDArray[np.uint8], int], torch.Tensor],
        explain: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Open it.

        Args:
            video: The video.
            tracker: Tracks it.
            side: Side of the network's input, in pixels.
            prepare: Converts a frame, H×W×3, to the input, 1×3×side×side.
            explain: Turns an error of full memory into a message with a solution.
        """
        self._video, self._side = video, side
        self._prepare, self._explain = prepare, explain
        self._tracker: Tracker | None = tracker

    @property
    def events(self) -> Sequence[MemoryEvent]:
        """The frames that the memory policies keep without a prompt."""
        return [
            MemoryEvent(one.frame, key, one.reason)
            for key, one in self._open().promoted
        ]

    def step(self, frame: NDArray[np.uint8], prompts: Prompts) -> Prediction:
        """Predict the next frame.

        A frame with a prompt becomes a conditioning frame of the object. A mask is used
        without change. Boxes and points are inputs of the network; for a known object
        they correct its mask.
        """
        seen = self._advance(frame, prompts)
        with self._explain():
            return _prediction(self._open().objects, seen)

    def state(self) -> State:
        """Return what later frames depend on, as plain data."""
        return self._open().state()

    def restore(self, state: State) -> None:
        """Continue where another session of the same video and options stood."""
        self._open().restore(state)

    def _open(self) -> Tracker:
        """The tracker, if the session is not closed."""
        if self._tracker is None:
            raise PredictorError(
                f"video {self._video.name}: the session is closed; open another one"
            )
        return self._tracker

    def _advance(self, frame: NDArray[np.uint8], prompts: Prompts) -> Seen:
        """Take the next frame, and return what seems best so far."""
        tracker = self._open()
        given = {key: self._given(prompt) for key, prompt in prompts.items()}
        with self._explain():
            return tracker.advance(self._prepare(frame, self._side), given)

    def _decided(self, *, at_end: bool) -> Iterator[Prediction]:
        """Predict the next frames that are decided on."""
        for objects, seen in self._open().decided(at_end=at_end):
            yield _prediction(objects, seen)

    def close(self) -> None:
        """Free the memory of the session. It may be called twice."""
        self._tracker = None

    def _given(self, prompt: Prompt) -> torch.Tensor | Click:
        """Convert a prompt to the form of the tracker."""
        import torch

        from .modeling.prompt_encoder import (
            BOTTOM_RIGHT,
            INSIDE,
            OUTSIDE,
            TOP_LEFT,
            Click,
        )

        height, width = self._video.height, self._video.width
        if isinstance(prompt, Mask):
            return torch.from_numpy(prompt.pixels.copy())
        if isinstance(prompt, Absent):
            return torch.zeros(height, width, dtype=torch.bool)
        if isinstance(prompt, Box):
            places = [[prompt.left, prompt.top], [prompt.right, prompt.bottom]]
            kinds = [TOP_LEFT, BOTTOM_RIGHT]
        else:
            places = [[point.x, point.y] for point in prompt.points]
            kinds = [INSIDE if point.inside else OUTSIDE for point in prompt.points]
        # As `add_new_points_or_box` of the official predictor scales them.
        scaled = torch.tensor([places]) / torch.tensor([width, height]) * self._side
        return Click(scaled, torch.tensor([kinds], dtype=torch.int32))


class DelayedTrackerSession:
    """The same with a memory policy that decides on masks later.

    See `submit.predictors.DelayedSession`.
    """

    def __init__(self, inner: TrackerSession) -> None:
        self._inner = inner

    @property
    def events(self) -> Sequence[MemoryEvent]:
        """The frames that the memory policies keep without a prompt."""
        return self._inner.events

    def step(self, frame: NDArray[np.uint8], prompts: Prompts) -> Sequence[Prediction]:
        """Take the next frame, and predict those that are decided on by now."""
        self._inner._advance(frame, prompts)
        return list(self._inner._decided(at_end=False))

    def finish(self) -> Iterator[Prediction]:
        """Predict the remaining frames."""
        return self._inner._decided(at_end=True)

    def state(self) -> State:
        """Return what later frames depend on, as plain data."""
        return self._inner.state()

    def restore(self, state: State) -> None:
        """Continue where another session of the same video and options stood."""
        self._inner.restore(state)

    def close(self) -> None:
        """Free the memory of the session. It may be called twice."""
        self._inner.close()
