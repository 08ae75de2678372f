"""`submit train`: fine-tune a model."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import PATH, device_option, json_option
from ._output import emit, facts, format_score, note
from ._progress import Progress, progress

if TYPE_CHECKING:
    from ..training.loop import TrainingResult


@click.command()
@click.argument("recipe", type=PATH)
@click.option("--name", required=True, help="What to call the training.")
@click.option(
    "-o",
    "--option",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A value in place of the recipe's, such as schedule.steps=1000; repeatable.",
)
@click.option(
    "--until",
    type=click.IntRange(min=1),
    metavar="STEP",
    help="Stop after this step; the same command without it continues.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="How many processes load clips, for each GPU; 0 loads in the process that "
    "trains. Default: one less than the CPU cores of each GPU.",
)
@device_option
@click.option(
    "--trainings",
    type=PATH,
    default=Path("trainings"),
    envvar="SUBMIT_TRAININGS",
    show_envvar=True,
    metavar="DIR",
    help="Where trainings are kept.",
)
@json_option
def train(
    recipe: Path,
    name: str,
    changes: tuple[str, ...],
    until: int | None,
    workers: int | None,
    device: str,
    trainings: Path,
    as_json: bool,
) -> None:
    """Fine-tune a model, and score it on a hold-out meanwhile.

    RECIPE is a TOML file; examples/train has some, and submit trainers explains the
    keys. All data are read and checked before the first step. The same command, run
    again, continues after the last saved step, with the same result as without the
    break. The weights with the best score are best.pt, the latest ones (or their moving
    average) ema.pt; both are what submit predict takes as -o checkpoint=FILE.

    On several GPUs: torchrun --nproc-per-node 8 -m submit train RECIPE --name NAME.

    \b
    Example:
      submit train examples/train/mose.toml --name mose
    """
    from ..runs import require_run_name
    from ..training.loop import train as run
    from ..training.recipe import read_recipe

    chosen, kind = read_recipe(recipe, changes)
    result = run(
        chosen,
        kind,
        trainings / require_run_name(name),
        device=device,
        workers=workers,
        until=until,
        monitor=_monitor,
        note=note,
    )
    emit(facts(_facts(result)), result, as_json=as_json)


def _monitor(
    title: str, total: int | None, unit: str
) -> AbstractContextManager[Progress]:
    return progress(title, total=total, unit=unit)


def _facts(result: TrainingResult) -> dict[str, str]:
    pairs = {"training": str(result.path), "steps": f"{result.steps:,}"}
    if (best := result.best) is not None:
        score = f"J&Ḟ {format_score(best.score)}"
        if best.interval is not None:
            low, high = (format_score(edge) for edge in best.interval)
            score += f", 95 % interval {low} to {high}"
        pairs |= {
            "best": f"{score} ({best.weights} of step {best.step:,})",
            "at the start": f"J&Ḟ {format_score(best.start)}",
        }
    options = [f"-o {shlex.quote(option)}" for option in result.options]
    return {
        **pairs,
        "checkpoint": str(result.checkpoint),
        "predict": f"submit predict SPLIT --predictor {result.predictor} "
        f"-o checkpoint={shlex.quote(str(result.checkpoint))} "
        f"{' '.join(options)} --name {result.path.name}",
    }
