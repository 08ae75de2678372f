"""`submit tune`: search settings on a hold-out."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import StorageError
from ..metrics.measures import MEASURES
from ..system.words import counted
from ._options import (
    OUTPUT,
    SOURCE,
    force_option,
    json_option,
    runs_dir_option,
    seed_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import (
    NOTHING,
    Cell,
    best_cells,
    emit,
    facts,
    format_score,
    note,
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
    from ..tuning import ExpectedScore, Gain, StageResult, Tuned


#: With fewer videos only large gains are significant.
_FEW = 10
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="FILE.toml",
    help="The settings file to write.",
)
@click.option(
    "--metric",
    type=click.Choice(tuple(MEASURES)),
    default="jf_dot",
    help="The measure to improve, one of the official ones.",
)
@click.option(
    "--budget",
    default="300",
    metavar="N|TIME",
    help="Limit of the search: evaluations of the hold-out, or 90s, 20m, 2h.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Score one frame in N: faster, but not exactly the official numbers.",
)
@click.option(
    "--expected-score",
    "expected_path",
    type=OUTPUT,
    metavar="FILE.json",
    help="Also fit a model that predicts the score, for submit preview.",
)
@force_option
@seed_option
@workers_option
@runs_dir_option
@json_option
def tune(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    metric: str,
    budget: str,
    every: int,
    expected_path: Path | None,
    force: bool,
    seed: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Search settings on a hold-out: weights, gate, post-processing.

    RUN... are runs of a split with ground truth. A setting is kept only if it improves
    the score on held-out videos significantly (the bootstrap interval excludes 0). If
    no setting does, the result is the best single run. The file is for submit ensemble
    --settings and submit export --settings.

    \b
    Example:
      submit tune plain flipped --split work/sample -o tuned.toml
    """
    from ..system.files import write_bytes
    from ..system.outputs import claim
    from ..tuning import (
        MODEL_FILE,
        SETTINGS_FILE,
        Budget,
        Evaluator,
        fit_expected,
        settings_toml,
    )
    from ..tuning import tune as search

    evaluations, seconds = _budget(budget)
    claim(output, SETTINGS_FILE, force=force)
    if expected_path is not None:
        if os.path.realpath(expected_path) == os.path.realpath(output):
            raise click.UsageError("-o and --expected-score name one file")
        claim(expected_path, MODEL_FILE, force=force)
    allowed = Budget(evaluations, seconds)
    opened = open_split(split, videos)
    frames = sum(video.length for video in opened.videos.values())
    total = None if math.isinf(allowed.evaluations) else allowed.evaluations * frames
    with progress("tune", total=None if total is None else int(total)) as bar:
        evaluator = Evaluator(
            opened,
            open_runs(runs, names),
            metric=metric,
            every=every,
            budget=allowed,
            workers=workers,
            progress=bar.advance,
        )
        tuned = search(
            evaluator, seed=seed, on_stage=lambda one: bar.note(f"tune: {_line(one)}")
        )
    if tuned.videos < _FEW:
        warn(
            f"{split}: has {counted(tuned.videos, 'video')}; with so few, only "
            "large gains are significant"
        )
    if not tuned.is_complete:
        warn(f"the budget of {budget} was spent before everything was tried")
    model = None
    if expected_path is not None:
        model = fit_expected(evaluator, tuned.candidate, seed=seed, workers=workers)
    emit(_tuned_view(tuned, model), _tuned_data(tuned, model), as_json=as_json)
    settings = settings_toml(tuned, source=opened.subset_note or str(split))
    try:
        write_bytes(output, settings.encode())
    except StorageError:
        # The search may have taken hours, and its result fits a terminal.
        note(f"{output} would have held:\n{settings}")
        raise
    if model is not None and expected_path is not None:
        model.save(expected_path)
    note(f"written to {output}")


def _budget(text: str) -> tuple[float, float]:
    """Read a number of evaluations or a time in seconds; the other is infinite."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) <= 0:
        raise click.BadParameter(
            f"expected a number of evaluations, or a time such as 90s, 20m or 2h, "
            f"found {text!r}",
            param_hint="--budget",
        )
    value, unit = float(match[1]), match[2]
    return (math.inf, value * _UNITS[unit]) if unit else (value, math.inf)


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"


def _interval(gain: Gain) -> str:
    if math.isinf(gain.low):
        return NOTHING
    return f"{_signed(gain.low)} … {_signed(gain.high)}"


def _line(result: StageResult) -> str:
    """One stage in a line."""
    from ..tuning import changes_of

    words = f"{result.stage}: {changes_of(result)}"
    if result.left_out is None:
        return words
    judged = f"{_signed(result.left_out.mean)} on held-out videos"
    return f"{words}: {judged} ({_interval(result.left_out)})"


def _tuned_view(tuned: Tuned, model: ExpectedScore | None) -> RenderableType:
    """The runs, the stages, the members, and what came out."""
    from ..tuning import changes_of

    measure = MEASURES[tuned.metric]
    runs = table(
        ["run", number(measure)],
        list(zip(tuned.singles, best_cells(list(tuned.singles.values())), strict=True)),
    )
    rows: list[list[Cell]] = []
    for one in tuned.stages:
        judged = one.left_out
        rows.append(
            [
                one.stage,
                one.tried,
                changes_of(one),
                _signed(one.seen) if judged else None,
                _signed(judged.mean) if judged else None,
                _interval(judged) if judged else None,
                "yes" if one.kept else "no",
            ]
        )
    stages = table(
        [
            "stage",
            number("tried"),
            "best",
            number("seen"),
            number("left out"),
            number("95 % interval"),
            "kept",
        ],
        rows,
    )
    without = table(
        ["without", number(measure), number("change")],
        [
            [name, format_score(score), _signed(score - tuned.score)]
            for name, score in tuned.without.items()
        ],
    )
    summary = facts(
        {
            "members": ", ".join(tuned.candidate.members),
            "tuned": f"{format_score(tuned.score)}, {_signed(tuned.gain.mean)} against "
            f"{tuned.best_single} on the same videos ({_interval(tuned.gain)})",
            **_lead(tuned),
            "evaluations": f"{tuned.evaluations:.1f}",
            **({} if model is None else {"expected score": format_calibration(model)}),
        }
    )
    return stack(runs, stages, *([without] if tuned.without else []), summary)


def _lead(tuned: Tuned) -> dict[str, str]:
    """By how much the best run leads, and whether that is significant."""
    if tuned.lead is None:
        return {}
    first, second = list(tuned.singles)[:2]
    clear = "" if tuned.lead.is_clear else ", not significant"
    return {
        "best run": f"{first}, {_signed(tuned.lead.mean)} against {second} "
        f"({_interval(tuned.lead)}){clear}"
    }


def _tuned_data(tuned: Tuned, model: ExpectedScore | None) -> dict[str, object]:
    return {
        "metric": tuned.metric,
        "videos": tuned.videos,
        "objects": tuned.objects,
        "singles": tuned.singles,
        "lead": tuned.lead,
        "score": tuned.score,
        "gain": tuned.gain,
        "ensemble": tuned.candidate.merge.to_table(),
        "postprocess": tuned.candidate.post.to_table(),
        "stages": [
            {
                "stage": one.stage,
                "tried": one.tried,
                "seen": one.seen,
                "left_out": one.left_out,
                "kept": one.kept,
            }
            for one in tuned.stages
        ],
        "without": tuned.without,
        "evaluations": tuned.evaluations,
        "is_complete": tuned.is_complete,
        "calibration": None if model is None else model.calibration,
    }
