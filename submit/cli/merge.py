"""`submit import` and `submit ensemble`: runs from masks, and from other runs."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import (
    json_option,
    name_option,
    runs_dir_option,
    split_option,
    workers_option,
)
from ._output import emit, facts, format_count, warn
from ._progress import progress
from ._runs import local_executor, report, run_path


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@name_option
@split_option
@workers_option
@runs_dir_option
@json_option
def import_command(
    source: Path,
    name: str,
    split: Path,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Turn masks of any other program into a run.

    SOURCE is a folder or zip of <video>/<frame>.png. Names, sizes and object ids are
    checked against the split.

    \b
    Example:
      submit import cutie.zip --name cutie --split MOSEv2/valid
    """
    from ..dataset import read_split
    from ..pipeline import import_masks

    path = run_path(runs, name)
    outcome = import_masks(
        source,
        path,
        read_split(split),
        executor=local_executor(workers),
        monitor=progress,
    )
    report(outcome, path / "failed.json")
    absent = outcome.details["absent"]
    if absent:
        warn(
            f"{source} lacks {len(absent)} videos of {split}, such as {absent[0]}; "
            "their objects score 0"
        )
    _emit_run(path, outcome, as_json=as_json, verb="imported")


@click.command()
@click.argument("members", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--name", metavar="RUN", help="What to call the new run; the members joined by +."
)
@click.option(
    "--weights",
    metavar="W,W,…",
    help="Weight of each run, in their order; equal ones without it.",
)
@click.option(
    "--missing",
    type=click.Choice(["fail", "reweight"]),
    default="fail",
    help="What to do where a run lacks a video or an object.",
)
@workers_option
@runs_dir_option
@json_option
def ensemble(
    members: tuple[str, ...],
    name: str | None,
    weights: str | None,
    missing: str,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Merge runs into one by the mean of their logits.

    RUN... are names below --runs, or folders. They may differ in resolution; imported
    masks count as sure votes. The overlap rule is applied once, at export. Without
    --name the run is called by its members' names joined by +.

    \b
    Example:
      submit ensemble plain flipped --name both --weights 2,1
    """
    from ..pipeline import ensemble_runs

    paths = [run_path(runs, member) for member in members]
    path = run_path(runs, name or "+".join(p.name for p in paths))
    outcome = ensemble_runs(
        paths,
        path,
        executor=local_executor(workers),
        weights=_numbers(weights),
        reweight=missing == "reweight",
        monitor=progress,
    )
    report(outcome, path / "failed.json")
    _emit_run(path, outcome, as_json=as_json, verb="merged")


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"expected numbers joined by commas, found {text!r}",
            param_hint="--weights",
        ) from None


def _emit_run(path: Path, outcome: object, *, as_json: bool, verb: str) -> None:
    values = vars(outcome)
    emit(
        facts(
            {
                "run": str(path),
                verb: f"{len(values['done'])} videos, "
                f"{format_count(values['frames'])} frames",
                "were there": f"{len(values['skipped'])} videos",
            }
        ),
        {"run": path, **values},
        as_json=as_json,
    )
