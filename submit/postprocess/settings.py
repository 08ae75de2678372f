"""The settings of post-processing, and the file that says so.

[postprocess]
threshold = 0.5
holes = 0.05
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..masks import LOGIT_LIMIT
from ..system.schema import check, read, setting
from ..system.tables import read_settings_table

__all__ = ["LONGEST", "WIDEST", "Postprocess", "read_postprocess"]

#: Most frames to look ahead: so many are held in memory at their logits' resolution.
LONGEST = 100
#: Widest gap, in pixels.
WIDEST = 64


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

    threshold: float = setting(0.0, low=-LOGIT_LIMIT, high=LOGIT_LIMIT)
    holes: float = setting(0.0, low=0, high=1)
    components: float = setting(0.0, low=0, high=1)
    min_area: int = setting(0, low=0)
    gaps: int = setting(0, low=0, high=WIDEST)
    flicker: int = setting(0, low=0, high=LONGEST)
    flicker_score: float = setting(2.0)
    dropout: int = setting(0, low=0, high=LONGEST)

    def __post_init__(self) -> None:
        check(self)

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
        return read(cls, table, where)


def read_postprocess(path: Path) -> Postprocess:
    """Read the table `[postprocess]` of a settings file.

    Raises:
        SettingsError: The file is not there or not TOML, has no such table, or the
            table is not legal.
    """
    table = read_settings_table(path, "postprocess")
    return read(Postprocess, table, str(path), at=("postprocess",))
