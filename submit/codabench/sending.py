"""Sending the bytes of a zip to the storage, with retries."""

from __future__ import annotations

import contextlib
import enum
import re
from typing import Protocol

from ..errors import (
    ArchiveError,
    CodabenchError,
    NetworkError,
    QuotaError,
    RefusedError,
    ServerError,
    StorageError,
)
from .answers import Reply, refusal, sentence
from .client import Client, NewRecord
from .journal import Journal, JournalEntry
from .package import Package, ZipBody

__all__ = ["Listener", "Sender", "Silent"]

#: Seconds before each further try to send the bytes.
PUT_WAITS = (2.0, 5.0, 10.0, 30.0, 60.0, 60.0, 60.0)
#: Seconds that a signed URL must still be valid; otherwise a new one is requested.
MARGIN = 600.0
#: Most new signed URLs before the upload fails.
RENEWALS = 3
#: Seconds before each look at the number of bytes that arrived.
SIZE_WAITS = (0.0, 2.0, 5.0)

_EXPIRED = re.compile(r"expired|AccessDenied", re.IGNORECASE)


class Listener(Protocol):
    """Gets the events of an upload."""

    def begin(self, size: int) -> None:
        """The first or another try to send `size` bytes begins."""
        ...

    def sent(self, count: int) -> None:
        """`count` more bytes were sent, but not yet confirmed."""
        ...

    def end(self, *, arrived: bool) -> None:
        """Sending has ended, with or without the storage's confirmation."""
        ...

    def note(self, message: str) -> None:
        """A remark for the user."""
        ...


class Silent:
    """A listener that ignores everything."""

    def begin(self, size: int) -> None:
        """Nothing."""

    def sent(self, count: int) -> None:
        """Nothing."""

    def end(self, *, arrived: bool) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""


class _Arrival(enum.Enum):
    """What the server has of an upload."""

    COMPLETE = "all bytes"
    INCOMPLETE = "fewer bytes"
    GONE = "no such record"


