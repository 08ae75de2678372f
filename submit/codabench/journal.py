"""What is known of one upload, so that it can go on after any interruption.

There is one journal for each zip and phase, known by their digest and number. It is
written before each step that cannot be taken back. The signed URL is not in it: an
upload cannot go on in the middle of a file, so that a new record with a new URL is as
good, and a secret that is not written down cannot be found.
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

__all__ = ["Entry", "Journal", "unfinished"]

SCHEMA = 1


@dataclass
class Entry:
    """The state of an upload; each later step implies the earlier ones.

    Attributes:
        zip: Path of the zip, for people.
        sha256: Its digest.
        size: Its bytes.
        url: Address of the server.
        username: Whose account it is.
        competition: Number of the competition.
        phase: Number of the phase.
        label: What the user calls it.
        file_name: What the zip is called on the server.
        key: Key of the record to upload to; None before there is one.
        modified: Time of the zip's last change when that record was made, in
            nanoseconds. A zip that was changed since, and changed back, may have been
            sent while it was another.
        uploaded: Whether the storage has all bytes and the server knows it.
        creating: Since when the creation may have been sent; None before.
        known: Submissions to the phase that were there before.
        unlisted: Attempts that were counted and not in the list, before; None when the
            server did not say.
        submission: Number of the submission, once it is known.
        watched: Whether its result was seen.
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
        entry: What is uploaded where; replaced by what the journal holds.
    """

    def __init__(self, folder: Path, entry: Entry) -> None:
        account = f"{entry.url}\0{entry.username}"
        mark = hashlib.sha256(account.encode()).hexdigest()[:8]
        name = f"{entry.sha256[:16]}-phase{entry.phase}-{mark}"
        self._folder = folder / "uploads"
        self.path = self._folder / f"{name}.json"
        self._fresh = entry
        self.entry = _read(self.path) or dataclasses.replace(entry)
        if self.entry.sha256 != entry.sha256 or self.entry.phase != entry.phase:
            raise StorageError(
                f"{self.path}: is about another upload; delete it and run the command "
                "again"
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[Entry]:
        """Hold the journal; what another command has written meanwhile is read again.

        Raises:
            StorageError: Another command is uploading this zip.
        """
        private_folder(self._folder)
        busy = (
            f"{self._fresh.zip}: another command is uploading this very zip to this "
            "phase; wait for it to end, then see submit status"
        )
        with locked(self.path.with_suffix(".lock"), busy=busy):
            self.entry = _read(self.path) or self.entry
            yield self.entry

    def save(self) -> None:
        """Write it down.

        Raises:
            StorageError: The disk refuses.
        """
        content = {"schema": SCHEMA, **dataclasses.asdict(self.entry)}
        write_json(self.path, content, private=True)

    def begin_anew(self) -> None:
        """Forget a submission that is over, to make another of the same upload."""
        old = self.entry
        self.entry = dataclasses.replace(
            self._fresh, key=old.key, modified=old.modified, uploaded=old.uploaded
        )


def unfinished(folder: Path) -> list[Entry]:
    """Uploads that were interrupted before they became a submission, sorted by zip."""
    found = []
    for path in (folder / "uploads").glob("*.json"):
        # One that is damaged is told of when its zip is uploaded again.
        with contextlib.suppress(StorageError):
            entry = _read(path)
            if entry is not None and entry.submission is None:
                found.append(entry)
    return sorted(found, key=lambda entry: entry.zip)


def _read(path: Path) -> Entry | None:
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
        if schema == SCHEMA:
            return Entry(**content)
    except (AttributeError, KeyError, TypeError):
        schema = "none"
    raise StorageError(
        f"{path}: expected a journal of schema {SCHEMA}, found {schema}; look on the "
        "website whether the zip was submitted, then delete the file"
    )
