"""A predictor that tracks a variant, and the sessions that transform its video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..predictors import (
    Box,
    Description,
    Frame,
    Mask,
    Point,
    Points,
    Prediction,
    Predictor,
    Prompt,
    Prompts,
    Session,
    Video,
)
from .variant import Variant
from .zoom import ZoomedSession

__all__ = ["AugmentedPredictor"]

#: Of contrast-limited adaptive histogram equalisation: how far a tile's histogram may
#: rise above an even one, and tiles in each direction.
_CLIP_LIMIT = 2.0
_TILES = 8


class AugmentedPredictor:
    """Tracks a variant of the video instead of the plain one."""

    Options: ClassVar[type[Any]] = Variant

    def __init__(self, inner: Predictor, variant: Variant) -> None:
        self._inner = inner
        self._variant = variant
        if not inner.describe().sizes.allows(variant.scale):
            raise OptionError(
                f"variant {variant}: {inner.describe().model} does not run at "
                f"{variant.scale:g} times its input size; legal are "
                f"{inner.describe().sizes}"
            )

    def describe(self) -> Description:
        """Say what the model inside is."""
        return self._inner.describe()

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video as this variant shows it."""
        variant = self._variant

        def open_session(length: int) -> Session:
            part = dataclasses.replace(video, length=length)
            return self._inner.session(part, scale=scale * variant.scale)

        if variant.zoom:
            session: Session = ZoomedSession(video, open_session)
        else:
            session = open_session(video.length)
        # The innermost comes first: windows are cut out of a mirrored video, and the
        # colours are changed before anything else.
        if variant.hflip:
            session = _FlippedSession(session)
        if variant.clahe:
            session = _RecolouredSession(session, _equalise)
        if variant.gamma != 1.0:
            session = _RecolouredSession(session, _brighten(variant.gamma))
        return session


class _FlippedSession:
    """Shows a session the mirror image, and mirrors back what it says."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        flipped = {
            key: _flip_prompt(prompt, frame.shape[1]) for key, prompt in prompts.items()
        }
        return _flip_prediction(self._inner.step(_flip(frame), flipped))

    def close(self) -> None:
        self._inner.close()


def _flip(array: Frame) -> Frame:
    return np.ascontiguousarray(array[:, ::-1])


def _flip_prompt(prompt: Prompt, width: int) -> Prompt:
    if isinstance(prompt, Mask):
        return Mask(np.ascontiguousarray(prompt.pixels[:, ::-1]))
    if isinstance(prompt, Box):
        return Box(width - prompt.right, prompt.top, width - prompt.left, prompt.bottom)
    if isinstance(prompt, Points):
        # Whole numbers are centres of pixels here, and edges in a box.
        return Points(
            tuple(Point(width - 1 - x, y, inside) for x, y, inside in prompt.points)
        )
    return prompt


def _flip_prediction(prediction: Prediction) -> Prediction:
    return Prediction(
        objects=prediction.objects,
        logits=np.ascontiguousarray(prediction.logits[:, :, ::-1]),
        presence=prediction.presence,
        iou=prediction.iou,
    )


class _RecolouredSession:
    """Shows a session other colours in the same places."""

    def __init__(self, inner: Session, recolour: Callable[[Frame], Frame]) -> None:
        self._inner = inner
        self._recolour = recolour

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        return self._inner.step(self._recolour(frame), prompts)

    def close(self) -> None:
        self._inner.close()


def _brighten(gamma: float) -> Callable[[Frame], Frame]:
    """Raise all channels, as fractions of 255, to the power gamma."""
    levels = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)

    def recolour(frame: Frame) -> Frame:
        brightened: NDArray[np.uint8] = levels[frame]
        return brightened

    return recolour


def _equalise(frame: Frame) -> Frame:
    """Equalise the local contrast of the lightness; colours stay."""
    import cv2

    lab = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2LAB)
    clahe = cv2.createCLAHE(_CLIP_LIMIT, (_TILES, _TILES))
    lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
