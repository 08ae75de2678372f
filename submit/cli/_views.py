"""Tables that several commands print: findings, scores, comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ScoringError
from ..metrics.measures import MEASURES
from ..system.words import counted
from ._output import (
    Cell,
    best_cells,
    escape,
    facts,
    format_bytes,
    format_count,
    format_score,
    number,
    stack,
    table,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column

    from ..checks import CheckResult
    from ..pipeline import StepOutcome
    from ..scoring.compare import Comparison
    from ..tuning import ExpectedScore

__all__ = [
    "MOSEV2",
    "comparison_view",
    "findings_view",
    "format_calibration",
    "local_score",
    "outcome_view",
    "score_cells",
    "score_columns",
    "score_rows",
]

#: Most findings of one kind that are listed; --json has all.
_FINDINGS = 5


#: Most videos that are listed for each comparison; --json has all.
_VIDEOS = 8


#: The seven official numbers in their official order, with the names of their fields.
MOSEV2 = {name: attribute for attribute, name in MEASURES.items()}


def findings_view(found: CheckResult) -> RenderableType:
    """One block for each kind of finding, then the counts."""
    from rich.text import Text

    from ..checks import Severity

    styles = {
        Severity.FATAL: "bold red",
        Severity.COSTLY: "bold yellow",
        Severity.NOTE: "bold",
    }
    views: list[RenderableType] = []
    for group in found.groups:
        lines = Text()
        lines.append(f"{group.severity.value} ", style=styles[group.severity])
        lines.append(f"{group.code}, {format_count(group.count)}: ", style="bold")
        lines.append(escape(group.consequence))
        for finding in group.findings[:_FINDINGS]:
            lines.append(f"\n  {escape(finding.where)}: {escape(finding.what)}")
        if len(group.findings) > _FINDINGS:
            lines.append(f"\n  … and {len(group.findings) - _FINDINGS} more (--json)")
        lines.append(f"\n  To do: {escape(group.fix)}")
        views.append(lines)
    counts = ", ".join(
        f"{found.count(severity)} {severity.value}" for severity in Severity
    )
    views.append(
        facts(
            {
                "checked": found.path,
                **({} if found.subset is None else {"looked at": found.subset}),
                "videos": f"{format_count(found.videos)} of "
                f"{format_count(found.expected_videos)}",
                "masks": found.frames,
                "size": format_bytes(found.size),
                "findings": counts if found.findings else "none",
            }
        )
    )
    return stack(*views)


def score_cells(scores: object, names: Mapping[str, str] = MOSEV2) -> list[Cell]:
    """The cells of a row of scores: of an object, or of the totals of a split."""
    return [format_score(getattr(scores, name)) for name in names.values()]


def score_rows(scores: Sequence[object | None]) -> list[list[Cell]]:
    """The cells of several rows of scores, the best of each column marked.

    Args:
        scores: Totals of a split; None for a row without scores.
    """
    columns = [
        best_cells([getattr(one, name, None) for one in scores])
        for name in MOSEV2.values()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def score_columns(names: Mapping[str, str] = MOSEV2) -> list[Column]:
    """The columns of `score_cells`."""
    return [number(name) for name in names]


def comparison_view(found: Comparison) -> RenderableType:
    """The measures, then the videos with the largest differences."""
    rows: list[list[Cell]] = []
    for name, attribute in MOSEV2.items():
        one = found.measures[attribute]
        both = one.baseline, one.other
        rows.append(
            [
                name,
                # What may be chance is not marked.
                *(best_cells(both) if one.is_clear else map(format_score, both)),
                _signed(one.difference),
                f"{_signed(one.low)} … {_signed(one.high)}",
                "yes" if one.is_clear else "no",
                f"{one.wins} / {one.losses} / {one.ties}",
            ]
        )
    measures = table(
        [
            "measure",
            number(found.baseline),
            number(found.other),
            number("difference"),
            number("95 % interval"),
            "clear",
            number("better / worse / equal"),
        ],
        rows,
    )
    videos = table(
        ["video", number("objects"), number("J&Ḟ"), number("of the whole"), "decides"],
        [
            [
                video.video,
                video.objects,
                _signed(video.difference),
                _signed(video.share),
                "yes" if video.video in found.deciding else "",
            ]
            for video in found.videos[:_VIDEOS]
        ],
    )
    return stack(measures, videos)


def format_calibration(model: ExpectedScore) -> str:
    """The calibration of the predicted score, in one line."""
    found = model.calibration
    correlation = "–" if found.correlation is None else f"{found.correlation:.2f}"
    return (
        f"mean absolute error {100 * found.error:.1f} per object on held-out videos "
        f"({100 * found.floor:.1f} for the mean score), correlation {correlation}, "
        f"{found.coverage:.0%} of the videos within their 90 % interval"
    )


def local_score(path: Path) -> float:
    """The hold-out score in the `scores.json` of `submit score`, in percent."""
    from ..codabench import local_total
    from ..system.files import read_json

    file = path / "scores.json" if path.is_dir() else path
    try:
        total = local_total(read_json(file))
    except OSError as error:
        raise ScoringError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ScoringError(str(error)) from error
    if total is None:
        raise ScoringError(
            f"{file}: holds no MOSEv2 totals; write it with submit score RUN --split "
            "HOLDOUT -o DIR"
        )
    return total


def outcome_view(path: Path, outcome: StepOutcome, verb: str) -> RenderableType:
    """The counts of a step over the videos of a run."""
    return facts(
        {
            "run": str(path),
            verb: f"{counted(len(outcome.done), 'video')}, "
            f"{counted(outcome.frames, 'frame')}",
            "already complete": counted(len(outcome.skipped), "video"),
        }
    )


def _signed(value: float | None) -> str:
    """A difference of scores, with its sign."""
    text = format_score(value)
    return f"+{text}" if value is not None and value > 0 else text
