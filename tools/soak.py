"""Run the chain under random faults, and check what must hold after each.

    python tools/soak.py work/soak --kills 50
    python tools/soak.py work/soak --nodes 50
    python tools/soak.py work/soak --minutes 10 --seed 1

With `--kills`, `submit build` of a small sample is killed (SIGKILL) again and again at
random moments, the command itself or one of its workers, and continued. Every build
that comes to its end must give the SHA-256 of the undisturbed one.

With `--nodes`, `submit predict --executor ray` runs on a Ray cluster of three nodes on
this machine. One of two nodes is killed (SIGKILL) at random moments and another one
joins. The packed masks must have the SHA-256 of those that one process makes.

With `--minutes` the commands of the chain run one by one (sample, predict, ensemble,
export, pack, check, score), most of them with one random fault: a kill, Ctrl-C, a full
disk, a disk that becomes read-only, damaged frames, a split that vanishes, two equal
commands at once, files of another time, a clock that jumps. Then the fault is taken
away and the command runs again. What must hold:

* it ends with status 0 and the bytes of the undisturbed chain;
* a command that failed has said so in one line without a traceback;
* no process and no temporary file is left;
* videos that were finished were not made again.

One process imports the toolkit and forks for each command, so that hundreds of them
cost one start of Python. Workers are started as ever.

The folder is a small file system of its own where this process may mount one (root on
Linux); otherwise there are no faults of the disk. The clock jumps on Linux, where a C
compiler can make `tools/moving_clock.c`. The exit status is 1 if anything did not hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import click

# What commands need is imported here, once for all of them.
from submit.system.threads import prepare_threads

prepare_threads()  # Before NumPy is imported.

import numpy as np  # noqa: E402

from submit.cli import _output, cli  # noqa: E402, F401
from submit.ensemble import VideoMerger  # noqa: E402, F401
from submit.errors import SubmitError  # noqa: E402
from submit.pipeline import export_run, predict_split  # noqa: E402, F401
from submit.png.palette import decode, encode  # noqa: E402
from submit.runs import Run  # noqa: E402

__all__ = ["Soak", "main"]

#: Size of the file system in bytes; the chain takes a tenth of it.
_DISK = 24 << 20
#: Seconds after which a command hangs, on any machine.
_PATIENCE = 600.0
#: Seconds in which workers must end after their parent.
_LAST = 60.0
#: Where a clock jumps to, in seconds from now: two hours and a day away, and near 1971
#: and 2100. Some of its readings follow each other at one place.
_JUMPS = (0, 7200, -86_400, -55 * 31_556_952, 73 * 31_556_952)
#: Readings of the clock after which it jumps as before; a command needs a dozen.
_READINGS = 64

_RECIPE = """
split = "split"
runs = "runs"

[[predict]]
name = "plain"
predictor = "static"

[[predict]]
name = "mirrored"
predictor = "static"
variant = "hflip"

[[ensemble]]
name = "both"
members = ["plain", "mirrored"]

