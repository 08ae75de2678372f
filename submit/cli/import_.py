"""`submit import`: masks of any other program become a run."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import (
    PATH,
    json_option,
    name_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit
from ._progress import progress
from ._runs import local_executor, new_run_path, raise_failures
from ._splits import open_split
from ._views import outcome_view


class _Import(click.Command):
    """A command whose help lists the known layouts, imported when the help is shown."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of layouts."""
        from ..pipeline.formats import FORMATS

        with formatter.section("Layouts of SOURCE"):
            formatter.write_dl(
                [(layout.layout, layout.help) for layout in FORMATS.values()]
            )


@click.command("import", cls=_Import)
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

    SOURCE is a folder or zip in one of the layouts below. Names, sizes and object ids
    are checked against the split. Ids that were renumbered are put right by their
    colours, and masks that were numbered from another start by their order, where that
    is certain. The first mask becomes the annotation.

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
    raise_failures(outcome, path / "failed.json")
    emit(
        outcome_view(path, outcome, "imported"),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )
