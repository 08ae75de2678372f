"""What an ensemble is asked for, and the file that says so.

    [ensemble]
    method = "mean_logits"
    members = ["plain", "flipped"]

    [ensemble.weights]
    plain = 2.0
    flipped = 1.0

    [ensemble.weights."4vznweiu"]        # in this video …
    flipped = 0.5

    [ensemble.weights."4vznweiu/3"]      # … and of its object 3
    plain = 0.0

    [ensemble.gate]
    threshold = 0.4

Unknown keys are errors. Other tables of the file are for other commands.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..system.tables import (
    as_table,
    as_toml,
    fail,
    read_into,
    read_toml,
    require_known,
    require_one_of,
    require_share,
    typed,
)

__all__ = [
    "METHODS",
    "Cascade",
    "Gate",
    "MergeSettings",
    "Selection",
    "normalised",
    "read_ensemble_table",
    "read_weights",
]

#: How members are merged: name → what it does, in a line for help and docs.
METHODS: dict[str, str] = {
    "mean_logits": "weighted mean of the logits",
    "mean_probabilities": "weighted mean of the probabilities",
    "geometric_mean": "weighted geometric mean of the probabilities",
    "max": "the highest logit of all members",
    "vote": "each pixel goes to the label with the most votes",
    "select": "the best member of each object",
    "cascade": "the first member; where it is in doubt, the next one",
}

#: Tables of a settings file that other commands read.
_OTHER_TABLES = frozenset({"postprocess"})


@dataclass(frozen=True)
class Gate:
    """Who decides that an object is not there, apart from its shape.

    Attributes:
        weights: Say of each member; those that are not named have none. Empty: all
            have the same.
        threshold: An object goes when the members' mean probability that it is there
            falls below this.
        return_weights: Say of each member in whether a lost object is back; empty for
            `weights`.
        return_threshold: A lost object is back when that mean is at least this; None
            for `threshold`.
        evidence: `score`: a member's object score, or its mask where it has none;
            `mask`: always its mask.
        drop_blind: Whether members that do not see an object which is there have no
            part in its shape.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    threshold: float = 0.5
    return_weights: Mapping[str, float] = field(default_factory=dict)
    return_threshold: float | None = None
    evidence: str = "score"
    drop_blind: bool = True

    def __post_init__(self) -> None:
        require_share(self.threshold, "gate: threshold")
        if self.return_threshold is not None:
            require_share(self.return_threshold, "gate: return_threshold")
        require_one_of(self.evidence, ("score", "mask"), "gate: evidence")
        for name in ("weights", "return_weights"):
            weights = getattr(self, name)
            if weights:
                normalised(list(weights.values()), len(weights), where=f"gate: {name}")


@dataclass(frozen=True)
class Selection:
    """What makes a member the best one of an object.

    Attributes:
        by: Marks whose mean decides, each in [0, 1]: `iou`, the predicted IoU;
            `presence`, how sure the object score is, either way; `agreement`, the IoU
            with what the members have in common.
        scope: `video`: one member for the whole video; `frame`: the best in each one.
    """

    by: tuple[str, ...] = ("iou", "presence", "agreement")
    scope: str = "video"

    def __post_init__(self) -> None:
        if not self.by:
            fail("select: by: expected iou, presence or agreement, found nothing")
        for mark in self.by:
            require_one_of(mark, ("iou", "presence", "agreement"), "select: by")
        require_one_of(self.scope, ("video", "frame"), "select: scope")


@dataclass(frozen=True)
class Cascade:
    """When a member is in doubt about an object in a frame.

    Attributes:
        min_iou: Its predicted IoU is below this.
        min_confidence: Its object score, as a probability p, is unsure:
            |2p − 1| is below this.
        empty: Whether an empty mask is a doubt.
        margin: Pixels whose logit is nearer to 0 than this are taken from the next
            member, also where the object as a whole is not in doubt.
    """

    min_iou: float = 0.5
    min_confidence: float = 0.5
    empty: bool = True
    margin: float = 0.0

    def __post_init__(self) -> None:
        require_share(self.min_iou, "cascade: min_iou")
        require_share(self.min_confidence, "cascade: min_confidence")
        if not 0 <= self.margin < math.inf:
            fail(f"cascade: margin: expected 0 or more, found {self.margin}")


