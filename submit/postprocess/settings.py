"""The settings of post-processing, and reading them from a file.

[postprocess]
threshold = 0.5
holes = 0.05
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from ..system.schema import Setting, check, read, settings_of, unknown_key
from ..system.tables import read_settings_table
from .filter import FILTERS, LabelFilter, LogitFilter, LookAheadFilter, MaskFilter

__all__ = ["Postprocess", "all_settings", "read_postprocess"]


def all_settings() -> dict[str, Setting]:
    """All settings of all filters, by name, in the order of the filters."""
    return {one.name: one for kind in FILTERS.values() for one in settings_of(kind)}


class Postprocess:
    """The post-processing of a run at export. Default: none.

    The filters and their settings are those in `submit/postprocess/filters/`. The first
    frame is always the annotation.

    >>> Postprocess(holes=0.05)["holes"]
    0.05

    Args:
        values: Settings by name.

    Raises:
        SettingsError: There is no such setting, or a value is out of its range.
    """

    def __init__(self, **values: float) -> None:
        known = all_settings()
        for name in values:
            if name not in known:
                raise unknown_key(name, known)
        self._filters: tuple[MaskFilter, ...] = tuple(
            kind(
                **{
                    one.name: values[one.name]
                    for one in settings_of(kind)
                    if one.name in values
                }
            )
            for kind in FILTERS.values()
        )

    def __getitem__(self, name: str) -> float:
        return dict(self._items())[name]

    def _items(self) -> Iterator[tuple[str, float]]:
        for kind in self._filters:
            yield from dataclasses.asdict(kind).items()  # type: ignore[call-overload]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Postprocess) and self._filters == other._filters

    def __hash__(self) -> int:
        return hash(self._filters)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.to_table().items())
        return f"Postprocess({values})"

    @property
    def is_off(self) -> bool:
        """Whether masks are exported as they are."""
        return all(kind.is_off for kind in self._filters)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame depends on others."""
        return bool(self.look_ahead_filters)

    @property
    def look_ahead_filters(self) -> list[LookAheadFilter]:
        """The filters that look ahead and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LookAheadFilter)]

    @property
    def logit_filters(self) -> list[LogitFilter]:
        """The filters that change logits and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LogitFilter)]

    @property
    def label_filters(self) -> list[LabelFilter]:
        """The filters that change labels and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LabelFilter)]

    def _on(self) -> Iterator[MaskFilter]:
        return (kind for kind in self._filters if not kind.is_off)

    def replace(self, **values: float) -> Postprocess:
        """A copy with other values of some settings."""
        return Postprocess(**{**self.to_table(), **values})

    def effective(self) -> Postprocess:
        """A copy without values that change nothing: equal for equal masks."""
        values: dict[str, float] = {}
        for kind in self._on():
            values |= dataclasses.asdict(kind)  # type: ignore[call-overload]
        return Postprocess(**values)

    def to_table(self) -> dict[str, float]:
        """The settings that differ from their defaults, as a TOML table."""
        known = all_settings()
        return {
            name: value for name, value in self._items() if value != known[name].default
        }

    @classmethod
    def from_table(
        cls, table: Mapping[str, Any], where: str, *, at: tuple[str, ...] = ()
    ) -> Postprocess:
        """Read a TOML table.

        Args:
            table: Names and values.
            where: Its name in messages, such as `tuned.toml`.
            at: Keys of the table in the file.

        Raises:
            SettingsError: A name is unknown, or a value not legal.
        """
        fields = [
            (one.name, known.type, field(default=one.default, metadata=one.metadata))
            for kind in FILTERS.values()
            for one, known in zip(
                dataclasses.fields(kind),  # type: ignore[arg-type]
                settings_of(kind),
                strict=True,
            )
        ]
        kind = dataclasses.make_dataclass(
            "PostprocessTable", fields, namespace={"__post_init__": check}
        )
        return cls(**vars(read(kind, table, where, at=at)))


def read_postprocess(path: Path) -> Postprocess:
    """Read the table `[postprocess]` of a settings file.

    Raises:
        SettingsError: The file is not there or not TOML, has no such table, or the
            table is not legal.
    """
    table = read_settings_table(path, "postprocess")
    return Postprocess.from_table(table, str(path), at=("postprocess",))
