"""The runs of a report, opened, and what their members bring."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError
from ..system.files import run_path
from ._progress import progress
from ._runs import facts_of_run, masks_of, open_runs, require_once

if TYPE_CHECKING:
    from ..archive import Masks
    from ..data import Split
    from ..report.costs import MeasuredEnsemble
    from ..report.pieces import ReportedRun
    from ..runs import Run
    from ..system.partial import Request
    from ..system.parts import Part

__all__ = ["measured_ensembles", "reported_runs", "sources_of"]


def sources_of(asked: Request) -> list[str]:
    """The runs, folders and zips of a report, as they were named."""
    return shlex.split(asked.source)


def reported_runs(
    stack: ExitStack,
    asked: Request,
    runs: Path,
    split: Split,
    part: Part | None = None,
    *,
    kind: str = "local",
    workers: int | None = None,
) -> list[ReportedRun]:
    """Open the runs, folders and zips of a report.

    Args:
        stack: Closes them.
        asked: What was asked for.
        runs: Where runs are kept.
        split: The videos that are needed.
        part: Take a run's own part, where there is one.
        kind: Where the workers are that export runs: `local` or `ray`.
        workers: How many; None for one for each core.

    Raises:
        RunError: One is named twice, or is not there.
    """
    from ..report.drawing import shows_truth

    found = []
    for name in sources_of(asked):
        masks = masks_of(runs, name, split, part=part, workers=workers, kind=kind)
        stack.enter_context(masks)
        found.append(_reported(runs, name, masks, part))
    require_once([one.name for one in found])
    for name, one in zip(sources_of(asked), found, strict=True):
        if one.run is None and not shows_truth(split):
            open_runs(runs, [name])
    return found


def _reported(runs: Path, name: str, masks: Masks, part: Part | None) -> ReportedRun:
    """A run, a folder or a zip that is open."""
    from ..pipeline.parts import run_of_part
    from ..report.pieces import ReportedRun
    from ..runs import Run, cost_of

    path = run_of_part(run_path(runs, name), part)
    if not Run.exists(path):
        return ReportedRun(name, masks, {"masks": str(masks.path)})
    run = Run.open(path)
    return ReportedRun(
        run.name,
        masks,
        facts_of_run(run),
        {name: record.details for name, record in run.videos.items()},
        cost_of(run, _members(run)),
        run,
    )


def _members(run: Run) -> list[Run]:
    """The members of an ensemble that are beside it; none unless all of them are."""
    from ..runs import Run

    names = run.settings.get("members") or () if run.kind == "ensemble" else ()
    paths = [run.path.parent / name for name in names]
    if not all(Run.exists(path) for path in paths):
        return []
    return [Run.open(path) for path in paths]


def measured_ensembles(
    asked: Request, runs: Path, split: Split
) -> list[MeasuredEnsemble]:
    """Measure what the members of each ensemble bring.

    Raises:
        RunError: No run is an ensemble, or its members are not there.
    """
    from ..report.costs import MeasuredEnsemble
    from ..runs import Run, cost_of
    from ..tuning.members import frames_to_merge, member_steps

    paths = [run_path(runs, name) for name in sources_of(asked)]
    opened = [Run.open(path) for path in paths if Run.exists(path)]
    ensembles = [run for run in opened if run.kind == "ensemble"]
    if not ensembles:
        found = ", ".join(sources_of(asked))
        raise RunError(
            f"--members: expected an ensemble among the runs, found {found}; merge "
            "runs with submit ensemble, or leave the option out"
        )
    measured = []
    for ensemble in ensembles:
        members = {run.name: run for run in _members(ensemble)}
        if not members:
            raise RunError(
                f"{ensemble.path}: not all of its members are in "
                f"{ensemble.path.parent}; leave --members out"
            )
        method = ensemble.settings["method"]
        total = frames_to_merge(split, len(members))
        with progress(f"members of {ensemble.name}", total=total) as bar:
            steps = member_steps(split, members, method=method, progress=bar.advance)
        costs = {name: cost_of(run) for name, run in members.items()}
        measured.append(MeasuredEnsemble(ensemble.name, method, steps, costs))
    return measured
