"""Write the report: an HTML page that opens from disk, with its data and images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from ..checks import CheckResult, Finding, check_masks
from ..data import Split, SplitVideo
from ..errors import SplitError
from ..metrics.measures import MEASURES
from ..scoring import SplitScore, score_split
from ..scoring.compare import compare_entries, entry_of
from ..scoring.plan import require_scorable
from ..system.files import atomic_folder
from ..system.machine import release
from ..system.outputs import OutputKind
from ..system.words import format_bytes, format_seconds
from ..tuning import ExpectedScore, Preview
from ..tuning import preview as compare_runs
from .costs import MeasuredEnsemble, cost_rows, member_rows
from .drawing import shown_videos, shows_truth
from .marks import marks_of, summary_rows
from .pieces import ReportedRun, ReportPiece
from .tables import attribute_tables, difference_rows, object_rows, timeline, total_rows

__all__ = ["REPORT", "Report", "write_report"]

_MARK = b'<meta name="generator" content="mose-submit report">'


@dataclass(frozen=True)
class Report:
    """The result of `write_report`.

    Attributes:
        path: The page, or the folder of a part.
        videos: Number of videos in it.
        frames: Number of frames that were read.
        bytes: Size of all files.
        notes: Remarks about the numbers without truth.
    """

    path: Path
    videos: int
    frames: int
    bytes: int
    notes: tuple[str, ...] = ()


def write_report(
    split: Split,
    sources: Sequence[ReportedRun],
    folder: Path,
    make: Callable[[Path], Mapping[str, ReportPiece]],
    *,
    model: ExpectedScore | None = None,
    ensembles: Sequence[MeasuredEnsemble] = (),
) -> Report:
    """Write the page, its data and its strips into a folder, which is replaced.

    Args:
        split: The split, with frames.
        sources: The runs; without truth, runs with logits or masks, no other folders.
        folder: The folder to write.
        make: Puts the strips of all videos that some run has into a folder, which
            exists, and returns their pieces by name; see `make_pieces`.
        model: A model of the score, where there is no truth.
        ensembles: What the members of ensembles bring.

    Raises:
        SplitError: No run has a video of the split.
        ScoringError: The masks, or the truth, have a defect; see `score_split`.
        SubmitError: See `make`.
        StorageError: The disk refuses.
    """
    videos = shown_videos(split, {one.name: one.masks for one in sources})
    if not videos:
        raise SplitError(f"{split.place}: no run has a video of it")
    truth = shows_truth(split)
    if truth:
        # Before hours of work.
        for one in sources:
            require_scorable(split, one.masks)
    with atomic_folder(folder) as partial:
        (partial / "videos").mkdir()
        pieces = make(partial / "videos")
        scores = _scores(split, sources, pieces) if truth else {}
        preview = None if truth else _preview(split, sources, pieces, model)
        checks = _checks(split, sources, pieces)
        findings = _findings(sources, checks)
        found = {name: piece.strips for name, piece in pieces.items()}
        for number, (name, video) in enumerate(videos.items()):
            line = _assignment(
                f"window.VIDEOS[{number}]",
                timeline(
                    video,
                    found[name],
                    scores,
                    marks_of(
                        video,
                        found[name].cuts,
                        [one.details.get(name, {}) for one in sources],
                        [known.get(name, ()) for known in findings],
                    ),
                ),
            )
            (partial / "videos" / f"{number}.js").write_text(line, "ascii")
        data = {
            "truth": truth,
            "runs": [one.name for one in sources],
            "videos": [
                {"name": _clean(name), "frames": video.length}
                for name, video in videos.items()
            ],
            "objects": object_rows(videos, found, scores, preview, findings),
        }
        (partial / "data.js").write_text(_assignment("window.REPORT", data), "ascii")
        tables = {
            "attributes": attribute_tables(videos, found, scores),
            "costs": cost_rows(
                {one.name: one.cost for one in sources if one.cost is not None}, scores
            ),
            "ensembles": [(one, member_rows(one)) for one in ensembles],
            "checks": summary_rows(checks),
        }
        _write_page(partial, split, sources, scores, preview, videos, tables)
        total = sum(
            path.stat().st_size for path in partial.rglob("*") if path.is_file()
        )
    frames = sum(video.length for video in videos.values())
    notes = () if preview is None else preview.notes
    return Report(folder / "index.html", len(videos), frames, total, notes)


def _scores(
    split: Split, sources: Sequence[ReportedRun], pieces: Mapping[str, ReportPiece]
) -> dict[str, SplitScore]:
    """The scores of whole runs."""
    return {
        one.name: score_split(
            split,
            one.masks,
            known={name: piece.scores[one.name] for name, piece in pieces.items()},
        )
        for one in sources
    }


def _preview(
    split: Split,
    sources: Sequence[ReportedRun],
    pieces: Mapping[str, ReportPiece],
    model: ExpectedScore | None,
) -> Preview:
    """The comparison of whole runs without truth."""
    return compare_runs(
        split,
        {one.name: one.run for one in sources if one.run is not None},
        model=model,
        known={
            name: piece.look for name, piece in pieces.items() if piece.look is not None
        },
    )


def _checks(
    split: Split, sources: Sequence[ReportedRun], pieces: Mapping[str, ReportPiece]
) -> dict[str, CheckResult]:
    """What the check finds in whole runs."""
    return {
        one.name: check_masks(
            one.masks,
            split,
            known={
                name: piece.checks[one.name]
                for name, piece in pieces.items()
                if one.name in piece.checks
            },
        )
        for one in sources
    }


def _findings(
    sources: Sequence[ReportedRun], checks: Mapping[str, CheckResult]
) -> list[dict[str, list[Finding]]]:
    """What the check found in the masks of each run, by video."""
    found: list[dict[str, list[Finding]]] = []
    for one in sources:
        by_video: dict[str, list[Finding]] = {}
        if one.name in checks:
            for finding in checks[one.name].findings:
                by_video.setdefault(finding.video, []).append(finding)
        found.append(by_video)
    return found


def _write_page(
    folder: Path,
    split: Split,
    sources: Sequence[ReportedRun],
    scores: Mapping[str, SplitScore],
    preview: Preview | None,
    videos: Mapping[str, SplitVideo],
    tables: Mapping[str, Any],
) -> None:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("submit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    entries = {name: entry_of(name, score) for name, score in scores.items()}
    pairs = combinations(entries.values(), 2)
    text = environment.get_template("index.html").render(
        title=_clean(split.place.name or str(split.place)),
        release=release(),
        measures=list(MEASURES.values()),
        totals=total_rows(scores),
        differences=difference_rows([compare_entries(*pair) for pair in pairs]),
        preview=preview,
        **tables,
        notes=sorted({_clean(note) for one in scores.values() for note in one.notes})
        + [_clean(note) for note in (preview.notes if preview else ())],
        sources=sources,
        duration=format_seconds,
        memory=lambda size: format_bytes(size) if size else "–",
        videos=len(videos),
        frames=sum(video.length for video in videos.values()),
        objects=sum(len(video.objects) for video in videos.values()),
    )
    # A name that is not Unicode has become an escape.
    (folder / "index.html").write_text(_clean(text), "utf-8")
    for name in ("report.js", "report.css"):
        source = files("submit.report") / "templates" / name
        (folder / name).write_bytes(source.read_bytes())


def _clean(text: str) -> str:
    """Replace characters that UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _assignment(name: str, value: Any) -> str:
    """Format an assignment in JavaScript; JSON in ASCII is safe in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"{name}={text};\n"


def _find_foreign(folder: Path) -> Path | None:
    """Find a file in a folder that does not belong to a report."""
    page = folder / "index.html"
    if page.is_file() and _MARK in page.read_bytes()[:4096]:
        return None
    return next((path for path in sorted(folder.iterdir())), None)


#: The folder of a report, as an output of a command.
REPORT = OutputKind(
    "a report", "submit report", _find_foreign, is_folder=True, forcible=False
)