[submission]
run = "both"
zip = "both.zip"
"""

#: The chain as a user types it, and what the zip of both ways is called.
_CHAIN = (
    "sample split --videos 4 --frames 8 --size 96x64",
    "predict split --predictor static --name plain --workers 2",
    "predict split --predictor static --variant hflip --name mirrored --workers 2",
    "ensemble plain mirrored --name both --workers 2",
    "export both -o masks --workers 2",
    "pack masks -o both.zip",
    "check both.zip --split split",
    "score both --split split -o scores",
)
_ZIP = "both.zip"
#: What is predicted while nodes are killed: videos of a second or less.
_FILMS = "sample split --videos 12 --frames 24 --size 240x136"
#: Seconds between the start of a node and the death of one, at most.
_BETWEEN = 8.0
#: Part of the reason of a video that has lost too many nodes.
_LOST = "nodes of the Ray cluster were lost"
#: What is said of a video that another node takes.
_TAKEN = "its node was lost; another one takes it"
#: Results of the chain that must be the same bytes.
_RESULTS = ("both.zip", "scores/scores.json", "scores/objects.csv")


@dataclass
class Row:
    """What came of one kind of fault.

    Attributes:
        injected: How often it was injected.
        met: How often the command was still running.
        statuses: How the disturbed commands ended.
        continued: How often the command, run again, did what was left.
        wrong: What did not hold.
    """

    injected: int = 0
    met: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    continued: int = 0
    wrong: list[str] = field(default_factory=list)


class Command:
    """A command of `submit` in a process group of its own.

    Args:
        line: What follows `submit`.
        folder: Where it runs.
        variables: What is added to its environment; with any, Python starts again.
    """

    def __init__(
        self, line: str, folder: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        self.line = line
        self.taken = 0
        self._variables = variables
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._status: int | None = None
        self._pid = os.fork()
        if not self._pid:
            self._run(folder)

    def _run(self, folder: Path) -> NoReturn:
        """Be the command."""
        status = 1
        try:
            os.setsid()
            os.chdir(folder)
            null = os.open(os.devnull, os.O_RDWR)
            for stream, file in enumerate((null, null, self._errors.fileno())):
                os.dup2(file, stream)
            if self._variables:
                call = "from submit.cli import cli; cli(prog_name='submit')"
                arguments = [sys.executable, "-c", call, *self.line.split()]
                os.execve(sys.executable, arguments, {**os.environ, **self._variables})
            # Those of this process may write elsewhere, as they do in tests.
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            cli(self.line.split(), prog_name="submit")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is None

    def wait(self, seconds: float) -> bool:
        """Wait; whether it is still running then."""
        end = time.monotonic() + seconds
        while self.runs and time.monotonic() < end:
            time.sleep(0.002)
        return self.runs

    def workers(self) -> list[int]:
        """Its child processes and theirs."""
        return [pid for pid in self._group() if pid != self._pid]

    def send(self, number: signal.Signals, pid: int | None = None) -> bool:
        """Send a signal to it, or to one worker; whether that was running."""
        if not self.runs:
            return False
        try:
            os.kill(self._pid if pid is None else pid, number)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> tuple[int, str, list[str]]:
        """Wait for its end: its status, its last line, and what was wrong with it."""
        wrong = []
        if self.wait(_PATIENCE):
            wrong.append(f"it did not end within {_PATIENCE:.0f} s")
            os.killpg(self._pid, signal.SIGKILL)
            self.wait(_PATIENCE)
        status = -signal.SIGKILL if self._status is None else self._status
        end = time.monotonic() + _LAST
        while (left := self._group()) and time.monotonic() < end:
            time.sleep(0.02)
        if left:
            wrong.append(f"{len(left)} processes outlived it")
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")
        self.taken = told.count(_TAKEN)
        self._errors.close()
        lines = told.strip().splitlines()
        if "Traceback" in told:
            wrong.append(f"a traceback: {' | '.join(lines[-4:])}")
        last = lines[-1] if lines else ""
        # A check that has findings has printed them.
        told_why = last.startswith("Error: ") or self.line.startswith("check ")
        if status > 0 and status != 130 and not told_why:
            wrong.append(f"status {status} without an error: {last}")
        return status, last, wrong

    def _group(self) -> list[int]:
        """Processes of its session that are running."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # The name of the program may hold spaces and brackets.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._pid and fields[0] != "Z":
                    found.append(int(folder.name))
        return found


