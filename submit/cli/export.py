"""`submit export`: palette masks of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import RunError
from ..postprocess import Postprocess, all_settings, read_postprocess
from ..system.files import run_path
from ..system.words import counted
from ._options import (
    OUTPUT,
    PATH,
    SOURCE,
    executor_option,
    json_option,
    optional_split,
    part_option,
    runs_dir_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, note
from ._progress import progress
from ._runs import plain_executor, raise_failures, require_disk

if TYPE_CHECKING:
    from ..data import Split
    from ..runs import Run
    from ..system.parts import Part
    from ..system.urls import Place


Command = TypeVar("Command", bound=Callable[..., Any])


def _postprocess_options(command: Command) -> Command:
    """Add an option for each setting of post-processing; None if it is not given."""
    for one in reversed(all_settings().values()):
        flag = f"--{one.name.replace('_', '-')}"
        command = click.option(flag, type=one.type, metavar="N", help=one.help)(command)
    return command


@click.command()
@click.argument("run", metavar="RUN", type=SOURCE)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="DIR",
    help="Where to write. Default: the run's own masks/.",
)
@optional_split("The split, if it was moved since the run was made.")
@videos_option
@click.option(
    "--settings",
    type=PATH,
    metavar="FILE.toml",
    help="Read these settings from the table [postprocess] of a file (of submit tune).",
)
@_postprocess_options
@executor_option
@part_option
@workers_option
@runs_dir_option
@json_option
def export(
    run: str,
    output: Path | None,
    split: Place | None,
    videos: tuple[str, ...],
    settings: Path | None,
    executor: str,
    part: Part | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
    **postprocess: float | None,
) -> None:
    """Write the palette masks of a run.

    RUN is a name below --runs, or a folder. Each pixel gets the id of the object with
    the highest logit, if that is above 0. Masks have the size of the frame; the first
    one is the annotation itself. Post-processing is off by default; options override
    the values of --settings; docs/tuning.md explains them.

    \b
    Example:
      submit export both -o masks --holes 0.05 --components 0.1
    """
    from ..pipeline import export_run, run_of_part, split_of
    from ..runs import Run
    from ..system.outputs import OutputKind, claim

    require_disk(runs, executor)
    wanted = _postprocess(settings, postprocess)
    path = run_path(runs, run)
    opened = Run.open(run_of_part(path, part))
    whole = opened.path == path
    if part is not None and output is not None:
        output = part.place(output)
    elif part is not None and whole:
        output = part.place(opened.masks_folder)
    folder = output if output is not None else opened.masks_folder
    claim(folder, OutputKind.of_folder("masks", "submit export"))
    source = split_of(opened, split)
    chosen = _chosen(opened, source, videos)
    if part is not None and whole:
        names = opened.videos if chosen is None else chosen
        chosen = part.of({name: opened.videos[name].frames for name in names})
    outcome = export_run(
        opened,
        source,
        executor=plain_executor(executor, workers),
        folder=output,
        postprocess=wanted,
        videos=chosen,
        monitor=progress,
    )
    raise_failures(outcome, folder)
    table = wanted.to_table()
    emit(
        facts(
            {
                "masks": str(folder),
                **({"post-processing": _listed(table)} if table else {}),
                "exported": f"{counted(len(outcome.done), 'video')}, "
                f"{counted(outcome.frames, 'frame')}",
                "already complete": counted(len(outcome.skipped), "video"),
            }
        ),
        {"masks": folder, "postprocess": table, **vars(outcome)},
        as_json=as_json,
    )


def _chosen(run: Run, split: Split, patterns: tuple[str, ...]) -> Sequence[str] | None:
    """The videos of a run that patterns name; None for all.

    Raises:
        SplitError: A pattern matches no video of the split.
        RunError: The run has none of them.
    """
    if not patterns:
        return None
    chosen = [video.name for video in split.select(patterns)]
    found = [name for name in chosen if name in run.videos]
    if not found:
        raise RunError(
            f"run {run.name}: has no video {chosen[0]} yet; predict it first"
        )
    videos = counted(len(run.videos), "video")
    note(f"{len(found):,} of {videos} of run {run.name} only (--videos)")
    return found


def _postprocess(
    settings: Path | None, options: dict[str, float | None]
) -> Postprocess:
    """Post-processing of the settings file, changed by the options that were given."""
    base = Postprocess() if settings is None else read_postprocess(settings)
    given = {k: v for k, v in options.items() if v is not None}
    return base.replace(**given)


def _listed(table: dict[str, float | int]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in table.items())
