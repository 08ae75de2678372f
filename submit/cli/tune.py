"""`submit tune` and `submit preview`: what helps, and what to look at."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import (
    json_option,
    runs_dir_option,
    seed_option,
    split_option,
    workers_option,
)
from ._output import (
    NOTHING,
    Cell,
    emit,
    escape,
    facts,
    format_score,
    note,
    number,
    stack,
    table,
    warn,
)
from ._progress import progress
from ._runs import run_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..runs import Run
    from ..tuning import ExpectedScore, Gain, Preview, StageResult, Tuned

__all__ = ["preview", "tune"]

#: With fewer videos only large gains can be told from luck.
_FEW = 10
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_METRICS = ("jf_dot", "j", "f_dot", "disappear", "reappear", "f", "jf")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@split_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE.toml",
    help="The settings file to write.",
)
@click.option(
    "--metric",
    type=click.Choice(_METRICS),
    default="jf_dot",
    help="What to tune for: J&Ḟ, or another of the official numbers.",
)
@click.option(
    "--budget",
    default="300",
    metavar="N|TIME",
    help="What the search may cost: evaluations of the hold-out, or 90s, 20m, 2h.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Score each Nth frame only: faster, and not quite the official numbers.",
)
@click.option(
    "--expected-score",
    "expected_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Fit a model of the score, too, for submit preview.",
)
@seed_option
@workers_option
@runs_dir_option
@json_option
def tune(
    names: tuple[str, ...],
    split: Path,
    output: Path,
    metric: str,
    budget: str,
    every: int,
    expected_path: Path | None,
    seed: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Search what helps on a hold-out: weights, gate, post-processing.

    RUN... are runs of a split with ground truth. Only what helps on videos left out is
    kept, beyond its bootstrap interval; when nothing does, that is the best single run.
    The file is for submit ensemble --settings and submit export --settings.

    \b
    Example:
      submit tune plain flipped --split work/sample -o tuned.toml
    """
    from ..dataset import read_split
    from ..files import write_bytes
    from ..tuning import Budget, Evaluator, fit_expected, settings_toml
    from ..tuning import tune as search

    evaluations, seconds = _budget(budget)
    allowed = Budget(evaluations, seconds)
    opened = read_split(split)
    frames = sum(video.length for video in opened.videos.values())
    total = None if math.isinf(allowed.evaluations) else allowed.evaluations * frames
    with progress("tune", total=None if total is None else int(total)) as bar:
        evaluator = Evaluator(
            opened,
            _runs(runs, names),
            metric=metric,
            every=every,
            budget=allowed,
            workers=workers,
            report=bar.advance,
        )
        tuned = search(
            evaluator, seed=seed, report=lambda one: bar.note(f"tune: {_line(one)}")
        )
    if tuned.videos < _FEW:
        warn(
            f"{split}: has {tuned.videos} videos; with so few only large gains can be "
            "told from luck"
        )
    if not tuned.is_complete:
        warn(f"the budget of {budget} was spent before everything was tried")
    write_bytes(output, settings_toml(tuned, source=str(split)).encode())
    model = None
    if expected_path is not None:
        model = fit_expected(evaluator, tuned.candidate, seed=seed, workers=workers)
        model.save(expected_path)
    note(f"written to {output}")
    emit(_tuned_view(tuned, model), _tuned_data(tuned, model), as_json=as_json)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@split_option
@click.option(
    "--expected-score",
    "expected_path",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="A model that submit tune has fitted: what each run will score.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=15,
    metavar="N",
    help="How many objects to list; --json has all.",
)
@seed_option
@workers_option
@runs_dir_option
@json_option
def preview(
    names: tuple[str, ...],
    split: Path,
    expected_path: Path | None,
    limit: int,
    seed: int,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Compare runs without truth, and say what to look at first.

    RUN... are runs of one split. Each two are scored against each other; objects in
    which they disagree, or whose masks look odd, come first. A single run shows its odd
    masks only.

    \b
    Example:
      submit preview plain flipped --split work/sample
    """
    from ..dataset import read_split
    from ..tuning import ExpectedScore, frames_to_look_at
    from ..tuning import preview as look

    opened = read_split(split)
    model = None if expected_path is None else ExpectedScore.load(expected_path)
    with progress("preview", total=frames_to_look_at(opened)) as bar:
        found = look(
            opened,
            _runs(runs, names),
            model=model,
            workers=workers,
            seed=seed,
            report=bar.advance,
        )
    for text in found.notes:
        warn(text)
    emit(_preview_view(found, model, limit), found, as_json=as_json)


def _runs(folder: Path, names: tuple[str, ...]) -> dict[str, Run]:
    """Open runs by name."""
    from ..errors import RunError
    from ..runs import Run

    opened = [Run.open(run_path(folder, name)) for name in names]
    found = {run.name: run for run in opened}
    if len(found) < len(opened):
        twice = next(run.name for run in opened if found[run.name] is not run)
        raise RunError(f"run {twice} is given twice; name each run once")
    return found


def _budget(text: str) -> tuple[float, float]:
    """Read a number of evaluations or a time in seconds; the other one is unbounded."""
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
    from ..tuning import steps_of

    words = f"{result.stage}: {steps_of(result)}"
    if result.left_out is None:
        return words
    judged = f"{_signed(result.left_out.mean)} on videos left out"
    return f"{words}: {judged} ({_interval(result.left_out)})"


def _tuned_view(tuned: Tuned, model: ExpectedScore | None) -> RenderableType:
    """The runs, the stages, the members, and what came out."""
    from ..tuning import MEASURES, steps_of

    measure = MEASURES[tuned.metric]
    runs = table(
        ["run", number(measure)],
        [[name, format_score(score)] for name, score in tuned.singles.items()],
    )
    rows: list[list[Cell]] = []
    for one in tuned.stages:
        judged = one.left_out
        rows.append(
            [
                one.stage,
                one.tried,
                steps_of(one),
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
            **({} if model is None else {"expected score": _calibration(model)}),
        }
    )
    return stack(runs, stages, *([without] if tuned.without else []), summary)


def _lead(tuned: Tuned) -> dict[str, str]:
    """By how much the best run leads, which is luck unless it is clear."""
    if tuned.lead is None:
        return {}
    first, second = list(tuned.singles)[:2]
    clear = "" if tuned.lead.is_clear else ", not beyond doubt"
    return {
        "best run": f"{first}, {_signed(tuned.lead.mean)} against {second} "
        f"({_interval(tuned.lead)}){clear}"
    }


def _calibration(model: ExpectedScore) -> str:
    """How far the model can be trusted, in a line."""
    found = model.calibration
    correlation = "–" if found.correlation is None else f"{found.correlation:.2f}"
    return (
        f"off by {100 * found.error:.1f} per object of videos left out "
        f"({100 * found.floor:.1f} without looking), correlation {correlation}, "
        f"{found.coverage:.0%} of the videos within their 90 % interval"
    )


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


def _preview_view(
    found: Preview, model: ExpectedScore | None, limit: int
) -> RenderableType:
    """The runs, how they agree, and the objects to look at."""
    rows: list[list[Cell]] = []
    for run in found.runs:
        expected = run.expected
        rows.append(
            [
                run.run,
                run.videos,
                run.objects,
                format_score(run.agreement),
                format_score(None if expected is None else expected.score),
                None
                if expected is None
                else f"{format_score(expected.low)} … {format_score(expected.high)}",
            ]
        )
    views = [
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
        )
    )
    if model is not None:
        views.append(facts({"expected score": _calibration(model)}))
    return stack(*views)
