"""The run folder and its manifest: how a run was made, and its complete videos."""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import RunError, RunMismatchError
from ..system.files import (
    Lock,
    digest,
    locked,
    read_json,
    remove_partial,
    write_json,
)
from ..system.machine import git_commit
from ..system.names import is_plain_name
from ..system.parts import Part
from ..system.refusals import refusals_of
from ..system.words import did_you_mean
from .identity import Identity, Standing, fingerprint, standing_of
from .kept import KeptRuns, Outbox, kept
from .masks import KnownMasks, read_digests
from .record import VideoRecord, worker_key
from .soft import SoftVideo, VideoMasks
from .store import Store, log_path, read_store

__all__ = ["SCHEMA", "Run", "StoredVideo", "VideoRecord"]

#: Version of the folder's format; readers refuse unknown versions.
SCHEMA = 3
#: Older formats that are still read: logits are in steps of 1/8 up to ±15.875 there.
_OLDER = (1, 2)

_MANIFEST, _FAILURES, _LOCK = "manifest.json", "failed.json", ".lock"
_PACKAGES = ("mose-submit", "torch", "numpy", "scikit-image", "pillow", "numba")
#: Runs of these kinds are cheap to make again, so a recipe may replace them.
_CHEAP = ("import", "ensemble")


@dataclass(frozen=True)
class StoredVideo:
    """A complete video of a run, which can be sent to a worker and opened there.

    Attributes:
        run: Folder of the run.
        name: The video.
        record: Its entry in the manifest.
        kept: The runs in a storage that this one belongs to; None for one on disk only.
    """

    run: Path
    name: str
    record: VideoRecord
    kept: KeptRuns | None = None

    @property
    def path(self) -> Path:
        """The soft file, or the folder of masks."""
        if self.record.soft:
            return self.run / "soft" / f"{self.name}.npz"
        return self.run / "masks" / self.name

    def fetch(self) -> None:
        """Fetch its masks from the storage, if it is in one and they are not here.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        if self.kept is not None:
            record = self.record
            self.kept.bring(self.path, None if record.soft else record.frames)

    def open(self) -> VideoMasks:
        """Open its masks; every byte that is read is compared with the digests.

        Raises:
            RunError: Its files are damaged or have changed since they were written.
            StorageError: They are in a storage that cannot be read.
        """
        self.fetch()
        record = self.record
        if record.soft:
            return SoftVideo(self.path, digest=record.digest)
        return self.masks().video(self.name, objects=record.objects, size=record.size)

    def require_unchanged(self) -> None:
        """Make sure that a soft file has not changed, without opening it.

        Raises:
            RunError: It has changed, or cannot be read.
        """
        self.fetch()
        try:
            if digest(self.path) == self.record.digest:
                return
            reason = "is not the file that was written here"
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        raise RunError(f"{self.path}: {reason}; delete it and {self._remedy}")

    def masks(self) -> KnownMasks:
        """Its masks as files; for a video without soft masks.

        Raises:
            RunError: See `open`.
        """
        self.fetch()
        return KnownMasks(
            self.path.parent, {self.name: self.digests()}, remedy=self._remedy
        )

    def digests(self) -> Mapping[str, str]:
        """The digest of each mask by stem; for a video without soft masks.

        Raises:
            RunError: See `open`.
        """
        if self.record.masks is not None:
            return self.record.masks
        self.fetch()
        whole, digests = read_digests(self.path)
        if whole != self.record.digest:
            raise RunError(
                f"{self.path}: expected the {self.record.frames} masks that were "
                f"written there, found others; {self._remedy}"
            )
        return digests

    @property
    def _remedy(self) -> str:
        return f"run the command that made the run {self.run.name} again"


class Run:
    """A run folder.

    Use `Run.open` to read one and `Run.making` to make one or to continue one.

    Attributes:
        path: The folder; its name is the run's name.
        kind: The step that made it: `predict`, `ensemble` or `import`.
        settings: Everything that decides the masks. Two runs with equal settings on an
            equal split have equal masks.
        split: Path and fingerprint of the split.
        expected: All videos of the split; None in runs of earlier versions.
        environment: Further information, which does not decide identity. While a run is
            continued, that of the earlier command.
        videos: Complete videos by name.
        failures: Reason by video for those that could not be made.
    """

    def __init__(
        self,
        path: Path,
        manifest: Mapping[str, Any],
        failures: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.schema: int = manifest["schema"]
        self.kind: str = manifest["kind"]
        self.settings: dict[str, Any] = dict(manifest["settings"])
        self.split: dict[str, str] = dict(manifest["split"])
        expected = manifest.get("expected")
        self.expected = None if expected is None else tuple(expected)
        self.environment: dict[str, Any] = dict(manifest["environment"])
        self._workers: dict[str, Any] = dict(manifest.get("workers", {}))
        self.videos: dict[str, VideoRecord] = {
            name: VideoRecord.from_entry(entry, self._workers)
            for name, entry in sorted(manifest["videos"].items())
        }
        self.failures = dict(failures or {})
        self._revision = int(manifest.get("revision", 0))
        self._store: Store | None = None
        self._outbox: Outbox | None = None
        self._unsaved = False

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def masks_folder(self) -> Path:
        """The folder of palette masks; may not exist."""
        return self.path / "masks"

    @property
    def is_soft(self) -> bool:
        """Whether the run keeps soft masks."""
        return not self.videos or any(record.soft for record in self.videos.values())

    @property
    def identity(self) -> str:
        """Digest of the run's content: changes when any video does."""
        return fingerprint({name: r.digest for name, r in self.videos.items()})

    @property
    def origin(self) -> Identity:
        """The identity that the run was made with."""
        return Identity(self.kind, self.settings, self.split, self.expected)

    @property
    def missing(self) -> tuple[str, ...]:
        """Videos of the split that the run is known to lack."""
        videos = self.failures if self.expected is None else self.expected
        return tuple(name for name in videos if name not in self.videos)

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Whether `path` is a run folder."""
        return (path / _MANIFEST).is_file()

    @classmethod
    def names(cls, folder: Path) -> list[str]:
        """The names of the runs in a folder."""
        return sorted(path.parent.name for path in folder.glob(f"*/{_MANIFEST}"))

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open a run to read it; nothing is written.

        Raises:
            RunError: It does not exist, or has a format that this version does not
                know.
        """
        manifest_path = path / _MANIFEST
        try:
            manifest, changes = read_store(manifest_path)
        except FileNotFoundError:
            if cls.parts(path):
                raise RunError(
                    f"{path}: only parts of this run are there; when all are "
                    f"complete, do: submit merge-parts {path}"
                ) from None
            near = cls.names(path.parent)
            there = did_you_mean(path.name, near)
            if near:
                there += f"{'' if there else ';'} {path.parent} has {', '.join(near)}"
            raise RunError(
                f"{path}: no such run{there} (make one with submit predict or submit "
                "import)"
            ) from None
        except (OSError, ValueError) as error:
            reason = str(error).removeprefix(f"{manifest_path}: ")
            raise RunError(f"{manifest_path}: cannot be read ({reason})") from error
        try:
            if manifest["schema"] not in (SCHEMA, *_OLDER):
                raise RunError(
                    f"{manifest_path}: has schema {manifest['schema']}, this version "
                    f"reads {SCHEMA}; use the version that wrote it or make it again"
                )
            for table in ("videos", "workers"):
                entries = {**manifest.get(table, {}), **changes.get(table, {})}
                manifest[table] = _without_none(entries)
            failures = {
                **_read_failures(path / _FAILURES),
                **changes.get("failures", {}),
            }
            _require_form(manifest)
            return cls(path, manifest, _without_none(failures))
        # What another program wrote there can fail in any of these ways.
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise RunError(
                f"{manifest_path}: is not a run's manifest ({what}); delete the "
                "folder and make the run again"
            ) from error

    @classmethod
    @contextlib.contextmanager
    def making(
        cls,
        path: Path,
        identity: Identity,
        *,
        environment: Mapping[str, Any] | None = None,
        renew: bool = False,
        upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> Iterator[Run]:
        """Make or continue a run; it is locked during the block.

        All is decided under the run's lock. Partial files of a killed command are
        deleted. A run without any complete video is replaced. A run that is empty at
        the end is removed.

        Args:
            path: The run's folder.
            identity: The identity of the run to make.
            environment: Further information to record; may differ between commands.
            renew: Whether an import or an ensemble of other settings is replaced.
            upgrade: Converts the settings of a run of an earlier version.

        Raises:
            RunMismatchError: The existing run was made with other settings or from
                another split.
            RunError: The path is a file, or a folder of another kind.
            StorageError: Another command is writing it, or the disk refuses.
        """
        _require_room(path)
        with locked(path / _LOCK) as lock, _outbox(path) as outbox:
            _require_room(path)
            run = cls._continued(
                path, identity, renew=renew, upgrade=upgrade, outbox=outbox
            )
            given = {**_environment(), **(environment or {})}
            if run is None:
                run = cls(path, _head(identity, given))
                run._unsaved = True
            try:
                with run._held(lock, outbox):
                    run._add_unsent()
                    yield run
                    run._renew(given, told=environment or {}, split=identity)
            finally:
                if lock.is_in_place():
                    run._remove_if_empty()
                    if outbox is not None and not cls.exists(path):
                        outbox.delete(path)

    @classmethod
    def _continued(
        cls,
        path: Path,
        identity: Identity,
        *,
        renew: bool,
        upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        outbox: Outbox | None,
    ) -> Run | None:
        """Open the existing run to continue it; None if a new one begins."""
        if not cls.exists(path):
            return None
        run = cls.open(path)
        if run.schema == 1:
            upgraded = dict(upgrade(run.settings))
            # Settings that no longer decide are still recorded.
            rest = {k: v for k, v in run.settings.items() if k not in upgraded}
            run.environment = {**rest, **run.environment}
            run.settings = upgraded
            run.schema, run._unsaved = 2, True
        try:
            run.origin.require(identity, path)
            if run.kind != "predict" and not any(r.soft for r in run.videos.values()):
                # Without logits nothing is in the older format.
                run._unsaved |= run.schema != SCHEMA
                run.schema = SCHEMA
            elif run.kind == "ensemble":
                run.require_format(run.videos)
        except RunMismatchError:
            cheap = renew and run.kind in _CHEAP
            finished = (*map(run.stored, run.videos), *run._unsent(outbox))
            if not cheap and any(one.path.exists() for one in finished):
                raise
            run._clear()
            return None
        return run

    def _renew(
        self, found: Mapping[str, Any], *, told: Mapping[str, Any], split: Identity
    ) -> None:
        """Store the values that may differ from the last command's.

        Args:
            found: The environment.
            told: The part of it that the step has given.
            split: Has the present place of the split.
        """
        place = dict(split.split), split.videos
        old = self.environment
        if place == (self.split, self.expected) and all(
            old.get(key) == value for key, value in told.items()
        ):
            return
        self.split, self.expected = place
        self.environment = {**found, "continued": found["created"]}
        self.environment["created"] = old.get("created", found["created"])
        self._unsaved = True

    @contextlib.contextmanager
    def writing(self) -> Iterator[Lock]:
        """Lock the run for writing, and delete partial files of a killed command.

        The manifest is read again, so that entries of another command are not lost.

        Of a run in a storage, only the copy on this machine is written.

        Raises:
            StorageError: Another command is writing it.
        """
        with locked(self.path / _LOCK) as lock:
            vars(self).update(vars(Run.open(self.path)))
            with self._held(lock, None):
                yield lock

    @contextlib.contextmanager
    def _held(self, lock: Lock, outbox: Outbox | None) -> Iterator[None]:
        """Write the log while the lock is held, and fold it at the end."""
        self._outbox = outbox
        manifest = self.path / _MANIFEST
        self._store = Store(manifest, lock, self._content, revision=self._revision)
        self._remove_partial()
        if self._unsaved or log_path(manifest).exists():
            self._save()
        try:
            with lock.closing(self._close):
                yield
        finally:
            self._store = self._outbox = None

    def _unsent(self, outbox: Outbox | None) -> list[StoredVideo]:
        """The videos of this run that an earlier command finished and did not send."""
        found = []
        for name, known in ({} if outbox is None else outbox.unsent()).items():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                record = VideoRecord.from_entry(known["entry"], known["workers"])
                if known["made_by"] == self._made_by():
                    found.append(StoredVideo(self.path, name, record))
        return found

    def _add_unsent(self) -> None:
        """Add the videos that an earlier command finished here and did not send.

        Those that are in the run meanwhile, or were made with other settings than it
        has now, are removed from this machine.
        """
        if self._outbox is None:
            return
        mine = {one.name: one for one in self._unsent(self._outbox)}
        for name in self._outbox.unsent():
            one, known = mine.get(name), self.videos.get(name)
            if one is not None and known is None and one.path.exists():
                self.add(name, one.record)
                continue
            if one is None or known is None or one.record.digest != known.digest:
                _remove(self.soft_path(name))
                _remove(self.masks_folder / name)
            self._outbox.forget(name)

    def _made_by(self) -> str:
        """A digest of what decides the masks of all videos."""
        return fingerprint([self.kind, self.settings, self.split["fingerprint"]])

    def _close(self) -> None:
        self._remove_partial()
        if self._store is not None and (self._unsaved or self._store.has_log):
            self._save()

    def _remove_partial(self) -> None:
        for folder in (self.path, self.path / "soft", self.masks_folder):
            remove_partial(folder)

    def _clear(self) -> None:
        """Remove everything except the lock, which is held."""
        for child in self.path.iterdir():
            if child.name != _LOCK:
                _remove(child)
        if (runs := kept(self.path)) is not None:
            runs.clear(self.path)

    def _remove_if_empty(self) -> None:
        """Remove an empty run, unless no video is expected of it."""
        if self.videos or self.failures or self.expected == ():
            return
        with contextlib.suppress(OSError):
            for folder in (self.path / "soft", self.masks_folder):
                remove_partial(folder)
                if folder.exists():
                    folder.rmdir()
            remove_partial(self.path)
            if _foreign_files(self.path):
                return
            manifest = self.path / _MANIFEST
            for file in (manifest, log_path(manifest), self.path / _LOCK):
                file.unlink(missing_ok=True)
            self.path.rmdir()

    def delete(self) -> None:
        """Delete the folder with everything in it.

        The manifest goes last, so that a killed command can be repeated.

        Raises:
            RunError: The path is a link.
            StorageError: Another command is writing the run, or the disk refuses.
        """
        if self.path.is_symlink():
            raise RunError(
                f"{self.path}: is a link to {self.path.resolve()}; delete the link, or "
                "name that folder"
            )
        with locked(self.path / _LOCK), refusals_of(self.path):
            with _outbox(self.path) as outbox:
                if outbox is not None:
                    whole = (self.path / "soft", self.masks_folder, self.path)
                    outbox.delete(*whole)
            last = [self.path / name for name in (_MANIFEST, _LOCK)]
            for child in sorted(self.path.iterdir()):
                if child not in last:
                    _remove(child)
            for file in last:
                file.unlink(missing_ok=True)
            self.path.rmdir()

    @staticmethod
    def parts(path: Path) -> dict[Part, Path]:
        """The folders of the parts of a run, in the order of the parts.

        Args:
            path: The folder of the whole run.
        """
        return Part.places(path, _MANIFEST)

    def soft_path(self, video: str) -> Path:
        """The soft file of a video."""
        return self.path / "soft" / f"{video}.npz"

    def stored(self, video: str) -> StoredVideo:
        """A complete video, to be opened here or by a worker.

        Raises:
            RunError: The video is not in the run.
        """
        record = self.videos.get(video)
        if record is None:
            reason = self.failures.get(video, "it was not requested")
            raise RunError(f"run {self.name} has no video {video}: {reason}")
        return StoredVideo(self.path, video, record, kept(self.path))

    def read(self, video: str) -> VideoMasks:
        """Open the masks of a complete video; see `StoredVideo.open`.

        Raises:
            RunError: The video is not in the run, or its files are damaged, or others
                than those that were written.
        """
        return self.stored(video).open()

    def standing(self, video: str, source: str | None = None) -> Standing:
        """The state of a video compared with the request.

        Args:
            video: Its name.
            source: Digest of its present inputs; None if they do not matter.
        """
        record = self.videos.get(video)
        if record is None:
            return Standing.ABSENT
        path, runs = self.stored(video).path, kept(self.path)
        if runs is not None and not path.exists() and runs.has(path):
            # It is compared with its digest when it is fetched.
            same = source is None or record.source == source
            return Standing.CURRENT if same else Standing.OUTDATED
        return standing_of(path, record.digest, record.source, source)

    def require_format(self, wanted: Collection[str]) -> None:
        """Make sure that new videos have the same format as those in the run.

        Args:
            wanted: The videos.

        Raises:
            RunMismatchError: The run keeps logits as an earlier version did.
        """
        if wanted and self.schema != SCHEMA:
            raise RunMismatchError(
                f"{self.path}: this run was made by an earlier version, which rounded "
                "logits in another way (format 2; now it is 3), so that new videos "
                "would not be like the others; it can be exported and merged as it "
                "is, but not continued: choose another name, or delete the folder to "
                "make it again"
            )

    def add(self, video: str, record: VideoRecord) -> None:
        """Add a complete video; within `making` or `writing`.

        Raises:
            StorageError: The disk refuses, or the folder was removed.
        """
        entry = record.to_entry()
        changes: dict[str, Mapping[str, Any]] = {"videos": {video: entry}}
        workers: dict[str, Any] = {}
        if record.worker is not None:
            workers[worker_key(record.worker)] = record.worker
            if workers.keys() - self._workers.keys():
                self._workers.update(workers)
                changes["workers"] = workers
        if video in self.failures:
            del self.failures[video]
            changes["failures"] = {video: None}
        self.videos[video] = record
        if self._outbox is not None:
            known = {"made_by": self._made_by(), "entry": entry, "workers": workers}
            self._outbox.video(video, self.stored(video).path, known)
        self._note(changes, added=video)

    def fail(self, video: str, reason: str) -> None:
        """Record why a video failed; an older result is removed."""
        self.forget(video)
        self.failures[video] = reason
        self._note({"failures": {video: reason}})

    def forget(self, video: str) -> None:
        """Remove a video and its files."""
        if video not in self.videos:
            return
        path = self.stored(video).path
        del self.videos[video]
        self._note({"videos": {video: None}})
        _remove(path)
        if self._outbox is not None:
            self._outbox.delete(path)

    def _note(
        self, changes: Mapping[str, Mapping[str, Any]], *, added: str | None = None
    ) -> None:
        assert self._store is not None, "a run is changed while it is held"
        self._store.note(changes)
        if self._outbox is not None:
            self._outbox.log(added)

    def _content(self) -> dict[str, Any]:
        used = {
            worker_key(record.worker): record.worker
            for record in self.videos.values()
            if record.worker is not None
        }
        return {
            **_head(self.origin, self.environment),
            "schema": self.schema,
            "workers": used,
            "videos": {
                name: record.to_entry() for name, record in sorted(self.videos.items())
            },
        }

    def _save(self) -> None:
        """Fold the log into the manifest."""
        assert self._store is not None
        path = self.path / _FAILURES
        if self.failures:
            write_json(path, dict(sorted(self.failures.items())))
        else:
            path.unlink(missing_ok=True)
        self._store.fold()
        if self._outbox is not None:
            self._outbox.manifest()
        self.videos = dict(sorted(self.videos.items()))
        self._revision, self._unsaved = self._store.revision, False


@contextlib.contextmanager
def _outbox(path: Path) -> Iterator[Outbox | None]:
    """What sends a run to its storage while it is written; None for one on disk."""
    runs = kept(path)
    if runs is None:
        yield None
    else:
        with runs.writing(path) as outbox:
            yield outbox


def _head(identity: Identity, environment: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without videos."""
    return {
        "schema": SCHEMA,
        "kind": identity.kind,
        "settings": dict(identity.settings),
        "split": dict(identity.split),
        "expected": None if identity.videos is None else list(identity.videos),
        "environment": dict(environment),
        "videos": {},
    }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _require_form(manifest: Mapping[str, Any]) -> None:
    """Make sure that a manifest is a command's: names of videos are parts of paths.

    Raises:
        ValueError: It is not.
    """
    for key in ("settings", "split", "environment"):
        _require(manifest, key, Mapping)
    for key in ("path", "fingerprint"):
        _require(manifest["split"], key, str)
    for key in ("created", "continued", "git_commit"):
        _require(manifest["environment"], key, str, None)
    for key in ("versions", "options"):
        _require(manifest["environment"], key, Mapping, None)
    _require(manifest["settings"], "members", list, None)
    _require(manifest, "expected", list, None)
    _require(manifest, "kind", str)
    expected = manifest.get("expected")
    for name in (*manifest["videos"], *(expected or ())):
        if not is_plain_name(name):
            raise ValueError(f"{name!r:.60} is not the name of a video")


def _require(table: Mapping[str, Any], key: str, *kinds: type | None) -> None:
    """Make sure that a value is of one of some types; None stands for a missing one.

    Raises:
        ValueError: It is not.
    """
    value = table.get(key)
    if not any(value is None if k is None else isinstance(value, k) for k in kinds):
        raise ValueError(f"{key} is {value!r:.60}")


def _without_none(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry is not None}


def _require_room(path: Path) -> None:
    """Make sure that a run may be written into a folder; nothing is changed.

    Raises:
        RunError: It is a file, or holds files that do not belong to a run.
    """
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: is a file; choose another --name")
    if path.exists() and not Run.exists(path) and _foreign_files(path):
        raise RunError(
            f"{path}: is a folder with files and no manifest.json, so not a run; "
            "choose another --name"
        )


def _foreign_files(path: Path) -> Sequence[Path]:
    """Names in a folder that an empty run would not leave."""
    return [
        child
        for child in path.iterdir()
        # Hidden files are locks and partial files of a killed command.
        if child.name[0] != "." and not _is_leftover(child)
    ]


def _is_leftover(path: Path) -> bool:
    if path.name in ("soft", "masks"):
        return path.is_dir() and all(child.name[0] == "." for child in path.iterdir())
    return path.name in (_MANIFEST, log_path(Path(_MANIFEST)).name)


def _read_failures(path: Path) -> dict[str, str]:
    try:
        return {str(video): str(reason) for video, reason in read_json(path).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); delete it, failed videos write it again"
        ) from error


def _environment() -> dict[str, Any]:
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "git_commit": git_commit(),
    }
