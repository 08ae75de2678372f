"""A toy model whose predictions come some frames later, and its faulty relatives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from submit.predictors import (
    DelayedSession,
    Description,
    Frame,
    Prediction,
    Prompts,
    State,
    StaticOptions,
    StaticPredictor,
    Video,
    as_delayed,
    option,
    restore_session,
    session_state,
)

#: How each predictions of a video may be wrong, by name.
FAULTS: dict[str, Callable[[list[Prediction]], list[Prediction]]] = {
    "none": lambda found: found,
    "too few": lambda found: found[:-1],
    "too many": lambda found: [*found, found[-1]],
    "objects": lambda found: [replace(found[0], objects=(9, 8)), *found[1:]],
    "number": lambda found: [*found[:2], _damaged(found[2]), *found[3:]],
}


def _damaged(prediction: Prediction) -> Prediction:
    logits = prediction.logits.copy()
    logits[1, 2, 3] = np.nan
    return replace(prediction, logits=logits)


@dataclass(frozen=True)
class LaterOptions:
    """How much later, and what is wrong."""

    frames: int = option(2, "By how many frames.")
    fault: str = option("none", "What is wrong.", choices=tuple(FAULTS))


class LaterPredictor:
    """Repeats the given masks, each some frames later."""

    Options: ClassVar[type[Any]] = LaterOptions

    def __init__(self, options: LaterOptions, *, device: str = "auto") -> None:
        self._options = options
        self._static = StaticPredictor(StaticOptions(), device=device)

    def describe(self) -> Description:
        return replace(self._static.describe(), model="later", delayed=True)

    def session(self, video: Video, *, scale: float = 1.0) -> DelayedSession:
        inner = as_delayed(self._static.session(video, scale=scale))
        return LaterSession(inner, self._options)


class LaterSession:
    """Holds back the newest predictions."""

    def __init__(self, inner: DelayedSession, options: LaterOptions) -> None:
        self._inner, self._options = inner, options
        self._held: deque[Prediction] = deque()
        self.most_held = 0

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        self._held.extend(self._inner.step(frame, prompts))
        self.most_held = max(self.most_held, len(self._held))
        late = len(self._held) > self._options.frames
        return [self._held.popleft()] if late else []

    def finish(self) -> Iterator[Prediction]:
        yield from FAULTS[self._options.fault](list(self._held))

    def state(self) -> State:
        held = [(one.objects, one.logits, one.presence) for one in self._held]
        return {"held": held, "inner": session_state(self._inner)}

    def restore(self, state: State) -> None:
        self._held = deque(Prediction(*one) for one in state["held"])
        restore_session(self._inner, state["inner"])

    def close(self) -> None:
        self._inner.close()
