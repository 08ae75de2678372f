"""A report of all videos, a part of one, and parts that become a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError
from ._dividing import (
    digest_of_file,
    join_masks,
    require_same_split,
    split_of_request,
)
from ._output import warn
from ._progress import progress
from ._reported import measured_ensembles, reported_runs, sources_of
from ._runs import reading_executor

if TYPE_CHECKING:
    from ..data import Split
    from ..report.page import Report
    from ..report.pieces import ReportedRun, ReportPiece
    from ..system.partial import Request
    from ..system.parts import Part

__all__ = ["join_report", "write_page", "write_part"]


def join_report(folder: Path) -> Sequence[str]:
    """Write the page of all parts of a report; returns the videos.

    Raises:
        RunError: A part is missing or damaged, or the runs, the split or the model of
            the score have changed.
    """
    from ..report.page import REPORT
    from ..report.parts import REPORT_PARTS, read_report_parts, take_pieces
    from ..runs.kept import runs_folder
    from ..system.outputs import claim

    asked, pieces = read_report_parts(folder)
    names, expected = sources_of(asked), asked.settings["expected"]
    claim(folder, REPORT, inputs=(*names, asked.split, expected))
    split = split_of_request(asked)
    require_same_split(asked, split, REPORT_PARTS)
    if expected is not None:
        _require_model(Path(expected), asked.settings["expected_digest"])
    runs = runs_folder(asked.runs)
    for name in names:
        join_masks(runs, name)
    with ExitStack() as stack:
        sources = reported_runs(stack, asked, runs, split)
        _write(
            asked,
            runs,
            split,
            sources,
            folder,
            lambda place: take_pieces(pieces, split, sources, place),
        )
    return asked.videos


def _require_model(path: Path, digest: str) -> None:
    """Make sure that the model of the score is the one that was named.

    Raises:
        RunError: It is not.
    """
    if digest_of_file(path) != digest:
        raise RunError(
            f"{path}: is not there, or has changed since the parts of the report were "
            "drawn; draw them again"
        )


def write_page(
    asked: Request,
    runs: Path,
    split: Split,
    output: Path,
    *,
    kind: str,
    workers: int | None,
) -> Report:
    """Write the page of all videos.

    Args:
        asked: What was asked for.
        runs: Where runs are kept.
        split: The videos.
        output: The folder to write.
        kind: Where the work is done: `local`, in threads, or `ray`.
        workers: How many workers; None for one for each core.

    Raises:
        SubmitError: Masks, frames or settings do not allow it.
    """
    with ExitStack() as stack:
        sources = reported_runs(stack, asked, runs, split, kind=kind, workers=workers)
        make = _maker(asked, split, split, sources, kind=kind, workers=workers)
        return _write(asked, runs, split, sources, output, make)


def write_part(
    asked: Request,
    runs: Path,
    split: Split,
    part: Part,
    output: Path,
    *,
    kind: str,
    workers: int | None,
) -> Report:
    """Write what a page shows of the videos of a part.

    Args:
        asked: What was asked of all parts.
        runs: Where runs are kept.
        split: The videos of all parts.
        part: The part.
        output: The folder of the part.
        kind: See `write_page`.
        workers: See `write_page`.

    Raises:
        SubmitError: See `write_page`.
    """
    from ..pipeline.parts import split_of_part
    from ..report.page import Report
    from ..report.parts import write_report_part

    mine = split_of_part(split, part)
    with ExitStack() as stack:
        sources = []
        if mine.videos:  # Else there are more parts than videos.
            sources = reported_runs(
                stack, asked, runs, mine, part, kind=kind, workers=workers
            )
        make = _maker(asked, split, mine, sources, kind=kind, workers=workers)
        shown = write_report_part(output, asked, mine, sources, make)
    return Report(
        output,
        len(shown),
        sum(mine.videos[name].length for name in shown),
        sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
    )


def _maker(
    asked: Request,
    split: Split,
    mine: Split,
    sources: Sequence[ReportedRun],
    *,
    kind: str,
    workers: int | None,
) -> Callable[[Path], Mapping[str, ReportPiece]]:
    """What makes the pieces of some videos of a split; see `make_pieces`."""
    from ..report.drawing import shows_truth
    from ..report.making import Viewer, make_pieces

    settings = asked.settings
    viewer = Viewer(shows_truth(split), settings["frames"], settings["side"])
    return lambda place: make_pieces(
        mine,
        sources,
        place,
        viewer,
        workers=workers,
        executor=reading_executor(kind, workers),
        monitor=progress,
    )


def _write(
    asked: Request,
    runs: Path,
    split: Split,
    sources: Sequence[ReportedRun],
    output: Path,
    make: Callable[[Path], Mapping[str, ReportPiece]],
) -> Report:
    """Write the page of whole runs."""
    from ..report.page import write_report
    from ..tuning import ExpectedScore

    expected = asked.settings["expected"]
    made = write_report(
        split,
        sources,
        output,
        make,
        model=None if expected is None else ExpectedScore.load(Path(expected)),
        ensembles=measured_ensembles(asked, runs, split)
        if asked.settings["members"]
        else (),
    )
    for text in made.notes:
        warn(text)
    return made
