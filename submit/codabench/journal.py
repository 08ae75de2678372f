"""The state of one upload, so that it can continue after any interruption.

There is one journal for each zip, phase, account and server. It is written before each
step that cannot be undone. It does not contain the signed URL, which is a secret: an
upload cannot continue in the middle of a file, so a new record with a new URL is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..system.files import locked, read_json, write_json
from .state import private_folder

__all__ = ["Journal", "JournalEntry", "unfinished"]

#: Version of the files; those of version 1 lack `facts`, `runs`, `local`, `command`.
SCHEMA = 2

#: Fields that describe an upload and do not change during it.
_DESCRIPTION = ("zip", "label", "facts", "runs", "local", "command")


@dataclass
class JournalEntry:
    """The state of an upload; each later step implies the earlier ones.

    Attributes:
        zip: Path of the zip; absolute, unless an earlier version wrote it.
        sha256: Its digest.
        size: Its bytes.
        url: Address of the server.
        username: Whose account it is: the user name exactly as the server has it.
        competition: Number of the competition.
        phase: Number of the phase.
        label: What the user calls it.
        file_name: What the zip is called on the server.
        key: Key of the record to upload to; None before there is one.
        modified: Time of the zip's last change when that record was made, in
            nanoseconds. If the zip was changed since, and changed back, other bytes may
            have been sent.
        uploaded: Whether the storage has all bytes and the server knows it.
        creating: When the creation may have been sent; None before that.
        known: Submissions to the phase that were there before.
        unlisted: Attempts that were counted and not in the list, before; None when the
            server did not say.
        submission: Number of the submission, once it is known.
        watched: Whether its result was seen.
        facts: What was typed for the fact sheet, by question.
        runs: Heads of the manifests of the runs that the zip was made of.
        local: Hold-out score, in percent.
        command: Options of the command that continues it, beside those that describe
            the submission; empty when not known.
    """

    zip: str
    sha256: str
    size: int
    url: str
    username: str
    competition: int
    phase: int
    label: str
    file_name: str
    key: str | None = None
    modified: int | None = None
    uploaded: bool = False
    creating: str | None = None
    known: list[int] = dataclasses.field(default_factory=list)
    unlisted: int | None = None
    submission: int | None = None
    watched: bool = False
    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    runs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    local: float | None = None
    command: list[str] = dataclasses.field(default_factory=list)

    @property
    def step(self) -> str:
        """Where it stands, in words."""
        if self.submission is not None:
            return "result seen" if self.watched else "submitted"
        if self.creating is not None:
            return "being submitted"
        if self.uploaded:
            return "uploaded, not submitted"
        return "not uploaded" if self.key is None else "being uploaded"


class Journal:
    """The journal of one zip and one phase.

    Args:
        folder: The state folder.
        entry: The upload; replaced by the content of the journal.

    Attributes:
        path: The file.
        exists: Whether there was one before.
        entry: What it holds.
    """

    def __init__(self, folder: Path, entry: JournalEntry) -> None:
        account = f"{entry.url}\0{entry.username}"
        mark = hashlib.sha256(account.encode()).hexdigest()[:8]
        name = f"{entry.sha256[:16]}-phase{entry.phase}-{mark}"
        self._folder = folder / "uploads"
        self.path = self._folder / f"{name}.json"
        self._fresh = entry
        found = _read(self.path)
        self.exists = found is not None
        self.entry = found or dataclasses.replace(entry)
        if _identity(self.entry) != _identity(entry):
            raise StorageError(
                f"{self.path}: is about another upload; delete it and run the command "
                "again"
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[JournalEntry]:
        """Lock the journal and read it again: another command may have written it.

        Raises:
            StorageError: Another command is uploading this zip.
        """
        private_folder(self._folder)
        busy = (
            f"{self._fresh.zip}: another command is uploading the same zip to this "
            "phase; wait for it to end, then see submit status"
        )
        with locked(self.path.with_suffix(".lock"), busy=busy):
            self.entry = _read(self.path) or self.entry
            described = {name: getattr(self._fresh, name) for name in _DESCRIPTION}
            self.entry = dataclasses.replace(self.entry, **described)
            yield self.entry

    def save(self) -> None:
        """Write the journal.

        Raises:
            StorageError: The disk refuses.
        """
        content = {"schema": SCHEMA, **dataclasses.asdict(self.entry)}
        write_json(self.path, content, private=True)

    def restart(self) -> None:
        """Forget a submission that has ended, to make another of the same upload."""
        old = self.entry
        self.entry = dataclasses.replace(
            self._fresh, key=old.key, modified=old.modified, uploaded=old.uploaded
        )


def unfinished(folder: Path, *, url: str, username: str) -> list[JournalEntry]:
    """Uploads of one account without a submission, sorted by zip.

    Args:
        folder: The state folder.
        url: Address of the server.
        username: The account, exactly as the server has it.
    """
    found = []
    for path in (folder / "uploads").glob("*.json"):
        # A damaged one is reported when its zip is uploaded again.
        with contextlib.suppress(StorageError):
            entry = _read(path)
            if (
                entry is not None
                and entry.submission is None
                and (entry.url, entry.username) == (url, username)
            ):
                found.append(entry)
    return sorted(found, key=lambda entry: (entry.zip, entry.phase))


def _identity(entry: JournalEntry) -> tuple[object, ...]:
    return entry.sha256, entry.phase, entry.url, entry.username


def _read(path: Path) -> JournalEntry | None:
    try:
        content: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: cannot be read ({error}); look on the website whether the zip "
            "was submitted, then delete the file"
        ) from error
    try:
        schema = content.pop("schema")
        if schema in range(1, SCHEMA + 1):
            return JournalEntry(**content)
    except (AttributeError, KeyError, TypeError):
        schema = "none"
    raise StorageError(
        f"{path}: expected a journal of schema {SCHEMA} or older, found {schema}; look "
        "on the website whether the zip was submitted, then delete the file"
    )