class Soak:
    """The chain in one folder, and the faults that it has met.

    Args:
        folder: An existing empty folder.
        seed: Decides the faults and their moments, as far as the machine repeats.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rows: dict[str, Row] = {}
        self.ends = 0
        self.taken = 0
        self._random = random.Random(seed)
        self._seconds: dict[str, float] = {}
        self._wanted: dict[str, str] = {}
        self._is_disk = False
        self._clock: Path | None = None

    # ── the undisturbed chain ──

    def prepare(self, lines: Sequence[str]) -> None:
        """Run commands without a fault, and remember their results and times."""
        for line in lines:
            began = time.monotonic()
            status, last, wrong = Command(line, self.folder).end()
            if status or wrong:
                raise click.ClickException(f"{line}: {last} {wrong}")
            self._seconds[line] = time.monotonic() - began
        self._wanted = self._results()

    def _results(self) -> dict[str, str]:
        found = {}
        for name in _RESULTS:
            with contextlib.suppress(FileNotFoundError):
                data = (self.folder / name).read_bytes()
                found[name] = hashlib.sha256(data).hexdigest()
        return found

    def restart(self, *, keep: Sequence[str] = ()) -> None:
        """Remove everything but some files."""
        for child in self.folder.iterdir():
            if child.name in keep:
                continue
            if child.is_dir():
                shutil.rmtree(child)
            else:
                child.unlink()

    def compare(self, row: Row) -> None:
        """Compare the results of a chain that has ended with the undisturbed ones."""
        self.ends += 1
        found = self._results()
        for name, sha in self._wanted.items():
            if found.get(name) != sha:
                row.wrong.append(f"{name} has other bytes: {found.get(name)}")
        left = sorted(
            path
            for kind in ("*.partial*", "*.kept", "*.checkpoint")
            for path in self.folder.rglob(kind)
        )
        if left:
            row.wrong.append(f"left: {', '.join(path.name for path in left)}")

    # ── kills ──

    def kill_builds(self, kills: int) -> None:
        """Kill `submit build` at random moments until `kills` have met it."""
        (self.folder / "recipe.toml").write_text(_RECIPE)
        lines = {
            "parent": "build recipe.toml --workers 1",
            "worker": "build recipe.toml --workers 2",
        }
        self.prepare([_CHAIN[0], lines["worker"]])
        self.restart(keep=("split", "recipe.toml"))
        self.prepare([lines["parent"]])
        keep = ("split", "recipe.toml")
        self.restart(keep=keep)
        met = 0
        while met < kills:
            # Workers take seconds of a core to start.
            whom = self._random.choice(("parent", "parent", "parent", "worker"))
            line = lines[whom]
            row = self._row(f"kill of {'a worker' if whom == 'worker' else 'submit'}")
            before = self._finished()
            command = Command(line, self.folder)
            hit = self._kill(command, whom, self._seconds[line])
            status = self._ended(row, command, hit)
            self._check_kept(row, before)
            met += hit
            if status == 0:
                self.compare(row)
                self.restart(keep=keep)
            click.echo(f"{met:4} kills, {self.ends} builds at their end", err=True)
        self._continue(self._row("at the end"), lines["parent"])
        self.compare(self._row("at the end"))

    def _kill(self, command: Command, whom: str, seconds: float) -> bool:
        """Wait for a random moment, and kill; whether that met a running process."""
        if not command.wait(self._random.uniform(0, seconds)):
            return False
        if whom == "parent":
            return command.send(signal.SIGKILL)
        # Workers come and go; the next one is taken.
        while command.runs:
            if workers := command.workers():
                return command.send(signal.SIGKILL, self._random.choice(workers))
            command.wait(0.01)
        return False

    def kill_nodes(self, kills: int) -> None:
        """Kill nodes of a Ray cluster until `kills` have met `submit predict`.

        A video that loses three nodes fails, as it should, and the same command then
        makes it.
        """
        predict = f"predict split --predictor classical --name {Path(_ZIP).stem}"
        far = f"{predict} --executor ray"
        pack = f"pack {Path(_ZIP).stem} -o {_ZIP}"
        self.prepare([_FILMS, predict, pack])
        self.restart(keep=("split",))
        row, status = self._row("kill of a node"), 0
        with _Nodes() as nodes:
            # The last prediction comes to its end without a fault, if it has to.
            while row.met < kills or status:
                nodes.fill()
                before = self._finished()
                command = Command(far, self.folder, {"RAY_ADDRESS": nodes.address})
                while row.met < kills and command.wait(
                    self._random.uniform(0, _BETWEEN)
                ):
                    nodes.kill(self._random)
                    row.injected += 1
                    row.met += command.runs
                    nodes.fill()
                status, last, wrong = command.end()
                self.taken += command.taken
                row.statuses[_words(status)] += 1
                row.wrong += wrong
                if status and _LOST not in last:
                    row.wrong.append(f"{far}: status {status}, {last}")
                    break
                self._check_kept(row, before)
                if status == 0:
                    self._continue(row, pack)
                    self.compare(row)
                    self.restart(keep=("split",))
                text = f"{row.met:4} kills, {self.ends} predictions at their end"
                click.echo(text, err=True)

    # ── all faults ──

    def disturb_chain(self, until: Callable[[], bool]) -> None:
        """Run the chain under faults, again and again, until `until` says so."""
        self._is_disk = _mount(self.folder)
        self._aside = tempfile.TemporaryDirectory()
        self._clock = _moving_clock(Path(self._aside.name))
        if self._clock is None:
            click.echo(
                "without a C compiler on Linux the clock does not jump", err=True
            )
        try:
            self.prepare(_CHAIN)
            while not until():
                self.restart()
                for line in _CHAIN:
                    self._disturb(line)
                self.compare(self._row("whole chains"))
                click.echo(f"{self.ends} chains at their end", err=True)
        finally:
            self._aside.cleanup()
            if self._is_disk:
                subprocess.run(["umount", self.folder], check=True)

    def _disturb(self, line: str) -> None:
        faults = self._faults(line)
        name = self._random.choice(sorted(faults))
        row = self._row(name)
        before = self._finished()
        with self._in_this_folder():
            faults[name](row, line)
        self._check_kept(row, before)
        before = self._finished()
        self._continue(row, line)
        self._check_kept(row, before)

    def _faults(self, line: str) -> dict[str, Callable[[Row, str], None]]:
        """The faults that a command may meet, by name."""
        command = line.split()[0]
        found: dict[str, Callable[[Row, str], None]] = {
            "none": lambda row, line: None,
            "kill of submit": self._meet(
                lambda command, seconds: self._kill(command, "parent", seconds)
            ),
            "Ctrl-C": self._meet(self._interrupt),
            "files of 1970 or 2100": self._turn_clock,
        }
        if self._clock is not None:
            found["clock that jumps"] = self._jump
        if "--workers" in line:
            found["kill of a worker"] = self._meet(
                lambda command, seconds: self._kill(command, "worker", seconds)
            )
        if command in ("predict", "ensemble", "export", "pack"):
            found["two at once"] = self._twice
        if command in ("predict", "check", "score"):
            found["the split vanishes"] = self._meet(self._take_split_away)
        if command == "predict":
            found["damaged frame"] = self._damage
        if self._is_disk and command != "check":
            found["full disk"] = self._meet(self._fill)
            found["read-only disk"] = self._meet(self._forbid)
        return found

    def _meet(
        self, inject: Callable[[Command, float], bool]
    ) -> Callable[[Row, str], None]:
        """A fault that comes while a command runs."""

        def disturb(row: Row, line: str) -> None:
            command = Command(line, self.folder)
            hit = inject(command, self._seconds[line])
            self._ended(row, command, hit)
            self._take_faults_away()

        return disturb

    def _interrupt(self, command: Command, seconds: float) -> bool:
        # Python itself ends with a traceback if it is interrupted while it starts.
        soonest = min(1.0, seconds / 2)
        return command.wait(self._random.uniform(soonest, seconds)) and command.send(
            signal.SIGINT
        )

    def _fill(self, command: Command, seconds: float) -> bool:
        running = command.wait(self._random.uniform(0, seconds))
        with (self.folder / ".ballast").open("wb", buffering=0) as stream:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while stream.write(bytes(size)):
                        pass
        return running

    def _forbid(self, command: Command, seconds: float) -> bool:
        command.wait(self._random.uniform(0, seconds))
        # The system refuses while a file is open for writing.
        while not _remount(self.folder, "ro") and command.wait(0.002):
            pass
        return command.runs

    def _take_split_away(self, command: Command, seconds: float) -> bool:
        running = command.wait(self._random.uniform(0, seconds))
        os.rename(self.folder / "split", self.folder / ".split")
        return running

    def _take_faults_away(self) -> None:
        if self._is_disk:
            _remount(self.folder, "rw")
        (self.folder / ".ballast").unlink(missing_ok=True)
        if (self.folder / ".split").exists():
            os.rename(self.folder / ".split", self.folder / "split")

    def _damage(self, row: Row, line: str) -> None:
        frames = sorted((self.folder / "split" / "JPEGImages").glob("*/*.jpg"))
        frame = self._random.choice(frames)
        data = frame.read_bytes()
        frame.write_bytes(data[: self._random.randrange(len(data))])
        command = Command(line, self.folder)
        status, last, wrong = command.end()
        frame.write_bytes(data)
        row.injected += 1
        row.met += 1
        row.statuses[_words(status)] += 1
        row.wrong += wrong
        if status != 1 or frame.parent.name not in last:
            row.wrong.append(f"{frame} was damaged: status {status}, {last}")

    def _twice(self, row: Row, line: str) -> None:
        commands = [Command(line, self.folder)]
        commands[0].wait(self._random.uniform(0, self._seconds[line]))
        hit = commands[0].runs
        commands.append(Command(line, self.folder))
        statuses = [self._ended(row, command, hit) for command in commands]
        if 0 not in statuses:
            row.wrong.append(f"{line}: neither of two ended well, {statuses}")

    def _turn_clock(self, row: Row, line: str) -> None:
        """Give all files times of long ago or of the future."""
        row.injected += 1
        row.met += 1
        when = self._random.choice((0, 4102444800))
        for path in self.folder.rglob("*"):
            os.utime(path, (when, when))

    def _jump(self, row: Row, line: str) -> None:
        """Set the system clock of a command again and again while it reads it."""
        assert self._clock is not None
        file = self._clock.with_name("jumps")
        added = self._random.sample(_JUMPS, len(_JUMPS))
        added += self._random.choices(_JUMPS, k=_READINGS - len(added))
        file.write_bytes(struct.pack(f"{1 + len(added)}q", 0, *added))
        variables = {"LD_PRELOAD": str(self._clock), "MOVING_CLOCK": str(file)}
        status, last, wrong = Command(line, self.folder, variables).end()
        row.injected += 1
        # It has jumped if it was read twice.
        row.met += struct.unpack_from("q", file.read_bytes())[0] > 1
        row.statuses[_words(status)] += 1
        row.wrong += [f"{line}: {text}" for text in wrong]
        if status:
            row.wrong.append(f"{line}: the clock jumped: status {status}, {last}")

    def _ended(self, row: Row, command: Command, hit: bool) -> int:
        status, _, wrong = command.end()
        # The machine may be faster or slower now than it was.
        self._seconds[command.line] *= 1.1 if hit else 0.8
        row.injected += 1
        row.met += hit
        row.statuses[_words(status)] += 1
        row.wrong += [f"{command.line}: {text}" for text in wrong]
        return status

    # ── what must hold ──

    def _continue(self, row: Row, line: str) -> None:
        """Run a command without a fault; it must do what is left."""
        status, last, wrong = Command(line, self.folder).end()
        if status == 1 and line.startswith("sample ") and "is there" in last:
            status, last, wrong = 0, "", []
        row.continued += status == 0
        row.wrong += [f"{line}, run again: {text}" for text in wrong]
        if status:
            row.wrong.append(f"{line}, run again: status {status}, {last}")

    def _finished(self) -> dict[Path, int]:
        """The soft files of all videos that are recorded, with their inode."""
        found = {}
        for path in (self.folder / "runs").glob("*"):
            with contextlib.suppress(SubmitError, OSError):
                for video in Run.open(path).videos:
                    file = path / "soft" / f"{video}.npz"
                    found[file] = file.stat().st_ino
        return found

    def _check_kept(self, row: Row, before: dict[Path, int]) -> None:
        """Every file that was finished must be the same file still."""
        after = self._finished()
        for file, number in before.items():
            if after.get(file) != number:
                row.wrong.append(f"{file.parent.parent.name}: {file.stem} made again")

    def _row(self, name: str) -> Row:
        return self.rows.setdefault(name, Row())

    @contextlib.contextmanager
    def _in_this_folder(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._take_faults_away()

    @property
    def wrong(self) -> list[str]:
        """Everything that did not hold."""
        return [
            f"{name}: {text}" for name, row in self.rows.items() for text in row.wrong
        ]


class _Nodes:
    """A Ray cluster of three nodes: one stays, with the command; two may be lost."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "_system_config": {
                    # A lost node is noticed after about a second.
                    "health_check_initial_delay_ms": 0,
                    "health_check_period_ms": 500,
                    "health_check_failure_threshold": 3,
                    "worker_niceness": 0,
                },
            },
        )
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []

    def kill(self, chance: random.Random) -> None:
        """Kill all processes of a node."""
        node = self._nodes.pop(chance.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)

    def fill(self) -> None:
        """Let nodes join until there are two besides that of the command."""
        while len(self._nodes) < 2:
            # Ray gives up a node that a busy machine starts too slowly.
            with contextlib.suppress(Exception):
                self._nodes.append(self._cluster.add_node(num_cpus=1))

    def __enter__(self) -> _Nodes:
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.shutdown()


