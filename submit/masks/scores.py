"""Scores of other programs as logits: from probabilities or logits.

Scores are one plane for each object, or one more in front for the background. They are
probabilities (floating-point in [0, 1], uint8 as p·255, or bool) or logits.

With a background plane the channels of a pixel compete, as a softmax makes them. Then
the logit of an object is its log-odds against the strongest other channel, which is

    log(p / (1 − p))    for one object,
    > 0                 exactly where the object is the argmax over all channels.

So the overlap rule gives the argmax of the other program, to the pixel.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from .codes import VALUES
from .labels import Logits

__all__ = ["HARD_LOGIT", "ScoreKind", "recognise_scores", "scores_to_logits"]

#: The logit of a pixel of a hard mask, p = 0.993: high enough for a full vote, and low
#: enough that soft members can overrule it.
HARD_LOGIT = 5.0

#: The lowest logit that is still positive once it is rounded to a code.
_JUST_POSITIVE = np.float32(VALUES[129])

#: How far probabilities may lie outside of [0, 1], and the sum of all channels from 1:
#: half precision and the resizing of other programs.
_SLACK, _SUM_SLACK = 2e-3, 0.05

#: log(p·255 + 1/2) by the byte: programs cut off p·255 to an integer, so that p lies
#: half a step above it on average.
_LOG_BYTES = np.log(np.arange(256, dtype=np.float32) + np.float32(0.5))
_LOGIT_BYTES = _LOG_BYTES - _LOG_BYTES[::-1]


class ScoreKind(enum.Enum):
    """What the numbers of scores are."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"


def recognise_scores(scores: NDArray[Any]) -> ScoreKind | None:
    """Tell logits from probabilities by their range.

    Args:
        scores: Of any shape; a frame in which some object is visible, and the
            background as well.

    Returns:
        Logits if a value lies outside of [0, 1]. Probabilities if there are values on
        both sides of 1/2 and none outside, or for bool. None where it is not certain:
        with only small or only large values in [0, 1], and for integers, which may be
        object ids.
    """
    if scores.dtype == bool:
        return ScoreKind.PROBABILITIES
    if scores.dtype.kind != "f" or not scores.size:
        return None
    low, high = scores.min(), scores.max()
    if low < 0 or high > 1:
        return ScoreKind.LOGITS
    return ScoreKind.PROBABILITIES if low < 0.5 < high else None


def scores_to_logits(
    scores: NDArray[Any], kind: ScoreKind, *, background: bool = False
) -> Logits:
    """Convert the scores of a frame to logits.

    A probability of 0 or 1 counts as half a step of its type away from it: ±8.3 for
    float16, ±17.3 for float32. bool becomes ±`HARD_LOGIT`. Where a probability is above
    1/2, or the highest of all channels, the logit stays positive when it is rounded.

    Args:
        scores: N×h×w, or (1 + N)×h×w with the background first; floating-point, bool,
            or uint8 for probabilities times 255.
        kind: What the numbers are.
        background: Whether the first plane is the background, and a softmax over all
            planes made the scores.

    Returns:
        N×h×w float32. Infinite logits stay infinite.

    Raises:
        MaskError: The array has another shape or type, or holds NaN; probabilities lie
            outside of [0, 1], or do not add up to 1 although the background is there.
    """
    letter = scores.dtype.kind
    as_bytes = scores.dtype == np.uint8 and kind is ScoreKind.PROBABILITIES
    as_masks = letter == "b" and kind is ScoreKind.PROBABILITIES and not background
    if scores.ndim != 3 or not (letter == "f" or as_bytes or as_masks):
        raise MaskError(
            f"expected {kind.value} of the shape objects × height × width, "
            "floating-point"
            + (" or uint8 (p·255)" if kind is ScoreKind.PROBABILITIES else "")
            + f", found {scores.dtype} of shape {scores.shape}"
        )
    if as_masks:
        return np.where(scores, np.float32(HARD_LOGIT), np.float32(-HARD_LOGIT))
    if letter == "f" and np.isnan(scores).any():
        raise MaskError(f"{kind.value} hold NaN")
    if kind is ScoreKind.PROBABILITIES:
        _require_probabilities(scores, background=background)
    if background:
        if kind is ScoreKind.LOGITS:
            return _margins(scores.astype(np.float32))
        return _margins(_LOG_BYTES[scores] if as_bytes else _logs(scores))
    if kind is ScoreKind.LOGITS:
        return scores.astype(np.float32)
    logits: Logits
    if as_bytes:
        logits = _LOGIT_BYTES[scores]
    else:
        step = _half_step(scores)
        inside = np.clip(scores.astype(np.float64), step, 1 - step)
        logits = (np.log(inside) - np.log1p(-inside)).astype(np.float32)
    # Codes near zero are rounded to zero, which is background.
    np.maximum(logits, _JUST_POSITIVE, out=logits, where=logits > 0)
    return logits


def _require_probabilities(scores: NDArray[Any], *, background: bool) -> None:
    """Make sure that numbers can be probabilities.

    Raises:
        MaskError: They cannot.
    """
    if not scores.size:
        return
    one = 255 if scores.dtype == np.uint8 else 1
    low, high = float(scores.min()), float(scores.max())
    if low < -_SLACK or high > one + _SLACK:
        raise MaskError(
            f"expected probabilities from 0 to 1, found values from {low:g} to {high:g}"
        )
    if not background:
        return
    total = scores.sum(0, dtype=np.float32) / np.float32(one)
    # Each of the bytes was cut off by up to one.
    below = _SUM_SLACK + (len(scores) / 255 if one == 255 else 0)
    low, high = float(total.min()), float(total.max())
    if low < 1 - below or high > 1 + _SUM_SLACK:
        worst = low if 1 - low > high - 1 else high
        raise MaskError(
            "expected a background and objects whose probabilities add up to 1 at "
            f"each pixel, found a sum of {worst:.3g}"
        )


def _half_step(scores: NDArray[Any]) -> float:
    """Half of the distance between 1 and the next smaller number of a type.

    For float64 it is the whole distance, since it is subtracted from 1 in float64.
    """
    return max(float(np.finfo(scores.dtype).epsneg) / 2, 2.0**-53)


def _logs(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """The logarithm of float probabilities, finite for 0 as well."""
    low = _half_step(probabilities)
    return np.log(np.clip(probabilities.astype(np.float64), low, 1)).astype(np.float32)


def _margins(logs: NDArray[np.float32]) -> Logits:
    """Log-odds of each channel but the first against the strongest other one.

    Args:
        logs: (1 + N)×h×w logarithms of odds that share a factor at each pixel.
    """
    first, second = logs[0], np.full(logs.shape[1:], -np.inf, np.float32)
    for plane in logs[1:]:
        second = np.maximum(second, np.minimum(first, plane))
        first = np.maximum(first, plane)
    winner = logs.argmax(0)
    result = np.empty((len(logs) - 1, *logs.shape[1:]), np.float32)
    with np.errstate(invalid="ignore"):  # −∞ − −∞: a channel that is out of the race.
        for key, plane in enumerate(logs[1:], start=1):
            margin = np.where(plane == first, first - second, plane - first)
            # argmax takes the first of equal channels, and so does the overlap rule.
            won = winner == key
            margin[won] = np.fmax(margin[won], _JUST_POSITIVE)
            result[key - 1] = margin
    return np.nan_to_num(result, copy=False, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
