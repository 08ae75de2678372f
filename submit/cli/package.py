"""`submit export`, `submit pack` and `submit check`: from a run to a checked zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ArchiveError
from ._options import json_option, runs_dir_option, split_option, workers_option
from ._output import emit, facts, format_bytes, format_count
from ._progress import progress
from ._runs import local_executor, masks_path, report, run_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..checks import Report

__all__ = ["check", "export", "pack", "report_view"]


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write; the run's own masks/ without it.",
)
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The split, if it is no longer where the run was made from.",
)
@workers_option
@runs_dir_option
@json_option
def export(
    run: str,
    output: Path | None,
    split: Path | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Write the palette masks of a run.

    RUN is a name below --runs, or a folder. Each pixel goes to the object with the
    highest logit, if that is above 0. Masks have the size of the frame; the first one
    is the annotation itself.

    \b
    Example:
      submit export both
    """
    from ..pipeline import export_run, split_of
    from ..runs import Run

    opened = Run.open(run_path(runs, run))
    folder = output if output is not None else opened.masks_folder
    outcome = export_run(
        opened,
        split_of(opened, split),
        executor=local_executor(workers),
        folder=output,
        monitor=progress,
    )
    report(outcome, folder)
    emit(
        facts(
            {
                "masks": str(folder),
                "exported": f"{len(outcome.done)} videos, "
                f"{format_count(outcome.frames)} frames",
                "were there": f"{len(outcome.skipped)} videos",
            }
        ),
        {"masks": folder, **vars(outcome)},
        as_json=as_json,
    )


@click.command()
@click.argument("source", metavar="RUN|DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.zip",
    help="The zip to write.",
)
@click.option(
    "--team",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A team.json to put at the root, which test phases demand.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Pack a run although videos of it failed; they will score 0.",
)
@runs_dir_option
@json_option
def pack(
    source: str,
    output: Path,
    team: Path | None,
    partial: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Pack masks into a submission zip.

    RUN|DIR is a run, which is exported if need be, or a folder of
    <video>/<frame>.png. Video folders stand at the root and nothing else. The same
    masks give the same bytes on every machine.

    \b
    Example:
      submit pack both -o both.zip
    """
    from .. import archive
    from ..runs import Run

    folder = run_path(runs, source)
    if not partial and Run.exists(folder) and (failed := Run.open(folder).failures):
        raise ArchiveError(
            f"{folder}: {len(failed)} videos failed, such as {min(failed)}, and would "
            "score 0; run the command that made the run again, or pack with --partial"
        )
    packed = archive.pack(masks_path(runs, source), output, team=team)
    emit(
        facts(
            {
                "zip": str(packed.path),
                "videos": packed.videos,
                "masks": packed.frames,
                "size": format_bytes(packed.size),
                "SHA-256": packed.sha256,
            }
        ),
        packed,
        as_json=as_json,
    )


@click.command()
@click.argument("source", metavar="ZIP|DIR|RUN")
@split_option
@runs_dir_option
@json_option
def check(source: str, split: Path, runs: Path, as_json: bool) -> None:
    """Find what the server would reject, or silently punish.

    ZIP|DIR|RUN is looked at as it is. Everything that is wrong is listed at once, with
    what it costs and how to mend it. The exit status is 1 when something is fatal or
    costs points.

    \b
    Example:
      submit check both.zip --split MOSEv2/valid
    """
    from ..checks import check_masks
    from ..dataset import read_split

    opened = read_split(split)
    found = check_masks(masks_path(runs, source, opened), opened)
    emit(report_view(found), found, as_json=as_json)
    if found.exit_code:
        click.get_current_context().exit(found.exit_code)


def report_view(found: Report) -> RenderableType:
    """Lay out the findings of a check."""
    raise NotImplementedError