def _words(status: int) -> str:
    """An exit status as a table shows it."""
    return signal.Signals(-status).name if status < 0 else str(status)


def _moving_clock(folder: Path) -> Path | None:
    """Compile the clock that jumps while it is read; None where that fails."""
    if sys.platform != "linux":
        return None
    made = folder / "moving_clock.so"
    source = Path(__file__).with_name("moving_clock.c")
    line = ["cc", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    try:
        failed = subprocess.run(line, capture_output=True, check=False).returncode
    except OSError:
        return None
    return None if failed else made


def _mount(folder: Path) -> bool:
    """Make a folder a small file system of its own; whether that is allowed."""
    options = f"size={_DISK}"
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return not subprocess.run(line, capture_output=True, check=False).returncode
    except OSError:
        return False


def _remount(folder: Path, mode: str) -> bool:
    line = ["mount", "-o", f"remount,{mode}", str(folder)]
    return not subprocess.run(line, capture_output=True, check=False).returncode


def _show(soak: Soak) -> None:
    click.echo(
        f"{'fault':24}{'injected':>9}{'met it':>8}{'continued':>10}{'wrong':>7}  ended"
    )
    for name, row in soak.rows.items():
        statuses = ", ".join(f"{key}: {row.statuses[key]}" for key in row.statuses)
        click.echo(
            f"{name:24}{row.injected:9}{row.met:8}{row.continued:10}"
            f"{len(row.wrong):7}  {statuses}"
        )
    if soak.taken:
        click.echo(f"{soak.taken} times another node took a video")
    click.echo(f"{soak.ends} times at the end with the same bytes" * (not soak.wrong))
    for text in soak.wrong:
        click.echo(f"wrong: {text}")


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kills", type=int, help="Kill builds until this many kills met one.")
@click.option("--nodes", type=int, help="Kill nodes until this many kills met one.")
@click.option("--minutes", type=float, help="Disturb the chain for this long.")
@click.option("--chains", type=int, help="Disturb so many chains instead.")
@click.option("--seed", default=1, show_default=True)
def main(
    folder: Path,
    kills: int | None,
    nodes: int | None,
    minutes: float | None,
    chains: int | None,
    seed: int,
) -> None:
    """Run the tool."""
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder}: is not empty; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    decode(encode(np.ones((9, 9), np.uint8)))  # Loads compiled code, once for all.
    soak = Soak(folder.resolve(), seed)
    with contextlib.suppress(KeyboardInterrupt):  # What is known is shown.
        _run(soak, kills, nodes, minutes, chains)
    _show(soak)
    sys.exit(bool(soak.wrong))


def _run(
    soak: Soak,
    kills: int | None,
    nodes: int | None,
    minutes: float | None,
    chains: int | None,
) -> None:
    if kills is not None:
        soak.kill_builds(kills)
    elif nodes is not None:
        soak.kill_nodes(nodes)
    else:
        end = time.monotonic() + 60 * (minutes or 0)
        soak.disturb_chain(
            lambda: (
                soak.ends >= chains if chains is not None else time.monotonic() >= end
            )
        )


if __name__ == "__main__":
    main()
