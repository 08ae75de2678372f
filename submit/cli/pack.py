"""`submit pack`: a submission zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ArchiveError
from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    force_option,
    json_option,
    optional_split,
    runs_dir_option,
)
from ._output import emit, facts, format_bytes
from ._runs import masks_of, missing_videos
from ._splits import open_split

if TYPE_CHECKING:
    from ..system.urls import Place


@click.command()
@click.argument("source", metavar="RUN|DIR", type=SOURCE)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="FILE.zip",
    help="The zip to write.",
)
@click.option(
    "--team",
    type=PATH,
    metavar="FILE",
    help="A team.json to put at the root, which test phases require.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Pack even if videos of the split are missing; they will score 0.",
)
@optional_split("The split, if it was moved since the run was made.")
@force_option
@runs_dir_option
@json_option
def pack(
    source: str,
    output: Path,
    team: Path | None,
    partial: bool,
    split: Place | None,
    force: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Pack masks into a submission zip.

    RUN|DIR is a run, which is exported first if necessary, or a folder of
    <video>/<frame>.png. The zip has the video folders at its root and nothing else. The
    same masks give the same bytes on every machine. Masks of a run, and of a folder
    that was exported, are compared with what was written.

    \b
    Example:
      submit pack both -o both.zip
    """
    from .. import archive
    from ..system.outputs import claim

    claim(output, archive.SUBMISSION_ZIP, force=force, inputs=(source, team))
    if team is not None:
        archive.read_team(team)
    if not partial and (missing := missing_videos(runs, source)) is not None:
        raise ArchiveError(
            f"{source}: {missing}, which would score 0; run the command that made it "
            "again, or pack with --partial"
        )
    opened = None if split is None else open_split(split)
    with masks_of(runs, source, opened) as masks:
        packed = archive.pack(masks, output, team=team)
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
