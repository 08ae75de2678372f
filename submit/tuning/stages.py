"""The stages of the search: each proposes neighbours of a candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..ensemble import DEFAULT_METHOD, METHODS, Gate, MergeSettings
from ..postprocess import FILTERS
from .candidate import Candidate

__all__ = ["Stage", "all_stages"]

#: Factor by which a weight changes in one move.
_FACTORS = (2.0, 0.5)


@dataclass(frozen=True)
class Stage:
    """A kind of change.

    Attributes:
        name: Its name in the results.
        neighbours: The candidates that are one move away.
        moves: Most moves, each to the best neighbour.
    """

    name: str
    neighbours: Callable[[Candidate], Iterator[Candidate]]
    moves: int = 1


def all_stages(
    runs: Sequence[str], *, several_objects: bool, second: Sequence[str] = ()
) -> tuple[Stage, ...]:
    """All stages, in order.

    Args:
        runs: The names of the runs.
        several_objects: Whether any video has gaps between objects to close.
        second: The names of those of them that are second passes.
    """
    stages = []
    if second:
        stages.append(Stage("second pass", _second_passes(second), moves=len(second)))
    if len(runs) > 1:
        stages += [
            Stage("members", _memberships(runs), moves=2 * len(runs)),
            Stage("weights", _weights, moves=4),
            Stage("method", _methods),
            Stage("gate", _gates),
        ]
    for kind in FILTERS.values():
        if several_objects or not kind.several:
            stages.append(Stage(kind.name, _settings(kind.tried)))
    return tuple(stages)


def _memberships(runs: Sequence[str]) -> Callable[[Candidate], Iterator[Candidate]]:
    """One member more or less; from a single run also all runs at once.

    All at once can be better although no pair is: in a vote, three beat one.
    """

    def neighbours(candidate: Candidate) -> Iterator[Candidate]:
        members = set(candidate.members)
        methods = [candidate.merge.method]
        if len(members) == 1:
            methods = [name for name, one in METHODS.items() if one.explored]
        others = [members | {name} for name in runs if name not in members]
        if len(members) == 1 and len(runs) > 2:
            others.append(set(runs))
        if len(members) > 1:
            others += [members - {name} for name in sorted(members)]
        for method, one in product(methods, others):
            if len(one) == 1 or len(one) >= METHODS[method].least:
                # A single run is not merged; equal settings have one form.
                used = method if len(one) > 1 else DEFAULT_METHOD
                merge = MergeSettings(method=used, members=tuple(sorted(one)))
                yield dataclasses.replace(candidate, merge=merge)

    return neighbours


def _second_passes(
    second: Sequence[str],
) -> Callable[[Candidate], Iterator[Candidate]]:
    """One member replaced by a second pass."""

    def neighbours(candidate: Candidate) -> Iterator[Candidate]:
        for old, new in product(candidate.members, second):
            if new in candidate.members:
                continue
            names = {name: name for name in candidate.members} | {old: new}
            weights = {names[k]: one for k, one in candidate.merge.weights.items()}
            members = tuple(names[name] for name in candidate.members)
            yield _merged(candidate, members=members, weights=weights)

    return neighbours


def _weights(candidate: Candidate) -> Iterator[Candidate]:
    """One weight doubled or halved."""
    if len(candidate.members) < 2:
        return
    before = {
        name: candidate.merge.weights.get(name, 1.0) for name in candidate.members
    }
    for name in candidate.members:
        for factor in _FACTORS:
            weights = {**before, name: before[name] * factor}
            # With two equal weights, doubling one equals halving the other.
            yield _merged(candidate, weights=_reduced(weights))


def _reduced(weights: dict[str, float]) -> dict[str, float]:
    """Equal ratios in one form: the smallest weight is 1."""
    least = min(weights.values())
    return {name: weight / least for name, weight in weights.items()}


def _methods(candidate: Candidate) -> Iterator[Candidate]:
    """The other methods; where order matters, the highest weight comes first."""
    if len(candidate.members) < 2:
        return
    for method in METHODS:
        if method == candidate.merge.method:
            continue
        members = candidate.members
        if METHODS[method].ordered:
            weights = candidate.merge.weights
            members = tuple(sorted(members, key=lambda name: -weights.get(name, 1.0)))
        yield _merged(candidate, method=method, members=members)


def _gates(candidate: Candidate) -> Iterator[Candidate]:
    """The settings of the presence gate."""
    for evidence in ("score", "mask"):
        for threshold in (0.3, 0.5, 0.7):
            yield _merged(candidate, gate=Gate(threshold=threshold, evidence=evidence))
    if candidate.merge.gate is not None:
        yield _merged(candidate, gate=None)


def _settings(
    values: Sequence[Mapping[str, float]],
) -> Callable[[Candidate], Iterator[Candidate]]:
    """Other values of a setting of post-processing."""

    def neighbours(candidate: Candidate) -> Iterator[Candidate]:
        for one in values:
            post = candidate.post.replace(**one)
            if post != candidate.post:
                yield dataclasses.replace(candidate, post=post)

    return neighbours


def _merged(candidate: Candidate, **changes: Any) -> Candidate:
    merge = dataclasses.replace(candidate.merge, **changes)
    return dataclasses.replace(candidate, merge=merge)
