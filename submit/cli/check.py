"""`submit check`: everything that the server would reject, or silently punish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.words import counted
from ._checking import checked, write_part
from ._dividing import output_of_part
from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    executor_option,
    force_option,
    json_option,
    runs_dir_option,
    score_part_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, note
from ._runs import masks_of
from ._splits import open_split
from ._views import findings_view

if TYPE_CHECKING:
    from ..checks import VideoCheck
    from ..system.parts import Part
    from ..system.urls import Place


@click.command()
@click.argument("source", metavar="ZIP|DIR|RUN", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="DIR",
    help="Write check.json here: what --json prints.",
)
@click.option(
    "--sample",
    type=PATH,
    metavar="ZIP",
    help="The organisers' sample submission; it overrides the videos and frames of the "
    "split.",
)
@click.option("--team", is_flag=True, help="Require a team.json, as test phases do.")
@executor_option
@score_part_option
@force_option
@workers_option
@runs_dir_option
@json_option
def check(
    source: str,
    split: Place,
    videos: tuple[str, ...],
    output: Path | None,
    sample: Path | None,
    team: bool,
    executor: str,
    part: Part | None,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Find what the server would reject, or score lower silently.

    ZIP|DIR|RUN is only read. All problems are listed at once, with
    what it costs and how to repair it. The exit status is 1 if something is fatal or
    costs points.

    With --part the masks of the part's videos are checked, what was found is written to
    part-I-of-N/DIR, and the exit status is 0. submit merge-parts DIR checks the rest
    once and gives the result and exit status of the whole.

    \b
    Example:
      submit check both.zip --split MOSEv2/valid
    """
    from ..checks import CHECK_FOLDER, write_check
    from ..system.outputs import claim

    output = output_of_part(output, part)
    if output is not None:
        claim(output, CHECK_FOLDER, force=force, inputs=(source, split, sample))
    opened = open_split(split, videos, say_subset=False)
    if part is not None:
        assert output is not None
        found_in = write_part(
            source,
            opened,
            part,
            output,
            runs=runs,
            sample=sample,
            team=team,
            executor=executor,
            workers=workers,
        )
        _emit_part(output, found_in, as_json=as_json)
        return
    with masks_of(runs, source, opened, workers=workers, kind=executor) as masks:
        found = checked(
            masks,
            opened,
            sample=sample,
            team=team,
            executor=executor,
            workers=workers,
        )
    # First, since writing the file may fail.
    emit(findings_view(found), found, as_json=as_json)
    if output is not None:
        note(f"written to {write_check(found, output)}")
    click.get_current_context().exit(found.exit_code)


def _emit_part(
    output: Path, videos: Mapping[str, VideoCheck], *, as_json: bool
) -> None:
    counts = {
        "videos": len(videos),
        "frames": sum(one.frames for one in videos.values()),
        "findings": sum(len(one.findings) for one in videos.values()),
    }
    emit(
        facts(
            {
                "part": str(output),
                "checked": f"{counted(counts['videos'], 'video')}, "
                f"{counted(counts['frames'], 'mask')}",
                "findings": f"{counts['findings']} in these masks",
            }
        ),
        {"part": output, **counts},
        as_json=as_json,
    )
