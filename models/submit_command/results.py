"""What a program has written of a frame, as a prediction."""

from __future__ import annotations

import numpy as np

from submit.formats import SoftFrame
from submit.masks import HARD_LOGIT, Codes, Logits, dequantise
from submit.predictors import Prediction

__all__ = ["prediction"]


def prediction(found: SoftFrame, objects: tuple[int, ...]) -> Prediction:
    """The scores of a frame, for all objects that are known in it.

    Args:
        found: What the program has written, of some of them.
        objects: The ids; one that was not written is not visible.
    """
    logits = _as_floats(found.logits)
    if found.objects == objects:
        return Prediction(objects, logits, found.presence, found.iou)
    places = {key: place for place, key in enumerate(found.objects)}
    shape = logits.shape[1:] if len(logits) else (1, 1)
    planes = np.full((len(objects), *shape), -HARD_LOGIT, np.float32)
    for row, key in enumerate(objects):
        if key in places:
            planes[row] = logits[places[key]]
    if not places.keys() >= set(objects):
        return Prediction(objects, planes)
    rows = [places[key] for key in objects]
    presence, iou = (
        None if scores is None else scores[rows]
        for scores in (found.presence, found.iou)
    )
    return Prediction(objects, planes, presence, iou)


def _as_floats(scores: Logits | Codes) -> Logits:
    if scores.dtype == np.int8:
        return dequantise(scores.astype(np.int8, copy=False))
    return scores.astype(np.float32, copy=False)
