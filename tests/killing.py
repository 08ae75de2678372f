"""Commands in processes of their own that meet a fault at a step that a test chooses.

One process imports the toolkit and forks for each command, so that many faults cost one
start of Python. A step is a change of the disk below the current folder: opening a file
for writing, renaming, removing, making a folder. What was written before a step and not
flushed is lost with the process, as it is when a user's process is killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["BALLAST", "Ended", "Killing"]

#: The file that fills a disk, in the current folder.
BALLAST = ".ballast"

_SERVER = """
import errno, json, os, signal, sys, tempfile

from submit.system.threads import prepare_threads

prepare_threads()  # Before numpy is imported: later, other processes would do the work.

import numpy as np
from submit.cli import _output, cli
from submit.ensemble import VideoMerger
from submit.pipeline import export_run, predict_split
from submit.png.palette import decode, encode

decode(encode(np.ones((9, 9), np.uint8)))  # Loads compiled code, once for all.

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"}
TAKES_ROOM = {"open", "os.mkdir", "os.link", "os.symlink"}
sync, write = os.fsync, os.write
steps = 0


def fill():
    # Blocks of less and less, until not one more byte finds room.
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (1 << 16, 1 << 12, 1):
        try:
            while write(file, bytes(size)):
                pass
        except OSError:
            pass
    os.close(file)


def refuse(*_):
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def run(line, folder, fault, at, report):
    def watch(event, arguments):
        global steps
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, int) or not os.path.abspath(path).startswith(folder):
            return
        if os.path.basename(path) == sys.argv[1]:
            return
        if steps == at:
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault == "full":
                fill()
            elif fault == "quota":
                # A network disk says it of a new file, and of bytes when they are sent.
                os.fsync = os.write = refuse
        steps += 1
        if fault == "quota" and steps > at and event in TAKES_ROOM:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)

    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    errors = tempfile.TemporaryFile()
    for stream, target in enumerate((null, null, errors.fileno())):
        os.dup2(target, stream)
    sys.addaudithook(watch)
    try:
        cli(line.split(), prog_name="submit")
    except SystemExit as error:
        status = error.code or 0
    sys.stderr.flush()
    errors.seek(0)
    told = errors.read().decode(errors="replace")
    with os.fdopen(report, "w") as stream:
        json.dump([status, steps, told], stream)
    os._exit(0)


for request in sys.stdin:
    line, folder, fault, at = json.loads(request)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        run(line, folder, fault, at, writing)
    os.close(writing)
    with open(reading) as report:
        answer = report.read()
    os.waitpid(child, 0)
    print(answer or '[null, null, ""]', flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended; the first two are None if it was killed.

    Attributes:
        status: Its exit status.
        steps: How many steps it took.
        stderr: What it printed there.
    """

    status: int | None
    steps: int | None
    stderr: str


class Killing:
    """Runs commands, each in a process of its own that may be killed."""

    def __enter__(self) -> Killing:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, BALLAST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.communicate()

    def run(
        self,
        line: str,
        folder: Path,
        *,
        kill: int | None = None,
        full: int | None = None,
        quota: int | None = None,
    ) -> Ended:
        """Run one command line of `submit` in a folder, with one fault or none.

        Args:
            line: The command and its arguments.
            folder: Where it runs.
            kill: The command is killed before this step, counted from 0.
            full: Before this step the disk of the folder is filled; `BALLAST` in it
                must be removed to make room.
            quota: From this step on the system says that the quota is used up.
        """
        given = {"kill": kill, "full": full, "quota": quota}
        chosen = [(name, at) for name, at in given.items() if at is not None]
        fault, at = chosen[0] if chosen else (None, None)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = (line, str(folder.resolve()), fault, at)
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Ended(*json.loads(self._server.stdout.readline()))
