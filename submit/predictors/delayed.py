"""Both kinds of sessions in the form that a caller needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import PredictorError
from .prompts import Prompts
from .protocol import (
    AnySession,
    DelayedSession,
    Frame,
    MemoryEvent,
    Prediction,
    Session,
    State,
    memory_events,
)
from .states import restore_session, session_state

__all__ = ["as_delayed", "immediate"]


def as_delayed(session: AnySession) -> DelayedSession:
    """Return a session as a delayed one, for a caller that takes both kinds.

    A `Session` becomes one whose `step` always returns one prediction.
    """
    return session if isinstance(session, DelayedSession) else _WithoutDelay(session)


def immediate(session: AnySession) -> Session:
    """Return a session that is not delayed as what it is.

    Raises:
        PredictorError: It is delayed. Callers that cannot handle that look at
            `Description.delayed` before the work; this is for the others.
    """
    if isinstance(session, DelayedSession):
        raise PredictorError(
            "this model predicts frames later than it gets them, and here each "
            "prediction is needed at once"
        )
    return session


class _WithoutDelay:
    """Returns the one prediction of each frame at once."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        return [self._inner.step(frame, prompts)]

    def finish(self) -> Iterator[Prediction]:
        return iter(())

    def state(self) -> State | None:
        return session_state(self._inner)

    def restore(self, state: State) -> None:
        restore_session(self._inner, state)

    def close(self) -> None:
        self._inner.close()
