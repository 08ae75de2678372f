"""Commands as a user types them, one a row, with what must come of each.

The tables beside this file have the rows. `tests/test_commands.py` runs each in its own
copy of one small folder, and demands that every option of every command is in one. For
a new option add it to a row, or add a row, with an outcome that the option changes.

The folder has, of three videos (`similar`, `small` and `vanish`), six frames each:

    split/            with complete truth; few.json lists only `similar`, and `gone`
    valid/            the first masks only
    runs/one          predicted by the model `static`
    runs/true         the truth, imported; runs/part, of `similar` only
    one.zip           the run packed; bare.zip lacks a mask; sample.zip is of `part`
    team.json         complete; prompts.json: a box of object 1 of `similar`
    recipe.toml       of one run; tuned.toml; scores.json
    notes.txt         what no command may replace, and notes.png
    model.py          with CentrePredictor, the model of docs/predictors.md
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from submit.cli import cli
from tests.codabench.fake_server import FakeServer
from tests.codabench.stand_in import replace_codabench, require_no_secrets
from tests.codabench.world import TOKEN, FakeClock, World
from tests.inline import Inline

__all__ = [
    "Done",
    "Row",
    "Stage",
    "command_of",
    "names_of",
    "one_process",
    "options_of",
    "put",
    "read",
    "run_row",
    "type_line",
]

#: Cores of the machine, as far as commands can see.
CORES = 2
#: No server listens there.
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Opened:
    """How many workers were opened, each time, and on which devices."""

    workers: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """What a command has left.

    Attributes:
        stdout: What it printed there.
        stderr: Likewise.
        code: Its exit status.
        opened: The workers.
        world: The fake server behind it; of a command that talks to one.
    """

    stdout: str
    stderr: str
    code: int
    opened: Opened
    world: World | None

    def at(self, path: str) -> Any:
        """A value of the JSON on stdout, by keys and places: `videos.0.name`."""
        value = json.loads(self.stdout)
        for part in path.split(".") if path else ():
            value = value[int(part) if isinstance(value, list) else part]
        return value


@dataclass(frozen=True)
class Stage:
    """What may be prepared before a row is run.

    Attributes:
        patch: Undone afterwards.
        server: The fake server; of a command that talks to one.
    """

    patch: pytest.MonkeyPatch
    server: World | None = None

    @property
    def world(self) -> World:
        """The fake server, which is there."""
        assert self.server is not None
        return self.server


@dataclass(frozen=True, kw_only=True)
class Row:
    """A command line, and what must come of it: at least one outcome.

    Attributes:
        line: What is typed after `submit`; `URL` stands for the fake server's.
        stdout: Texts that it prints there.
        stderr: Likewise.
        absent: Texts that it prints nowhere.
        data: Values of its JSON by their path, see `Done.at`.
        files: Files and folders that it leaves.
        workers: How many workers it opens at most.
        check: Any other condition; returns whether it holds.
        code: Its exit status.
        before: Lines that are typed before; their options do not count.
        input: What is typed when it asks.
        prepare: Prepares the fake server, or anything else.
        environment: Variables that are set.
    """

    line: str = field(kw_only=False)
    stdout: Sequence[str] = ()
    stderr: Sequence[str] = ()
    absent: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[str] = ()
    workers: int | None = None
    check: Callable[[Done], object] | None = None
    code: int = 0
    before: Sequence[str] = ()
    input: str = ""
    prepare: Callable[[Stage], object] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The command and what is given to it."""
        return shlex.split(self.line)

    @property
    def command(self) -> str:
        """The name of the command, with that of its group before it."""
        first, *rest = self.words
        inside = isinstance(command_of(first), click.Group)
        return f"{first} {rest[0]}" if inside else first

    @property
    def given(self) -> set[str]:
        """The options on the line, as they are spelled."""
        names = {word.partition("=")[0] for word in self.words}
        # A negative number is none.
        return {name for name in names if re.match("--?[a-z]", name)}

    @property
    def has_outcome(self) -> bool:
        """Whether anything is said of what comes of it but the exit status."""
        said = (self.stdout, self.stderr, self.absent, self.data, self.files)
        return any(said) or self.workers is not None or self.check is not None


def read(file: str) -> Any:
    """The JSON of a file that a command wrote."""
    return json.loads(Path(file).read_text("utf-8"))


