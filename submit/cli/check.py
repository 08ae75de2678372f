"""`submit check`: everything that the server would reject, or silently punish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    PATH,
    SOURCE,
    executor_option,
    json_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit
from ._progress import progress
from ._runs import masks_of, reading_executor
from ._splits import open_split
from ._views import findings_view

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("source", metavar="ZIP|DIR|RUN", type=SOURCE)
@split_option
@videos_option
@click.option(
    "--sample",
    type=PATH,
    metavar="ZIP",
    help="The organisers' sample submission; it overrides the videos and frames of the "
    "split.",
)
@click.option("--team", is_flag=True, help="Require a team.json, as test phases do.")
@executor_option
@workers_option
@runs_dir_option
@json_option
def check(
    source: str,
    split: Path,
    videos: tuple[str, ...],
    sample: Path | None,
    team: bool,
    executor: str,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Find what the server would reject, or score lower silently.

    ZIP|DIR|RUN is only read. All problems are listed at once, with
    what it costs and how to repair it. The exit status is 1 if something is fatal or
    costs points.

    \b
    Example:
      submit check both.zip --split MOSEv2/valid
    """
    from ..checks import check_masks, masks_to_check

    opened = open_split(split, videos, say_subset=False)
    with (
        masks_of(runs, source, opened, workers=workers, kind=executor) as masks,
        progress("check", total=masks_to_check(opened), unit="masks") as bar,
    ):
        found = check_masks(
            masks,
            opened,
            sample=sample,
            team=team,
            workers=workers,
            executor=reading_executor(executor, workers),
            progress=bar.advance,
        )
    emit(findings_view(found), found, as_json=as_json)
    click.get_current_context().exit(found.exit_code)
