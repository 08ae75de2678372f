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
        from ..formats import FORMATS

        with formatter.section("Layouts of SOURCE, by the name for --format"):
            formatter.write_dl(
                [
                    (layout.name, f"{layout.layout}: {layout.help}")
                    for layout in FORMATS.values()
                ]
            )


@click.command("import", cls=_Import)
@click.argument("source", type=PATH)
@name_option
@split_option
@videos_option
@click.option(
    "--format",
    "layout",
    metavar="NAME",
    help="The layout of SOURCE. Default: recognised by its files.",
)
@click.option(
    "--as",
    "scores",
    type=click.Choice(["logits", "probabilities"]),
    help="What the numbers of NumPy's arrays are. Default: recognised by their names "
    "and range, where that is certain.",
)
@click.option(
    "--object-key",
    metavar="FIELD",
    help="The field of a COCO JSON that holds the object id. Default: object_id.",
)
@workers_option
@runs_dir_option
@json_option
def import_(
    source: Path,
    name: str,
    split: Path,
    videos: tuple[str, ...],
    layout: str | None,
    scores: str | None,
    object_key: str | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Convert masks of any other program to a run.

    SOURCE is a folder, zip or file in one of the layouts below. Names, sizes and object
    ids are checked against the split. Scores stay soft, so that submit ensemble merges
    them. Ids that were renumbered are put right by their colours, and masks that were
    numbered from another start by their order, where that is certain. The first mask
    becomes the annotation.

    \b
    Example:
      submit import cutie.zip --name cutie --split MOSEv2/valid
    """
    from ..masks import ScoreKind
    from ..pipeline import ImportHints, import_masks

    path = new_run_path(runs, name)
    outcome = import_masks(
        source,
        path,
        open_split(split, videos),
        executor=local_executor(workers),
        hints=ImportHints(layout, ScoreKind(scores) if scores else None, object_key),
        monitor=progress,
    )
    raise_failures(outcome, path / "failed.json")
    emit(
        outcome_view(path, outcome, "imported"),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )
