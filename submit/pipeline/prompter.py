"""A prompter: a model that turns boxes and points into masks for one that takes masks.

    boxes, points ──▶ prompter ──▶ masks ──▶ the model that tracks

The prompter gets single frames, each as a video of its own, so it needs no memory of
others; any predictor that takes boxes or points can be one, such as `sam2`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..masks import resize_logits
from ..predictors import (
    AnySession,
    Box,
    DelayedSession,
    Description,
    Frame,
    Mask,
    MemoryEvent,
    Points,
    Prediction,
    Predictor,
    Prompt,
    Prompts,
    Session,
    State,
    Video,
    immediate,
    memory_events,
    restore_session,
    session_state,
)

__all__ = ["PromptedPredictor"]


class PromptedPredictor:
    """A model with a prompter for the kinds of prompts that it does not take."""

    Options: ClassVar[type[Any]] = object

    def __init__(self, inner: Predictor, prompter: Predictor, *, name: str) -> None:
        """Put them together.

        Args:
            inner: The model that tracks.
            prompter: Makes masks of boxes and points.
            name: The prompter's name, for messages.

        Raises:
            OptionError: It takes neither boxes nor points, or does not answer at once.
        """
        described = prompter.describe()
        accepted = described.prompts
        if not (accepted.boxes or accepted.points):
            raise OptionError(
                f"prompter {name}: takes neither boxes nor points, but {accepted}; "
                "choose a predictor that does (see: submit predictors NAME)"
            )
        if described.delayed:
            raise OptionError(
                f"prompter {name}: predicts frames later than it gets them, and a mask "
                "is needed at once; choose another predictor"
            )
        self._inner, self._prompter = inner, prompter

    def describe(self) -> Description:
        """Describe the model that tracks; it takes more kinds of prompts now."""
        described, prompter = self._inner.describe(), self._prompter.describe()
        takes = described.prompts
        found = {"model": prompter.model, "checkpoint": prompter.checkpoint or "none"}
        return dataclasses.replace(
            described,
            prompts=dataclasses.replace(
                takes,
                boxes=takes.boxes or prompter.prompts.boxes,
                points=takes.points or prompter.prompts.points,
            ),
            details={
                **described.details,
                **{
                    f"prompter_{key}": value
                    for key, value in {**prompter.details, **found}.items()
                },
            },
        )

    def session(self, video: Video, *, scale: float = 1.0) -> AnySession:
        """Open a video."""
        inner = self._inner.session(video, scale=scale)
        makes = _MaskMaker(self._prompter, video, self._inner.describe())
        if isinstance(inner, DelayedSession):
            return _DelayedPrompted(inner, makes)
        return _Prompted(inner, makes)


class _MaskMaker:
    """Turns the prompts of a frame into those that a model takes."""

    def __init__(
        self, prompter: Predictor, video: Video, description: Description
    ) -> None:
        self._prompter = prompter
        self._video = dataclasses.replace(video, length=1, images=())
        self._kinds = [
            kind
            for kind, takes in (
                (Box, description.prompts.boxes),
                (Points, description.prompts.points),
            )
            if not takes
        ]
        #: Objects that have had a prompt.
        self._known: set[int] = set()

    def __call__(self, frame: Frame, prompts: Prompts) -> Prompts:
        """The prompts with masks in place of what the model does not take.

        Where the prompter finds nothing, a prompt of a known object is left out, and a
        new object gets the pixels of its box or points.
        """
        asked = {
            key: prompt
            for key, prompt in prompts.items()
            if isinstance(prompt, tuple(self._kinds))
        }
        if not asked:
            self._known |= prompts.keys()
            return prompts
        masks = self._masks(frame, asked)
        made: dict[int, Prompt] = {}
        for key, prompt in prompts.items():
            if key not in asked:
                made[key] = prompt
            elif masks[key].any():
                made[key] = Mask(masks[key])
            elif key not in self._known:
                made[key] = Mask(_pixels(prompt, *frame.shape[:2]))
        self._known |= made.keys()
        return made

    def state_with(self, inner: AnySession) -> State | None:
        """The state of both; the prompter itself knows nothing of earlier frames."""
        found = session_state(inner)
        return None if found is None else {"known": sorted(self._known), "inner": found}

    def restore_with(self, inner: AnySession, state: State) -> None:
        """Continue both."""
        self._known = set(state["known"])
        restore_session(inner, state["inner"])

    def _masks(self, frame: Frame, asked: Prompts) -> dict[int, NDArray[np.bool_]]:
        session = immediate(self._prompter.session(self._video))
        try:
            found = session.step(frame, asked)
        finally:
            session.close()
        height, width = frame.shape[:2]
        logits = resize_logits(found.logits, (height, width))
        return dict(zip(found.objects, logits > 0, strict=True))


def _pixels(prompt: Prompt, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of a box, or those under the points that are inside."""
    if isinstance(prompt, Box):
        return prompt.to_mask(height, width).pixels
    pixels = np.zeros((height, width), bool)
    if isinstance(prompt, Points):
        for x, y, inside in prompt.points:
            row, column = min(round(max(y, 0)), height - 1), round(max(x, 0))
            pixels[row, min(column, width - 1)] |= inside
    return pixels


class _Prompted:
    """Gives a session masks."""

    def __init__(self, inner: Session, makes: _MaskMaker) -> None:
        self._inner, self._makes = inner, makes

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        return self._inner.step(frame, self._makes(frame, prompts))

    def state(self) -> State | None:
        return self._makes.state_with(self._inner)

    def restore(self, state: State) -> None:
        self._makes.restore_with(self._inner, state)

    def close(self) -> None:
        self._inner.close()


class _DelayedPrompted:
    """The same for a delayed session."""

    def __init__(self, inner: DelayedSession, makes: _MaskMaker) -> None:
        self._inner, self._makes = inner, makes

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        return self._inner.step(frame, self._makes(frame, prompts))

    def finish(self) -> Iterator[Prediction]:
        return self._inner.finish()

    def state(self) -> State | None:
        return self._makes.state_with(self._inner)

    def restore(self, state: State) -> None:
        self._makes.restore_with(self._inner, state)

    def close(self) -> None:
        self._inner.close()
