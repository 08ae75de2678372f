"""Commands in processes of their own that are killed at a step that a test chooses.

One process imports the toolkit and forks for each command, so that many kills cost one
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

_SERVER = """
import json, os, signal, sys

from submit.system.threads import prepare_threads

prepare_threads()  # Before numpy is imported: later, other processes would do the work.

import numpy as np
from submit.cli import _output, cli
from submit.ensemble import VideoMerger
from submit.pipeline import export_run, predict_split
from submit.png.palette import decode, encode

decode(encode(np.ones((9, 9), np.uint8)))  # Loads compiled code, once for all.

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"}
steps = 0


def run(line, folder, kill, report):
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
        if steps == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.addaudithook(watch)
    try:
        cli(line.split(), prog_name="submit")
    except SystemExit as error:
        status = error.code or 0
    os.write(report, json.dumps([status, steps]).encode())
    os._exit(0)


for request in sys.stdin:
    line, folder, kill = json.loads(request)
    reading, writing = os.pipe()
    if not (child := os.fork()):
        run(line, folder, kill, writing)
    os.close(writing)
    with open(reading) as report:
        answer = report.read()
    os.waitpid(child, 0)
    print(answer or "[null, null]", flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended; both are None if it was killed."""

    status: int | None
    steps: int | None


class Killing:
    """Runs commands, each in a process of its own that may be killed."""

    def __enter__(self) -> Killing:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
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

    def run(self, line: str, folder: Path, *, kill: int | None = None) -> Ended:
        """Run one command line of `submit` in a folder.

        Args:
            line: The command and its arguments.
            folder: Where it runs.
            kill: The command is killed before this step, counted from 0.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = (line, str(folder.resolve()), kill)
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Ended(*json.loads(self._server.stdout.readline()))
