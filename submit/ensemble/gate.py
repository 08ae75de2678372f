"""The presence gate: whether an object is there at all, decided apart from its shape.

Members differ in what they are good at: one says reliably that an object has gone,
another one finds it again. A mean of logits mixes both with the shape; where half of
the members see nothing, it shrinks a mask that the other half has right. The gate
decides first: each member's evidence is the probability p that the object is there, by
its object score or by its mask, and an object that was there goes when the mean of p
over those that have a say falls below a threshold; it comes back when the mean of p
over those that have a say in that, who may be others, reaches another one. An object
that is away has no pixel. The shape of one that is there comes from the members that
see it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .settings import Gate
from .views import View

__all__ = ["PresenceGate", "Verdict", "evidence"]

#: Keeps the logit of a probability finite.
_EDGE = 1e-7


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one object in one frame.

    Attributes:
        there: Whether the object is there.
        presence: A logit that is at least 0 when it is: how far the mean probability
            lies above the threshold. None where nobody had a say.
        blind: Names of the members that have no part in the shape.
    """

    there: bool
    presence: float | None = None
    blind: frozenset[str] = frozenset()


def evidence(view: View, key: int, by: str) -> float:
    """The probability that an object is there, as one member has it.

    Args:
        view: The member's frame; it must have the object.
        key: The object.
        by: `score` or `mask`; see `Gate`.
    """
    score = view.presence[key]
    if by == "score" and not math.isnan(score):
        return 1 / (1 + math.exp(-max(min(score, 700.0), -700.0)))
    return 1.0 if view.sees(key) else 0.0


class PresenceGate:
    """Follows which objects of a video are there; frames come in their order."""

    def __init__(self, gate: Gate, members: Sequence[str]) -> None:
        self._gate = gate
        everybody = dict.fromkeys(members, 1.0)
        self._leaving = gate.weights or everybody
        self._returning = gate.return_weights or self._leaving
        self._away: set[int] = set()

    def copy(self) -> PresenceGate:
        """A gate with the same memory, to ask what would have been."""
        twin = copy.copy(self)
        twin._away = set(self._away)
        return twin

    def decide(self, key: int, views: Sequence[View]) -> Verdict:
        """Say of one object whether it is there.

        Args:
            key: The object.
            views: The members that have it, in a fixed order.
        """
        gate = self._gate
        known = {view.name: evidence(view, key, gate.evidence) for view in views}
        threshold = gate.threshold
        weights = self._leaving
        if key in self._away:
            weights = self._returning
            if gate.return_threshold is not None:
                threshold = gate.return_threshold
        chance = _mean(known, weights)
        if chance is None:
            return Verdict(there=True)
        there = chance >= threshold
        (self._away.discard if there else self._away.add)(key)
        presence = _logit(chance) - _logit(threshold)
        if not there:
            return Verdict(there=False, presence=presence)
        blind = frozenset(view.name for view in views if not view.sees(key))
        if not gate.drop_blind or len(blind) == len(views):
            blind = frozenset()
        return Verdict(there=True, presence=presence, blind=blind)


def _mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    total = math.fsum(weights.get(name, 0.0) for name in values)
    if total == 0:
        return None
    parts = [weights.get(name, 0.0) * value for name, value in values.items()]
    return math.fsum(parts) / total


def _logit(chance: float) -> float:
    chance = min(max(chance, _EDGE), 1 - _EDGE)
    return math.log(chance) - math.log1p(-chance)
