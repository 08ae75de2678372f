"""Several variants tracked at once and merged frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, PredictorError
from ..masks import LOGIT_LIMIT, resize_logits
from ..predictors import (
    Description,
    Frame,
    MemoryEvent,
    Prediction,
    Predictor,
    Prompts,
    Session,
    State,
    Video,
    immediate,
    memory_events,
    restore_session,
    session_state,
)
from .variant import Variant
from .wrappers import AugmentedPredictor

__all__ = ["MergedPredictor", "augmented"]


class MergedPredictor:
    """Tracks several variants at once and averages their probabilities.

    The mean is taken before any threshold, at the largest resolution of the variants,
    as the method `mean_probabilities` does for runs. Presence and IoU are averaged if
    every variant has them.
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
            [immediate(one.session(video, scale=scale)) for one in self._members]
        )


class _MergedSession:
    """Feeds each frame to all members and returns their mean."""

    def __init__(self, members: Sequence[Session]) -> None:
        self._members = members

    @property
    def events(self) -> Sequence[MemoryEvent]:
        """Those of the first variant."""
        return memory_events(self._members[0])

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        return _mean([member.step(frame, prompts) for member in self._members])

    def state(self) -> State | None:
        """Those of all variants; None if one of them cannot be continued."""
        found = []
        for member in self._members:
            found.append(session_state(member))
            if found[-1] is None:
                return None
        return found

    def restore(self, state: State) -> None:
        for member, one in zip(self._members, state, strict=True):
            restore_session(member, one)

    def close(self) -> None:
        for member in self._members:
            member.close()


def _mean(predictions: Sequence[Prediction]) -> Prediction:
    """Average predictions of the same objects.

    Logits are clipped to the range of the run store, as those of runs are that are
    merged later. With p the mean probability, the logit is log(p / (1 − p)).
    """
    first = predictions[0]
    shapes = [prediction.logits.shape[1:] for prediction in predictions]
    height, width = max(shapes, key=lambda shape: shape[0] * shape[1])
    inside = np.zeros((len(first.objects), height, width), np.float32)
    outside = np.zeros_like(inside)
    for prediction in predictions:
        if prediction.objects != first.objects:
            raise PredictorError(
                f"one variant has the objects {list(first.objects)}, another "
                f"{list(prediction.objects)}; this is a bug of the predictor"
            )
        logits = np.clip(prediction.logits, -LOGIT_LIMIT, LOGIT_LIMIT)
        odds = np.exp(resize_logits(logits, (height, width)))
        inside += odds / (1 + odds)
        outside += 1 / (1 + odds)

    def mean(values: Sequence[NDArray[np.float32] | None]) -> Any:
        present = [value for value in values if value is not None]
        return np.mean(present, axis=0) if len(present) == len(values) else None

    return Prediction(
        objects=first.objects,
        logits=np.log(inside / outside),
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
        tta: Tracked as well and merged frame by frame.

    Raises:
        OptionError: The model does not run at a scale that is asked for, or its
            predictions come later than a variant or `tta` needs them.
    """
    if tta and predictor.describe().delayed:
        asked = " ".join(f"--tta {extra}" for extra in tta)
        raise OptionError(
            f"{asked}: {predictor.describe().model} predicts frames later than it gets "
            "them, so variants of it cannot be merged frame by frame; make a run of "
            "each, such as --variant "
            f"{tta[0]} --name {str(tta[0]).partition('=')[0]}, and merge the runs with "
            "submit ensemble"
        )
    base = predictor if variant is None else AugmentedPredictor(predictor, variant)
    if not tta:
        return base
    return MergedPredictor(
        [base, *(AugmentedPredictor(predictor, extra) for extra in tta)]
    )
