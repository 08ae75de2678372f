"""Runs in a storage: a copy on this machine, and what is sent from it.

Every command works in the copy. Manifests are fetched when a command names the folder
of runs, masks when they are read. While a run is written, each video is sent as soon as
it is complete, and after it the manifest that names it, so that no reader sees a video
that is not there, and a machine that is lost takes no finished video with it.

.unsent/<video>.json    in the copy: a video that was finished and not sent yet
.writer                 in the storage: who writes the run; see `submit.system.holders`
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..storage import StoredFile, StoredTree, in_threads
from ..system.files import locked, read_json, write_bytes, write_json
from ..system.holders import Holder, holding
from ..system.names import is_plain_name
from ..system.urls import StorageUrl, place
from .store import log_path, read_store

__all__ = ["KeptRuns", "Outbox", "keep", "kept", "runs_folder", "runs_named"]

_MANIFEST, _LOCK = "manifest.json", ".lock"
#: Small files beside the manifest: the failures, and what members gave an ensemble.
_BESIDE = ("failed.json", "members.json")
_UNSENT = ".unsent"

#: Seconds between two tries to send what a storage did not take.
_AGAIN = 15.0

#: The folders of runs that this process keeps, by their copies.
_KEPT: dict[Path, KeptRuns] = {}


def keep(url: StorageUrl) -> Path:
    """Get the runs at a URL; returns the folder of their copies.

    Raises:
        StorageError: The storage cannot be read, or the disk refuses.
    """
    runs = KeptRuns(StoredTree(url))
    _KEPT[runs.tree.path] = runs
    runs.pull()
    return runs.tree.path


def runs_folder(named: str | os.PathLike[str] | StorageUrl) -> Path:
    """The folder of runs that a user names; for a URL, see `keep`.

    Raises:
        ValueError: The URL names no folder.
        StorageError: The storage cannot be read, or the disk refuses.
    """
    found = place(named)
    return keep(found) if isinstance(found, StorageUrl) else found


def kept(path: Path) -> KeptRuns | None:
    """What keeps a run, or a folder of runs; None for one that is on disk only."""
    return next(
        (runs for copy, runs in _KEPT.items() if path.is_relative_to(copy)), None
    )


def runs_named(folder: Path) -> str:
    """What to call a folder of runs in commands and records; see `runs_folder`."""
    runs = kept(folder)
    return str(folder if runs is None else runs.tree.url)


class KeptRuns:
    """A folder of runs in a storage; it can be sent to workers.

    Args:
        tree: The folder.
    """

    def __init__(self, tree: StoredTree) -> None:
        self.tree = tree
        self._there: dict[Path, Mapping[str, StoredFile | None]] = {}

    def pull(self) -> None:
        """Fetch the manifests of all runs, of parts and of runs one folder below.

        Runs that the storage has no more are removed from the copy.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        root = self.tree.path
        found: set[Path] = set()
        folders = [root]
        for _ in range(3):
            listed = self.tree.lists(folders)
            runs = {folder for folder, names in listed.items() if _MANIFEST in names}
            found |= runs
            folders = [
                folder / name
                for folder, names in listed.items()
                if folder not in runs
                for name, file in names.items()
                if file is None and is_plain_name(name)
            ]
        here = {path.parent for path in root.glob(f"*/{_MANIFEST}")}
        here |= {path.parent for path in root.glob(f"*/*/{_MANIFEST}")}
        in_threads(self._refresh_idle, sorted(found | here), threads=8)

    def _refresh_idle(self, run: Path) -> None:
        """Fetch a manifest, unless a command of this machine writes the run."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(run / _LOCK))
            except StorageError:
                return
            self.refresh(run)
            if not (run / _MANIFEST).exists():
                shutil.rmtree(run, ignore_errors=True)

    def refresh(self, run: Path) -> None:
        """Fetch what the storage says of a run; its lock here must be held.

        Masks of videos that were made again elsewhere are removed from the copy, but
        what was finished here and not sent stays.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        self._there.clear()
        before = _digests(run)
        manifest = run / _MANIFEST
        if self.tree.read(manifest) is None:
            _keep_unsent(run)
            return
        # In this order, as in `read_store`.
        for path in (log_path(manifest), manifest, *(run / name for name in _BESIDE)):
            data = self.tree.read(path)
            if data is None:
                path.unlink(missing_ok=True)
            else:
                write_bytes(path, data)
        after = _digests(run)
        for name, digest in before.items():
            if after.get(name) != digest and not _unsent_path(run, name).exists():
                _remove(run / "soft" / f"{name}.npz")
                _remove(run / "masks" / name)

    def has(self, path: Path) -> bool:
        """Whether the storage has the masks of a video.

        Raises:
            StorageError: The storage cannot be read.
        """
        if path.parent not in self._there:
            self._there[path.parent] = self.tree.list(path.parent) or {}
        return path.name in self._there[path.parent]

    def bring(self, path: Path, files: int | None) -> None:
        """Fetch the masks of a video, if they are not here.

        Args:
            path: Its soft file, or its folder of masks.
            files: How many masks there are; None for a soft file.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        if files is None:
            if not path.exists():
                self._bring(path.parent, path.name)
        elif not path.is_dir() or len(list(path.iterdir())) < files:
            self._bring(path, None)

    def _bring(self, folder: Path, name: str | None) -> None:
        there = self.tree.list(folder) or {}
        wanted = [
            file
            for file in there.values()
            if file is not None and name in (None, file.name)
        ]
        self.tree.bring(folder, wanted)

    @contextlib.contextmanager
    def writing(self, run: Path) -> Iterator[Outbox]:
        """Be the only one that writes a run; its lock here must be held.

        Raises:
            StorageError: Another machine writes it, or something was not sent.
        """
        slot = _Slot(self.tree, run / ".writer")
        busy = (
            f"{self.tree.named(run)}: another command is writing here; wait for it to "
            "end"
        )
        with holding(slot, busy=busy) as holder:
            self.refresh(run)
            outbox = Outbox(self.tree, run, holder)
            try:
                yield outbox
            finally:
                outbox.end()
            outbox.require_sent()

    def clear(self, run: Path) -> None:
        """Delete all of a run in the storage but who writes it.

        Raises:
            StorageError: The storage refuses.
        """
        manifest = run / _MANIFEST
        self.tree.delete(manifest)
        self.tree.delete(log_path(manifest))
        for name in (*_BESIDE, "soft", "masks"):
            self.tree.delete(run / name)


class Outbox:
    """Sends what was written of a run, in order, beside the work.

    What a storage does not take is tried again until the end.

    Args:
        tree: The folder of runs.
        run: The run.
        holder: Says whether this process is still the one that writes it.
    """

    def __init__(self, tree: StoredTree, run: Path, holder: Holder) -> None:
        self._tree, self._run, self._holder = tree, run, holder
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = (
            queue.SimpleQueue()
        )
        self._ending = threading.Event()
        self._error: Exception | None = None
        self._left = 0
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def unsent(self) -> dict[str, Any]:
        """The entries of videos that an earlier command finished and did not send."""
        found = {}
        for file in sorted((self._run / _UNSENT).glob("*.json")):
            if is_plain_name(file.stem):
                with contextlib.suppress(OSError, ValueError):
                    found[file.stem] = read_json(file)
        return found

    def forget(self, name: str) -> None:
        """Forget that a video was not sent."""
        _unsent_path(self._run, name).unlink(missing_ok=True)

    def video(self, name: str, path: Path, entry: Mapping[str, Any]) -> None:
        """Send the masks of a video, which the manifest does not name yet.

        Args:
            name: The video.
            path: Its soft file, or its folder of masks.
            entry: What must be known to name it later.
        """
        write_json(_unsent_path(self._run, name), entry)

        def send() -> None:
            self._require_mine()
            # It may have been removed again meanwhile.
            if path.exists():
                self._tree.send(path)

        self._waiting.put(send)

    def log(self, sent: str | None = None) -> None:
        """Send the log as it is now.

        Args:
            sent: The video that it names for the first time.
        """
        path = log_path(self._run / _MANIFEST)
        data = path.read_bytes()

        def send() -> None:
            self._require_mine()
            self._tree.send_bytes(data, path)
            if sent is not None:
                self.forget(sent)

        self._waiting.put(send)

    def manifest(self) -> None:
        """Send the manifest and what is beside it as it is now; the log is in it."""
        manifest = self._run / _MANIFEST
        paths = [*(self._run / name for name in _BESIDE), manifest]
        data = {path: path.read_bytes() for path in paths if path.exists()}

        def send() -> None:
            self._require_mine()
            for path, content in data.items():
                self._tree.send_bytes(content, path)
            for path in paths:
                if path not in data:
                    self._tree.delete(path)
            self._tree.delete(log_path(manifest))

        self._waiting.put(send)

    def delete(self, *paths: Path) -> None:
        """Delete files and folders of the run."""

        def remove() -> None:
            self._require_mine()
            for path in paths:
                self._tree.delete(path)

        self._waiting.put(remove)

    def end(self) -> None:
        """Send what is left, without further waits, and end the thread."""
        self._ending.set()
        self._waiting.put(None)
        self._thread.join()

    def require_sent(self) -> None:
        """Make sure that all was sent.

        Raises:
            StorageError: Something was not.
        """
        if self._error is not None:
            raise StorageError(
                f"{self._error}; what is finished is in {self._run}, and the same "
                "command sends it"
            )
        with contextlib.suppress(OSError):
            (self._run / _UNSENT).rmdir()

    def _require_mine(self) -> None:
        if not self._holder.is_mine():
            raise _TakenError(
                f"{self._tree.named(self._run)}: another machine has begun to write "
                "here, since nothing was heard of this one for a minute"
            )

    def _send_all(self) -> None:
        while (action := self._waiting.get()) is not None:
            while True:
                try:
                    action()
                    self._error = None
                    break
                except Exception as error:
                    self._error = error
                    final = isinstance(error, _TakenError)
                    if final or self._ending.wait(_AGAIN):
                        # Nothing may be named that was not sent.
                        return


class _TakenError(StorageError):
    """Another machine writes the run now."""


class _Slot:
    """The holder of a run: a file in the storage."""

    def __init__(self, tree: StoredTree, path: Path) -> None:
        self._tree, self._path = tree, path

    def read(self) -> str:
        """What is in it; empty if it is not there."""
        return (self._tree.read(self._path) or b"").decode("utf-8", errors="replace")

    def make(self, line: bytes) -> bool:
        """Make it, unless there is one; another machine may do so at once."""
        if self.read():
            return False
        self._tree.send_bytes(line, self._path)
        return True

    def write(self, line: bytes) -> None:
        """Give a sign of life."""
        self._tree.send_bytes(line, self._path)

    def remove(self) -> None:
        """Remove it."""
        self._tree.delete(self._path)

    #: Whether two machines can both believe that they have made it.
    sure = False


def _unsent_path(run: Path, video: str) -> Path:
    return run / _UNSENT / f"{video}.json"


def _keep_unsent(run: Path) -> None:
    """Remove all of a copy but its lock, and what was finished here and not sent."""
    unsent = {file.stem for file in (run / _UNSENT).glob("*.json")}
    manifest = run / _MANIFEST
    try:
        content: dict[str, Any] = read_store(manifest)[0] if unsent else {}
    except (OSError, ValueError):
        content = {}
    stays = {_LOCK}
    if content:
        # The other videos are not there any more.
        write_json(manifest, {**content, "videos": {}})
        stays |= {_MANIFEST, _UNSENT, "soft", "masks"}
    for child in run.iterdir() if run.is_dir() else ():
        if child.name not in stays:
            _remove(child)
    for folder in (run / "soft", run / "masks"):
        for child in folder.iterdir() if folder.is_dir() else ():
            if child.name.removesuffix(".npz") not in unsent:
                _remove(child)


def _digests(run: Path) -> dict[str, Any]:
    """The digest of each video of a run, as far as its manifest can be read."""
    try:
        content, changes = read_store(run / _MANIFEST)
        entries = {**content["videos"], **changes.get("videos", {})}
        return {
            name: entry["digest"]
            for name, entry in entries.items()
            if entry is not None and is_plain_name(name)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
