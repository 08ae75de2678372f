"""Write the report: an HTML page that opens from disk, with its data and images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from ..archive import Masks
from ..checks import CheckResult, Finding
from ..data import Split, SplitVideo
from ..errors import SplitError
from ..metrics.measures import MEASURES
from ..runs import RunCost
from ..scoring import SplitScore
from ..scoring.compare import compare_entries, entry_of
from ..system.files import atomic_folder
from ..system.machine import release
from ..system.outputs import OutputKind
from ..system.pool import run_in_threads
from ..system.words import format_bytes, format_seconds
from ..tuning import Preview
from .costs import MeasuredEnsemble, cost_rows, member_rows
from .marks import marks_of, summary_rows
from .strips import Strips, write_strips
from .tables import attribute_tables, difference_rows, object_rows, timeline, total_rows
from .views import MaskView, has_truth, view_of_masks, view_of_truth

__all__ = ["REPORT", "Report", "ReportedRun", "write_report"]

_MARK = b'<meta name="generator" content="mose-submit report">'


@dataclass(frozen=True)
class ReportedRun:
    """A run in the report.

    Attributes:
        name: Its name.
        masks: Its masks.
        facts: How it was made, as names and values.
        details: What its manifest says of each video; see `VideoRecord`.
        cost: What it took; None where that is not known.
    """

    name: str
    masks: Masks
    facts: Mapping[str, str]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cost: RunCost | None = None


@dataclass(frozen=True)
class Report:
    """The result of `write_report`.

    Attributes:
        path: The page.
        videos: Number of videos in it.
        frames: Number of frames that were read.
        bytes: Size of all files.
    """

    path: Path
    videos: int
    frames: int
    bytes: int


def write_report(
    split: Split,
    sources: Sequence[ReportedRun],
    folder: Path,
    *,
    scores: Mapping[str, SplitScore] | None = None,
    preview: Preview | None = None,
    checks: Mapping[str, CheckResult] | None = None,
    ensembles: Sequence[MeasuredEnsemble] = (),
    most: int = 24,
    long_side: int = 480,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> Report:
    """Write the page, its data and its strips into a folder, which is replaced.

    Args:
        split: The split, with frames.
        sources: The runs.
        folder: The folder to write.
        scores: The scores of each run by name, if there is truth.
        preview: The comparison of the runs without truth.
        checks: What the check found in each run, by name.
        ensembles: What the members of ensembles bring.
        most: Largest number of frames shown of each video.
        long_side: Longer side of these frames in pixels.
        workers: Threads; one for each core by default.
        progress: Called with a video and its frames when it is done.

    Raises:
        SplitError: The split has no frames.
        MaskError: A mask cannot be read.
        StorageError: The disk refuses.
    """
    scores, checks = scores or {}, checks or {}
    findings = _findings(sources, checks)
    videos = {
        name: video
        for name, video in split.videos.items()
        if any(name in one.masks.videos() for one in sources)
    }
    if not videos:
        raise SplitError(f"{split.place}: no run has a video of it")
    for video in videos.values():
        video.require_images()
    truth = any(has_truth(video) for video in videos.values())
    with atomic_folder(folder) as partial:
        numbers = {name: number for number, name in enumerate(videos)}

        def draw(video: SplitVideo) -> Strips:
            place = partial / "videos" / str(numbers[video.name])
            place.mkdir(parents=True)
            views = _views(video, sources, truth=truth)
            return write_strips(video, views, place, most=most, long_side=long_side)

        ordered = sorted(videos.values(), key=lambda video: -video.length)
        drawn = run_in_threads(
            draw,
            ordered,
            workers=workers,
            done=lambda video, _: progress(video.name, video.length),
        )
        found = {
            video.name: strips for video, strips in zip(ordered, drawn, strict=True)
        }
        for name, video in videos.items():
            line = _assignment(
                f"window.VIDEOS[{numbers[name]}]",
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
            (partial / "videos" / f"{numbers[name]}.js").write_text(line, "ascii")
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
    return Report(folder / "index.html", len(videos), frames, total)


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


def _views(
    video: SplitVideo, sources: Sequence[ReportedRun], *, truth: bool
) -> list[MaskView]:
    """The truth and all runs; a run that lacks the video has a view without masks."""
    views = [view_of_truth(video)] if truth else []
    for one in sources:
        if video.name in one.masks.videos():
            views.append(view_of_masks(one.name, one.masks, video))
        else:
            views.append(MaskView(one.name, lambda frame: None))
    return views


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
        title=_clean(split.root.name or str(split.root)),
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
