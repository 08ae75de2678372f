"""Runs one program, and ends all of its processes when it has to end.

It is a script of its own, between a worker and the program, and needs nothing but
Python: `python supervisor.py SOCKET FOLDER GRACE`. The worker may be killed at any
moment. The socket is then closed by the system, and this process ends the program and
deletes its folder.

    worker ──socket──▶ supervisor ──▶ program ──▶ its processes

The worker sends lines: a JSON object that says what to start, `stop`, or `keep`, after
which the folder stays. Answers are JSON objects: `{"failed": why}` when the program
could not be started, or `{"ended": status}` when no process of it is left.

The program has a session and a process group of its own. On Linux, processes that leave
the group are found as well: orphans become children of this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

#: Of Linux' sys/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINUX = sys.platform == "linux"
#: Seconds between two looks at whether the worker still exists: its socket may be open
#: in a process that was forked from it.
_LOOK = 1.0
#: Seconds in which killed processes have to end; one that waits for a device may not.
_END = 10.0


def main(number: str, folder: str, grace: str) -> None:
    """Wait for orders of the worker until it closes the socket."""
    # A worker ignores Ctrl-C and may have blocked it; the program must not.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    orders = _Orders(socket.socket(fileno=int(number)))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        while not orders.closed:
            order = orders.wait()
            if order.startswith("{"):
                orders.answer(_run(json.loads(order), orders, float(grace)))
    finally:
        if not orders.keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Orders:
    """The socket to the worker.

    Attributes:
        closed: Whether the worker has closed it, or has ended.
        keep: Whether the folder stays.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.closed = self.keep = False
        self._connection = connection
        self._parent = os.getppid()
        self._data = b""
        # Ended children wake `wait`, as do requests to end this process.
        self._woken, wake = os.pipe()
        for end in (self._woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._close)

    def wait(self, seconds: float | None = None) -> str:
        """Wait for an order, the end of a child, or so many seconds.

        Returns:
            The order; empty if there is none.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while not self.closed and b"\n" not in self._data:
            left = _LOOK if end is None else min(_LOOK, end - time.monotonic())
            if left <= 0:
                return ""
            connection = self._connection.fileno()
            ready, _, _ = select.select([connection, self._woken], [], [], left)
            if self._woken in ready:
                os.read(self._woken, 1024)
                return ""
            if connection in ready:
                received = self._receive()
                self._data += received
                self.closed |= not received
            self.closed |= os.getppid() != self._parent
        line, _, self._data = self._data.partition(b"\n")
        self.keep |= line == b"keep"
        return line.decode()

    def answer(self, message: dict[str, Any]) -> None:
        """Send an answer; nothing happens where the worker has ended."""
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.closed = True

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(1 << 16)
        except OSError:
            return b""

    def _close(self, *_: object) -> None:
        self.closed = True


def _run(order: dict[str, Any], orders: _Orders, grace: float) -> dict[str, Any]:
    """Run a program to its end, or until the worker wants it to end."""
    try:
        with open(order["log"], "ab") as log:
            process = subprocess.Popen(
                order["words"],
                cwd=order["folder"],
                env=order["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepare,
            )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"failed": str(error)}
    program = _Program(process.pid)
    # Its status is read here, together with those of its orphans.
    process.returncode = 0
    while program.runs() and not orders.closed:
        if orders.wait() == "stop":
            break
    program.end(orders, grace)
    return {"ended": program.status}


def _prepare() -> None:
    """In the new process, before the program: end with the supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Program:
    """A program and all processes that it has started.

    Attributes:
        status: Its exit status, or minus the signal that ended it; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.status: int | None = None
        self._pid = pid

    def runs(self) -> bool:
        """Whether the program itself runs; its children may do so longer."""
        self._reap()
        return self.status is None

    def end(self, orders: _Orders, grace: float) -> None:
        """End what is left: with SIGTERM, then with SIGKILL."""
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _END)):
            end = time.monotonic() + seconds
            self._send(number)
            while self._reap() and (left := end - time.monotonic()) > 0:
                # It may start others meanwhile.
                if number == signal.SIGKILL:
                    self._send(number)
                _sleep(orders, min(left, 0.1))

    def _reap(self) -> bool:
        """Take the status of what has ended; whether there may be more."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self._group_exists()
            if pid == 0:
                return True
            if pid == self._pid:
                self.status = os.waitstatus_to_exitcode(status)

    def _send(self, number: signal.Signals) -> None:
        for pid in _descendants():
            if _group_of(pid) != self._pid:
                _kill(pid, number)
        _kill(-self._pid, number)

    def _group_exists(self) -> bool:
        return not _LINUX and _kill(-self._pid, 0)


def _descendants() -> list[int]:
    """The processes below this one; none where the system does not list them."""
    children: dict[int, list[int]] = {}
    names = os.listdir("/proc") if _LINUX else []
    for name in filter(str.isdecimal, names):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name of a program, in brackets, may contain any character.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # It has ended meanwhile.
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(name))
    found = children.get(os.getpid(), [])
    for pid in found:  # The list grows meanwhile.
        found += children.get(pid, [])
    return found


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _sleep(orders: _Orders, seconds: float) -> None:
    """Wait for the end of a child, also after the worker has closed the socket."""
    if orders.closed:
        time.sleep(seconds)
    else:
        orders.wait(seconds)


def _kill(pid: int, number: int) -> bool:
    """Send a signal; whether there was a process to get it."""
    try:
        if pid < 0:
            os.killpg(-pid, number)
        else:
            os.kill(pid, number)
    except OSError:
        return False
    return True


def _prctl(what: int, value: int) -> None:
    """Set a property of this process, on Linux."""
    if _LINUX:
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
