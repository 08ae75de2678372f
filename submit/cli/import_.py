"""`submit import`: masks of any other program become a run, or prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    OUTPUT,
    SOURCE,
    force_option,
    json_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, note
from ._progress import progress
from ._runs import local_executor, new_run_path, raise_failures
from ._splits import open_split
from ._views import outcome_view

if TYPE_CHECKING:
    from ..data import FrameSelection, Split
    from ..pipeline import ImportHints
    from ..system.urls import Place


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
@click.argument("source", type=SOURCE)
@click.option("--name", metavar="RUN", help="What to call the new run.")
@click.option(
    "--as-prompts",
    is_flag=True,
    help="Write prompts for submit predict --prompts in place of a run; SOURCE may be "
    "a run, masks of some frames, or a COCO JSON of boxes.",
)
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
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="FILE|DIR",
    help="Prompts: the .json file to write, or a folder of palette PNGs.",
)
@click.option(
    "--frames",
    metavar="LIST",
    help="Prompts: which frames, such as 30,60 or 10-50 or every:30 or last. Default: "
    "all of SOURCE but the first mask.",
)
@click.option(
    "--absences",
    is_flag=True,
    help="Prompts: objects without a pixel in a mask are absent there. Default: "
    "nothing is said of them.",
)
@click.option(
    "--min-score",
    type=float,
    metavar="SCORE",
    help="Prompts: the least score of a detection.",
)
@force_option
@workers_option
@runs_dir_option
@json_option
def import_(
    source: str,
    name: str | None,
    as_prompts: bool,
    split: Place,
    videos: tuple[str, ...],
    layout: str | None,
    scores: str | None,
    object_key: str | None,
    output: Path | None,
    frames: str | None,
    absences: bool,
    min_score: float | None,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Convert masks of any other program to a run, or to prompts.

    SOURCE is a folder, zip or file in one of the layouts below. Names, sizes and object
    ids are checked against the split. Scores become soft masks, which submit ensemble
    can merge. Renumbered ids are corrected by their colours, and masks that start at
    another number by their order, if this is certain. The first mask is replaced by the
    annotation.

    \b
    Example:
      submit import cutie.zip --name cutie --split MOSEv2/valid
      submit import boxes.json --as-prompts -o prompts.json --split MOSEv2/valid
    """
    from ..data import FrameSelection
    from ..masks import ScoreKind
    from ..pipeline import ImportHints
    from ..pipeline.as_prompts import PROMPTS_FILE, PROMPTS_FOLDER
    from ..system.outputs import claim

    hints = ImportHints(layout, ScoreKind(scores) if scores else None, object_key)
    if as_prompts:
        if output is None or name is not None:
            raise click.UsageError("--as-prompts goes with -o, and without --name")
        selection = None if frames is None else FrameSelection.parse(frames)
        is_file = output.suffix.lower() == ".json"
        kind = PROMPTS_FILE if is_file else PROMPTS_FOLDER
        claim(output, kind, force=force, inputs=(source, split))
        _make_prompts(
            source,
            output,
            open_split(split, videos),
            hints,
            runs=runs,
            frames=selection,
            absences=absences,
            min_score=min_score,
            as_json=as_json,
        )
        return
    if output or frames or absences or min_score is not None or force:
        raise click.UsageError(
            "-o, --frames, --absences, --min-score and --force go with --as-prompts"
        )
    if name is None:
        raise click.UsageError("expected --name RUN, or --as-prompts -o FILE|DIR")
    path = new_run_path(runs, name)
    _make_run(Path(source), path, open_split(split, videos), hints, workers, as_json)


def _make_run(
    source: Path,
    path: Path,
    split: Split,
    hints: ImportHints,
    workers: int | None,
    as_json: bool,
) -> None:
    """Make a run, and print what was done."""
    from ..pipeline import import_masks

    outcome = import_masks(
        source,
        path,
        split,
        executor=local_executor(workers),
        hints=hints,
        monitor=progress,
    )
    raise_failures(outcome, path / "failed.json")
    emit(
        outcome_view(path, outcome, "imported"),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )


def _make_prompts(
    source: str,
    output: Path,
    split: Split,
    hints: ImportHints,
    *,
    runs: Path,
    frames: FrameSelection | None,
    absences: bool,
    min_score: float | None,
    as_json: bool,
) -> None:
    """Write prompts, and print how many."""
    from ..pipeline import import_prompts

    total = sum(
        video.length if frames is None else len(frames.select(video.frames))
        for video in split.videos.values()
    )
    with progress("prompts", total=total) as bar:
        found = import_prompts(
            source,
            output,
            split,
            runs=runs,
            frames=frames,
            hints=hints,
            absences=absences,
            min_score=min_score,
            progress=bar.advance,
        )
    for what, count in found.remarks.items():
        note(f"{what}: {count:,}")
    data = {**found.kinds, "videos": found.videos, "objects": found.objects}
    emit(
        facts({"prompts": str(output), **data}),
        {"prompts": output, **data, "remarks": found.remarks},
        as_json=as_json,
    )
