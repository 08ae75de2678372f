"""The presence gate: decides whether an object is visible, separately from its shape.

Some members detect disappearances well, others reappearances. A mean of logits mixes
this with the shape of the object: if half of the members have an empty mask, the mean
shrinks the mask of the other half, even if that is correct.

The gate decides first. Each member gives a probability that the object is visible, from
its object score or from its mask. A visible object disappears if the weighted mean
probability falls below `threshold`. An absent object reappears if the mean with the
weights `return_weights` is at least `return_threshold`. An absent object has an empty
mask. A visible object gets its shape from the members whose masks are not empty.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .settings import Gate
from .views import View

__all__ = ["PresenceGate", "Verdict", "evidence"]

#: Probabilities are clipped by this much, so that their logits are finite.
_EDGE = 1e-7


@dataclass(frozen=True)
class Verdict:
    """The gate's decision about one object in one frame.

    Attributes:
        visible: Whether the object is visible.
        presence: The logit of the mean probability minus that of the threshold: at
            least 0 if the object is visible. None if all weights are 0.
        blind: Names of the members that do not contribute to the shape.
    """

    visible: bool
    presence: float | None = None
    blind: frozenset[str] = frozenset()


def evidence(view: View, key: int, by: str) -> float:
    """The probability that an object is visible, according to one member.

    Args:
        view: The member's frame; it must know the object.
        key: The object id.
        by: `score` or `mask`; see `Gate`.
    """
    score = view.presence[key]
    if by == "score" and not math.isnan(score):
        return 1 / (1 + math.exp(-max(min(score, 700.0), -700.0)))
    return 1.0 if view.shows(key) else 0.0


class PresenceGate:
    """Decides which objects of a video are visible, frame by frame, in order."""

    def __init__(self, gate: Gate, members: Sequence[str]) -> None:
        self._gate = gate
        self._weights = gate.weights or dict.fromkeys(members, 1.0)
        self._return_weights = gate.return_weights or self._weights
        self._absent: set[int] = set()

    def copy(self) -> PresenceGate:
        """A gate in the same state, which can decide without changing this one."""
        twin = copy.copy(self)
        twin._absent = set(self._absent)
        return twin

    def decide(self, key: int, views: Sequence[View]) -> Verdict:
        """Decide whether an object is visible in the next frame.

        Args:
            key: The object id.
            views: The members that know the object, in a fixed order.
        """
        gate = self._gate
        known = {view.name: evidence(view, key, gate.evidence) for view in views}
        threshold = gate.threshold
        weights = self._weights
        if key in self._absent:
            weights = self._return_weights
            if gate.return_threshold is not None:
                threshold = gate.return_threshold
        chance = _mean(known, weights)
        if chance is None:
            return Verdict(visible=True)
        visible = chance >= threshold
        (self._absent.discard if visible else self._absent.add)(key)
        presence = _logit(chance) - _logit(threshold)
        if not visible:
            return Verdict(visible=False, presence=presence)
        blind = frozenset(view.name for view in views if not view.shows(key))
        if not gate.drop_blind or len(blind) == len(views):
            blind = frozenset()
        return Verdict(visible=True, presence=presence, blind=blind)


def _mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    total = math.fsum(weights.get(name, 0.0) for name in values)
    if total == 0:
        return None
    parts = [weights.get(name, 0.0) * value for name, value in values.items()]
    return math.fsum(parts) / total


def _logit(chance: float) -> float:
    chance = min(max(chance, _EDGE), 1 - _EDGE)
    return math.log(chance) - math.log1p(-chance)
