"""Tables of what runs cost in time and memory, and what they gain for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runs import RunCost
from ..scoring import SplitScore
from ..scoring.compare import compare_entries, entry_of
from ..tuning.members import MemberStep
from .numbers import percent, percents

__all__ = ["MeasuredEnsemble", "cost_rows", "member_rows"]

#: The measure in which a gain is counted.
_MEASURE = "jf_dot"


@dataclass(frozen=True)
class MeasuredEnsemble:
    """An ensemble, and what each of its members brings.

    Attributes:
        name: The ensemble.
        method: How the members were merged, with equal weights.
        steps: The members, the best first.
        costs: The cost of each by name.
    """

    name: str
    method: str
    steps: Sequence[MemberStep]
    costs: Mapping[str, RunCost]


def cost_rows(
    costs: Mapping[str, RunCost], scores: Mapping[str, SplitScore]
) -> list[dict[str, Any]]:
    """The cost of each run, and with truth its gain over the cheapest of them."""

    def whole(run: str) -> float:
        return costs[run].seconds + (costs[run].member_seconds or 0)

    order = sorted(costs, key=whole)
    rows = []
    for run in order:
        cost = costs[run]
        row = {"run": run, "first": order[0], "cost": cost, "seconds": whole(run)}
        row["score"] = row["gain"] = None
        if run in scores and order[0] in scores:
            row["score"] = percent(getattr(scores[run].totals, _MEASURE))
            if run != order[0]:
                pair = [entry_of(name, scores[name]) for name in (order[0], run)]
                found = compare_entries(*pair).measures[_MEASURE]
                row["gain"] = {
                    "value": percent(found.difference),
                    "interval": percents(found.low, found.high),
                    "significant": found.is_clear,
                }
        rows.append(row)
    return rows


def member_rows(ensemble: MeasuredEnsemble) -> list[dict[str, Any]]:
    """The members of an ensemble: cost, score alone, merged so far, and left out."""
    return [
        {
            "run": step.member,
            "cost": ensemble.costs.get(step.member),
            "cells": [
                {"value": step.alone, "interval": step.alone_interval},
                {"value": step.merged, "interval": step.merged_interval},
            ],
            "brings": {
                "value": step.brings,
                "interval": step.brings_interval,
                "significant": step.brings_interval is not None
                and not step.brings_interval[0] <= 0 <= step.brings_interval[1],
            },
        }
        for step in ensemble.steps
    ]
