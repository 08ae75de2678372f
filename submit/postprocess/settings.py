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
from .step import STEPS, LabelStep, LogitStep, LookAheadStep, Step

__all__ = ["Postprocess", "all_settings", "read_postprocess"]


def all_settings() -> dict[str, Setting]:
    """All settings of all steps, by name, in the order of the steps."""
    return {one.name: one for step in STEPS.values() for one in settings_of(step)}


class Postprocess:
    """The post-processing of a run at export. Default: none.

    The steps and their settings are those in `submit/postprocess/steps/`. The first
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
        self._steps: tuple[Step, ...] = tuple(
            step(
                **{
                    one.name: values[one.name]
                    for one in settings_of(step)
                    if one.name in values
                }
            )
            for step in STEPS.values()
        )

    def __getitem__(self, name: str) -> float:
        return dict(self._items())[name]

    def _items(self) -> Iterator[tuple[str, float]]:
        for step in self._steps:
            yield from dataclasses.asdict(step).items()  # type: ignore[call-overload]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Postprocess) and self._steps == other._steps

    def __hash__(self) -> int:
        return hash(self._steps)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.to_table().items())
        return f"Postprocess({values})"

    @property
    def is_off(self) -> bool:
        """Whether masks are exported as they are."""
        return all(step.is_off for step in self._steps)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame depends on others."""
        return bool(self.look_ahead_steps)

    @property
    def look_ahead_steps(self) -> list[LookAheadStep]:
        """The steps that look ahead and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LookAheadStep)]

    @property
    def logit_steps(self) -> list[LogitStep]:
        """The steps that change logits and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LogitStep)]

    @property
    def label_steps(self) -> list[LabelStep]:
        """The steps that change labels and are on, in their order."""
        return [one for one in self._on() if isinstance(one, LabelStep)]

    def _on(self) -> Iterator[Step]:
        return (step for step in self._steps if not step.is_off)

    def replace(self, **values: float) -> Postprocess:
        """A copy with other values of some settings."""
        return Postprocess(**{**self.to_table(), **values})

    def effective(self) -> Postprocess:
        """A copy without values that change nothing: equal for equal masks."""
        values: dict[str, float] = {}
        for step in self._on():
            values |= dataclasses.asdict(step)  # type: ignore[call-overload]
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
            for step in STEPS.values()
            for one, known in zip(
                dataclasses.fields(step),  # type: ignore[arg-type]
                settings_of(step),
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
