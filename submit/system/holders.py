"""Locks for file systems that have none, and for storages.

Lustre is such a file system without its option `flock`.

A holder is a file that exactly one process makes. While it runs, a thread writes into
the file every few seconds. A file that stays the same for some time was left by a
process that was killed, on any machine; then the next one takes its place. No
clock is compared with another machine's.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..errors import StorageError
from .refusals import refusals_of

__all__ = ["Holder", "Slot", "holding"]

#: Seconds between two signs of life.
_BEAT = 10.0
#: Seconds without one after which the process of a holder is dead. Network file systems
#: may show a file as it was some seconds ago.
_PATIENCE = 60.0
#: Seconds after which it is clear which of several processes took a dead one's place.
_SETTLED = 2.0


class Slot(Protocol):
    """A file that stands for a lock, on a disk or in a storage.

    Attributes:
        sure: Whether only one of several that make it at once can succeed.
    """

    sure: bool

    def read(self) -> str:
        """What is in it; empty if it is not there."""
        ...

    def make(self, line: bytes) -> bool:
        """Make it; False if there is one."""
        ...

    def write(self, line: bytes) -> None:
        """Replace its content by another line of the same length."""
        ...

    def remove(self) -> None:
        """Remove it, if it is there."""
        ...


class _FileSlot:
    """A file on a disk."""

    sure = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """What is in the file; empty if it is not there."""
        try:
            return self._path.read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def make(self, line: bytes) -> bool:
        """Make the file, unless there is one."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with refusals_of(self._path):
            try:
                file = os.open(self._path, flags, 0o666)
            except FileExistsError:
                return False
            try:
                os.write(file, line)
            finally:
                os.close(file)
        return True

    def write(self, line: bytes) -> None:
        """Write over the line."""
        file = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(file, line, 0)
        finally:
            os.close(file)

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


class Holder:
    """The slot of this process, and the thread that keeps it alive.

    Args:
        slot: The file, which this process has made.
        word: What only this process writes there.
    """

    def __init__(self, slot: Slot, word: str) -> None:
        self._slot = slot
        self._word = word
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def is_mine(self) -> bool:
        """Whether no other process has taken the place of this one."""
        return self._slot.read().startswith(self._word)

    def release(self) -> None:
        """Remove the file."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError, StorageError):
            if self.is_mine():
                self._slot.remove()

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(_BEAT):
            count += 1
            with contextlib.suppress(OSError, StorageError):
                if not self.is_mine():
                    return
                self._slot.write(_line(self._word, count))


@contextlib.contextmanager
def holding(place: Path | Slot, *, busy: str) -> Iterator[Holder]:
    """Be the only process that holds a file while the block runs.

    If another one was killed while it held it, this waits until that is certain: at
    once on the same machine, else for a minute.

    Args:
        place: The file; it is removed at the end.
        busy: The message when another process holds it.

    Raises:
        StorageError: Another process holds it, or the disk refuses.
    """
    word = f"{platform.node()} {os.getpid()} {_boot()} {uuid.uuid4().hex} "
    slot = _FileSlot(place) if isinstance(place, Path) else place
    line = _line(word, 0)
    made = slot.make(line)
    if not made:
        _await_death(slot, busy)
        if not slot.make(line):
            raise StorageError(busy)
    if not made or not slot.sure:
        # Several may have waited, and one of them removed the file of another.
        time.sleep(_SETTLED)
        if not slot.read().startswith(word):
            raise StorageError(busy)
    holder = Holder(slot, word)
    try:
        yield holder
    finally:
        holder.release()


def _await_death(slot: Slot, busy: str) -> None:
    """Wait until the process of a file is dead, and remove the file.

    Raises:
        StorageError: The process is alive.
    """
    there = slot.read()
    until = time.monotonic() + _PATIENCE
    while not _died_here(there) and time.monotonic() < until:
        time.sleep(min(1.0, _PATIENCE / 10))
        now = slot.read()
        if not now:
            return
        # A process that has just made it may not have written yet.
        if there and now != there:
            host, process = now.split()[:2]
            raise StorageError(f"{busy} (process {process} of {host})")
        there = now
    if slot.read() == there:
        slot.remove()


def _died_here(line: str) -> bool:
    """Whether a line was written by a process of this machine that has ended.

    After a restart of the machine it is not known.
    """
    words = line.split()
    if len(words) < 3 or not words[1].isdecimal():
        return False
    if (words[0], words[2]) != (platform.node(), _boot()):
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _boot() -> str:
    """What another machine of the same name does not have; `-` where that is unknown.

    Many machines are called localhost.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or "-"
    except OSError:
        return "-"


def _line(word: str, count: int) -> bytes:
    # Always of one length, so that no reader sees half of it.
    return f"{word}{count:012d}\n".encode()
