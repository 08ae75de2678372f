"""Options that several commands share, each a decorator."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..storage.copies import copy_of
from ..system.urls import StorageUrl, is_url, place
from ._completion import (
    complete_runs,
    complete_settings,
    complete_sources,
    complete_videos,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..system.parts import Part

__all__ = [
    "META",
    "OUTPUT",
    "PATH",
    "SOURCE",
    "SPLIT",
    "ParamType",
    "device_option",
    "executor_option",
    "force_option",
    "json_option",
    "meta_option",
    "name_option",
    "optional_split",
    "part_option",
    "runs_dir_option",
    "score_part_option",
    "seed_option",
    "settings_option",
    "split_argument",
    "split_option",
    "trainings_option",
    "usual_runs",
    "videos_option",
    "workers_option",
]

_PART = "Only part I of N of the videos, to be joined by submit merge-parts."

Command = TypeVar("Command", bound=Callable[..., Any])


#: Where the context of a command keeps the meta file that `--meta` names.
META = "submit.meta"


if TYPE_CHECKING:
    ParamType = click.ParamType
else:

    class ParamType(click.ParamType):
        """A type of values, also with a click whose types name no type of Python."""

        def __class_getitem__(cls, kind: object) -> type:
            """Take the type for type checkers only."""
            return cls


class _Path(click.Path):
    """A path that is not empty, as the value of an unset variable would be.

    `~` is the home folder, also where no shell reads it: in `--split=~/data` and in
    variables such as SUBMIT_RUNS.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Take a path, with the home folder written out."""
        if value == "":
            self.fail("it is empty; expected a path", param, ctx)
        if is_url(value):
            self.fail(
                "it is a URL; expected a path of this machine (URLs are taken for "
                "splits, and for the folder of runs)",
                param,
                ctx,
            )
        return super().convert(os.path.expanduser(value), param, ctx)


class _PlaceType(_Path):
    """A folder, or its URL in a storage."""

    def convert(
        self,
        value: str | os.PathLike[str] | StorageUrl,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Take a URL, or else a path."""
        found: Any = value
        if is_url(value):
            try:
                found = place(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        if isinstance(found, StorageUrl):
            return self._of_url(found, ctx)
        return super().convert(found, param, ctx)

    def _of_url(self, url: StorageUrl, ctx: click.Context | None) -> Any:
        """What the command gets for a URL."""
        return url


class _Runs(_PlaceType):
    """The folder of runs, or its URL in a storage; the command gets a folder."""

    def _of_url(self, url: StorageUrl, ctx: click.Context | None) -> Any:
        """Fetch the manifests of the runs into a copy, unless words are completed."""
        if ctx is None or ctx.resilient_parsing:
            return copy_of(url)
        from ..runs.kept import keep

        return keep(url)


class _Output(_Path):
    """A path to write to, which `-` is not."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Take a path as it is."""
        if value == "-":
            self.fail("results cannot go to stdout; expected a path", param, ctx)
        return super().convert(value, param, ctx)


class _Source(ParamType[str]):
    """A run, by its name or folder, or masks by their path."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Take a text that is not empty, with the home folder written out."""
        if not value:
            self.fail("it is empty; expected a run or a path", param, ctx)
        if is_url(value):
            self.fail(
                "it is a URL; expected a run, or a path of this machine", param, ctx
            )
        return os.path.expanduser(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the names of runs, and paths."""
        return complete_sources(ctx, param, incomplete)


#: An input of a command. The code that reads it reports a missing one: it knows what to
#: do.
PATH = _Path(path_type=Path)
#: A split.
SPLIT = _PlaceType(path_type=Path)
#: An output of a command; `submit.system.outputs.claim` checks it.
OUTPUT = _Output(path_type=Path)
#: A run, or masks in a folder or zip.
SOURCE = _Source()


def json_option(command: Command) -> Command:
    """Add `--json`; the command gets `as_json: bool`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        envvar="SUBMIT_JSON",
        help="Print the result as JSON.",
    )(command)


def split_argument(command: Command) -> Command:
    """Add the argument SPLIT and `--meta`; the command gets `split: Place`."""
    return click.argument("split", type=SPLIT)(meta_option(command))


def split_option(command: Command) -> Command:
    """Add `--split`, which must be given, and `--meta`; it gets `split: Place`."""
    return click.option(
        "--split",
        type=SPLIT,
        required=True,
        metavar="DIR|URL",
        help="The split: a folder with Annotations and JPEGImages.",
    )(meta_option(command))


def optional_split(words: str, *, meta: bool = False) -> Callable[[Command], Command]:
    """Add `--split`, which may be left out; the command gets `split: Place | None`.

    Args:
        words: Its help.
        meta: Whether `--meta` goes with it.
    """

    def add(command: Command) -> Command:
        option = click.option("--split", type=SPLIT, metavar="DIR|URL", help=words)
        return option(meta_option(command) if meta else command)

    return add


def meta_option(command: Command) -> Command:
    """Add `--meta`, which `open_split` reads."""

    def keep(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
        del param
        ctx.meta[META] = value

    return click.option(
        "--meta",
        type=PATH,
        expose_value=False,
        callback=keep,
        envvar="SUBMIT_META",
        show_envvar=True,
        metavar="FILE",
        help="The split's meta file, where it has several.",
    )(command)


def trainings_option(command: Command) -> Command:
    """Add `--trainings`; the command gets `trainings: Path`."""
    return click.option(
        "--trainings",
        type=PATH,
        default=Path("trainings"),
        envvar="SUBMIT_TRAININGS",
        show_envvar=True,
        metavar="DIR",
        help="Where trainings are kept.",
    )(command)


def usual_runs() -> Path:
    """The folder of runs that needs no option."""
    named = os.environ.get("SUBMIT_RUNS") or "runs"
    try:
        found = place(named)
    except ValueError:
        return Path(named)
    return copy_of(found) if isinstance(found, StorageUrl) else found


def runs_dir_option(command: Command) -> Command:
    """Add `--runs`; the command gets `runs: Path`."""
    return click.option(
        "--runs",
        type=_Runs(path_type=Path),
        default=Path("runs"),
        envvar="SUBMIT_RUNS",
        show_envvar=True,
        metavar="DIR|URL",
        help="Folder of the runs, or its URL in a storage (docs/cluster.md).",
    )(command)


def name_option(command: Command) -> Command:
    """Add `--name`, which must be given; the command gets `name: str`."""
    return click.option(
        "--name",
        required=True,
        metavar="RUN",
        shell_complete=complete_runs,
        help="Name of the new run.",
    )(command)


def videos_option(command: Command) -> Command:
    """Add `--videos`; the command gets `videos: tuple[str, ...]`, empty for all."""
    return click.option(
        "--videos",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_videos,
        help="Only videos whose name matches; repeatable.",
    )(command)


class _Part(ParamType["Part | None"]):
    """A part of the videos, `I/N`; None for 1/1, which is all of them."""

    name = "text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Part | None:
        """Read the number of a part."""
        from ..system.parts import Part

        try:
            part = value if isinstance(value, Part) else Part.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return None if part.count == 1 else part


def part_option(command: Command) -> Command:
    """Add `--part`; the command gets `part: Part | None`, None for all videos."""

    def find(
        ctx: click.Context, param: click.Parameter, value: Part | None
    ) -> Part | None:
        source = ctx.get_parameter_source(param.name or "")
        if source is not click.core.ParameterSource.DEFAULT:
            return value
        from ..system.parts import Part
        from ._output import note

        try:
            found = Part.of_slurm(os.environ)
        except ValueError as error:
            raise click.UsageError(str(error), ctx) from None
        if found is None or found.count == 1:
            return None
        note(f"part {found}, as SLURM_ARRAY_TASK_ID says (all videos: --part 1/1)")
        return found

    return click.option(
        "--part",
        type=_Part(),
        callback=find,
        metavar="I/N",
        help=f"{_PART} Default: the place in a job array of Slurm, else all.",
    )(command)


def score_part_option(command: Command) -> Command:
    """Add `--part` without the default of Slurm.

    A job that scores a whole run is as usual in an array as one that scores a part.
    """
    return click.option("--part", type=_Part(), metavar="I/N", help=_PART)(command)


def settings_option(command: Command) -> Command:
    """Add `-o key=value`; the command gets `settings: tuple[str, ...]`."""
    return click.option(
        "-o",
        "--option",
        "settings",
        multiple=True,
        envvar="SUBMIT_OPTIONS",
        metavar="KEY=VALUE",
        shell_complete=complete_settings,
        help="An option of the model (see: submit predictors NAME), or @FILE: a TOML "
        "file of them; repeatable.",
    )(command)


def device_option(command: Command) -> Command:
    """Add `--device`; the command gets `device: str`."""
    return click.option(
        "--device",
        default="auto",
        envvar="SUBMIT_DEVICE",
        show_envvar=True,
        metavar="DEVICE",
        help="Where models run: auto, cpu, cuda or cuda:N.",
    )(command)


def executor_option(command: Command) -> Command:
    """Add `--executor`; the command gets `executor: str`."""
    return click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        envvar="SUBMIT_EXECUTOR",
        show_envvar=True,
        help="This machine, or a Ray cluster (RAY_ADDRESS).",
    )(command)


def workers_option(command: Command) -> Command:
    """Add `--workers`; the command gets `workers: int | None`."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=None,
        envvar="SUBMIT_WORKERS",
        show_envvar=True,
        metavar="N",
        help="Number of processes. Default: one per GPU, else one per CPU core.",
    )(command)


def force_option(command: Command) -> Command:
    """Add `--force`; the command gets `force: bool`."""
    return click.option(
        "--force",
        is_flag=True,
        help="Replace the file or folder at the output path.",
    )(command)


def seed_option(command: Command) -> Command:
    """Add `--seed`; the command gets `seed: int`."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Random seed.",
    )(command)
