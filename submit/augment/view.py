"""Augmentations that change each frame by itself, and each prediction back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..predictors import (
    AnySession,
    DelayedSession,
    Frame,
    MemoryEvent,
    Prediction,
    Prompts,
    Session,
    State,
    Video,
    memory_events,
    restore_session,
    session_state,
)
from .augmentation import Augmentation

__all__ = ["FrameAugmentation"]


class FrameAugmentation(Augmentation):
    """An augmentation that needs nothing but the frame: flips and colours."""

    def session(
        self, video: Video, open_session: Callable[[int], AnySession]
    ) -> AnySession:
        """Open a video as the augmentation shows it."""
        inner = open_session(video.length)
        if isinstance(inner, DelayedSession):
            return _DelayedView(self, inner)
        return _View(self, inner)

    def show(self, frame: Frame) -> Frame:
        """What the model sees in place of an H×W×3 RGB frame."""
        raise NotImplementedError

    def show_prompts(self, prompts: Prompts, width: int) -> Prompts:
        """The prompts of a frame of this width, in pixels of what the model sees."""
        del width
        return prompts

    def back(self, prediction: Prediction) -> Prediction:
        """A prediction in the geometry of the plain frame."""
        return prediction


class _View:
    """Shows a session other frames, and turns back what it says."""

    def __init__(self, view: FrameAugmentation, inner: Session) -> None:
        self._view, self._inner = view, inner

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        shown = self._view.show_prompts(prompts, frame.shape[1])
        return self._view.back(self._inner.step(self._view.show(frame), shown))

    def state(self) -> State | None:
        return session_state(self._inner)

    def restore(self, state: State) -> None:
        restore_session(self._inner, state)

    def close(self) -> None:
        self._inner.close()


class _DelayedView:
    """The same for a delayed session."""

    def __init__(self, view: FrameAugmentation, inner: DelayedSession) -> None:
        self._view, self._inner = view, inner

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        shown = self._view.show_prompts(prompts, frame.shape[1])
        found = self._inner.step(self._view.show(frame), shown)
        return [self._view.back(prediction) for prediction in found]

    def finish(self) -> Iterator[Prediction]:
        return map(self._view.back, self._inner.finish())

    def state(self) -> State | None:
        return session_state(self._inner)

    def restore(self, state: State) -> None:
        restore_session(self._inner, state)

    def close(self) -> None:
        self._inner.close()
