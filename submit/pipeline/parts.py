"""Parts of a run, each made by a job that knows nothing of the others.

A part is a run of its own with some of the videos, in `part-I-of-N/NAME`. Its
environment says of which videos it is a part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Split
from ..errors import RunError
from ..runs import Identity, Run
from ..system.parts import Part

__all__ = ["PartOf", "run_of_part", "split_of_part"]


def run_of_part(path: Path, part: Part | None) -> Path:
    """The folder of a run for a part: the part's own one where there is one.

    Args:
        path: The folder of the whole run.
        part: The part; None for the whole.
    """
    if part is None or not Run.exists(part.place(path)):
        return path
    return part.place(path)


@dataclass(frozen=True)
class PartOf:
    """What a part of a run is a part of, as its environment has it.

    Attributes:
        part: Its number.
        videos: The videos of all parts.
        expected: What the whole run records as all videos of its split.
    """

    part: Part
    videos: tuple[str, ...]
    expected: tuple[str, ...] | None

    @classmethod
    def read(cls, run: Run) -> PartOf | None:
        """What a run is a part of; None for a whole one."""
        entry = run.environment.get("part")
        if entry is None:
            return None
        try:
            expected = entry["expected"]
            return cls(
                Part.parse(entry["part"]),
                tuple(entry["videos"]),
                None if expected is None else tuple(expected),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{run.path}: its manifest does not say what it is a part of "
                f"({error}); delete the folder and make the part again"
            ) from error

    def identity(self, whole: Identity, mine: Sequence[str]) -> Identity:
        """The identity of the part, given that of the whole run.

        Args:
            whole: Of the whole run.
            mine: The videos of this part.
        """
        return dataclasses.replace(whole, videos=tuple(mine))

    def environment(self) -> dict[str, Any]:
        """The entry in the environment of the part."""
        expected = None if self.expected is None else list(self.expected)
        return {
            "part": {
                "part": str(self.part),
                "videos": list(self.videos),
                "expected": expected,
            }
        }


def split_of_part(split: Split, part: Part) -> Split:
    """The videos of a part of those that are chosen of a split."""
    return split.only(part.of({v.name: v.length for v in split.videos.values()}))
