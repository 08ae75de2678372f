"""Small objects tracked a second time, enlarged.

An object of thirty pixels loses its detail when the frame is shrunk to the model's
input. This variant gives such an object a tracker of its own that sees only a window
around it, enlarged to the size of the frame.

A tracker's memory is tied to its view: it holds what the object looked like, how large
it was and, in most models, where. So the design keeps the view as steady as it can:

* One session tracks all objects in the full frame, as the plain video does, and one
  more session tracks each small object in its window, from the object's first mask to
  the last frame. No session is started from predicted masks, since their errors would
  then count as given masks.
* An object is small if the box of its first mask takes less than 2/9 of both sides of
  the frame. The window then enlarges it by a factor of 1.5 to 4. The size of an
  object that is first given by points is not known: it gets no window.
* A later prompt of the object goes to both sessions. The window moves so that it
  contains the whole prompt; clicks on the background outside of it are left out. If the
  object is now too large for the window, only the full frame tracks it from there on:
  the window could not see the correction.
* The window keeps its size for the whole video. The scale in the tracker's memory
  stays true, and an object that comes nearer looks larger, as it should.
* The object's centre may move within a third of the window's side; beyond that, the
  window moves as far as the object does. To the tracker this looks like a camera that
  follows the object smoothly.
* The window follows its own tracker while that sees the object. When the tracker has
  lost the object (no pixel, or an object score below 0), or the object is too large for
  the window, the full frame's logits are used for the object. The window then moves at
  once to where the full frame sees it: without the object in view, a jump does no harm.
* Inside the window its own logits are used, outside those of the full frame; at the
  border both are blended over a sixteenth of the window's side. The result has a
  resolution that keeps the window's detail, up to that of the frame.

Each small object costs one more run of the tracker. A video without small objects gives
the plain result, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

from ...masks import LOGIT_LIMIT, Logits, resize_logits
from ...predictors import (
    AnySession,
    Box,
    Frame,
    Points,
    Prediction,
    Prompt,
    Prompts,
    Session,
    State,
    Video,
    immediate,
    restore_session,
    session_state,
)
from ..augmentation import AUGMENTATIONS, Augmentation
from ..window import Window, box_of, extent_of, window_for

__all__ = ["Zoom", "ZoomedSession"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Zoom(Augmentation):
    """Small objects tracked a second time, each in a window that follows it."""

    name = "zoom"
    order = 30
    depth = 10
    at_once = True

    def session(
        self, video: Video, open_session: Callable[[int], AnySession]
    ) -> Session:
        """Open a video in full, and a window for each small object."""
        return ZoomedSession(video, lambda length: immediate(open_session(length)))


class ZoomedSession:
    """A session for the full frame, and one for each small object.

    Args:
        video: The video.
        open_session: Opens a session of the model for so many frames of it.
    """

    def __init__(self, video: Video, open_session: Callable[[int], Session]) -> None:
        self._video = video
        self._open = open_session
        self._full = open_session(video.length)
        self._zooms: dict[int, _Zoom] = {}
        self._known: frozenset[int] = frozenset()
        self._seen = 0

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        """Predict the next frame."""
        full = self._full.step(frame, prompts)
        views: dict[int, Prediction] = {}
        for key, zoom in list(self._zooms.items()):
            place = full.objects.index(key)
            elsewhere = box_of(full.logits[place], self._size)
            view = zoom.step(frame, elsewhere, prompts.get(key))
            if view is None:
                self._zooms.pop(key).session.close()
            else:
                views[key] = view
        for key, prompt in prompts.items():
            if key in self._known or (window := self._window_for(prompt)) is None:
                continue
            session = self._open(self._video.length - self._seen)
            zoom = self._zooms[key] = _Zoom(key, window, session, self._seen)
            views[key] = zoom.start(frame, prompt)
        self._known |= prompts.keys()
        self._seen += 1
        return self._paste(full, views) if self._zooms else full

    def state(self) -> State | None:
        """Those of all sessions; None if one of them cannot be continued."""
        full = session_state(self._full)
        zooms = {key: zoom.state() for key, zoom in self._zooms.items()}
        if full is None or any(one is None for one in zooms.values()):
            return None
        known = sorted(self._known)
        return {"full": full, "zooms": zooms, "known": known, "seen": self._seen}

    def restore(self, state: State) -> None:
        """Continue all sessions; those of windows are opened again."""
        restore_session(self._full, state["full"])
        for key, one in state["zooms"].items():
            session = self._open(self._video.length - one["began"])
            top, left, height, width, frame = one["window"]
            window = Window(top, left, height, width, frame)
            zoom = self._zooms[key] = _Zoom(key, window, session, one["began"])
            zoom.restore(one)
        self._known = frozenset(state["known"])
        self._seen = state["seen"]

    def close(self) -> None:
        """Free all sessions."""
        self._full.close()
        for zoom in self._zooms.values():
            zoom.session.close()

    def _window_for(self, prompt: Prompt) -> Window | None:
        """The window of a new object; None where it is not known to be small."""
        extent = None if isinstance(prompt, Points) else extent_of(prompt)
        return None if extent is None else window_for(extent, self._size)

    def _paste(self, full: Prediction, views: dict[int, Prediction]) -> Prediction:
        """Put what the windows show into a prediction for the full frame."""
        logits = resize_logits(_limited(full.logits), self._resolution(full.logits))
        logits = logits.copy()
        presence = None if full.presence is None else full.presence.copy()
        iou = None if full.iou is None else full.iou.copy()
        for key, view in views.items():
            zoom = self._zooms[key]
            if not zoom.trusted:
                continue
            place = full.objects.index(key)
            zoom.window.paste(logits[place], _limited(view.logits[0]))
            if presence is not None and view.presence is not None:
                presence[place] = view.presence[0]
            if iou is not None and view.iou is not None:
                iou[place] = view.iou[0]
        return Prediction(full.objects, logits, presence, iou)

    @property
    def _size(self) -> tuple[int, int]:
        return self._video.height, self._video.width

    def _resolution(self, logits: Logits) -> tuple[int, int]:
        """The resolution of the windows' detail, at most that of the frame."""
        factor = max(
            math.ceil(zoom.window.frame[0] / zoom.window.height)
            for zoom in self._zooms.values()
        )
        height, width = logits.shape[1:]
        return (
            max(height, min(factor * height, self._video.height)),
            max(width, min(factor * width, self._video.width)),
        )


