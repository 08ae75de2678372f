"""`submit plan`: what a recipe will take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.words import counted
from ._options import device_option, json_option, workers_option
from ._output import (
    Cell,
    emit,
    facts,
    format_bytes,
    format_seconds,
    note,
    number,
    stack,
    table,
)
from ._progress import progress
from ._recipes import chosen_recipe, recipe_arguments
from ._runs import model_workers

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column

    from ..pipeline.forecast import RecipeForecast
    from ..system.urls import Place


@click.command()
@recipe_arguments
@click.option(
    "--frames",
    type=click.IntRange(min=4),
    default=20,
    show_default=True,
    metavar="N",
    help="Frames of each video that is probed.",
)
@workers_option
@device_option
@json_option
def plan(
    recipe: Path,
    split: Place | None,
    predictor: str | None,
    settings: tuple[str, ...],
    frames: int,
    workers: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Say what a recipe will take: time, memory, disk.

    Every step of RECIPE is done with the first frames of six videos, among them those
    with most and fewest objects and pixels. From that follows what submit build will
    take, with these and other numbers of workers; steps that are done take nothing.
    Nothing is written but temporary files. The exit code is 1 if something will not
    fit (docs/plan.md).

    \b
    Example:
      submit plan examples/sample.toml
    """
    from ..pipeline.forecast import forecast

    chain = chosen_recipe(recipe, split, predictor, settings)
    found = forecast(
        chain,
        workers_of=lambda model: model_workers(model, workers, device),
        device=device,
        workers=workers,
        frames=frames,
        # What the imports have taken, submit build needs as well.
        begun=time.process_time(),
        monitor=progress,
    )
    emit(lambda: _view(found), {**vars(found), "fits": found.fits}, as_json=as_json)
    for problem in found.problems:
        note(f"{problem.what}; {problem.remedy}")
    if not found.fits:
        click.get_current_context().exit(1)


def _view(found: RecipeForecast) -> RenderableType:
    """The steps, the numbers of workers, and the sums."""
    steps: list[list[Cell]] = [
        [
            step.name,
            step.does,
            step.videos,
            format_seconds(step.seconds) if step.videos else "done",
            step.workers if step.videos else "",
            format_bytes(step.memory) if step.videos else "",
            format_bytes(step.disk) if step.videos else "",
            step.remark,
        ]
        for step in found.steps
    ]
    headers: list[str | Column] = [
        "run",
        "step",
        *map(number, ("videos", "time", "workers")),
    ]
    headers += [*map(number, ("memory", "disk"))]
    if any(step.remark for step in found.steps):
        headers.append("")
    else:
        steps = [row[:-1] for row in steps]
    choices: list[list[Cell]] = [
        [
            f"{one.executor}{', as planned' if one.chosen else ''}",
            one.machines,
            one.workers,
            format_seconds(one.seconds),
            format_bytes(one.memory),
            "yes" if one.fits else "no",
        ]
        for one in found.choices
    ]
    memory = format_bytes(found.memory)
    if found.memory_free is not None:
        memory += f" of {format_bytes(found.memory_free)} that are free"
    sums: dict[str, Cell] = {
        "split": f"{found.split}: {counted(found.videos, 'video')}, "
        f"{counted(found.frames, 'frame')}",
        "probed": counted(found.probed, "frame"),
        "time": f"about {format_seconds(found.seconds)}",
        "memory": memory,
        "disk": f"{format_bytes(found.disk)} of {format_bytes(found.disk_free)} that "
        "are free",
    }
    if found.gpu_memory:
        sums["GPU memory"] = f"{format_bytes(found.gpu_memory)} for each worker"
    if found.upload:
        sums["zip to upload"] = format_bytes(found.upload)
    sums["fits"] = "yes" if found.fits else "no"
    tables = [table(headers, steps)]
    if choices:
        counts = map(number, ("machines", "workers", "time", "memory"))
        tables.append(table(["executor", *counts, "fits"], choices))
    return stack(*tables, facts(sums))
