"""`submit build`: a recipe from the split to the checked zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import device_option, force_option, json_option, workers_option
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
from ._runs import local_executor, model_executor
from ._views import score_columns, score_rows

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column

    from ..pipeline.build import BuildResult
    from ..system.urls import Place


@click.command()
@recipe_arguments
@force_option
@workers_option
@device_option
@json_option
def build(
    recipe: Path,
    split: Place | None,
    predictor: str | None,
    settings: tuple[str, ...],
    force: bool,
    workers: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Run all steps of a recipe, from the split to the checked zip.

    RECIPE is a TOML file; examples/sample.toml explains each key. Steps whose inputs
    have not changed are skipped, and an interrupted build continues. If the split has
    full ground truth, every run is scored. With --predictor sam2, runs and zip go to
    runs/sample-sam2 instead of runs/sample, unless the recipe names the zip.

    \b
    Example:
      submit build examples/sample.toml
    """
    from ..pipeline import build as pipeline

    chain = chosen_recipe(recipe, split, predictor, settings)
    result = pipeline.build(
        chain,
        executor=local_executor(workers),
        model_executor=lambda model: model_executor(model, workers, device),
        device=device,
        workers=workers,
        force=force,
        monitor=progress,
        note=note,
    )
    emit(_view(result), result, as_json=as_json)


def _view(result: BuildResult) -> RenderableType:
    """One table of the runs, then the zip."""
    scored = any(run.scores is not None for run in result.runs)
    scores = score_rows([run.scores for run in result.runs])
    rows: list[list[Cell]] = [
        [
            run.name,
            run.made_by,
            run.videos,
            format_seconds(run.seconds) if run.made else "unchanged",
            *(cells if scored else ()),
        ]
        for run, cells in zip(result.runs, scores, strict=True)
    ]
    columns: list[str | Column] = ["run", "made by", number("videos"), number("time")]
    return stack(
        table([*columns, *(score_columns() if scored else ())], rows),
        facts(
            {
                "zip": str(result.zip),
                "size": format_bytes(result.size),
                "SHA-256": result.sha256,
                "precheck": "no findings",
            }
        ),
    )