class Sender:
    """Sends a zip to the server, continuing an interrupted upload.

    Args:
        client: Talks in the account's name.
        package: The zip.
        journal: Its journal, locked for writing.
        listener: Gets the events of the upload.
    """

    def __init__(
        self, client: Client, package: Package, journal: Journal, listener: Listener
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._package = package
        self._journal = journal
        self._listener = listener

    @property
    def _entry(self) -> JournalEntry:
        return self._journal.entry

    def run(self) -> None:
        """Make sure that the server has all bytes.

        Raises:
            CodabenchError: The server does not accept them.
            StorageError: The disk refuses the journal.
            ArchiveError: The zip has changed.
        """
        self._check_upload()
        if not self._entry.uploaded:
            self._upload()

    def discard(self) -> None:
        """Delete the upload, which no submission refers to.

        It is removed from the journal first: the server may not answer, and the next
        command would use an upload in the journal if its size is that of the zip. If
        the journal cannot be written now, the next save reports it.
        """
        key = self._entry.key
        if key is None:
            return
        self._entry.key, self._entry.uploaded = None, False
        with contextlib.suppress(StorageError):
            self._journal.save()
        self._discard(key)

    def _check_upload(self) -> None:
        """Find out how much of an interrupted upload is on the server."""
        entry = self._entry
        if entry.key is None:
            return
        untouched = entry.modified == self._package.modified
        there = (entry.uploaded or untouched) and (
            self._arrival(entry.key) is _Arrival.COMPLETE
        )
        if not there:
            self.discard()
        elif not entry.uploaded:
            self._listener.note("all bytes are already on the server")
            entry.uploaded = True
            self._journal.save()

    def _arrival(self, key: str, *, sent: bool = False) -> _Arrival:
        """What the server has under a key.

        Args:
            key: The record.
            sent: Whether the storage has just confirmed all bytes; then a server that
                does not tell their number is trusted.
        """
        if not self._client.complete_record(key):
            return _Arrival.GONE
        for wait in SIZE_WAITS:
            if wait:
                self._clock.sleep(wait)
            record = self._client.record(key)
            if record is None:
                return _Arrival.GONE
            if record.size == self._package.size:
                return _Arrival.COMPLETE
            if record.size is None and sent:
                return _Arrival.COMPLETE
            if record.size == 0 and not sent:
                # The empty file that the server makes for a new record.
                break
        return _Arrival.INCOMPLETE

    def _discard(self, key: str) -> None:
        """Delete an upload that no submission refers to; a failure is ignored."""
        with contextlib.suppress(CodabenchError):
            record = self._client.record(key)
            if record is not None:
                self._client.delete_record(record.id)

    def _record(self) -> NewRecord:
        package = self._package
        self._entry.file_name = package.file_name(self._entry.label)
        record = self._client.create_record(
            self._entry.competition,
            self._entry.file_name,
            package.size,
            f"label={self._entry.label[:60]} sha256={package.sha256}",
        )
        self._entry.key, self._entry.modified = record.key, package.modified
        try:
            self._journal.save()
        except StorageError:
            self._discard(record.key)
            raise
        return record

    def _upload(self) -> None:
        """Send the bytes until the server has them all."""
        waits = iter(PUT_WAITS)
        record = self._record()
        renewals = 0
        while True:
            problem = self._try(record)
            if problem is None:
                break
            if (why := self._renewal(record, problem)) is not None:
                if renewals == RENEWALS:
                    raise problem
                renewals += 1
                self._listener.note(why)
                self._discard(record.key)
                record = self._record()
                continue
            if not isinstance(problem, (NetworkError, ServerError)):
                raise problem
            self._client.transport.before_retry(
                problem, waits, self._tell, doing="upload the zip"
            )
            if self._entry.key is None:
                record = self._record()
        self._entry.uploaded = True
        self._journal.save()

    def _tell(self, problem: str, seconds: float) -> None:
        self._listener.note(f"{problem}; trying again in {seconds:.0f} s or so")

    def _try(self, record: NewRecord) -> CodabenchError | None:
        """Send the bytes once; if they are not those of the zip, delete the upload.

        Returns:
            See `_put`.

        Raises:
            ArchiveError: The zip cannot be read, or has changed.
        """
        try:
            self._package.require_unchanged()
            problem = self._put(record)
            if problem is None:
                arrival = self._arrival(record.key, sent=True)
                if arrival is _Arrival.GONE:
                    problem = _Gone(
                        "cannot upload the zip: its record was deleted on the server",
                        "check whether someone deletes files under Resources on the "
                        "website, then run the same command again",
                    )
                elif arrival is _Arrival.INCOMPLETE:
                    problem = ServerError(
                        "cannot upload the zip: not all bytes arrived",
                        "run the same command again",
                    )
            else:
                # All bytes may have arrived although no answer did.
                self._package.require_unchanged()
        except ArchiveError:
            self.discard()
            raise
        if isinstance(problem, _Damaged):
            self.discard()
        return problem

    def _put(self, record: NewRecord) -> CodabenchError | None:
        """Send the bytes once.

        Returns:
            What went wrong; None for nothing.

        Raises:
            ArchiveError: The zip cannot be read, or has changed.
        """
        package = self._package
        try:
            body = ZipBody(package, self._listener.sent)
        except OSError as error:
            raise ArchiveError(
                f"{package.path}: cannot be read ({error.strerror}); run the command "
                "again when the zip is there"
            ) from error
        self._listener.begin(package.size)
        arrived = False
        try:
            reply = self._client.transport.put(record.url, body, "application/zip")
            arrived = reply.ok
        except NetworkError as error:
            if body.failure is not None:
                package.require_unchanged()
                raise ArchiveError(
                    f"{package.path}: cannot be read ({body.failure}); run the command "
                    "again when the zip is complete"
                ) from None
            return error
        finally:
            body.close()
            self._listener.end(arrived=arrived)
        if not reply.ok:
            problem = _storage_problem(reply)
            problem.retry_after = reply.retry_after(self._client.server_now)
            return problem
        if body.md5 != package.md5:
            package.require_unchanged()
            raise ArchiveError(
                f"{package.path}: has changed while it was uploaded; run the command "
                "again when the zip is complete"
            )
        tag = reply.headers.get("etag", "").strip('"').lower()
        # Where the storage encrypts with keys of its own, the tag is no digest.
        encrypted = "kms" in reply.headers.get("x-amz-server-side-encryption", "")
        is_digest = re.fullmatch(r"[0-9a-f]{32}", tag) and not encrypted
        if is_digest and tag != package.md5:
            return _Damaged(
                "cannot upload the zip: its bytes arrived damaged",
                "run the same command again, over another connection if it lasts",
            )
        return None

    def _renewal(self, record: NewRecord, problem: CodabenchError) -> str | None:
        """Why a new record is needed at once; None if it is not."""
        if isinstance(problem, _Gone):
            return "the upload was deleted on the server; sending it again"
        expired = isinstance(problem, _Expired)
        if record.expires is not None:
            left = (record.expires - self._client.server_now).total_seconds()
            expired = expired or left < MARGIN
        return "the upload's address has expired; taking a new one" if expired else None


class _Expired(ServerError):
    """The signed URL no longer works."""


class _Gone(ServerError):
    """The record was deleted, so that the server ignores the bytes."""


class _Damaged(NetworkError):
    """The storage has the right number of bytes, but other ones."""


def _storage_problem(reply: Reply) -> CodabenchError:
    """Make the error for a storage server that refused the bytes."""
    said = sentence(reply)
    again = "run the same command again"
    if reply.status == 403 and _EXPIRED.search(said):
        return _Expired(f"cannot upload the zip: {said}", again)
    if reply.status == 507:
        return QuotaError(
            f"cannot upload the zip: the storage is full ({said})",
            "tell info@codabench.org, and run the same command again later",
        )
    if reply.status in (408, 429) or reply.status >= 500:
        return ServerError(
            f"cannot upload the zip: {said} (HTTP {reply.status})", f"{again} later"
        )
    if reply.status == 400 and re.search("IncompleteBody|RequestTimeout", said):
        return NetworkError(f"cannot upload the zip: {said}", again)
    if reply.status == 403:
        return RefusedError(
            f"cannot upload the zip: the storage refuses it ({said})",
            "a proxy may have changed the request, see submit doctor",
        )
    return refusal(reply, "upload the zip")