@dataclass(frozen=True)
class MergeSettings:
    """Everything that decides what an ensemble of given members looks like.

    Attributes:
        method: One of `METHODS`.
        members: Names of the runs; their order matters for `cascade` only. Empty: as
            they are given.
        weights: Weight of each member, all of them named; empty for equal ones.
        overrides: By video, `4vznweiu`, or by object, `4vznweiu/3`: weights that take
            the place of the general ones; members that are not named keep theirs.
        gate: Who decides absence; None leaves it to the merged logits.
        select: Parameters of the method `select`.
        cascade: Parameters of the method `cascade`.

    Raises:
        SettingsError: A value is not legal.
    """

    method: str = "mean_logits"
    members: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate: Gate | None = None
    select: Selection = field(default_factory=Selection)
    cascade: Cascade = field(default_factory=Cascade)

    def __post_init__(self) -> None:
        require_one_of(self.method, METHODS, "method")
        if len(set(self.members)) < len(self.members):
            fail("members: a run is a member twice; give it a weight")
        if self.weights:
            normalised(list(self.weights.values()), len(self.weights))
        for place, weights in self.overrides.items():
            for name, weight in weights.items():
                if not 0 <= weight < math.inf:
                    fail(
                        f"weights: {place}: {name}: expected 0 or more, found {weight}"
                    )
        if self.members:
            self._check_names(self.members)

    def for_members(self, names: Sequence[str]) -> MergeSettings:
        """The same settings in full for these members, in one form for equal ones.

        Raises:
            SettingsError: The settings are for other members.
        """
        if self.members and set(self.members) != set(names):
            fail(
                f"the settings are for {', '.join(self.members)}, the members are "
                f"{', '.join(names)}; name the same runs"
            )
        order = self.members or tuple(names)
        self._check_names(order)
        if self.method != "cascade":
            order = tuple(sorted(order))
        general = {name: self.weights.get(name, 1.0) for name in order}
        overrides = {}
        for place in sorted(self.overrides):
            video = self.overrides.get(place.partition("/")[0], {})
            own = {**general, **video, **self.overrides[place]}
            overrides[place] = _shares(own) if any(own.values()) else own
        return dataclasses.replace(
            self, members=order, weights=_shares(general), overrides=overrides
        )

    def weights_of(self, video: str, key: int | None = None) -> dict[str, float]:
        """Share of each member in a video, or of one of its objects.

        For settings that `for_members` returned.
        """
        general = self.overrides.get(video, self.weights)
        if key is None:
            return dict(general)
        return dict(self.overrides.get(f"{video}/{key}", general))

    def to_table(self) -> dict[str, Any]:
        """These settings as the table `[ensemble]` of a settings file.

        Parameters of methods that are not used are left out.
        """
        table: dict[str, Any] = {"method": self.method, "members": list(self.members)}
        if not self.members:
            del table["members"]
        weights = {
            **self.weights,
            **{place: dict(values) for place, values in self.overrides.items()},
        }
        if weights:
            table["weights"] = weights
        if self.gate is not None:
            table["gate"] = as_table(self.gate)
        if self.method in ("select", "cascade"):
            table[self.method] = as_table(getattr(self, self.method))
        return table

    def to_toml(self) -> str:
        """The settings file that says this; `read_ensemble_table` reads it."""
        return "\n".join(as_toml(self.to_table(), ("ensemble",))) + "\n"

    @classmethod
    def from_table(
        cls, table: Mapping[str, Any], *, where: str = "ensemble"
    ) -> MergeSettings:
        """Read the table `[ensemble]`; weights may be a list in the members' order.

        Raises:
            SettingsError: A key is unknown or a value is not legal; the message begins
                with `where`.
        """
        try:
            values = dict(table)
            require_known(values, ("method", *_TABLE_KEYS))
            members = typed(values.get("members", ()), "tuple[str, ...]", "members")
            weights, overrides = _weights(values.get("weights", {}), members)
            gate = values.get("gate")
            return cls(
                method=typed(values.get("method", "mean_logits"), "str", "method"),
                members=members,
                weights=weights,
                overrides=overrides,
                gate=None if gate is None else read_into(Gate, gate, "gate"),
                select=read_into(Selection, values.get("select", {}), "select"),
                cascade=read_into(Cascade, values.get("cascade", {}), "cascade"),
            )
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error

    def _check_names(self, members: Sequence[str]) -> None:
        """Weights name members only, and the general ones all of them."""
        named: list[tuple[str, Iterable[str]]] = [("weights", self.weights)]
        named += [(f"weights: {place}", w) for place, w in self.overrides.items()]
        if self.gate is not None:
            named += [
                ("gate: weights", self.gate.weights),
                ("gate: return_weights", self.gate.return_weights),
            ]
        for where, names in named:
            if strange := sorted(set(names) - set(members)):
                fail(
                    f"{where}: {strange[0]!r} is not a member; those are "
                    f"{', '.join(members)}"
                )
        if self.weights and (lacking := sorted(set(members) - set(self.weights))):
            fail(f"weights: expected one for each member, found none for {lacking[0]}")


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    shares = normalised(list(weights.values()), len(weights))
    return dict(zip(weights, shares, strict=True))