class _Zoom:
    """One object in its window.

    Attributes:
        window: Where the window is in the frame that was shown last.
        session: Tracks the object in the window.
        trusted: Whether the window's logits are used in that frame.
    """

    def __init__(self, key: int, window: Window, session: Session, began: int) -> None:
        self.window = window
        self.session = session
        self.trusted = True
        self._key = key
        self._began = began
        self._box: Box | None = None

    def state(self) -> State | None:
        """What is needed to continue; None if the session cannot be continued."""
        if (found := session_state(self.session)) is None:
            return None
        return {
            "window": astuple(self.window),
            "began": self._began,
            "trusted": self.trusted,
            "box": None if self._box is None else astuple(self._box),
            "session": found,
        }

    def restore(self, state: State) -> None:
        """Continue in the window that is known already."""
        self.trusted = state["trusted"]
        self._box = None if state["box"] is None else Box(*state["box"])
        restore_session(self.session, state["session"])

    def start(self, frame: Frame, prompt: Prompt) -> Prediction:
        """Show the first frame."""
        return self._show(frame, prompt)

    def step(
        self, frame: Frame, elsewhere: Box | None, prompt: Prompt | None
    ) -> Prediction | None:
        """Show the next frame.

        Args:
            frame: The frame.
            elsewhere: Where the full frame sees the object now.
            prompt: A correction of the object, if there is one.

        Returns:
            What the window shows; None where it is too small for the correction.
        """
        target = self._box if self._box is not None else elsewhere
        if target is not None:
            self.window = self.window.following(target)
        if prompt is not None and (extent := extent_of(prompt)) is not None:
            if not self.window.fits(extent):
                return None
            self.window = self.window.showing(extent)
        return self._show(frame, prompt)

    def _show(self, frame: Frame, prompt: Prompt | None) -> Prediction:
        """Show the window's part of a frame and of a prompt."""
        part = None if prompt is None else self.window.cut_prompt(prompt)
        prompts = {} if part is None else {self._key: part}
        return self._look(self.session.step(self.window.cut(frame), prompts))

    def _look(self, prediction: Prediction) -> Prediction:
        """Find out whether and where the window's tracker sees the object."""
        box = box_of(prediction.logits[0], self.window.frame)
        if prediction.presence is not None and prediction.presence[0] < 0:
            box = None
        self._box = None if box is None else self.window.box_in_frame(box)
        self.trusted = self._box is not None and self.window.fits(self._box)
        return prediction


def _limited(logits: Logits) -> Logits:
    """Limit logits, so that −∞ for "no object" does not change pixels beside it."""
    return np.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
