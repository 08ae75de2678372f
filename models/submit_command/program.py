"""A program as a worker sees it: started, limited in time, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submit.errors import PredictorError

__all__ = ["Ending", "Limits", "Program", "tail"]

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
#: Seconds between two looks at the clock and at the results.
_LOOK = 1.0
#: Seconds beyond the grace time that the supervisor has to end.
_PATIENCE = 30.0
#: What is shown of a log: its last lines, of its last bytes.
_LINES, _BYTES = 20, 1 << 14
#: Most characters of a line that are shown.
_WIDTH = 600
#: Colours and moves of the cursor.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Limits:
    """How long a program may take.

    Attributes:
        total: Seconds for all of it; None without a limit.
        idle: Seconds without a sign of life; None without a limit.
    """

    total: float | None = None
    idle: float | None = None

    @property
    def look(self) -> float:
        """Seconds between two looks at the clock."""
        return min([_LOOK, *(each / 4 for each in (self.total, self.idle) if each)])

    def exceeded(self, seconds: float, idle: float) -> str:
        """Say which limit is exceeded after so many seconds; empty if none is."""
        if self.total is not None and seconds > self.total:
            return f"it took more than {self.total:g} s"
        if self.idle is not None and idle > self.idle:
            return f"it printed and wrote nothing for {self.idle:g} s"
        return ""


@dataclass(frozen=True)
class Ending:
    """How a program ended.

    Attributes:
        status: Exit status, or minus the signal that ended it; None if it could not be
            ended.
        limit: The limit that it exceeded, in words; empty if it ended by itself.
    """

    status: int | None
    limit: str = ""

    @property
    def fine(self) -> bool:
        """Whether the program has succeeded."""
        return self.status == 0 and not self.limit

    def __str__(self) -> str:
        if self.limit:
            return f"was ended: {self.limit}"
        if self.status is None:
            return "could not be ended, since it waits for a device"
        if self.status < 0:
            hint = " (memory may have run out)" if self.status == -9 else ""
            return f"was ended by signal {-self.status}{hint}"
        return f"ended with exit status {self.status}"


class Program:
    """Runs programs for one video, each with all its processes in one group.

    The supervisor lives as long as this object. When this process ends in any way, it
    ends the program and deletes the folder.

    Args:
        folder: Is deleted in the end.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    def __init__(self, folder: Path, *, grace: float) -> None:
        self._grace = grace
        self._answers = b""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # Isolated: nothing in the environment or a folder changes its imports.
                [
                    *(sys.executable, "-I", str(_SUPERVISOR)),
                    *(str(theirs.fileno()), str(folder), str(grace)),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # So that Ctrl-C reaches the command only, which then ends this.
                start_new_session=True,
            )

    def run(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        limits: Limits,
        alive: Callable[[], Any],
    ) -> Ending:
        """Run a program to its end, or to its limit.

        Args:
            words: The program and its arguments.
            folder: Where it runs.
            environment: All of its environment.
            log: Gets what it prints.
            limits: How long it may take.
            alive: Returns another value when the program has done something.

        Raises:
            PredictorError: It cannot be started.
        """
        order = {
            "words": list(words),
            "folder": str(folder),
            "environment": dict(environment),
            "log": str(log),
        }
        self._send(json.dumps(order))
        began = changed = time.monotonic()
        sign, limit = alive(), ""
        while (answer := self._answer(limits.look)) is None:
            now = time.monotonic()
            if limits.idle is not None and (seen := alive()) != sign:
                sign, changed = seen, now
            if not limit and (limit := limits.exceeded(now - began, now - changed)):
                self._send("stop")
        if "failed" in answer:
            raise PredictorError(
                f"the program {words[0]} cannot be started: {answer['failed']}"
            )
        return Ending(answer["ended"], limit)

    def close(self, *, keep: bool = False) -> None:
        """End the program if it runs; returns when it has ended.

        Args:
            keep: Whether the folder stays.
        """
        if keep:
            with contextlib.suppress(PredictorError):
                self._send("keep")
        self._socket.close()
        try:
            self._process.wait(self._grace + _PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, line: str) -> None:
        try:
            self._socket.sendall(line.encode() + b"\n")
        except OSError as error:
            raise PredictorError(_LOST) from error

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """Wait for an answer; None if there is none in time."""
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if not ready:
            return None
        try:
            received = self._socket.recv(1 << 16)
        except OSError as error:
            raise PredictorError(_LOST) from error
        if not received:
            raise PredictorError(_LOST)
        self._answers += received
        line, newline, rest = self._answers.partition(b"\n")
        if not newline:
            return None
        self._answers = rest
        answer: dict[str, Any] = json.loads(line)
        return answer


_LOST = "the process that supervises the program was killed; run the command again"


def tail(log: Path) -> str:
    """The last lines that a program has printed, without colours and progress bars."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # A progress bar goes back to the start of its line; its last state counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    shown = [_ESCAPES.sub("", line).rstrip() for line in lines]
    return "\n".join([_cut(line) for line in shown if line][-_LINES:])


def _cut(line: str) -> str:
    """A line without its middle, if it is very long, such as a list of all weights."""
    if len(line) <= _WIDTH:
        return line
    return f"{line[: _WIDTH // 2]} … {line[-_WIDTH // 2 :]}"
