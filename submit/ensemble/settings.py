"""The settings of an ensemble, and how they are read from a settings file.

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
    """Settings of the presence gate, which decides whether an object is visible.

    Attributes:
        weights: The members' weights in the mean probability; a member that is not
            named has weight 0. Empty: equal weights.
        threshold: A visible object disappears if the mean probability falls below
            this.
        return_weights: The members' weights in the mean probability for an absent
            object. Empty: `weights`.
        return_threshold: An absent object reappears if that mean probability is at
            least this. None: `threshold`.
        evidence: `score`: the probability comes from a member's object score, or from
            its mask if it has no score. `mask`: always from its mask.
        drop_blind: Whether the shape of a visible object ignores the members whose
            mask of it is empty.
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
    """All settings that decide the result of an ensemble of given members.

    Attributes:
        method: One of `METHODS`, by name.
        members: Names of the runs. Their order matters for `ordered` methods only.
            Empty: the runs in the order in which they are given.
        weights: The weight of each member, all of them named. Empty: equal weights.
        overrides: Weights for one video (key `4vznweiu`) or one object of it (key
            `4vznweiu/3`). They replace the general weights; a member that is not named
            keeps its general weight.
        gate: Settings of the presence gate. None: the merged logits decide.
        merging: The method with its settings. An object of another method is replaced
            by the defaults of `method`.

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
        """Return these settings in full and in a normal form, for the given members.

        Equal settings have the same normal form.

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
        """The share of each member for a video, or for one of its objects.

        Call it on settings that `for_members` returned.
        """
        general = self.overrides.get(video, self.weights)
        if key is None:
            return dict(general)
        return dict(self.overrides.get(f"{video}/{key}", general))

    def to_table(self) -> dict[str, Any]:
        """Return these settings as the table `[ensemble]` of a settings file."""
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
            where: The start of error messages, such as the name of the file.
            at: The keys that lead to the table in the file.

        Raises:
            SettingsError: A key is unknown or a value is not legal.
        """
        return read(cls, table, where, at=at)

    @classmethod
    def prepare(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the table `[ensemble]` into the fields of this class, for `read`.

        Weights of members and weights of videos and objects are in one table of the
        file, and in two fields here.

        Raises:
            SettingsError: The weights are neither a table nor a list with one number
                for each member.
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
        """Check that weights name members only, and general weights all members."""
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
    """Turn weights into shares that sum to 1. None: equal shares.

    The shares do not depend on the order of the weights, not even in the last bit.

    Raises:
        SettingsError: There are not `count` weights, one is negative, or all are 0.
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
        SettingsError: The file does not exist, is not TOML, or has no such table.
    """
    return read_settings_table(path, "ensemble")


def read_weights(path: Path) -> dict[str, Any]:
    """Read a weights file, which has the keys of the table `[ensemble.weights]`.

    Raises:
        SettingsError: The file does not exist or is not TOML.
    """
    return read_toml(path)
