"""Tables in a JSON file, and a log of changes since the file was written.

    manifest.json   {"revision": 3, …, "videos": {"a": {…}}}
    manifest.log    {"revision": 3}
                    {"videos": {"b": {…}}}
                    {"videos": {"a": null}, "failures": {"a": "memory ran out"}}

A change is one line at the end of the log, so that it costs the same however large the
tables are. At the end the log is folded into the file. A killed process leaves its log,
which the next reader or writer applies. An incomplete last line is ignored. The log
belongs to the file of its revision only, so that it cannot be applied twice or to
another file.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..system.files import Lock, read_json, sync, write_bytes
from ..system.refusals import refusals_of

__all__ = ["Store", "Tables", "log_path", "read_store"]

#: Entries by name, of each table by its name.
Tables: TypeAlias = dict[str, dict[str, Any]]

#: Seconds after which a line is synced to disk, for a power cut.
_SYNC_EVERY = 1.0


def log_path(path: Path) -> Path:
    """The log beside a file of tables."""
    return path.with_suffix(".log")


def read_store(path: Path) -> tuple[dict[str, Any], Tables]:
    """Read a file of tables.

    Returns:
        The content of the file, and the changes in its log, by table; an entry that
        was removed is None there.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: It is not a JSON object.
    """
    # Read the log first: if it is folded in between, the file has all of it already.
    try:
        lines = log_path(path).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        lines = []
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object")
    patches = [patch for line in lines if (patch := _patch(line)) is not None]
    changes: Tables = {}
    if patches and patches[0] == {"revision": content.get("revision", 0)}:
        for patch in patches[1:]:
            for table, entries in patch.items():
                if isinstance(entries, dict):
                    changes.setdefault(table, {}).update(entries)
    return content, changes


def _patch(line: bytes) -> dict[str, Any] | None:
    """Read a line of a log; None if it is incomplete or was lost in a power cut."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Store:
    """Writes a file of tables; its lock must be held all the time.

    Args:
        path: The file.
        lock: The lock on it.
        content: Makes the content of the file without its revision: JSON objects in
            JSON objects.
        revision: The revision of the existing file; 0 without one.
    """

    def __init__(
        self,
        path: Path,
        lock: Lock,
        content: Callable[[], Mapping[str, Any]],
        *,
        revision: int,
    ) -> None:
        self._path = path
        self._lock = lock
        self._content = content
        self._revision = revision
        self._synced = time.monotonic()
        self._logged = False

    @property
    def has_log(self) -> bool:
        """Whether anything was logged since the file was written."""
        return self._logged

    @property
    def revision(self) -> int:
        """How often the file was written."""
        return self._revision

    def note(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Append changed entries to the log; None stands for one that was removed.

        Args:
            changes: The entries by name, by table.

        Raises:
            StorageError: The disk refuses, or the folder was removed.
        """
        self._lock.require_in_place()
        lines: list[Mapping[str, Any]] = [changes]
        if not self._logged:
            lines.insert(0, {"revision": self._revision})
        data = b"".join(
            json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines
        )
        flags = os.O_WRONLY | os.O_APPEND
        if not self._logged:
            flags |= os.O_CREAT | os.O_TRUNC
        path = log_path(self._path)
        with refusals_of(path):
            log = os.open(path, flags, 0o666)
            try:
                _append(log, data)
                if time.monotonic() - self._synced > _SYNC_EVERY:
                    sync(log)
                    self._synced = time.monotonic()
            finally:
                os.close(log)
        self._logged = True

    def fold(self) -> None:
        """Write the file with all changes and remove the log.

        Raises:
            StorageError: The disk refuses, or the folder was removed.
        """
        self._lock.require_in_place()
        text = _to_json({"revision": self._revision + 1, **self._content()})
        write_bytes(self._path, text.encode())
        self._revision += 1
        self._logged = False
        with contextlib.suppress(FileNotFoundError):
            log_path(self._path).unlink()


def _append(log: int, data: bytes) -> None:
    """Write all of it or, if the disk is full, nothing."""
    before = os.fstat(log).st_size
    try:
        while data:
            data = data[os.write(log, data) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(log, before)
        raise


def _to_json(content: Mapping[str, Any]) -> str:
    """Write JSON with a line for each entry of a table: short, and readable."""
    parts = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            entries = ",\n".join(
                f"    {json.dumps(name, ensure_ascii=False)}: "
                f"{json.dumps(entry, ensure_ascii=False)}"
                for name, entry in value.items()
            )
            text = f"{{\n{entries}\n  }}"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
