"""`submit merge-parts`: parts of a run, and of what is made of it, become whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import RunError
from ..system.files import run_path
from ..system.words import counted
from ._checking import join_checks
from ._options import SOURCE, json_option, runs_dir_option
from ._output import emit, facts, note, stack
from ._progress import progress
from ._reporting import join_report
from ._scoring import join_scores
from ._views import findings_view

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..pipeline import StepOutcome


@click.command(name="merge-parts")
@click.argument("sources", nargs=-1, required=True, metavar="RUN|DIR...", type=SOURCE)
@click.option(
    "--partial",
    is_flag=True,
    help="Join what is there, even if parts or videos are missing.",
)
@click.option(
    "--delete",
    is_flag=True,
    help="Delete the parts when all of them are joined.",
)
@runs_dir_option
@json_option
def merge_parts(
    sources: tuple[str, ...],
    partial: bool,
    delete: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Join what jobs with --part have made.

    RUN|DIR... are runs of which predict, ensemble or export made parts, or folders that
    were given to export, score, check or report with -o. Every file is compared with
    what was written. The result is the same as without --part, byte for byte; that of
    check has its exit status, too. The command can be repeated.

    \b
    Example:
      submit merge-parts plain
    """
    joined = {source: _join(runs, source, partial=partial) for source in sources}
    for outcome, _ in joined.values():
        if outcome.failed:
            note(f"{outcome.name}: {counted(len(outcome.failed), 'video')} failed")
    if delete and not partial:
        for _, folders in joined.values():
            for folder in folders:
                shutil.rmtree(folder)
    views: list[RenderableType] = []
    code = 0
    for source, (one, _) in joined.items():
        if (found := one.details.get("check")) is not None:
            views.append(findings_view(found))
            code = max(code, found.exit_code)
        views.append(
            facts(
                {
                    "joined": source,
                    "videos": counted(len(one.done), "video"),
                    "already there": counted(len(one.skipped), "video"),
                }
            )
        )
    emit(
        stack(*views),
        {source: vars(one) for source, (one, _) in joined.items()},
        as_json=as_json,
    )
    click.get_current_context().exit(code)


def _join(
    runs: Path, source: str, *, partial: bool
) -> tuple[StepOutcome, tuple[Path, ...]]:
    """Join what the name stands for.

    Returns:
        The outcome, and the folders of the parts.

    Raises:
        RunError: There are no parts of it, or some are missing.
    """
    from ..checks import CHECKED_PARTS
    from ..pipeline.joining import (
        export_parts,
        merge_export,
        merge_run,
        parts_of_run,
    )
    from ..pipeline.outcome import StepOutcome
    from ..report.parts import REPORT_PARTS
    from ..runs import Run
    from ..scoring import SCORED_PARTS

    path = run_path(runs, source)
    if folders := parts_of_run(path):
        return merge_run(path, partial=partial, monitor=progress), folders
    folder = Path(source)
    if records := export_parts(folder):
        run = Run.open(runs / str(records[0].run))
        outcome = merge_export(folder, run, partial=partial, monitor=progress)
        return outcome, tuple(record.folder for record in records)
    scored, checked = SCORED_PARTS.folders(folder), CHECKED_PARTS.folders(folder)
    drawn = REPORT_PARTS.folders(folder)
    if drawn and (scored or checked):
        raise RunError(
            f"{source}: {drawn[0]} has a part of a report beside that of a score or a "
            "check; make one of them again with another -o, and delete it here"
        )
    if scored or checked:
        outcome = StepOutcome(source)
        # One folder may have both.
        if scored:
            outcome.done = list(join_scores(folder))
        if checked:
            outcome.done, outcome.details["check"] = join_checks(folder)
        return outcome, tuple(sorted({*scored, *checked}))
    if drawn:
        return StepOutcome(source, done=list(join_report(folder))), drawn
    raise RunError(
        f"{source}: no parts of it are there; expected {path.parent}/part-I-of-N/"
        f"{path.name} (make them with submit predict --part I/N)"
    )
