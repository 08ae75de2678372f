"""`submit compare`: which entry is better, and whether that is significant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    SOURCE,
    json_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, stack
from ._progress import progress
from ._runs import masks_of
from ._splits import open_split
from ._views import comparison_view

if TYPE_CHECKING:
    from ..data import Split
    from ..scoring.compare import ScoredEntry
    from ..system.urls import Place


@click.command()
@click.argument("baseline", metavar="A", type=SOURCE)
@click.argument("others", metavar="B...", nargs=-1, required=True, type=SOURCE)
@split_option
@videos_option
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=10_000,
    metavar="N",
    help="Number of bootstrap resamples of the videos.",
)
@workers_option
@runs_dir_option
@json_option
def compare(
    baseline: str,
    others: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    resamples: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Tell whether the difference between entries is significant.

    A is compared with each B... in turn: runs, folders, zips, or the server's
    metrics.json of earlier entries. Differences are computed per object, with 95 %
    intervals from a bootstrap over videos. A difference is significant if its interval
    excludes 0.

    \b
    Example:
      submit compare plain both --split work/sample
    """
    from ..pipeline.sources import find_run
    from ..scoring.compare import compare_entries

    sources = (baseline, *others)
    # Entries from files need no split, unless it chooses the videos.
    from_files = all(source.endswith(".json") for source in sources)
    opened = None if from_files and not videos else open_split(split, videos)
    for source in sources:
        if not source.endswith(".json"):
            find_run(runs, source)  # A misspelt name fails before others are scored.
    entries = [_entry(source, opened, runs, workers) for source in sources]
    found = [
        compare_entries(entries[0], other, resamples=resamples) for other in entries[1:]
    ]
    emit(stack(*(comparison_view(one) for one in found)), found, as_json=as_json)


def _entry(
    source: str, split: Split | None, runs: Path, workers: int | None
) -> ScoredEntry:
    """Read the scores of an entry, or score it."""
    from ..scoring import frames_to_score, score_split
    from ..scoring.compare import entry_of, read_metrics

    if source.endswith(".json"):
        entry = read_metrics(Path(source))
        return entry if split is None or not split.others else entry.only(split.videos)
    assert split is not None
    with (
        masks_of(runs, source, split, workers=workers) as masks,
        progress(f"score {source}", total=frames_to_score(split)) as bar,
    ):
        scores = score_split(split, masks, workers=workers, progress=bar.advance)
    return entry_of(source, scores)
