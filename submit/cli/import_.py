"""`submit import`: masks of any other program become a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.words import counted
from ._options import (
    PATH,
    json_option,
    name_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, warn
from ._progress import progress
from ._runs import local_executor, new_run_path, report
from ._splits import open_split
from ._views import outcome_view

if TYPE_CHECKING:
    pass


@click.command("import")
@click.argument("source", type=PATH)
@name_option
@split_option
@videos_option
@workers_option
@runs_dir_option
@json_option
def import_(
    source: Path,
    name: str,
    split: Path,
    videos: tuple[str, ...],
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Convert masks of any other program to a run.

    SOURCE is a folder or zip of <video>/<frame>.png. Names, sizes and object ids are
    checked against the split.

    \b
    Example:
      submit import cutie.zip --name cutie --split MOSEv2/valid
    """
    from ..pipeline import import_masks

    path = new_run_path(runs, name)
    outcome = import_masks(
        source,
        path,
        open_split(split, videos),
        executor=local_executor(workers),
        monitor=progress,
    )
    report(outcome, path / "failed.json")
    absent = outcome.details["absent"]
    if absent:
        warn(
            f"{source} lacks {counted(len(absent), 'video')} of {split}, such as "
            f"{absent[0]}; "
            "their objects score 0"
        )
    emit(
        outcome_view(path, outcome, "imported"),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )
