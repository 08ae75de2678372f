"""`submit ensemble`: several runs become one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..ensemble import DEFAULT_METHOD, METHODS
from ..system.files import run_path
from ._options import (
    PATH,
    SOURCE,
    executor_option,
    json_option,
    optional_split,
    part_option,
    runs_dir_option,
    workers_option,
)
from ._output import NOTHING, emit, number, stack
from ._output import table as table_of
from ._progress import progress
from ._runs import new_run_path, plain_executor, raise_failures, require_disk
from ._splits import open_split
from ._views import outcome_view

if TYPE_CHECKING:
    from ..ensemble import MemberSummary
    from ..pipeline import StepOutcome
    from ..system.parts import Part
    from ..system.urls import Place


@click.command()
@click.argument("members", nargs=-1, metavar="RUN...", type=SOURCE)
@click.option(
    "--name",
    metavar="RUN",
    help="Name of the new run. Default: the members joined by +.",
)
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    help=f"How to merge. Default: {DEFAULT_METHOD}.",
)
@click.option(
    "--weights",
    metavar="W,W,…|FILE",
    help="Weight of each run, in their order, or a weights file. Default: equal "
    "weights.",
)
@click.option(
    "--gate",
    metavar="all|RUN,…",
    help="Members that decide when an object is absent, apart from its shape.",
)
@click.option(
    "--gate-return",
    metavar="RUN,…",
    help="Members that decide when an object reappears. Default: those of --gate.",
)
@click.option(
    "--gate-threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Mean probability below which an object is absent. Default: 0.5.",
)
@click.option(
    "--settings",
    "file",
    type=PATH,
    metavar="FILE",
    help="Read these settings from the table [ensemble] of a file.",
)
@click.option(
    "--missing",
    type=click.Choice(["fail", "reweight"]),
    default="fail",
    help="What to do where a run lacks a video or an object.",
)
@optional_split(
    "The split, if it was moved; only method vote needs it, for the first masks."
)
@executor_option
@part_option
@workers_option
@runs_dir_option
@json_option
def ensemble(
    members: tuple[str, ...],
    name: str | None,
    method: str | None,
    weights: str | None,
    gate: str | None,
    gate_return: str | None,
    gate_threshold: float | None,
    file: Path | None,
    missing: str,
    split: Place | None,
    executor: str,
    part: Part | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Merge runs into one.

    RUN... are names below --runs, or folders; a settings file may name them instead.
    They may differ in resolution; imported masks count as full confidence. The overlap
    rule is applied once, at export. Without --name the run is called by its members'
    names joined by +. docs/ensembling.md explains the methods, weights files and the
    gate.

    \b
    Example:
      submit ensemble plain flipped --name both --weights 2,1
    """
    from ..ensemble import MergeSettings, read_ensemble_table
    from ..pipeline import ensemble_runs, run_of_part

    table = {} if file is None else read_ensemble_table(file)
    if not members and file is not None and "members" in table:
        settings = MergeSettings.from_table(table, where=str(file), at=("ensemble",))
        members = settings.members
    paths = [run_path(runs, member) for member in members]
    if not paths:
        raise click.UsageError("name the runs to merge, or a settings file that does")
    table["members"] = [path.name for path in paths]
    if method is not None:
        table["method"] = method
    if weights is not None:
        table["weights"] = _weights(weights)
    if gate is not None:
        table["gate"] = _gate(gate, gate_return, gate_threshold)
    elif gate_return is not None or gate_threshold is not None:
        raise click.UsageError("--gate-return and --gate-threshold need --gate")
    require_disk(runs, executor)
    path = new_run_path(runs, "+".join(table["members"]) if name is None else name)
    if part is not None:
        path = part.place(path)
    outcome = ensemble_runs(
        [run_of_part(one, part) for one in paths],
        path,
        executor=plain_executor(executor, workers),
        settings=MergeSettings.from_table(table)
        if file is None
        else MergeSettings.from_table(table, where=str(file), at=("ensemble",)),
        reweight=missing == "reweight",
        split=None if split is None else open_split(split),
        part=part,
        monitor=progress,
    )
    raise_failures(outcome, path / "failed.json")
    _emit_ensemble(path, outcome, as_json=as_json)


def _weights(text: str) -> Any:
    """Numbers in the order of the runs, or the content of a weights file."""
    if not all(character in "0123456789.,+-eE " for character in text):
        from ..ensemble import read_weights
        from ..system.homes import user_path

        return read_weights(user_path(text))
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"expected numbers joined by commas, or a file, found {text!r}",
            param_hint="--weights",
        ) from None


def _gate(who: str, returning: str | None, threshold: float | None) -> dict[str, Any]:
    """The table of a gate with equal weights of some members."""
    gate: dict[str, Any] = {}
    if who != "all":
        gate["weights"] = dict.fromkeys(who.split(","), 1.0)
    if returning is not None:
        gate["return_weights"] = dict.fromkeys(returning.split(","), 1.0)
    if threshold is not None:
        gate["threshold"] = threshold
    return gate


def _emit_ensemble(path: Path, outcome: StepOutcome, *, as_json: bool) -> None:
    """What was merged, and what each member did to the result."""
    summaries: Sequence[MemberSummary] = outcome.details["members"]
    emit(
        stack(
            outcome_view(path, outcome, "merged"),
            table_of(
                [
                    "member",
                    number("weight"),
                    number("videos"),
                    number("differs"),
                    number("left out, changes"),
                    number("objects"),
                ],
                [
                    [
                        one.name,
                        f"{one.weight:.3f}",
                        one.videos,
                        _percent(one.differs),
                        _percent(one.changes),
                        _percent(one.objects_change),
                    ]
                    for one in summaries
                ],
            ),
        ),
        {"run": path, **vars(outcome)},
        as_json=as_json,
    )


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.2f} %"
