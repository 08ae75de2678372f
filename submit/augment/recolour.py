"""A session that changes the colours of frames for a model."""

from __future__ import annotations

from collections.abc import Callable

from ..predictors import Frame, Prediction, Prompts, Session

__all__ = ["RecolouredSession"]


class RecolouredSession:
    """Changes the colours of frames before a session sees them."""

    def __init__(self, inner: Session, recolour: Callable[[Frame], Frame]) -> None:
        self._inner = inner
        self._recolour = recolour

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        """Predict the next frame in other colours."""
        return self._inner.step(self._recolour(frame), prompts)

    def close(self) -> None:
        """Free what the session holds."""
        self._inner.close()
