"""`submit report`: one page with scores, timelines and a viewer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._dividing import request_of
from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    executor_option,
    json_option,
    runs_dir_option,
    score_part_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, format_bytes
from ._reporting import write_page, write_part
from ._splits import open_split

if TYPE_CHECKING:
    from ..system.parts import Part
    from ..system.urls import Place


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="DIR",
    help="The folder to write; open its index.html.",
)
@click.option(
    "--expected-score",
    "expected_path",
    type=PATH,
    metavar="FILE.json",
    help="Predict scores with a model that submit tune has fitted; only for a split "
    "without truth.",
)
@click.option(
    "--frames",
    "most",
    type=click.IntRange(2, 200),
    default=24,
    metavar="N",
    help="Maximum number of frames of each video in the viewer.",
)
@click.option(
    "--side",
    type=click.IntRange(64, 1920),
    default=480,
    metavar="PIXELS",
    help="Longer side of the frames in the viewer.",
)
@click.option(
    "--members",
    is_flag=True,
    help="Also measure what each member of an ensemble among the runs brings: it is "
    "left out, and the others are merged and scored. Needs truth.",
)
@executor_option
@score_part_option
@workers_option
@runs_dir_option
@json_option
def report(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    expected_path: Path | None,
    most: int,
    side: int,
    members: bool,
    executor: str,
    part: Part | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Write a page with scores, timelines and a viewer for a browser.

    RUN... are runs, and with truth also folders of <video>/<frame>.png or zips. With
    truth the page has scores and differences, without it agreement and what to look at
    first. It needs neither a server nor the network.

    With --part the pictures and numbers of the part's videos are written to
    part-I-of-N/DIR, and submit merge-parts DIR makes the page of all parts. What needs
    all videos (--members, --expected-score) is computed then.

    \b
    Example:
      submit report plain both --split work/sample -o report
    """
    from ..report.drawing import shows_truth
    from ..report.page import REPORT
    from ..report.parts import REPORT_PART, report_settings
    from ..system.outputs import claim
    from ..tuning import ExpectedScore

    kind = REPORT
    if part is not None:
        output, kind = part.place(output), REPORT_PART
    claim(output, kind, inputs=(*names, split))
    opened = open_split(split, videos)
    truth = shows_truth(opened)
    if truth and expected_path is not None:
        raise click.UsageError(
            "--expected-score predicts scores where there is no truth, and "
            f"{split} has truth; leave the option out"
        )
    if members and not truth:
        raise click.UsageError(f"--members needs truth, and {split} has none")
    if expected_path is not None:
        ExpectedScore.load(expected_path)  # Before hours of work.
    settings = report_settings(
        expected=expected_path, frames=most, side=side, members=members
    )
    asked = request_of(shlex.join(names), opened, runs=runs, settings=settings)
    if part is None:
        made = write_page(asked, runs, opened, output, kind=executor, workers=workers)
    else:
        made = write_part(
            asked, runs, opened, part, output, kind=executor, workers=workers
        )
    emit(
        facts(
            {
                "page" if part is None else "part": str(made.path),
                "videos": made.videos,
                "frames": made.frames,
                "size": format_bytes(made.bytes),
            }
        ),
        made,
        as_json=as_json,
    )
