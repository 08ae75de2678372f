"""Options that several commands share, each a decorator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "device_option",
    "json_option",
    "name_option",
    "runs_dir_option",
    "seed_option",
    "settings_option",
    "split_argument",
    "split_option",
    "videos_option",
    "workers_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

# Whether a split is there is for `read_split` to say: it knows the way out.
_PATH = click.Path(path_type=Path)


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
    """Add the argument SPLIT; the command gets `split: Path`."""
    return click.argument("split", type=_PATH)(command)


def split_option(command: Command) -> Command:
    """Add `--split`, which must be given; the command gets `split: Path`."""
    return click.option(
        "--split",
        type=_PATH,
        required=True,
        metavar="DIR",
        help="The split: a folder with Annotations and JPEGImages.",
    )(command)


def runs_dir_option(command: Command) -> Command:
    """Add `--runs`; the command gets `runs: Path`."""
    return click.option(
        "--runs",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("runs"),
        envvar="SUBMIT_RUNS",
        show_envvar=True,
        metavar="DIR",
        help="Where runs are kept.",
    )(command)


def name_option(command: Command) -> Command:
    """Add `--name`, which must be given; the command gets `name: str`."""
    return click.option(
        "--name", required=True, metavar="RUN", help="What to call the new run."
    )(command)


def videos_option(command: Command) -> Command:
    """Add `--videos`; the command gets `videos: tuple[str, ...]`, empty for all."""
    return click.option(
        "--videos",
        multiple=True,
        metavar="GLOB",
        help="Only videos whose name matches; may be given several times.",
    )(command)


def settings_option(command: Command) -> Command:
    """Add `-o key=value`; the command gets `settings: tuple[str, ...]`."""
    return click.option(
        "-o",
        "--option",
        "settings",
        multiple=True,
        envvar="SUBMIT_OPTIONS",
        metavar="KEY=VALUE",
        help="An option of the model (see: submit predictors NAME); repeatable.",
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


def workers_option(command: Command) -> Command:
    """Add `--workers`; the command gets `workers: int | None`."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=None,
        envvar="SUBMIT_WORKERS",
        show_envvar=True,
        metavar="N",
        help="How many processes work at once; by default what the machine bears.",
    )(command)


def seed_option(command: Command) -> Command:
    """Add `--seed`; the command gets `seed: int`."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Seed of everything random.",
    )(command)
