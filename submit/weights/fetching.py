"""Fetch weights: resumed after a cut, and verified before they get their name.

sam2.1_hiera_tiny.pt               complete and verified
sam2.1_hiera_tiny.pt.part          what has come so far
sam2.1_hiera_tiny.pt.part.json     of which file on the server that is a part
digests/sam2.1_hiera_tiny.pt.json  address, size and SHA-256; stays when the file is
                                   deleted, so that a new one is compared with it
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import StorageError, WeightsError
from ..system.files import digest, locked, read_json, sync, write_json
from ..system.refusals import refusals_of
from .catalogue import Weights
from .opening import Interrupted, Opened, open_from

__all__ = ["Fetched", "WeightsListener", "fetch"]

#: Seconds before each further try; they begin again whenever bytes have come.
WAITS = (1.0, 3.0, 10.0, 30.0)
_BLOCK = 1 << 20


class WeightsListener(Protocol):
    """Is told how far a download is."""

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        ...

    def sent(self, count: int) -> None:
        """So many have come."""
        ...

    def end(self, *, arrived: bool) -> None:
        """The download is complete, or has failed."""
        ...

    def note(self, message: str) -> None:
        """Something that the user should know."""
        ...


@dataclass(frozen=True)
class Fetched:
    """Weights on this machine, verified.

    Attributes:
        path: The file.
        size: Bytes.
        sha256: In hex.
        compared: With what the digest was compared: `known`, `server` (Hugging Face's
            own), `recorded` (at the first download), or None at a first download whose
            digest is not published: then only the size was.
        new: Whether it was downloaded just now.
    """

    path: Path
    size: int
    sha256: str
    compared: str | None
    new: bool


def fetch(
    weights: Weights,
    folder: Path,
    *,
    listener: WeightsListener,
    waits: Sequence[float] = WAITS,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Download weights, unless they are in the folder already, and verify them.

    Args:
        weights: What to fetch.
        folder: The folder for the file.
        listener: Is told how far it is.
        waits: Seconds before each further try after a broken connection.
        sleep: Waits.

    Raises:
        WeightsError: They cannot be fetched, or are not what was expected.
        StorageError: The disk is full or read-only, or another command fetches them.
    """
    with refusals_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / weights.file
    busy = f"{path}: another command is fetching it; wait for it to end"
    with locked(folder / f".{weights.file}.lock", busy=busy):
        if path.exists():
            return _verified(weights, path)
        download = _Download(weights, path, listener)
        download.run(waits, sleep)
        return download.finish()