_TABLE_KEYS = ("members", "weights", "gate", "select", "cascade")


def normalised(
    weights: Sequence[float] | None, count: int, *, where: str = "weights"
) -> tuple[float, ...]:
    """Turn the weights of the members into shares that sum to 1; equal if None.

    Their order does not change a bit of any share.

    Raises:
        SettingsError: Their number is not `count`, one is negative, or all are 0.
    """
    if weights is None:
        return (1.0 / count,) * count
    if len(weights) != count:
        fail(f"{where}: expected {count} weights, one per run, found {len(weights)}")
    total = math.fsum(weights) if all(map(math.isfinite, weights)) else 0.0
    if not 0 < total < math.inf or min(weights) < 0:
        fail(f"{where} must not be negative and not all 0, found {list(weights)}")
    return tuple(weight / total for weight in weights)


def read_ensemble_table(path: Path) -> dict[str, Any]:
    """Read the table `[ensemble]` of a settings file, for `MergeSettings.from_table`.

    Raises:
        SettingsError: The file is not there or not TOML, or has no such table.
    """
    content = read_toml(path)
    if unknown := sorted(content.keys() - _OTHER_TABLES - {"ensemble"}):
        fail(f"{path}: unknown key {unknown[0]!r}; expected the table [ensemble]")
    table = content.get("ensemble")
    if not isinstance(table, dict):
        fail(f"{path}: expected a table [ensemble], found {table!r}")
    return table


def read_weights(path: Path) -> dict[str, Any]:
    """Read a weights file: what else stands below `[ensemble.weights]`.

    Raises:
        SettingsError: The file is not there or not TOML.
    """
    return read_toml(path)


def _weights(
    value: Any, members: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Read general weights and those of videos and objects."""
    if isinstance(value, list):
        numbers = [typed(item, "float", "weights") for item in value]
        normalised(numbers, len(members))
        return dict(zip(members, numbers, strict=True)), {}
    if not isinstance(value, dict):
        fail(f"weights: expected a table or a list of numbers, found {value!r}")
    general = {k: v for k, v in value.items() if not isinstance(v, dict)}
    places = {k: v for k, v in value.items() if isinstance(v, dict)}
    kind = "Mapping[str, float]"
    return (
        typed(general, kind, "weights"),
        {key: typed(table, kind, f"weights: {key}") for key, table in places.items()},
    )
