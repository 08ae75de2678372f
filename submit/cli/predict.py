"""`submit predict`: run a model over a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..augment import forms
from ._completion import (
    complete_predictors,
    complete_prompter_settings,
    complete_variants,
)
from ._options import (
    PATH,
    device_option,
    executor_option,
    json_option,
    name_option,
    part_option,
    runs_dir_option,
    settings_option,
    split_argument,
    videos_option,
    workers_option,
)
from ._output import emit
from ._progress import progress
from ._runs import model_executor, new_run_path, raise_failures, require_disk
from ._splits import open_split
from ._views import outcome_view

if TYPE_CHECKING:
    from ..system.parts import Part
    from ..system.urls import Place


@click.command()
@split_argument
@click.option(
    "--predictor",
    required=True,
    metavar="NAME",
    shell_complete=complete_predictors,
    help="The model to run, or a file and its class: model.py:MyModel.",
)
@name_option
@settings_option
@click.option(
    "--variant",
    metavar="V",
    shell_complete=complete_variants,
    help=f"Track this variant instead: {forms()}, or some of them joined by +.",
)
@click.option(
    "--tta",
    multiple=True,
    metavar="V",
    shell_complete=complete_variants,
    help="Track this variant too and merge frame by frame; repeatable.",
)
@videos_option
@click.option(
    "--late-objects",
    is_flag=True,
    help="Give objects to the model that are first annotated in a later frame.",
)
@click.option(
    "--prompts",
    type=PATH,
    metavar="FILE|DIR",
    help="Masks, boxes, points and absences in any frames, beside the first masks: a "
    "JSON file, or a folder of palette PNGs, <video>/<frame>.png.",
)
@click.option(
    "--prompter",
    metavar="NAME",
    shell_complete=complete_predictors,
    help="The model that turns boxes and points into masks, for a model that takes "
    "masks only, such as sam2.",
)
@click.option(
    "--prompter-option",
    "prompter_settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_prompter_settings,
    help="An option of the prompter, or @FILE; repeatable.",
)
@click.option(
    "--direction",
    type=click.Choice(["forward", "backward", "both"]),
    default="forward",
    help="Track from an object's first prompt to the end; from its last prompt to the "
    "start; or both, merged by the distance to the prompts.",
)
@click.option(
    "--soft/--no-soft",
    default=True,
    help="Keep soft masks, which ensembles and export need, or palette masks only.",
)
@executor_option
@part_option
@workers_option
@device_option
@runs_dir_option
@json_option
def predict(
    split: Place,
    predictor: str,
    name: str,
    settings: tuple[str, ...],
    variant: str | None,
    tta: tuple[str, ...],
    videos: tuple[str, ...],
    late_objects: bool,
    prompts: Path | None,
    prompter: str | None,
    prompter_settings: tuple[str, ...],
    direction: str,
    soft: bool,
    executor: str,
    part: Part | None,
    workers: int | None,
    device: str,
    runs: Path,
    as_json: bool,
) -> None:
    """Run a model over a split.

    SPLIT is a folder with JPEGImages and Annotations, as in MOSEv2, MOSEv1 or DAVIS.
    Given the first mask of each video, the model segments its objects in every later
    frame. A video is written when it is complete; a video that fails is recorded in the
    run's failed.json and the other videos continue. The same command, run again,
    resumes; a run made with other settings is refused.

    --prompts gives more than the first masks: masks, boxes, points and absences in any
    frame, from a detector, a person or another run. With --direction both, they also
    improve the frames before them (docs/prompts.md).

    --part divides the videos among jobs of a cluster, each with its own folder
    (docs/cluster.md).

    \b
    Example:
      submit predict work/sample --predictor classical --name plain
    """
    from ..pipeline import PredictPlan, predict_split

    require_disk(runs, executor)
    path = new_run_path(runs, name)
    if part is not None:
        path = part.place(path)
    outcome = predict_split(
        # Absolute, since workers of a cluster have a current folder of their own.
        open_split(split.absolute(), videos),
        path.absolute(),
        PredictPlan(
            predictor=predictor,
            options=settings,
            variant=variant,
            tta=tta,
            soft=soft,
            late_objects=late_objects,
            prompts=prompts,
            direction=direction,
            prompter=prompter,
            prompter_options=prompter_settings,
        ),
        executor=lambda model: model_executor(model, workers, device, kind=executor),
        device=device,
        remote=executor == "ray",
        part=part,
        monitor=progress,
    )
    raise_failures(outcome, path / "failed.json")
    emit(
        outcome_view(path, outcome, "predicted"),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )
