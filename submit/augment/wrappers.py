"""A predictor that tracks a variant of a video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from ..errors import OptionError
from ..predictors import AnySession, Description, Predictor, Video
from .augmentation import Augmentation
from .variant import Variant

__all__ = ["AugmentedPredictor"]


class AugmentedPredictor:
    """Tracks a variant of the video instead of the plain one."""

    Options: ClassVar[type[Any]] = Variant

    def __init__(self, inner: Predictor, variant: Variant) -> None:
        self._inner = inner
        self._variant = variant
        if inner.describe().delayed:
            _require_no_feedback(inner, variant)
        if not inner.describe().sizes.allows(variant.scale):
            raise OptionError(
                f"variant {variant}: {inner.describe().model} does not run at "
                f"{variant.scale:g} times its input size; legal are "
                f"{inner.describe().sizes}"
            )

    def describe(self) -> Description:
        """Say what the model inside is."""
        return self._inner.describe()

    def session(self, video: Video, *, scale: float = 1.0) -> AnySession:
        """Open a video as this variant shows it."""
        if not all(one.keeps_frames for one in self._variant.augmentations):
            video = dataclasses.replace(video, images=())
        opened: Callable[[int], AnySession] = partial(
            _open, self._inner, video, scale * self._variant.scale
        )
        # The innermost comes first: windows are cut out of a mirrored video, and the
        # colours are changed before anything else.
        for one in sorted(self._variant.augmentations, key=lambda one: one.depth):
            opened = partial(_shown, one, video, opened)
        return opened(video.length)


def _require_no_feedback(inner: Predictor, variant: Variant) -> None:
    """Make sure that no part of a variant needs predictions at once.

    Raises:
        OptionError: One does.
    """
    for one in variant.augmentations:
        if one.at_once:
            raise OptionError(
                f"variant {variant}: {one.name} needs the prediction of each frame "
                f"before the next one, and {inner.describe().model} predicts frames "
                f"later; leave {one.name} out"
            )


def _open(inner: Predictor, video: Video, scale: float, length: int) -> AnySession:
    return inner.session(dataclasses.replace(video, length=length), scale=scale)


def _shown(
    one: Augmentation, video: Video, opened: Callable[[int], AnySession], length: int
) -> AnySession:
    return one.session(dataclasses.replace(video, length=length), opened)
