"""Print a table of the scores of runs, and of their ensemble with each method.

    python tools/compare_methods.py SPLIT RUNS plain hflip half large

The split needs full ground truth. Differences are to the first run, with 95 % bootstrap
intervals over videos, as in `submit compare`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from submit.archive import open_masks
from submit.data import Split, read_split
from submit.ensemble import METHODS, MergeSettings
from submit.ensemble.method import DEFAULT_METHOD
from submit.executors.local import LocalExecutor
from submit.metrics.measures import MEASURES
from submit.pipeline import ensemble_runs, export_run
from submit.runs import Run
from submit.scoring import SplitScore, score_split
from submit.scoring.compare import compare_entries, entry_of

#: The measures in the table, by their attribute of `SplitScore`.
SHOWN = ("jf_dot", "j", "f_dot", "disappear", "reappear")


@click.command(help=__doc__)
@click.argument("split", type=click.Path(exists=True, path_type=Path))
@click.argument("runs", type=click.Path(exists=True, path_type=Path))
@click.argument("members", nargs=-1, required=True)
@click.option("--method", "methods", multiple=True, help="A method to try; repeatable.")
@click.option("--no-gate", is_flag=True, help="Leave out the line with the gate.")
@click.option("--alone", is_flag=True, help="Score the runs only; merge nothing.")
@click.option("--videos", multiple=True, help="Only these videos; repeatable.")
@click.option("--workers", default=2, show_default=True)
def main(
    split: Path,
    runs: Path,
    members: tuple[str, ...],
    methods: tuple[str, ...],
    no_gate: bool,
    alone: bool,
    videos: tuple[str, ...],
    workers: int,
) -> None:
    """Print the table as Markdown."""
    truth = read_split(split, videos=videos)
    executor = LocalExecutor(workers=workers)
    names = [*(MEASURES[each] for each in SHOWN), "difference", "interval"]
    click.echo(f"| | {' | '.join(names)} |")
    click.echo("|---" * (len(names) + 1) + "|")
    baseline: SplitScore | None = None
    with tempfile.TemporaryDirectory() as folder:
        for title, path in _runs(
            runs, members, methods, not no_gate, alone, Path(folder), executor
        ):
            score = _score(Run.open(path), truth, executor, Path(folder))
            if baseline is None:
                baseline = score
            click.echo(_line(title, score, baseline))


def _runs(
    runs: Path,
    members: tuple[str, ...],
    methods: tuple[str, ...],
    gate: bool,
    alone: bool,
    folder: Path,
    executor: LocalExecutor,
) -> Iterator[tuple[str, Path]]:
    """Yield title and folder of each run and of each ensemble."""
    for member in members:
        yield member, runs / member
    tables: list[tuple[str, dict[str, Any]]] = [
        (method, {"method": method}) for method in methods or METHODS
    ]
    if gate:
        tables.append((f"{DEFAULT_METHOD}, gate", {"gate": {}}))
    for title, table in [] if alone else tables:
        path = folder / title.replace(", ", "-")
        settings = MergeSettings.from_table({**table, "members": list(members)})
        sources = [runs / member for member in members]
        ensemble_runs(
            sources, path, executor=executor, settings=settings
        ).require_complete(str(path))
        yield f"**{title}**", path


def _score(run: Run, truth: Split, executor: LocalExecutor, folder: Path) -> SplitScore:
    masks = run.masks_folder
    if run.is_soft:
        masks = folder / f"masks-{run.name}"
        export_run(run, truth.whole, executor=executor, folder=masks)
    with open_masks(masks) as source:
        return score_split(truth, source)


def _line(title: str, score: SplitScore, baseline: SplitScore) -> str:
    """Format one row: the measures, and the difference of J&Ḟ to the baseline."""
    cells = []
    for name in SHOWN:
        value = getattr(score.totals, name)
        cells.append("–" if value is None else f"{100 * value:.2f}")
    if score is baseline:
        cells += ["", ""]
    else:
        comparison = compare_entries(entry_of("a", baseline), entry_of("b", score))
        change = comparison.measures["jf_dot"]
        assert change.difference is not None
        assert change.low is not None
        assert change.high is not None
        clear = " *" if change.is_clear else ""
        cells += [
            f"{100 * change.difference:+.2f}{clear}",
            f"{100 * change.low:+.2f} … {100 * change.high:+.2f}",
        ]
    return f"| {title} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
