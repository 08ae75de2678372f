"""The settings of post-processing, and the file that says so.

[postprocess]
threshold = 0.5
holes = 0.05
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..masks import LOGIT_LIMIT
from ..system.tables import read_toml, require_known, typed

__all__ = ["LONGEST", "WIDEST", "Postprocess", "read_postprocess"]

#: Tables of a settings file that other commands read.
_OTHER_TABLES = frozenset({"ensemble"})

#: Most frames to look ahead: so many are held in memory at their logits' resolution.
LONGEST = 100
#: Widest gap, in pixels.
WIDEST = 64


def _setting(default: float | int, low: float, high: float) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Postprocess:
    """What to do to the masks of a run at export; nothing by default.

    Frame by frame, in this order: `flicker`, `dropout`, `threshold` and the overlap
    rule, `components`, `min_area`, `holes`, `gaps`. The first frame is the annotation
    whatever is asked for.

    Attributes:
        threshold: Logit that a pixel must exceed to be of an object.
        holes: Background inside an object is filled up to this share of its area.
        components: Parts smaller than this share of the object's largest are removed.
        min_area: An object of fewer pixels is taken out of the frame.
        gaps: Background between two objects goes to the nearer one where they are at
            most so many pixels apart.
        flicker: An object that shows up for fewer frames than this is taken out of
            them if their mean object score is below `flicker_score`. It must have been
            gone before and be gone again.
        flicker_score: As a logit; the highest logit of the mask stands in where a run
            has no object scores.
        dropout: An object that is gone for fewer frames than this gets the logits of
            the nearest frame in which it is there.

    Raises:
        SettingsError: A value is out of its range.
    """

    threshold: float = _setting(0.0, -LOGIT_LIMIT, LOGIT_LIMIT)
    holes: float = _setting(0.0, 0, 1)
    components: float = _setting(0.0, 0, 1)
    min_area: int = _setting(0, 0, math.inf)
    gaps: int = _setting(0, 0, WIDEST)
    flicker: int = _setting(0, 0, LONGEST)
    flicker_score: float = _setting(2.0, -math.inf, math.inf)
    dropout: int = _setting(0, 0, LONGEST)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            low, high = field.metadata["low"], field.metadata["high"]
            if not low <= value <= high:
                raise SettingsError(
                    f"{field.name}: expected a number {_range(low, high)}, found "
                    f"{value:g}"
                )

    @property
    def is_off(self) -> bool:
        """Whether masks are exported as they are."""
        return not (self.changes_shapes or self.looks_ahead or self.threshold)

    @property
    def changes_shapes(self) -> bool:
        """Whether masks are changed after the overlap rule."""
        return bool(self.holes or self.components or self.min_area or self.gaps)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame depends on others."""
        return self.flicker > 1 or self.dropout > 1

    def effective(self) -> Postprocess:
        """The same without values that change nothing: equal for equal masks."""
        kept: dict[str, Any] = {
            "min_area": self.min_area if self.min_area > 1 else 0,
            "dropout": self.dropout if self.dropout > 1 else 0,
        }
        if self.flicker <= 1:
            default = type(self)()
            kept |= {"flicker": 0, "flicker_score": default.flicker_score}
        return dataclasses.replace(self, **kept)

    def to_table(self) -> dict[str, float | int]:
        """The settings that are not as by default, as a TOML table has them."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Postprocess:
        """Read a TOML table.

        Args:
            table: Names and values.
            where: What messages call it, such as `tuned.toml: postprocess`.

        Raises:
            SettingsError: A name is unknown, or a value not legal.
        """
        kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        require_known(table, kinds, f"{where}: ")
        values = {k: typed(v, kinds[k], f"{where}: {k}") for k, v in table.items()}
        try:
            return cls(**values)
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error


def read_postprocess(path: Path) -> Postprocess:
    """Read the table `[postprocess]` of a settings file.

    Raises:
        SettingsError: The file is not there or not TOML, has no such table, or the
            table is not legal.
    """
    content = read_toml(path)
    if unknown := sorted(content.keys() - _OTHER_TABLES - {"postprocess"}):
        raise SettingsError(
            f"{path}: unknown key {unknown[0]!r}; expected the table [postprocess]"
        )
    table = content.get("postprocess")
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: expected a table [postprocess], found {table!r}")
    return Postprocess.from_table(table, f"{path}: postprocess")


def _range(low: float, high: float) -> str:
    if high == math.inf:
        return f"from {low:g} up" if low > -math.inf else "that is one"
    return f"from {low:g} to {high:g}"
