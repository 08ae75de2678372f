"""`submit pack`: a submission zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ArchiveError
from ._options import json_option, runs_dir_option
from ._output import emit, facts, format_bytes
from ._runs import masks_path, run_path

if TYPE_CHECKING:
    pass


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
