"""`submit preview`: what to look at first, without ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    PATH,
    SOURCE,
    json_option,
    runs_dir_option,
    seed_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import (
    Cell,
    best_cells,
    emit,
    escape,
    facts,
    format_score,
    number,
    stack,
    table,
    warn,
)
from ._progress import progress
from ._runs import open_runs
from ._splits import open_split
from ._views import format_calibration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..system.urls import Place
    from ..tuning import ExpectedScore, Preview


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@split_option
@videos_option
@click.option(
    "--expected-score",
    "expected_path",
    type=PATH,
    metavar="FILE.json",
    help="Predict the score of each run with a model that submit tune has fitted.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=15,
    metavar="N",
    help="Number of objects to list; --json has all.",
)
@seed_option
@workers_option
@runs_dir_option
@json_option
def preview(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    expected_path: Path | None,
    limit: int,
    seed: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Compare runs without ground truth, and list what to look at first.

    RUN... are runs of one split. Each pair is scored against each other. Objects
    with low agreement or suspicious masks are listed first. For a single run, only the
    suspicious masks are listed.

    \b
    Example:
      submit preview plain flipped --split work/sample
    """
    from ..tuning import ExpectedScore, frames_to_look_at
    from ..tuning import preview as look

    opened = open_split(split, videos)
    model = None if expected_path is None else ExpectedScore.load(expected_path)
    with progress("preview", total=frames_to_look_at(opened)) as bar:
        found = look(
            opened,
            open_runs(runs, names),
            model=model,
            workers=workers,
            seed=seed,
            progress=bar.advance,
        )
    for text in found.notes:
        warn(text)
    emit(_view(found, model, limit), found, as_json=as_json)


def _view(found: Preview, model: ExpectedScore | None, limit: int) -> RenderableType:
    """The runs, how they agree, and the objects to look at."""
    agreement = best_cells([run.agreement for run in found.runs])
    expected = best_cells(
        [None if run.expected is None else run.expected.score for run in found.runs]
    )
    rows: list[list[Cell]] = [
        [
            run.run,
            run.videos,
            run.objects,
            agreement[place],
            expected[place],
            None
            if run.expected is None
            else f"{format_score(run.expected.low)} … "
            f"{format_score(run.expected.high)}",
        ]
        for place, run in enumerate(found.runs)
    ]
    views: list[RenderableType] = [
        table(
            [
                "run",
                number("videos"),
                number("objects"),
                number("agreement"),
                number("expected J&Ḟ"),
                number("90 % interval"),
            ],
            rows,
        )
    ]
    if len(found.pairs) > 1:
        pairs = sorted(found.pairs, key=lambda pair: pair.agreement)
        views.append(
            table(
                ["run", "other", number("agreement")],
                [[one.one, one.other, format_score(one.agreement)] for one in pairs],
                keys=2,
            )
        )
    views.append(
        table(
            ["video", number("object"), number("agreement"), number("expected"), "why"],
            [
                [
                    one.video,
                    one.object,
                    format_score(one.agreement),
                    format_score(one.expected),
                    escape("; ".join(one.reasons)),
                ]
                for one in found.suspects[:limit]
            ],
            keys=2,
        )
    )
    if model is not None:
        views.append(facts({"expected score": format_calibration(model)}))
    return stack(*views)
