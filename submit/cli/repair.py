"""`submit repair`: repair a submission and check the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    force_option,
    json_option,
    split_option,
    workers_option,
)
from ._output import Cell, emit, facts, format_bytes, number, stack, table
from ._progress import progress
from ._splits import open_split
from ._views import findings_view

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..checks.repair import Repaired
    from ..system.urls import Place


@click.command()
@click.argument("source", metavar="ZIP|DIR", type=SOURCE)
@split_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="FILE.zip",
    help="The zip to write.",
)
@click.option(
    "--sample",
    type=PATH,
    metavar="ZIP",
    help="The organisers' sample submission; it overrides the videos and frames of the "
    "split.",
)
@click.option(
    "--team",
    type=PATH,
    metavar="FILE",
    help="A team.json to put at the root. Default: the one in ZIP|DIR, if there is "
    "one.",
)
@click.option(
    "--fill-missing",
    is_flag=True,
    help="Put empty masks where masks are missing, also for whole videos.",
)
@force_option
@workers_option
@json_option
def repair(
    source: str,
    split: Place,
    output: Path,
    sample: Path | None,
    team: Path | None,
    fill_missing: bool,
    force: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Repair a submission where the right content is certain.

    ZIP|DIR is never written to. Videos are moved to the root, other files are left out,
    masks are renamed to their frames, colours and grey values are converted to object
    ids where only one assignment is possible, and the first masks are replaced by the
    annotations. The new zip is then checked; the exit
    status is that of `submit check`.

    \b
    Example:
      submit repair broken.zip --split MOSEv2/valid -o repaired.zip
    """
    from ..archive import SUBMISSION_ZIP
    from ..checks import check_masks, masks_to_check
    from ..checks import repair as repairing
    from ..system.outputs import claim

    claim(output, SUBMISSION_ZIP, force=force, inputs=(source, sample, team))
    opened = open_split(split)
    done = repairing.repair(
        Path(source),
        output,
        opened,
        sample=sample,
        team=team,
        fill_missing=fill_missing,
        workers=workers,
    )
    with progress("check", total=masks_to_check(opened), unit="masks") as bar:
        found = check_masks(
            output,
            opened,
            sample=sample,
            team=team is not None,
            workers=workers,
            progress=bar.advance,
        )
    emit(
        stack(_repair_view(done), findings_view(found)),
        {"repaired": done, "check": found},
        as_json=as_json,
    )
    click.get_current_context().exit(found.exit_code)


def _repair_view(done: Repaired) -> RenderableType:
    """Lay out what a repair has done."""
    rows: list[list[Cell]] = [
        [one.what, one.count, one.where] for one in done.corrections
    ]
    if not rows:
        rows = [["nothing had to be repaired", 0, ""]]
    return stack(
        table(["repaired", number("files"), "such as"], rows),
        facts(
            {
                "zip": str(done.packed.path),
                "size": format_bytes(done.packed.size),
                "SHA-256": done.packed.sha256,
            }
        ),
    )
