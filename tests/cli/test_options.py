from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click
import pytest
from click.testing import CliRunner

from submit.cli import _options, cli
from submit.cli._options import (
    PATH,
    SOURCE,
    device_option,
    json_option,
    name_option,
    runs_dir_option,
    seed_option,
    settings_option,
    split_argument,
    split_option,
    videos_option,
    workers_option,
)
from submit.executors.local import LocalExecutor
from tests.conftest import WriteSplit

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def given(runner: CliRunner, decorator: Decorator, *arguments: str) -> object:
    """Run a command with one option and return the option's value."""
    got: list[object] = []

    def body(**values: object) -> None:
        got.extend(values.values())

    result = runner.invoke(click.command()(decorator(body)), arguments)
    if result.exit_code:
        raise ValueError(result.stderr)
    (value,) = got
    return value


@pytest.mark.parametrize(
    ("decorator", "default", "arguments", "value"),
    [
        (json_option, False, ["--json"], True),
        (runs_dir_option, Path("runs"), ["--runs", "elsewhere"], Path("elsewhere")),
        (videos_option, (), ["--videos", "a*", "--videos", "b"], ("a*", "b")),
        (settings_option, (), ["-o", "a=1", "-o", "b=2"], ("a=1", "b=2")),
        (device_option, "auto", ["--device", "cuda:1"], "cuda:1"),
        (workers_option, None, ["--workers", "3"], 3),
        (seed_option, 0, ["--seed", "7"], 7),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_option_has_a_default_and_takes_a_value(
    decorator: Decorator,
    default: object,
    arguments: list[str],
    value: object,
    runner: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SUBMIT_WORKERS")
    assert given(runner, decorator) == default
    assert given(runner, decorator, *arguments) == value


@pytest.mark.parametrize(
    ("decorator", "name", "text", "value"),
    [
        (runs_dir_option, "SUBMIT_RUNS", "elsewhere", Path("elsewhere")),
        (device_option, "SUBMIT_DEVICE", "cuda", "cuda"),
        (workers_option, "SUBMIT_WORKERS", "2", 2),
        (json_option, "SUBMIT_JSON", "1", True),
        (settings_option, "SUBMIT_OPTIONS", "a=1 b=2", ("a=1", "b=2")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_option_reads_the_environment(
    decorator: Decorator,
    name: str,
    text: str,
    value: object,
    runner: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, text)
    assert given(runner, decorator) == value


def test_a_split_is_a_path(runner: CliRunner) -> None:
    assert given(runner, split_option, "--split", "valid") == Path("valid")
    assert given(runner, split_argument, "valid") == Path("valid")


@pytest.mark.parametrize("decorator", [split_option, split_argument, name_option])
def test_what_has_no_sensible_default_must_be_given(
    decorator: Decorator, runner: CliRunner
) -> None:
    with pytest.raises(ValueError, match="Missing"):
        given(runner, decorator)


@pytest.mark.parametrize(
    ("decorator", "arguments"),
    [(workers_option, ["--workers", "0"]), (seed_option, ["--seed", "-1"])],
)
def test_a_number_out_of_range_is_refused(
    decorator: Decorator, arguments: list[str], runner: CliRunner
) -> None:
    with pytest.raises(ValueError, match="not in the range"):
        given(runner, decorator, *arguments)


def test_each_shared_option_has_help() -> None:
    for name in _options.__all__:
        if name.endswith("_option"):
            command = click.command()(getattr(_options, name)(lambda **_: None))
            assert command.params
            for option in command.params:
                assert isinstance(option, click.Option)
                assert option.help
                assert option.help.endswith(".")


def commands(
    group: click.Group = cli, above: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command, by name, those in a group included."""
    context = click.Context(group)
    for inner in group.list_commands(context):
        command = group.get_command(context, inner)
        assert command is not None
        name = f"{above}{inner}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield name, command


def test_every_path_may_begin_with_the_home_folder() -> None:
    for name, command in commands():
        for one in command.params:
            if isinstance(one.type, click.Path):
                assert isinstance(one.type, type(PATH)), f"{name}: {one.name}"
            if isinstance(one, click.Argument) and one.type is click.STRING:
                lists = ("predictors", "trainers", "weights")
                named = name in lists or one.name == "video"
                assert named, f"{name}: {one.name} may be a path"


def test_a_tilde_is_the_home_folder_in_options_and_in_the_environment(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given(runner, split_option, "--split=~/valid") == tmp_path / "valid"
    assert given(runner, split_option, "--split=a/~b") == Path("a/~b")
    source = click.argument("source", type=SOURCE)
    assert given(runner, source, "~/m.zip") == f"{tmp_path}/m.zip"
    assert given(runner, source, "a~") == "a~"
    monkeypatch.setenv("SUBMIT_RUNS", "~/runs")
    assert given(runner, runs_dir_option) == tmp_path / "runs"


def test_every_command_that_takes_a_split_takes_its_meta_file() -> None:
    options = {name: {one.name for one in c.params} for name, c in commands()}
    takes_split = {name for name in options if options[name] & {"split", "train"}}
    assert {"videos", "predict", "holdout", "score", "upload"} <= takes_split
    # These need frames and first masks only.
    without = {name for name in takes_split if "meta" not in options[name]}
    assert without == {"ensemble", "export", "pack"}


@pytest.mark.parametrize("line", ["check", "score", "compare one", "report -o page"])
def test_a_command_that_exports_a_run_first_does_it_with_its_own_workers(
    line: str,
    runner: CliRunner,
    write_split: WriteSplit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = write_split(annotated=3)
    monkeypatch.chdir(split.parent)
    predict = "predict split --predictor static --name one"
    assert runner.invoke(cli, predict.split()).exit_code == 0
    counts: list[int] = []

    class Counting(LocalExecutor):
        def __init__(self, *, workers: int = 1, devices: Sequence[str] = ()) -> None:
            counts.append(workers)
            super().__init__(workers=1, devices=devices)

    monkeypatch.setattr("submit.executors.local.LocalExecutor", Counting)
    command, *more = line.split()
    line = f"{command} one --split split --workers 3"
    done = runner.invoke(cli, [*line.split(), *more])
    assert done.exit_code == 0, done.output
    assert counts == [3]
