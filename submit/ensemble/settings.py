"""What an ensemble is asked for, and the file that says so.

    [ensemble]
    method = "mean_probabilities"
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..system.schema import (
    WrongSettingError,
    as_table,
    check,
    part,
    read,
    setting,
    settings_of,
    unknown_key,
)
from ..system.tables import read_settings_table, read_toml
from .method import DEFAULT_METHOD, METHODS

__all__ = [
    "Gate",
    "MergeSettings",
    "normalised",
    "read_ensemble_table",
    "read_weights",
]


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

    weights: Mapping[str, float] = setting(factory=dict, low=0)
    threshold: float = setting(0.5, low=0, high=1)
    return_weights: Mapping[str, float] = setting(factory=dict, low=0)
    return_threshold: float | None = setting(None, low=0, high=1)
    evidence: str = setting("score", choices=("score", "mask"))
    drop_blind: bool = True

    def __post_init__(self) -> None:
        check(self)
        for name in ("weights", "return_weights"):
            weights = getattr(self, name)
            if weights:
                normalised(list(weights.values()), len(weights), where=name)


@dataclass(frozen=True)
class MergeSettings:
    """Everything that decides what an ensemble of given members looks like.

    Attributes:
        method: One of `METHODS`, by name.
        members: Names of the runs, in an order that matters for `ordered` methods only.
            Empty: as they are given.
        weights: Weight of each member, all of them named; empty for equal ones.
        overrides: By video, `4vznweiu`, or by object, `4vznweiu/3`: weights that take
            the place of the general ones; members that are not named keep theirs.
        gate: Who decides absence; None leaves it to the merged logits.
        merging: The method with its own settings; those of another method are replaced
            by the defaults of this one.

    Raises:
        SettingsError: A value is not legal.
    """

    method: str = setting(DEFAULT_METHOD, choices=METHODS)
    members: tuple[str, ...] = ()
    weights: Mapping[str, float] = setting(factory=dict, low=0)
    overrides: Mapping[str, Mapping[str, float]] = setting(
        factory=dict, low=0, key="", shown="weights"
    )
    gate: Gate | None = None
    merging: Any = setting(None, key="")

    def __post_init__(self) -> None:
        check(self)
        if type(self.merging) is not METHODS[self.method]:
            object.__setattr__(self, "merging", METHODS[self.method]())
        if len(set(self.members)) < len(self.members):
            raise SettingsError("members: a run is a member twice; give it a weight")
        if self.weights:
            normalised(list(self.weights.values()), len(self.weights))
        if self.members:
            self._check_names(self.members)

    def for_members(self, names: Sequence[str]) -> MergeSettings:
        """The same settings in full for these members, in one form for equal ones.

        Raises:
            SettingsError: The settings are for other members.
        """
        if self.members and set(self.members) != set(names):
            raise SettingsError(
                f"the settings are for {', '.join(self.members)}, the members are "
                f"{', '.join(names)}; name the same runs"
            )
        order = self.members or tuple(names)
        self._check_names(order)
        if not self.merging.ordered:
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
        if settings_of(type(self.merging)):
            table[self.method] = as_table(self.merging)
        return table

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, Any],
        *,
        where: str = "ensemble",
        at: tuple[str, ...] = (),
    ) -> MergeSettings:
        """Read the table `[ensemble]`; weights may be a list in the members' order.

        Args:
            table: The table.
            where: What messages begin with: the file, for example.
            at: Keys of the table in the file.

        Raises:
            SettingsError: A key is unknown or a value is not legal.
        """
        return read(cls, table, where, at=at)

    @classmethod
    def prepare(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """Sort the weights of a table: the members', and those of videos and objects.

        Raises:
            SettingsError: They are neither a table nor a list of numbers, one for each
                member.
        """
        values = dict(table)
        tables = [name for name, method in METHODS.items() if settings_of(method)]
        legal = ["method", "members", "weights", "gate", *tables]
        for key in values:
            if key not in legal:
                raise unknown_key(key, legal)
        for name in tables:
            if name in values:
                own = part(METHODS[name], values.pop(name), name)
                if values.get("method", DEFAULT_METHOD) == name:
                    values["merging"] = own
        weights = values.get("weights", {})
        members = values.get("members", ())
        if isinstance(weights, list):
            if not all(type(item) in (int, float) for item in weights):
                raise WrongSettingError(
                    ("weights",), "expected a list of numbers", weights
                )
            normalised(weights, len(members))
            values["weights"] = dict(zip(members, weights, strict=True))
        elif isinstance(weights, dict):
            places = {k: v for k, v in weights.items() if isinstance(v, dict)}
            values["weights"] = {k: v for k, v in weights.items() if k not in places}
            if places:
                values["overrides"] = places
        else:
            raise WrongSettingError(
                ("weights",), "expected a table or a list of numbers", weights
            )
        return values

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
                raise SettingsError(
                    f"{where}: {strange[0]!r} is not a member; those are "
                    f"{', '.join(members)}"
                )
        if self.weights and (lacking := sorted(set(members) - set(self.weights))):
            raise SettingsError(
                f"weights: expected one for each member, found none for {lacking[0]}"
            )


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    shares = normalised(list(weights.values()), len(weights))
    return dict(zip(weights, shares, strict=True))


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
        raise SettingsError(
            f"{where}: expected {count} weights, one per run, found {len(weights)}"
        )
    total = math.fsum(weights) if all(map(math.isfinite, weights)) else 0.0
    if not 0 < total < math.inf or min(weights) < 0:
        raise SettingsError(
            f"{where} must not be negative and not all 0, found {list(weights)}"
        )
    return tuple(weight / total for weight in weights)


def read_ensemble_table(path: Path) -> dict[str, Any]:
    """Read the table `[ensemble]` of a settings file, for `MergeSettings.from_table`.

    Raises:
        SettingsError: The file is not there or not TOML, or has no such table.
    """
    return read_settings_table(path, "ensemble")


def read_weights(path: Path) -> dict[str, Any]:
    """Read a weights file: what else stands below `[ensemble.weights]`.

    Raises:
        SettingsError: The file is not there or not TOML.
    """
    return read_toml(path)
