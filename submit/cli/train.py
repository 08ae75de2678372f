"""`submit train`: fine-tune a model."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.words import counted
from ._options import PATH, device_option, json_option, trainings_option
from ._output import (
    emit,
    facts,
    format_bytes,
    format_score,
    format_seconds,
    note,
)
from ._progress import Progress, progress

if TYPE_CHECKING:
    from ..training.estimate import Remedy, TrainingEstimate
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
@click.option(
    "--estimate",
    "estimated",
    is_flag=True,
    help="Say what memory, time and disk the training takes, and start nothing.",
)
@click.option(
    "--gpu-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="With --estimate: estimate for a GPU of this size, which need not be here.",
)
@device_option
@trainings_option
@json_option
def train(
    recipe: Path,
    name: str,
    changes: tuple[str, ...],
    until: int | None,
    workers: int | None,
    estimated: bool,
    gpu_memory: float | None,
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
    Before that, --estimate says what it takes, and what to change if it does not fit.

    \b
    Example:
      submit train examples/train/mose.toml --name mose
    """
    from ..runs import require_run_name
    from ..training.loop import train as run
    from ..training.recipe import read_recipe

    folder = trainings / require_run_name(name)
    if gpu_memory is not None and not estimated:
        raise click.UsageError("--gpu-memory belongs to --estimate")
    if estimated:
        from ..training.estimate import estimate

        found = estimate(
            recipe,
            changes,
            folder,
            device=device,
            gpu_memory=gpu_memory,
            workers=workers,
        )
        emit(facts(_estimate_facts(found)), found, as_json=as_json)
        return
    chosen, kind = read_recipe(recipe, changes)
    result = run(
        chosen,
        kind,
        folder,
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


def _remedy_facts(remedies: tuple[Remedy, ...]) -> dict[str, str]:
    """What makes a training fit, and what alone does not."""
    fitting = [one for one in remedies if one.fits]
    pairs = {}
    if fitting:
        pairs["to fit, add"] = _about_remedy(fitting[0])
    else:
        pairs["to fit"] = (
            "no change of the recipe that was tried is enough; choose a smaller model "
            "or image size, or a device with more memory"
        )
    short = [_about_remedy(one) for one in remedies if not one.fits]
    if short:
        pairs["not enough"] = "; ".join(short)
    return pairs


def _about_remedy(one: Remedy) -> str:
    options = " ".join(f"-o {shlex.quote(option)}" for option in one.options)
    return f"{options} ({format_bytes(one.total)})"


def _estimate_facts(found: TrainingEstimate) -> dict[str, str]:
    memory, time = found.memory, found.time
    gpu = found.device == "cuda"
    pairs = {
        "training": f"{found.model}, {found.steps:,} steps of "
        f"{counted(found.clips, 'clip')}, {found.precision}",
        "GPU memory" if gpu else "memory": f"{format_bytes(memory.total)}"
        f"{' of each GPU' if gpu else ''}: weights {format_bytes(memory.weights)}, "
        f"optimiser {format_bytes(memory.optimiser)}, clips "
        f"{format_bytes(memory.clips)}, program {format_bytes(memory.program)}",
    }
    if memory.room is not None:
        fits = "fits into" if memory.fits else "does not fit into"
        pairs["room"] = f"{fits} {format_bytes(memory.room)}"
    if not memory.fits:
        pairs |= _remedy_facts(found.remedies)
    if found.loaders:
        pairs["loading"] = (
            f"{format_bytes(found.loaders)} of memory for "
            f"{counted(time.loaders, 'process', 'processes')}; a clip takes "
            f"{format_seconds(time.load)} of a core"
        )
    basis = "this machine" if time.measured else "a large GPU"
    pairs["time"] = (
        f"about {format_seconds(time.total)} in one process: "
        f"{format_seconds(time.step)} a step, {time.operations / 1e12:.3g} TFLOP a "
        f"clip at {time.speed / 1e12:.3g} TFLOP/s of {basis}; N GPUs take an Nth"
    )
    if time.validations:
        pairs["validation"] = (
            f"{counted(time.validations, 'time', 'times')}, about "
            f"{format_seconds(time.validation)} each"
        )
    enough = "" if found.disk <= found.free else "; free some, or choose --trainings"
    pairs["disk"] = f"{format_bytes(found.disk)} of {format_bytes(found.free)}{enough}"
    return pairs
