"""`submit export`, `submit pack` and `submit check`: from a run to a checked zip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import ArchiveError
from ._options import json_option, runs_dir_option, split_option, workers_option
from ._output import emit, escape, facts, format_bytes, format_count, stack
from ._progress import progress
from ._runs import local_executor, masks_path, report, run_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..checks import Report
    from ..postprocess import Postprocess

__all__ = ["check", "export", "pack", "report_view"]

#: Findings of one kind that are listed; --json has all.
_SHOWN = 5

#: Post-processing as options: the type of the value and its help. The dataclass that
#: they fill is not imported for `submit --help`; a test holds the two together.
_POSTPROCESS: dict[str, tuple[type[float | int], str]] = {
    "threshold": (float, "Logit that a pixel must exceed."),
    "holes": (float, "Fill holes up to this share of the object's area."),
    "components": (
        float,
        "Remove parts smaller than this share of the object's largest.",
    ),
    "min_area": (int, "Take out objects of fewer pixels."),
    "gaps": (int, "Close gaps of up to this many pixels between two objects."),
    "flicker": (int, "Take out objects that show up for fewer frames, unsurely."),
    "flicker_score": (float, "Unsure is a mean object score below this; 2."),
    "dropout": (int, "Fill in objects that are gone for fewer frames."),
}

Command = TypeVar("Command", bound=Callable[..., Any])


def _postprocess_options(command: Command) -> Command:
    """Add an option for each setting of post-processing; None where it is not given."""
    for name, (kind, words) in reversed(_POSTPROCESS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, type=kind, metavar="N", help=words)(command)
    return command


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write; the run's own masks/ without it.",
)
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The split, if it is no longer where the run was made from.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Do what the table [postprocess] of this file says, as submit tune writes it.",
)
@_postprocess_options
@workers_option
@runs_dir_option
@json_option
def export(
    run: str,
    output: Path | None,
    split: Path | None,
    settings: Path | None,
    workers: int | None,
    runs: Path,
    as_json: bool,
    **postprocess: float | None,
) -> None:
    """Write the palette masks of a run.

    RUN is a name below --runs, or a folder. Each pixel goes to the object with the
    highest logit, if that is above 0. Masks have the size of the frame; the first one
    is the annotation itself. Post-processing is off unless asked for; options go before
    the values of --settings, and docs/tuning.md explains them.

    \b
    Example:
      submit export both -o masks --holes 0.05 --components 0.1
    """
    from ..pipeline import export_run, split_of
    from ..runs import Run

    wanted = _postprocess(settings, postprocess)
    opened = Run.open(run_path(runs, run))
    folder = output if output is not None else opened.masks_folder
    outcome = export_run(
        opened,
        split_of(opened, split),
        executor=local_executor(workers),
        folder=output,
        postprocess=wanted,
        monitor=progress,
    )
    report(outcome, folder)
    table = wanted.to_table()
    emit(
        facts(
            {
                "masks": str(folder),
                **({"post-processing": _listed(table)} if table else {}),
                "exported": f"{len(outcome.done)} videos, "
                f"{format_count(outcome.frames)} frames",
                "were there": f"{len(outcome.skipped)} videos",
            }
        ),
        {"masks": folder, "postprocess": table, **vars(outcome)},
        as_json=as_json,
    )


def _postprocess(
    settings: Path | None, options: dict[str, float | None]
) -> Postprocess:
    """Post-processing as the file says, with the options that were given."""
    from ..postprocess import Postprocess, read_postprocess

    base = Postprocess() if settings is None else read_postprocess(settings)
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    return dataclasses.replace(base, **given)


def _listed(table: dict[str, float | int]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in table.items())


@click.command()
@click.argument("source", metavar="RUN|DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.zip",
    help="The zip to write.",
)
@click.option(
    "--team",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A team.json to put at the root, which test phases demand.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Pack a run although videos of it failed; they will score 0.",
)
@runs_dir_option
@json_option
def pack(
    source: str,
    output: Path,
    team: Path | None,
    partial: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Pack masks into a submission zip.

    RUN|DIR is a run, which is exported if need be, or a folder of
    <video>/<frame>.png. Video folders stand at the root and nothing else. The same
    masks give the same bytes on every machine.

    \b
    Example:
      submit pack both -o both.zip
    """
    from .. import archive
    from ..runs import Run

    folder = run_path(runs, source)
    if not partial and Run.exists(folder) and (failed := Run.open(folder).failures):
        raise ArchiveError(
            f"{folder}: {len(failed)} videos failed, such as {min(failed)}, and would "
            "score 0; run the command that made the run again, or pack with --partial"
        )
    packed = archive.pack(masks_path(runs, source), output, team=team)
    emit(
        facts(
            {
                "zip": str(packed.path),
                "videos": packed.videos,
                "masks": packed.frames,
                "size": format_bytes(packed.size),
                "SHA-256": packed.sha256,
            }
        ),
        packed,
        as_json=as_json,
    )


@click.command()
@click.argument("source", metavar="ZIP|DIR|RUN")
@split_option
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    metavar="ZIP",
    help="The organisers' sample submission, which is believed where it differs.",
)
@click.option("--team", is_flag=True, help="Demand a team.json, as test phases do.")
@workers_option
@runs_dir_option
@json_option
def check(
    source: str,
    split: Path,
    sample: Path | None,
    team: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Find what the server would reject, or silently punish.

    ZIP|DIR|RUN is looked at as it is. Everything that is wrong is listed at once, with
    what it costs and how to mend it. The exit status is 1 when something is fatal or
    costs points.

    \b
    Example:
      submit check both.zip --split MOSEv2/valid
    """
    from ..checks import check_masks, masks_to_check
    from ..data import read_split

    opened = read_split(split)
    with progress("check", total=masks_to_check(opened), unit="masks") as bar:
        found = check_masks(
            masks_path(runs, source, opened),
            opened,
            sample=sample,
            team=team,
            workers=workers,
            progress=bar.advance,
        )
    emit(report_view(found), found, as_json=as_json)
    click.get_current_context().exit(found.exit_code)


def report_view(found: Report) -> RenderableType:
    """One block for each kind of finding, then the counts."""
    from rich.text import Text

    from ..checks import Severity

    styles = {
        Severity.FATAL: "bold red",
        Severity.COSTLY: "bold yellow",
        Severity.NOTE: "bold",
    }
    views: list[RenderableType] = []
    for group in found.groups:
        lines = Text()
        lines.append(f"{group.severity.value} ", style=styles[group.severity])
        lines.append(f"{group.code}, {format_count(group.count)}: ", style="bold")
        lines.append(escape(group.consequence))
        for finding in group.findings[:_SHOWN]:
            lines.append(f"\n  {escape(finding.where)}: {escape(finding.what)}")
        if len(group.findings) > _SHOWN:
            lines.append(f"\n  … and {len(group.findings) - _SHOWN} more (--json)")
        lines.append(f"\n  To do: {escape(group.fix)}")
        views.append(lines)
    counts = ", ".join(
        f"{found.count(severity)} {severity.value}" for severity in Severity
    )
    views.append(
        facts(
            {
                "checked": found.path,
                "videos": f"{format_count(found.videos)} of "
                f"{format_count(found.expected_videos)}",
                "masks": found.frames,
                "size": format_bytes(found.size),
                "findings": counts if found.findings else "none",
            }
        )
    )
    return stack(*views)
