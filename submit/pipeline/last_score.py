"""The last score of a run, kept beside its masks for `submit runs`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..data import Split
from ..errors import StorageError
from ..runs import Run
from ..scoring import Totals
from ..system.files import read_json, write_json

__all__ = ["LastScore", "last_score", "remember_score"]

_FILE = ".score.json"


@dataclass(frozen=True)
class LastScore:
    """What was measured last.

    Attributes:
        split: The folder of the truth.
        videos: How many videos were scored.
        totals: The measures by name, as fractions; None where there is none.
    """

    split: str
    videos: int
    totals: Mapping[str, float | None]


def remember_score(run: Run, split: Split, totals: Totals) -> None:
    """Keep the score of a run; a disk that refuses is no error."""
    content = {
        "identity": run.identity,
        "split": str(split.place),
        "videos": len(split.videos),
        "totals": asdict(totals),
    }
    with contextlib.suppress(StorageError, OSError):
        write_json(run.path / _FILE, content)


def last_score(run: Run) -> LastScore | None:
    """The last score of a run; None if there is none, or its masks have changed."""
    try:
        known: Any = read_json(run.path / _FILE)
        found = LastScore(known["split"], known["videos"], dict(known["totals"]))
        if known["identity"] == run.identity and _is_score(found):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _is_score(found: LastScore) -> bool:
    """Whether values from a file are those of a score."""
    return (
        isinstance(found.split, str)
        and type(found.videos) is int
        and all(
            type(each) in (int, float, type(None)) for each in found.totals.values()
        )
    )
