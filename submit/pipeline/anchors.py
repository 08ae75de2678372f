"""Anchors: frames in which an object's mask can be trusted and would help most.

A frame can be trusted where all runs show nearly the same mask and their own scores are
high. It helps where the frames after it are in doubt: the object reappears there, or
runs disagree about it later on. The choice takes numbers only, no masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Anchor", "AnchorRules", "Evidence", "choose_anchors"]

Floats = NDArray[np.float64]

#: So many frames after an anchor count as helped by it.
_REACH = 50
#: A frame with a lower confidence is not an anchor, even if the runs agree.
_MIN_PRESENCE = 0.9
_MIN_IOU = 0.7
#: Smaller masks have few pixels that all runs share.
_MIN_PIXELS = 50
#: An absence is trusted in the middle of at least so many frames of it.
_MIN_ABSENCE = 5
#: Closer to another object than this share of the frame's diagonal, a mask may hold
#: pixels of both; it is taken where there is no better one.
_NEAR = 0.02
#: An anchor has to be followed by at least so much doubt; see `_doubt_ahead`.
_MIN_DOUBT = 0.02
#: A mask after a reappearance is taken from its first frames.
_RETURN = 10


@dataclass(frozen=True)
class AnchorRules:
    """What makes a frame an anchor.

    Attributes:
        count: At most so many masks, and so many absences, for an object.
        distance: At least so many frames between two masks of an object, and two
            absences.
        agreement: The least mean IoU between runs, from 0 to 1.
    """

    count: int = 3
    distance: int = 20
    agreement: float = 0.85


@dataclass(frozen=True, eq=False)
class Evidence:
    """What runs say about one object in T frames.

    Attributes:
        agreement: T, mean IoU of each two runs from 0 to 1; 1 where all lack it.
        showing: T, share of the runs that show the object.
        pixels: T, the least area in all runs.
        presence: T, probability of visibility in the run that is least certain of what
            it shows: the least one, and the largest one where no run shows the object;
            NaN without object scores.
        iou: T, least predicted IoU; NaN where there is none.
        gap: T, distance to the next object as a share of the diagonal; inf alone.
    """

    agreement: Floats
    showing: Floats
    pixels: Floats
    presence: Floats
    iou: Floats
    gap: Floats


@dataclass(frozen=True)
class Anchor:
    """A frame that was chosen.

    Attributes:
        frame: Its index.
        absent: Whether the object is not visible there.
        why: The reasons, for people.
    """

    frame: int
    absent: bool
    why: str


def choose_anchors(evidence: Evidence, rules: AnchorRules) -> list[Anchor]:
    """Choose the anchors of one object, in order of frames.

    The frames up to the first one in which all runs show the object are left out: its
    mask is given there.
    """
    everywhere = np.flatnonzero(evidence.showing == 1)
    if not len(everywhere):
        return []
    start = int(everywhere[0])
    doubt = _doubt_ahead(1 - evidence.agreement)
    trusted = _trusted(evidence, rules.agreement)
    returns = _returns(evidence, trusted, start)
    worth = _trust(evidence) * doubt
    helpful = doubt >= _MIN_DOUBT
    # After a reappearance trackers lose objects most often, so it goes first.
    order = sorted(
        (t for t in returns if helpful[t]), key=lambda t: (-float(doubt[t]), t)
    )
    rest = np.flatnonzero(trusted & helpful).tolist()
    order += sorted(rest, key=lambda t: (-float(worth[t]), t))
    masks = _spread(order, [start], rules)
    absences = [t for t in _absences(evidence, start) if helpful[t]]
    absences.sort(key=lambda t: (-float(doubt[t]), t))
    absent = _spread(absences, [], rules)
    found = [
        Anchor(t, False, _why_mask(evidence, t, doubt[t], returns.get(t)))
        for t in masks
    ]
    found += [Anchor(t, True, _why_absent(evidence, t, doubt[t])) for t in absent]
    return sorted(found, key=lambda anchor: anchor.frame)


def _doubt_ahead(doubt: Floats) -> Floats:
    """The mean doubt in the frames after each, with 0 after the last one."""
    sums = np.concatenate([[0.0], np.cumsum(doubt)])
    after = np.arange(1, len(doubt) + 1)
    ends = np.minimum(after + _REACH, len(doubt))
    ahead: Floats = (sums[ends] - sums[after]) / _REACH
    return ahead


def _known(values: Floats) -> Floats:
    return np.where(np.isnan(values), 1.0, values)


def _trust(evidence: Evidence) -> Floats:
    apart = np.clip(evidence.gap / _NEAR, 0.5, 1.0)
    known = _known(evidence.presence) * _known(evidence.iou)
    trust: Floats = evidence.agreement * known * apart
    return trust


def _trusted(evidence: Evidence, agreement: float) -> NDArray[np.bool_]:
    trusted: NDArray[np.bool_] = (
        (evidence.showing == 1)
        & (evidence.agreement >= agreement)
        & (evidence.pixels >= _MIN_PIXELS)
        & (_known(evidence.presence) >= _MIN_PRESENCE)
        & (_known(evidence.iou) >= _MIN_IOU)
    )
    return trusted


def _returns(
    evidence: Evidence, trusted: NDArray[np.bool_], start: int
) -> dict[int, int]:
    """The best frame after each absence, and the frame in which that began."""
    trust = _trust(evidence)
    found: dict[int, int] = {}
    for first, last in _stretches(evidence.showing == 0):
        if first <= start:
            continue
        early = np.arange(last + 1, len(trusted))
        early = early[trusted[last + 1 :]][:_RETURN]
        # Another absence may begin before the object can be trusted.
        later = np.flatnonzero(evidence.showing[last + 1 :] == 0)
        if len(later):
            early = early[early < last + 1 + later[0]]
        if len(early):
            found[int(early[np.argmax(trust[early])])] = first
    return found


def _absences(evidence: Evidence, start: int) -> list[int]:
    """The middle of each long absence that no model doubts."""
    absent = (evidence.showing == 0) & ~(evidence.presence > 1 - _MIN_PRESENCE)
    return [
        (first + last) // 2
        for first, last in _stretches(absent)
        if first > start and last - first + 1 >= _MIN_ABSENCE
    ]


def _stretches(values: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _spread(order: list[int], taken: list[int], rules: AnchorRules) -> list[int]:
    """The first frames of an order that are far enough from each other."""
    found: list[int] = []
    for t in order:
        if len(found) == rules.count:
            break
        if all(abs(t - other) >= rules.distance for other in [*taken, *found]):
            found.append(t)
    return found


def _why_mask(evidence: Evidence, t: int, doubt: float, gone: int | None) -> str:
    parts = [f"agreement {evidence.agreement[t]:.2f}"]
    parts += [
        f"{name} {values[t]:.2f}"
        for name, values in (
            ("presence", evidence.presence),
            ("predicted IoU", evidence.iou),
        )
        if not np.isnan(values[t])
    ]
    parts.append(f"{int(evidence.pixels[t])} pixels")
    if np.isfinite(evidence.gap[t]):
        parts.append(f"next object at {evidence.gap[t]:.2f} of the diagonal")
    if gone is not None:
        parts.append(f"reappears after an absence from frame index {gone}")
    return ", ".join([*parts, _about_doubt(doubt)])


def _why_absent(evidence: Evidence, t: int, doubt: float) -> str:
    parts = ["absent in all runs"]
    if not np.isnan(evidence.presence[t]):
        parts.append(f"presence {evidence.presence[t]:.2f}")
    return ", ".join([*parts, _about_doubt(doubt)])


def _about_doubt(doubt: float) -> str:
    return f"disagreement in the next {_REACH} frames {doubt:.2f}"