class _Download:
    """The part of a file that has come, and the way to the rest."""

    def __init__(self, weights: Weights, path: Path, listener: WeightsListener) -> None:
        self._weights, self._path, self._listener = weights, path, listener
        self._part = path.with_name(f"{path.name}.part")
        self._notes = path.with_name(f"{path.name}.part.json")
        self._known = _read(self._notes)
        # Of an earlier download; the digest that is published comes before it.
        self._first = {} if weights.sha256 else _recorded(weights, path)
        if self._known.get("url") != weights.url:
            self._drop()
        self._digest = hashlib.sha256()
        self._done = 0

    def run(self, waits: Sequence[float], sleep: Callable[[float], None]) -> None:
        """Get all bytes, with further tries while any come."""
        left = list(waits)
        while True:
            before = self._size()
            try:
                return self._once()
            except Interrupted as error:
                if self._size() > before:
                    left = list(waits)
                if not left:
                    kept = f"; {self._size()} bytes are kept" if self._size() else ""
                    raise WeightsError(
                        f"{self._weights.name}: {error}{kept}. Check the connection "
                        "and run the same command again, which continues; or download "
                        f"{self._weights.url} on another machine and put it at "
                        f"{self._path}"
                    ) from error
                wait = left.pop(0)
                self._listener.note(f"{error}; next try in {wait:g} s")
                sleep(wait)

    def _once(self) -> None:
        """Ask for what is missing, and write it as it comes."""
        start = self._size()
        if start and start == self._known.get("size"):
            return self._count_part(start)
        opened = open_from(self._weights, start)
        with contextlib.closing(opened):
            self._require_size(opened)
            if opened.start and self._changed(opened):
                self._drop()
                return self._once()
            self._known = {
                "url": self._weights.url,
                "size": opened.size,
                "etag": opened.etag,
                "sha256": opened.sha256,
            }
            write_json(self._notes, self._known)
            self._count_part(opened.start)
            self._write(opened)

    def _write(self, opened: Opened) -> None:
        size = opened.size or 0
        self._listener.begin(max(size - opened.start, 0))
        arrived = False
        try:
            with refusals_of(self._part), self._part.open("r+b") as stream:
                stream.seek(opened.start)
                stream.truncate()
                for block in opened.blocks():
                    stream.write(block)
                    self._digest.update(block)
                    self._done += len(block)
                    self._listener.sent(len(block))
                stream.flush()
                sync(stream.fileno())
            expected = self._weights.size if opened.size is None else opened.size
            if expected is not None and self._done != expected:
                raise Interrupted(
                    f"{self._weights.url}: {self._done} of {expected} bytes came"
                )
            arrived = True
        finally:
            self._listener.end(arrived=arrived)

    def _count_part(self, size: int) -> None:
        """Take the digest of the first `size` bytes."""
        self._digest, self._done = hashlib.sha256(), size
        with refusals_of(self._part):
            self._part.touch()
            with self._part.open("rb") as stream:
                left = size
                while block := stream.read(min(_BLOCK, left)):
                    self._digest.update(block)
                    left -= len(block)

    def _require_size(self, opened: Opened) -> None:
        """Make sure before a download that it is the right file, and that it fits.

        Raises:
            WeightsError: The file has another size than the known one, or is not the
                one of an earlier download.
            StorageError: The disk has no room for it.
        """
        known, size = self._weights.size, opened.size
        for name, now in (("size", size), ("sha256", opened.sha256)):
            if now is not None and self._first.get(name, now) != now:
                self._drop()
                raise WeightsError(self._about_change(name, self._first[name], now))
        if size is None:
            return
        if known is not None and size != known:
            raise WeightsError(
                f"{self._weights.url}: expected {known} bytes, the server has {size}: "
                "the file was replaced. Look at the project's page for a new one, and "
                "name it with -o checkpoint=FILE"
            )
        free = shutil.disk_usage(self._path.parent).free
        if size - opened.start > free:
            raise StorageError(
                f"{self._path.parent}: {size - opened.start} bytes are needed and "
                f"{free} are free; remove files, or choose another folder with --folder"
            )

    def _changed(self, opened: Opened) -> bool:
        """Whether the part is of another file than the one on the server."""
        old, new = self._known.get("etag"), opened.etag
        return self._known.get("size") != opened.size or old != new

    def finish(self) -> Fetched:
        """Compare the complete file, and give it its name.

        Raises:
            WeightsError: It is not what was expected; it is removed.
        """
        sha256 = self._digest.hexdigest()
        expected, compared = _expected(self._weights, self._first or self._known)
        if expected not in (None, sha256):
            self._drop()
            if self._first:
                raise WeightsError(self._about_change("sha256", expected, sha256))
            raise WeightsError(
                f"{self._weights.url}: expected the SHA-256 {expected}, found "
                f"{sha256}; the file was removed. Fetch it again; if this repeats, the "
                "file on the server is another one"
            )
        found = Fetched(self._path, self._done, sha256, compared, new=True)
        with refusals_of(self._path):
            os.replace(self._part, self._path)
            self._notes.unlink(missing_ok=True)
        _record(self._weights, found)
        return found

    def _about_change(self, name: str, before: object, now: object) -> str:
        what = {"size": "bytes", "sha256": "SHA-256"}[name]
        return (
            f"{self._weights.url}: is another file than the one that was fetched "
            f"before ({what}: {before} then, {now} now); nothing was kept. If the "
            f"project's page speaks of a new file, delete {_record_of(self._path)} and "
            "run the same command again"
        )

    def _size(self) -> int:
        """Bytes that have come."""
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _drop(self) -> None:
        """Begin from the first byte."""
        self._known = {}
        with refusals_of(self._part):
            self._part.unlink(missing_ok=True)
            self._notes.unlink(missing_ok=True)


def _verified(weights: Weights, path: Path) -> Fetched:
    """Verify a file that was there before.

    Raises:
        WeightsError: It is not what was expected. It is not removed, since it may be
            the user's own.
    """
    again = f"delete it and run: submit weights fetch {weights.name}"
    size = path.stat().st_size
    if weights.size not in (None, size):
        raise WeightsError(
            f"{path}: expected {weights.size} bytes, found {size}; {again}"
        )
    expected, compared = _expected(weights, _recorded(weights, path))
    with refusals_of(path):
        sha256 = digest(path)
    if expected not in (None, sha256):
        raise WeightsError(
            f"{path}: expected the SHA-256 {expected}, found {sha256}; {again}"
        )
    found = Fetched(path, size, sha256, compared, new=False)
    if compared is None:
        _record(weights, found)
    return found


def _expected(
    weights: Weights, recorded: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """The expected digest, and who says it."""
    if weights.sha256 is not None:
        return weights.sha256, "known"
    found = recorded.get("sha256")
    if not isinstance(found, str):
        return None, None
    return found, str(recorded.get("compared") or "server")


def _record(weights: Weights, found: Fetched) -> None:
    record = asdict(found) | {"url": weights.url, "compared": "recorded"}
    for name in ("path", "new"):
        del record[name]
    path = _record_of(found.path)
    with refusals_of(path):
        path.parent.mkdir(exist_ok=True)
    write_json(path, record)


def _recorded(weights: Weights, path: Path) -> Mapping[str, Any]:
    """The record of a download from the same address; empty if there is none."""
    found = _read(_record_of(path))
    return found if found.get("url") == weights.url else {}


def _record_of(path: Path) -> Path:
    return path.parent / "digests" / f"{path.name}.json"


def _read(path: Path) -> Mapping[str, Any]:
    """The content of a record; empty if there is none that can be read."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