def put(file: str) -> None:
    """Put a file where an output goes, of which no command knows."""
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("not what a command writes")


def command_of(name: str) -> click.Command:
    """A command of the click tree; the name of its group stands before its own."""
    found: click.Command = cli
    for word in name.split():
        assert isinstance(found, click.Group), name
        inner = found.get_command(click.Context(found), word)
        assert inner is not None, name
        found = inner
    return found


def names_of(group: click.Group, above: str = "") -> list[str]:
    """The names of all commands of a group, those in groups of its own included."""
    names = []
    for word in group.list_commands(click.Context(group)):
        name = f"{above}{word}"
        found = command_of(name)
        if isinstance(found, click.Group):
            names += names_of(found, f"{name} ")
        else:
            names.append(name)
    return names


def options_of(command: click.Command) -> set[str]:
    """Every way to spell an option of a command but that of its help."""
    return {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }


def one_process(patch: pytest.MonkeyPatch) -> Opened:
    """Let all work be done in this process, and count the workers."""
    opened = Opened()

    class Local(Inline):
        def __init__(
            self, *, workers: int = 1, devices: Sequence[str], processes: bool = False
        ) -> None:
            del processes
            super().__init__()
            opened.workers.append(workers)
            opened.devices.extend(devices)

    class Ray(Inline):
        def __init__(self, *, workers: int | None, device: str, cores: int) -> None:
            super().__init__()
            opened.workers.append(workers or cores)
            opened.devices.append(f"ray {device}")

    class Threads(ThreadPoolExecutor):
        def __init__(self, max_workers: int, **more: Any) -> None:
            super().__init__(max_workers, **more)
            opened.workers.append(max_workers)

    patch.setattr("submit.executors.local.LocalExecutor", Local)
    patch.setattr("submit.executors.ray.RayExecutor", Ray)
    patch.setattr("submit.system.pool.ThreadPoolExecutor", Threads)
    for place in ("system.machine", "system.pool", "tuning.evaluate"):
        patch.setattr(f"submit.{place}.cores", lambda: CORES)
    return opened


def type_line(
    line: str, *, environment: Mapping[str, str | None] | None = None, input: str = ""
) -> tuple[int, str, str]:
    """Type a line; its exit status, and what it prints on stdout and stderr."""
    done = CliRunner().invoke(cli, shlex.split(line), env=environment, input=input)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def run_row(row: Row, patch: pytest.MonkeyPatch) -> None:
    """Run a row in the current folder, and compare what comes of it."""
    if "--url" not in options_of(command_of(row.command)):
        _run(row, patch, "", None)
        return
    clock = FakeClock()
    replace_codabench(patch, clock)
    server = FakeServer(clock)
    try:
        _run(row, patch, server.url, server.world)
        assert server.world.violations == []
    finally:
        server.close()


def _run(row: Row, patch: pytest.MonkeyPatch, url: str, world: World | None) -> None:
    environment: dict[str, str | None] = {}
    if world is not None:
        at = NOWHERE if "--url" in row.given else url
        environment = {"SUBMIT_URL": at, "SUBMIT_STATE": "state", "SUBMIT_TOKEN": TOKEN}
    environment |= row.environment
    if row.prepare is not None:
        row.prepare(Stage(patch, world))
    for line in row.before:
        code, _, stderr = type_line(line, environment=environment)
        assert code == 0, f"{line}\n{stderr}"
    opened = one_process(patch)
    code, stdout, stderr = type_line(
        row.line.replace("URL", url), environment=environment, input=row.input
    )
    require_no_secrets(stdout + stderr)
    printed = f"submit {row.line}\n{stdout}\n{stderr}"
    assert code == row.code, printed
    for text in row.stdout:
        assert text in stdout, printed
    for text in row.stderr:
        assert text in stderr, printed
    for text in row.absent:
        assert text not in stdout + stderr, printed
    done = Done(stdout, stderr, code, opened, world)
    for path, value in row.data.items():
        assert done.at(path) == value, f"{path}\n{printed}"
    for file in row.files:
        assert Path(file).exists(), f"{file}\n{printed}"
    if row.workers is not None:
        assert max(opened.workers) == row.workers
    if row.check is not None:
        assert row.check(done), printed[:2000]
