"""Test-time augmentation: a predictor around a predictor.

A variant is written as transforms joined by `+`, such as `hflip+scale=0.75`. A
variant's tracker sees the transformed video from the first frame to the last and has
its own memory; its logits come back in the original geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, PredictorError
from .masks import LOGIT_LIMIT, resize_logits
from .predictor import Description, Frame, Masks, Prediction, Predictor, Session, Video

__all__ = [
    "AugmentedPredictor",
    "MergedPredictor",
    "Variant",
    "augmented",
    "parse_variant",
]


@dataclass(frozen=True)
class Variant:
    """One way to look at a video.

    Attributes:
        hflip: Mirrored left to right.
        scale: Input resolution of the model as a multiple of its usual one.
    """

    hflip: bool = False
    scale: float = 1.0

    def __str__(self) -> str:
        parts = ["hflip"] if self.hflip else []
        if self.scale != 1.0:
            # All digits, since runs are told apart by this text.
            parts.append(f"scale={self.scale!r}".removesuffix(".0"))
        return "+".join(parts) or "plain"


def parse_variant(text: str) -> Variant:
    """Read a variant as it is written on the command line.

    Raises:
        OptionError: A transform is unknown, given twice, or its value not legal.
    """
    values: dict[str, Any] = {}
    for part in text.split("+"):
        name, equals, value = part.strip().partition("=")
        if name in values:
            raise OptionError(f"variant {text!r}: {name} is given twice")
        if name == "hflip" and not equals:
            values["hflip"] = True
        elif name == "scale":
            values["scale"] = _positive(text, name, value)
        elif name != "plain" or equals:
            raise OptionError(
                f"variant {text!r}: expected plain, hflip or scale=<factor>, joined by "
                f"+, found {part.strip()!r}"
            )
    return Variant(**values)


def _positive(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise OptionError(
            f"variant {text!r}: expected {name}=<positive number>, found {value!r}"
        )
    return number


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
        inner = self._inner.session(video, scale=scale * self._variant.scale)
        return _FlippedSession(inner) if self._variant.hflip else inner


class _FlippedSession:
    """Shows a session the mirror image, and mirrors back what it says."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner

    def start(self, frame: Frame, masks: Masks) -> Prediction:
        return _flip_prediction(self._inner.start(_flip(frame), _flip_masks(masks)))

    def add(self, frame: Frame, masks: Masks) -> Prediction:
        return _flip_prediction(self._inner.add(_flip(frame), _flip_masks(masks)))

    def step(self, frame: Frame) -> Prediction:
        return _flip_prediction(self._inner.step(_flip(frame)))

    def close(self) -> None:
        self._inner.close()


def _flip(array: Frame) -> Frame:
    return np.ascontiguousarray(array[:, ::-1])


def _flip_masks(masks: Masks) -> Masks:
    return {key: np.ascontiguousarray(mask[:, ::-1]) for key, mask in masks.items()}


def _flip_prediction(prediction: Prediction) -> Prediction:
    return Prediction(
        objects=prediction.objects,
        logits=np.ascontiguousarray(prediction.logits[:, :, ::-1]),
        presence=prediction.presence,
        iou=prediction.iou,
    )


class MergedPredictor:
    """Tracks several variants side by side and averages their logits.

    Every frame's logits are averaged before any threshold, at the resolution of the
    first variant; presence and IoU are averaged where every variant has them.
    """

    Options: ClassVar[type[Any]] = Variant

    def __init__(self, members: Sequence[Predictor]) -> None:
        self._members = tuple(members)

    def describe(self) -> Description:
        """Say what the model inside is."""
        return self._members[0].describe()

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video once for each variant."""
        return _MergedSession(
            [member.session(video, scale=scale) for member in self._members]
        )


class _MergedSession:
    """Feeds each frame to all members and returns their mean."""

    def __init__(self, members: Sequence[Session]) -> None:
        self._members = members

    def start(self, frame: Frame, masks: Masks) -> Prediction:
        return _mean([member.start(frame, masks) for member in self._members])

    def add(self, frame: Frame, masks: Masks) -> Prediction:
        return _mean([member.add(frame, masks) for member in self._members])

    def step(self, frame: Frame) -> Prediction:
        return _mean([member.step(frame) for member in self._members])

    def close(self) -> None:
        for member in self._members:
            member.close()


def _mean(predictions: Sequence[Prediction]) -> Prediction:
    """Average predictions of the same objects.

    Logits are clipped to the range of the run store, as those of runs are that are
    merged later; an infinite one would otherwise outvote everybody.
    """
    first = predictions[0]
    height, width = first.logits.shape[1:]
    total = np.zeros(first.logits.shape, np.float32)
    for prediction in predictions:
        if prediction.objects != first.objects:
            raise PredictorError(
                f"one variant has the objects {list(first.objects)}, another "
                f"{list(prediction.objects)}; this is a bug of the predictor"
            )
        logits = np.clip(prediction.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        total += resize_logits(logits, (height, width))

    def mean(values: Sequence[NDArray[np.float32] | None]) -> Any:
        present = [value for value in values if value is not None]
        return np.mean(present, axis=0) if len(present) == len(values) else None

    return Prediction(
        objects=first.objects,
        logits=total / np.float32(len(predictions)),
        presence=mean([prediction.presence for prediction in predictions]),
        iou=mean([prediction.iou for prediction in predictions]),
    )


def augmented(
    predictor: Predictor, *, variant: Variant | None, tta: Sequence[Variant]
) -> Predictor:
    """Wrap a predictor as `--variant` and `--tta` ask for.

    Args:
        predictor: The model.
        variant: Tracked instead of the plain video.
        tta: Tracked beside it and merged on the fly.

    Raises:
        OptionError: The model does not run at a scale that is asked for.
    """
    base = predictor if variant is None else AugmentedPredictor(predictor, variant)
    if not tta:
        return base
    return MergedPredictor(
        [base, *(AugmentedPredictor(predictor, extra) for extra in tta)]
    )
