"""From a plan to one submission: record, bytes, completion, creation.

Each step is in the journal before it begins, so that the same command continues after
a lost connection, a full disk, `kill -9` or a power cut. Only the creation costs an
attempt and cannot be repeated: when its answer is lost, the submission is looked for by
the digest in its file's name, and adopted.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Protocol

from ..errors import (
    ArchiveError,
    CodabenchError,
    DuplicateError,
    LimitError,
    LoginError,
    NetworkError,
    QuotaError,
    RefusedError,
    ServerError,
    StorageError,
    UncertainError,
)
from .answers import Reply, refusal, sentence
from .client import Client, NewRecord
from .clock import format_time
from .competition import Phase
from .journal import Entry, Journal
from .package import ZipBody
from .plan import Plan, limit_error, matching, phase_problem
from .submission import Submission

__all__ = ["Listener", "Silent", "Upload", "mark_watched"]

#: Seconds before each further try to send the bytes.
PUT_WAITS = (2.0, 5.0, 10.0, 30.0, 60.0, 60.0, 60.0)
#: Seconds before each look for a submission whose creation got no answer.
LOOKS = (5.0, 15.0, 40.0)
#: Seconds that a signed URL must still work, or a new one is asked for.
MARGIN = 600.0
#: New addresses that are taken before the upload is given up.
RENEWALS = 3
#: Seconds before each look at the number of bytes that arrived.
SIZE_WAITS = (0.0, 2.0, 5.0)

_EXPIRED = re.compile(r"expired|AccessDenied", re.IGNORECASE)


class Listener(Protocol):
    """Hears what an upload does."""

    def begin(self, size: int) -> None:
        """The first or another try to send `size` bytes begins."""
        ...

    def sent(self, count: int) -> None:
        """`count` more bytes are on their way."""
        ...

    def end(self) -> None:
        """Sending is over, for good or for now."""
        ...

    def note(self, message: str) -> None:
        """Something is worth telling."""
        ...


class Silent:
    """A listener that does not care."""

    def begin(self, size: int) -> None:
        """Nothing."""

    def sent(self, count: int) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def note(self, message: str) -> None:
        """Nothing."""


class Upload:
    """One run of the steps that are left.

    Args:
        client: Talks in the account's name.
        plan: What was agreed to.
        folder: The state folder.
        listener: Hears of progress.
        keep: Whether an upload stays on the server when the creation is refused.
    """

    def __init__(
        self,
        client: Client,
        plan: Plan,
        folder: Path,
        *,
        listener: Listener | None = None,
        keep: bool = False,
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._plan = plan
        self._journal = Journal(folder, plan.entry())
        self._listener = listener or Silent()
        self._keep = keep

    def run(self) -> Submission:
        """Do what is left to do; returns the one submission.

        Raises:
            CodabenchError: It is not there, and the message says what to do.
            StorageError: The disk refuses the journal, or another command is at it.
            ArchiveError: The zip has changed.
        """
        self._plan.require()
        with self._journal.writing():
            if (there := self._there()) is not None:
                return there
            if self._entry.creating is not None:
                found = self._look_for_lost(None)
                if found is not None:
                    return self._adopt(found)
            self._check_upload()
            if not self._entry.uploaded:
                self._upload()
            return self._create()

    @property
    def _entry(self) -> Entry:
        return self._journal.entry

    def _there(self) -> Submission | None:
        """The submission that the journal knows of, unless another one is wanted."""
        number = self._entry.submission
        if number is None:
            return None
        known = {each.id for each in self._plan.earlier}
        in_flight = not self._entry.watched and not self._plan.force
        if number not in known:
            # Another command was faster; or the server hides it, such as when deleted.
            with contextlib.suppress(RefusedError):
                return self._client.submission(number)
        elif in_flight:
            submission = self._client.submission(number)
            if not submission.has_failed:
                return submission
        self._journal.begin_anew()
        return None

    def _check_upload(self) -> None:
        """Find out what an interrupted command has left on the server."""
        key = self._entry.key
        if key is None:
            return
        if not self._arrived(key):
            self._discard(key)
            self._entry.key, self._entry.uploaded = None, False
            self._journal.save()
        elif not self._entry.uploaded:
            self._listener.note("all bytes are there already")
            self._entry.uploaded = True
            self._journal.save()

    def _arrived(self, key: str, *, sent: bool = False) -> bool:
        """Whether the server has the whole zip under a key.

        Args:
            key: The record.
            sent: Whether the storage has just taken all bytes, so that a server that
                does not tell their number is believed.
        """
        try:
            self._client.complete_record(key)
        except RefusedError:
            return False  # It is gone.
        for wait in SIZE_WAITS:
            if wait:
                self._clock.sleep(wait)
            record = self._client.record(key)
            if record is None:
                return False
            if record.size == self._plan.package.size:
                return True
            if record.size is None and sent:
                return True
        return False

    def _discard(self, key: str) -> None:
        """Delete an upload that nothing refers to; failing to is no harm."""
        with contextlib.suppress(CodabenchError):
            record = self._client.record(key)
            if record is not None:
                self._client.delete_record(record.id)

    def _record(self) -> NewRecord:
        package = self._plan.package
        record = self._client.create_record(
            self._plan.competition.id,
            self._entry.file_name,
            package.size,
            f"label={self._plan.label[:60]} sha256={package.sha256}",
        )
        self._entry.key = record.key
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
            self._plan.package.require_unchanged()
            problem, asked = self._put(record)
            if problem is None:
                if self._arrived(record.key, sent=True):
                    break
                problem = ServerError("cannot upload the zip: not all bytes arrived")
            if self._has_expired(record, problem):
                if renewals == RENEWALS:
                    raise problem
                renewals += 1
                self._listener.note(
                    "the upload's address has expired; taking a new one"
                )
                self._discard(record.key)
                record = self._record()
                continue
            wait = next(waits, None)
            if wait is None or not isinstance(problem, (NetworkError, ServerError)):
                raise problem
            self._listener.note(
                f"{_brief(problem)}; trying again in {wait:.0f} s or so"
            )
            self._client.transport.wait(wait, asked)
        self._entry.uploaded = True
        self._journal.save()

    def _put(self, record: NewRecord) -> tuple[CodabenchError | None, float | None]:
        """Send the bytes once.

        Returns:
            What went wrong, None for nothing, and the seconds the server asks to wait.

        Raises:
            ArchiveError: The zip cannot be read, or is not what it was.
        """
        package = self._plan.package
        body = ZipBody(package, self._listener.sent)
        self._listener.begin(package.size)
        try:
            reply = self._client.transport.put(record.url, body, "application/zip")
        except NetworkError as error:
            if body.failure is not None:
                raise ArchiveError(
                    f"{package.path}: cannot be read ({body.failure}); run the command "
                    "again when the zip is complete"
                ) from None
            return error, None
        finally:
            body.close()
            self._listener.end()
        asked = reply.retry_after(self._client.server_now)
        if not reply.ok:
            return _storage_problem(reply), asked
        if body.md5 != package.md5:
            raise ArchiveError(
                f"{package.path}: has changed while it was uploaded; run the command "
                "again when the zip is complete"
            )
        tag = reply.headers.get("etag", "").strip('"').lower()
        if re.fullmatch(r"[0-9a-f]{32}", tag) and tag != package.md5:
            return NetworkError(
                "cannot upload the zip: its bytes arrived damaged"
            ), asked
        return None, asked

    def _has_expired(self, record: NewRecord, problem: CodabenchError) -> bool:
        if isinstance(problem, _Expired):
            return True
        if record.expires is None:
            return False
        left = (record.expires - self._client.server_now).total_seconds()
        return left < MARGIN

    def _create(self) -> Submission:
        """Create the submission, exactly once."""
        failure: CodabenchError | None = None
        for _ in range(2):
            phase = self._ready()
            there = self._find()
            known = {each.id for each in self._plan.earlier}
            new = [each for each in there if each.id not in known]
            if new and failure is not None:
                return self._adopt(new[0])
            if new:
                raise DuplicateError(
                    f"this very zip was submitted as {new[0].id} meanwhile, by another "
                    f"command; see submit status {new[0].id}"
                )
            self._entry.known = sorted(each.id for each in there)
            self._entry.creating = format_time(self._client.server_now)
            self._entry.used_before = phase.used
            self._journal.save()
            try:
                created = self._client.create_submission(
                    phase.id,
                    self._entry.key or "",
                    tasks=phase.tasks,
                    answers=self._plan.answers,
                    idempotency_key=self._idempotency_key,
                )
            except (NetworkError, ServerError) as error:
                failure = error
            except CodabenchError as error:
                self._refused(error)
                raise
            else:
                return self._adopt(created)
            self._listener.note(f"{_brief(failure)}; looking whether it was created")
            transport = self._client.transport
            if transport.asked_to_wait:
                transport.wait(0.0, transport.asked_to_wait)
            found = self._look_for_lost(failure)
            if found is not None:
                return self._adopt(found)
        assert failure is not None
        raise type(failure)(
            f"{_brief(failure)}; nothing was submitted and no attempt is spent; run "
            "the same command again later, the upload is kept"
        )

    @property
    def _idempotency_key(self) -> str:
        nth = len(self._entry.known)
        return f"{self._entry.sha256}-{self._entry.phase}-{nth}"

    def _ready(self) -> Phase:
        """Ask again what may have changed during a long upload.

        Raises:
            CodabenchError: The phase has closed, or the attempts are used up.
        """
        client, plan = self._client, self._plan
        fresh = client.competition(plan.competition.id)
        phase = fresh.find_phase(str(plan.phase.id))
        problem = phase_problem(phase, client.server_now)
        if problem is not None:
            raise problem
        can, reason = client.can_submit(phase.id)
        if not can:
            raise limit_error(phase, reason, client.server_now)
        return phase

    def _find(self) -> list[Submission]:
        """Submissions of this zip to this phase."""
        mark, phase = self._plan.package.mark, self._plan.phase.id
        found = matching(self._client.submissions(phase=phase, search=mark), mark)
        # What servers search through differs; a list of everything does not.
        return found or matching(self._client.submissions(phase=phase), mark)

    def _look_for_lost(self, failure: CodabenchError | None) -> Submission | None:
        """Find out whether a creation without an answer took place.

        Returns:
            The submission; None when it is certain that there is none.

        Raises:
            UncertainError: That cannot be found out.
        """
        looked = False
        for wait in LOOKS:
            if failure is not None or looked:
                self._clock.sleep(wait)
            try:
                new = [e for e in self._find() if e.id not in self._entry.known]
                looked = True
            except (NetworkError, ServerError) as error:
                self._listener.note(_brief(error))
                failure, looked = error, False
                continue
            if new:
                return new[0]
        used: int | None = None
        if looked:
            with contextlib.suppress(NetworkError, ServerError):
                fresh = self._client.competition(self._plan.competition.id)
                used = fresh.find_phase(str(self._plan.phase.id)).used
        if used is None or used != self._entry.used_before:
            why = (
                f"the server counts {used} attempts, {self._entry.used_before} before"
                if used is not None and self._entry.used_before is not None
                else "the server does not answer"
            )
            raise UncertainError(
                f"{self._plan.package.path}: whether it was submitted is not known, "
                f"since the answer was lost and {why}; look at submit status, then run "
                "the same command again: it looks first and never submits twice"
            )
        self._entry.creating = None
        self._journal.save()
        return None

    def _adopt(self, submission: Submission) -> Submission:
        """Write down which submission it became."""
        self._entry.submission = submission.id
        self._entry.watched = False
        try:
            self._journal.save()
        except StorageError as error:
            # It is created: failing now would only hide its number. The journal still
            # says that a creation was under way, so that it will be found.
            self._listener.note(
                f"submission {submission.id} is not in the journal: {error}"
            )
        return submission

    def _refused(self, error: CodabenchError) -> None:
        """Tidy up after a clear no: no submission, so no use for the upload.

        After what can be put right, the upload is kept for the next command.
        """
        self._entry.creating = None
        temporary = isinstance(error, (LimitError, LoginError, QuotaError))
        if not self._keep and not temporary and self._entry.key is not None:
            self._discard(self._entry.key)
            self._entry.key, self._entry.uploaded = None, False
        self._journal.save()


class _Expired(ServerError):
    """The signed URL no longer works."""


def _brief(error: CodabenchError) -> str:
    """What went wrong, without the advice: the program follows that itself."""
    return str(error).partition("; ")[0]


def _storage_problem(reply: Reply) -> CodabenchError:
    """Make the error of a storage server that did not take the bytes."""
    said = sentence(reply)
    if reply.status == 403 and _EXPIRED.search(said):
        return _Expired(f"cannot upload the zip: {said}; run the command again")
    if reply.status in (408, 429) or reply.status >= 500:
        if reply.status == 507:
            return QuotaError(f"cannot upload the zip: the storage is full ({said})")
        return ServerError(f"cannot upload the zip: {said} (HTTP {reply.status})")
    if reply.status == 400 and re.search("IncompleteBody|RequestTimeout", said):
        return NetworkError(f"cannot upload the zip: {said}")
    if reply.status == 403:
        return RefusedError(
            f"cannot upload the zip: the storage refuses it ({said}); a proxy may have "
            "changed the request, see submit doctor"
        )
    return refusal(reply, "upload the zip")


def mark_watched(folder: Path, plan: Plan, submission: int) -> None:
    """Note that the result of a submission was seen, so that it is not watched anew."""
    journal = Journal(folder, plan.entry())
    with journal.writing() as entry:
        if entry.submission == submission:
            entry.watched = True
            journal.save()
