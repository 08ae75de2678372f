"""The record of an export folder: its videos, and their sources."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ArchiveError, RunError, RunMismatchError, SettingsError
from ..postprocess import Postprocess
from ..runs import KnownMasks, Run, Standing, Stock
from ..runs.identity import standing_of, take_stock
from ..runs.masks import read_digests
from ..runs.record import is_digests
from ..runs.store import Store, log_path, read_store
from ..system.files import Lock, remove_partial
from ..system.names import is_plain_name
from ..system.parts import Part

__all__ = ["ExportRecord", "Exported"]

#: File beside the exported videos. Hidden, so that it does not count as a video.
_RECORD = ".export.json"
#: Types of a number that may be missing.
_COUNT = (int, type(None))


@dataclass(frozen=True)
class Exported:
    """One exported video.

    Attributes:
        source: Digest of the soft file, or of the masks, that it was made from.
        masks: Digest of the folder.
        files: Digest of each mask by stem; None in records of earlier versions.
    """

    source: str
    masks: str
    files: Mapping[str, str] | None = None


class ExportRecord:
    """The record in an export folder: `.export.json`, and a log while it is written.

    Attributes:
        folder: The folder of video folders.
        run: Name of the run that was exported; None where that is not known.
        postprocess: The post-processing of the masks.
        expected: Number of videos of the run that was exported; None where that is not
            known.
    """

    def __init__(
        self,
        folder: Path,
        videos: Mapping[str, Exported],
        *,
        exists: bool,
        run: str | None = None,
        done: Postprocess | None = None,
        expected: int | None = None,
        revision: int = 0,
    ) -> None:
        self.folder = folder
        self.run = run
        self.postprocess = done or Postprocess()
        self.expected = expected
        self._videos = dict(videos)
        self._exists = exists
        self._revision = revision
        self._store: Store | None = None

    @staticmethod
    def parts(folder: Path) -> dict[Part, Path]:
        """The folders of the parts of an export, in the order of the parts.

        Args:
            folder: The folder of the whole export.
        """
        return Part.places(folder, _RECORD)

    @classmethod
    def open(cls, folder: Path) -> ExportRecord:
        """Read the record of a folder; empty if there is none."""
        try:
            content, changes = read_store(folder / _RECORD)
            entries = {**content["videos"], **changes.get("videos", {})}
            run, expected = content.get("run"), content.get("expected")
            if not isinstance(run, str | None) or type(expected) not in _COUNT:
                raise TypeError
            return cls(
                folder,
                {name: _exported(name, e) for name, e in entries.items() if e},
                exists=True,
                run=run,
                done=Postprocess.from_table(content.get("postprocess", {}), _RECORD),
                expected=expected,
                revision=int(content.get("revision", 0)),
            )
        except (FileNotFoundError, NotADirectoryError):
            exists = False
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            SettingsError,
        ):
            # A record that cannot be read counts as empty.
            exists = True
        return cls(folder, {}, exists=exists)

    @contextlib.contextmanager
    def writing(
        self, run: Run, postprocess: Postprocess | None, lock: Lock, *, renew: bool
    ) -> Iterator[Stock]:
        """Export a run into the folder, whose lock is held.

        Partial files of a killed export are deleted, and so are videos that the run
        does not have any more.

        Args:
            run: The run to export.
            postprocess: The post-processing; None for that of the masks that exist.
            lock: The lock on the folder.
            renew: Whether masks with other post-processing are replaced.

        Yields:
            The state of the run's videos.

        Raises:
            RunMismatchError: The folder holds masks with other post-processing, or of
                another run.
            StorageError: The disk refuses.
        """
        wanted = self.postprocess if postprocess is None else postprocess
        if self._videos and self.postprocess.effective() != wanted.effective():
            if not renew:
                raise RunMismatchError(
                    f"{self.folder}: was exported with post-processing "
                    f"{_in_words(self.postprocess)}, asked for {_in_words(wanted)}; "
                    "choose another folder with -o, or delete this one to export again"
                )
            for name in list(self._videos):
                self._remove(name)
        stock = take_stock(
            run.videos, lambda name: self._standing(name, run.videos[name].digest)
        )
        gone = sorted(self._videos.keys() - run.videos.keys())
        if not renew and self.run not in (None, run.name) and (stock.outdated or gone):
            raise RunMismatchError(
                f"{self.folder}: holds the masks of run {self.run}, asked for those of "
                f"run {run.name}; choose another folder with -o, or delete this one to "
                "export again"
            )
        head = run.name, wanted, len(run.videos)
        changed = head != (self.run, self.postprocess, self.expected)
        self.run, self.postprocess, self.expected = head
        path = self.folder / _RECORD
        self._store = Store(path, lock, self._content, revision=self._revision)
        remove_partial(self.folder)
        if changed or not self._exists or log_path(path).exists():
            self._store.fold()
        for name in gone:
            self.forget(name)
        try:
            with lock.closing(self._close):
                yield stock
        finally:
            self._store = None

    def _close(self) -> None:
        remove_partial(self.folder)
        if self._store is not None and self._store.has_log:
            self._store.fold()

    def require_room(self) -> None:
        """Make sure that the folder has only files that an export wrote.

        Raises:
            ArchiveError: It has others.
        """
        if self._exists or not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise ArchiveError(f"{self.folder}: is a file; choose a folder")
        foreign = [c.name for c in self.folder.iterdir() if c.name[0] != "."]
        if foreign:
            raise ArchiveError(
                f"{self.folder}: holds {min(foreign)}, which no export wrote; choose "
                "an empty folder"
            )

    @property
    def exists(self) -> bool:
        """Whether the folder was exported."""
        return self._exists

    @property
    def videos(self) -> Mapping[str, Exported]:
        """The videos that are complete."""
        return self._videos

    def has(self, video: str, *, source: str) -> bool:
        """Whether a video was exported from this source."""
        found = self._videos.get(video)
        return found is not None and found.source == source

    def _standing(self, video: str, source: str) -> Standing:
        found = self._videos.get(video)
        if found is None:
            return Standing.ABSENT
        return standing_of(self.folder / video, found.masks, found.source, source)

    def masks(self, videos: Iterable[str], *, remedy: str) -> KnownMasks:
        """The masks of some videos; each is compared with its digest when it is read.

        Raises:
            RunError: A video or a mask is missing, or there is one that was not
                exported.
        """
        known: dict[str, Mapping[str, str]] = {}
        for name in videos:
            found = self._videos.get(name)
            if found is None:
                raise RunError(f"{self.folder}: has no video {name}; {remedy}")
            if found.files is not None:
                known[name] = found.files
                continue
            whole, known[name] = read_digests(self.folder / name)
            if whole != found.masks:
                raise RunError(
                    f"{self.folder / name}: holds other masks than those that were "
                    f"exported; {remedy}"
                )
        return KnownMasks(self.folder, known, remedy=remedy)

    def all_masks(self) -> KnownMasks:
        """The masks of all videos; see `masks`.

        Raises:
            RunError: A mask is missing, or there is one that was not exported.
        """
        remedy = (
            f"export the run again, or delete {self.folder / _RECORD} to take the "
            "folder as it is"
        )
        for child in sorted(self.folder.iterdir()):
            if (
                child.name[0] != "."
                and child.is_dir()
                and child.name not in self._videos
            ):
                raise RunError(f"{child}: was not exported there; {remedy}")
        return self.masks(self._videos, remedy=remedy)

    def add(self, video: str, exported: Exported) -> None:
        """Add a complete video; within `writing`."""
        self._videos[video] = exported
        assert self._store is not None
        self._store.note({"videos": {video: vars(exported)}})

    def forget(self, video: str) -> None:
        """Remove a video and its masks; within `writing`."""
        if video in self._videos:
            assert self._store is not None
            self._store.note({"videos": {video: None}})
            self._remove(video)

    def _remove(self, video: str) -> None:
        del self._videos[video]
        shutil.rmtree(self.folder / video, ignore_errors=True)

    def _content(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "expected": self.expected,
            **({"postprocess": done} if (done := self.postprocess.to_table()) else {}),
            "videos": {
                name: {k: v for k, v in vars(found).items() if v is not None}
                for name, found in sorted(self._videos.items())
            },
        }


def _exported(name: str, entry: Mapping[str, Any]) -> Exported:
    """An entry of a record; its names become parts of paths that may be deleted.

    Raises:
        ValueError: No export wrote it.
        TypeError: The same.
    """
    found = Exported(**entry)
    if not (
        is_plain_name(name)
        and isinstance(found.source, str)
        and isinstance(found.masks, str)
        and (found.files is None or is_digests(found.files))
    ):
        raise ValueError(f"{name!r:.60} was not exported")
    return found


def _in_words(settings: Postprocess) -> str:
    """Settings in words."""
    return ", ".join(f"{k} = {v}" for k, v in settings.to_table().items()) or "off"
