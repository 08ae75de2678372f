"""`submit report`: one page with scores, timelines and a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import RunError
from ..system.files import run_path
from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    json_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, format_bytes, warn
from ._progress import progress
from ._runs import facts_of_run, masks_of, open_runs, require_once
from ._splits import open_split

if TYPE_CHECKING:
    from ..data import Split
    from ..report.costs import MeasuredEnsemble
    from ..report.page import ReportedRun
    from ..runs import Run
    from ..system.urls import Place


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="DIR",
    help="The folder to write; open its index.html.",
)
@click.option(
    "--expected-score",
    "expected_path",
    type=PATH,
    metavar="FILE.json",
    help="Predict scores with a model that submit tune has fitted; only for a split "
    "without truth.",
)
@click.option(
    "--frames",
    "most",
    type=click.IntRange(2, 200),
    default=24,
    metavar="N",
    help="Maximum number of frames of each video in the viewer.",
)
@click.option(
    "--side",
    type=click.IntRange(64, 1920),
    default=480,
    metavar="PIXELS",
    help="Longer side of the frames in the viewer.",
)
@click.option(
    "--members",
    is_flag=True,
    help="Also measure what each member of an ensemble among the runs brings: it is "
    "left out, and the others are merged and scored. Needs truth.",
)
@workers_option
@runs_dir_option
@json_option
def report(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    expected_path: Path | None,
    most: int,
    side: int,
    members: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Write a page with scores, timelines and a viewer for a browser.

    RUN... are runs, and with truth also folders of <video>/<frame>.png or zips. With
    truth the page has scores and differences, without it agreement and what to look at
    first. It needs neither a server nor the network.

    \b
    Example:
      submit report plain both --split work/sample -o report
    """
    from ..checks import check_masks, masks_to_check
    from ..report.page import REPORT, write_report
    from ..report.views import has_truth
    from ..scoring import frames_to_score, score_split
    from ..system.outputs import claim
    from ..tuning import ExpectedScore, frames_to_look_at, preview

    claim(output, REPORT, inputs=(*names, split))
    opened = open_split(split, videos)
    truth = any(has_truth(video) for video in opened.videos.values())
    if truth and expected_path is not None:
        raise click.UsageError(
            "--expected-score predicts scores where there is no truth, and "
            f"{split} has truth; leave the option out"
        )
    if members and not truth:
        raise click.UsageError(f"--members needs truth, and {split} has none")
    with ExitStack() as stack:
        sources = [_source(stack, runs, name, opened, workers) for name in names]
        require_once([one.name for one in sources])
        scores, look = {}, None
        if truth:
            for one in sources:
                total = frames_to_score(opened)
                with progress(f"score {one.name}", total=total) as bar:
                    scores[one.name] = score_split(
                        opened, one.masks, workers=workers, progress=bar.advance
                    )
        else:
            model = None if expected_path is None else ExpectedScore.load(expected_path)
            with progress("preview", total=frames_to_look_at(opened)) as bar:
                look = preview(
                    opened,
                    open_runs(runs, names),
                    model=model,
                    workers=workers,
                    progress=bar.advance,
                )
            for text in look.notes:
                warn(text)
        measured = _measure(runs, names, opened, workers) if members else []
        checks = {}
        for one in sources:
            total = masks_to_check(opened)
            with progress(f"check {one.name}", total=total, unit="masks") as bar:
                checks[one.name] = check_masks(
                    one.masks, opened, workers=workers, progress=bar.advance
                )
        with progress("draw", total=frames_to_look_at(opened)) as bar:
            made = write_report(
                opened,
                sources,
                output,
                scores=scores,
                preview=look,
                checks=checks,
                ensembles=measured,
                most=most,
                long_side=side,
                workers=workers,
                progress=bar.advance,
            )
    emit(
        facts(
            {
                "page": str(made.path),
                "videos": made.videos,
                "frames": made.frames,
                "size": format_bytes(made.bytes),
            }
        ),
        made,
        as_json=as_json,
    )


def _source(
    stack: ExitStack, runs: Path, name: str, split: Split, workers: int | None
) -> ReportedRun:
    """Open a run, a folder or a zip."""
    from ..report.page import ReportedRun
    from ..runs import Run, cost_of

    masks = stack.enter_context(masks_of(runs, name, split, workers=workers))
    path = run_path(runs, name)
    if Run.exists(path):
        run = Run.open(path)
        details = {name: record.details for name, record in run.videos.items()}
        return ReportedRun(
            run.name, masks, facts_of_run(run), details, cost_of(run, _members(run))
        )
    return ReportedRun(name, masks, {"masks": str(masks.path)})


def _members(run: Run) -> list[Run]:
    """The members of an ensemble that are beside it; none unless all of them are."""
    from ..runs import Run

    names = run.settings.get("members") or () if run.kind == "ensemble" else ()
    paths = [run.path.parent / name for name in names]
    if not all(Run.exists(path) for path in paths):
        return []
    return [Run.open(path) for path in paths]


def _measure(
    runs: Path, names: Sequence[str], split: Split, workers: int | None
) -> list[MeasuredEnsemble]:
    """Measure what the members of each ensemble bring.

    Raises:
        RunError: No run is an ensemble, or its members are not there.
    """
    from ..report.costs import MeasuredEnsemble
    from ..runs import Run, cost_of
    from ..tuning.members import frames_to_merge, member_steps

    opened = [
        Run.open(path)
        for path in (run_path(runs, name) for name in names)
        if Run.exists(path)
    ]
    ensembles = [run for run in opened if run.kind == "ensemble"]
    if not ensembles:
        raise RunError(
            f"--members: expected an ensemble among the runs, found {', '.join(names)};"
            " merge runs with submit ensemble, or leave the option out"
        )
    measured = []
    for ensemble in ensembles:
        members = {run.name: run for run in _members(ensemble)}
        if not members:
            raise RunError(
                f"{ensemble.path}: not all of its members are in "
                f"{ensemble.path.parent}; leave --members out"
            )
        method = ensemble.settings["method"]
        total = frames_to_merge(split, len(members))
        with progress(f"members of {ensemble.name}", total=total) as bar:
            steps = member_steps(
                split, members, method=method, workers=workers, progress=bar.advance
            )
        costs = {name: cost_of(run) for name, run in members.items()}
        measured.append(MeasuredEnsemble(ensemble.name, method, steps, costs))
    return measured
