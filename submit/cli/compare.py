"""`submit compare`: which entry is better, and how surely."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    SOURCE,
    json_option,
    runs_dir_option,
    split_option,
    workers_option,
)
from ._output import emit, stack
from ._progress import progress
from ._runs import masks_of
from ._views import comparison_view

if TYPE_CHECKING:
    from ..scoring import SplitScore


@click.command()
@click.argument("baseline", metavar="A", type=SOURCE)
@click.argument("others", metavar="B...", nargs=-1, required=True, type=SOURCE)
@split_option
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=10_000,
    metavar="N",
    help="How many times to draw the videos anew.",
)
@workers_option
@runs_dir_option
@json_option
def compare(
    baseline: str,
    others: tuple[str, ...],
    split: Path,
    resamples: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Tell whether an entry is better, or had the luckier videos.

    A is compared with each B... in turn: runs, folders, zips, or the server's
    metrics.json of earlier entries. Differences are taken object by object; intervals
    come from a bootstrap over videos, at 95 %.

    \b
    Example:
      submit compare plain both --split work/sample
    """
    from ..scoring.compare import compare_entries, entry_of, read_metrics

    entries = [
        read_metrics(Path(source))
        if source.endswith(".json")
        else entry_of(source, _score(source, split, runs, workers))
        for source in (baseline, *others)
    ]
    found = [
        compare_entries(entries[0], other, resamples=resamples) for other in entries[1:]
    ]
    emit(stack(*(comparison_view(one) for one in found)), found, as_json=as_json)


def _score(source: str, split: Path, runs: Path, workers: int | None) -> SplitScore:
    from ..data import read_split
    from ..scoring import frames_to_score, score_split

    opened = read_split(split)
    with (
        masks_of(runs, source, opened) as masks,
        progress(f"score {source}", total=frames_to_score(opened)) as bar,
    ):
        return score_split(opened, masks, workers=workers, report=bar.advance)
