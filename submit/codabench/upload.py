"""From a plan to one submission: record, bytes, completion, creation.

Each step is in the journal before it begins, so that the same command continues after
a lost connection, a full disk, `kill -9` or a power cut. Only the creation costs an
attempt and cannot be repeated: when its answer is lost, the submission is searched for
by the digest in its file's name, and adopted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import (
    CodabenchError,
    DuplicateError,
    LimitError,
    LoginError,
    NetworkError,
    ParticipationError,
    QuotaError,
    RefusedError,
    ServerError,
    StorageError,
    UncertainError,
)
from .client import Client
from .clock import format_time
from .competition import Phase
from .journal import Journal, JournalEntry
from .package import is_marked
from .plan import UploadPlan, matching, no_attempt_error, phase_problem
from .sending import Listener, Sender, Silent
from .submission import Submission

__all__ = ["Upload", "mark_watched"]

#: Seconds before each look for a submission whose creation failed.
LOOKS = (5.0, 15.0, 40.0)
#: Seconds before one more look when no answer came at all: a server that is overloaded
#: may still have the request in a queue.
LAST_LOOK = 120.0


class Upload:
    """One run of the steps that are left.

    Args:
        client: Talks in the account's name.
        plan: The plan that the user confirmed.
        folder: The state folder.
        listener: Is told of progress.
        keep: Whether an upload stays on the server when the creation is refused.
    """

    def __init__(
        self,
        client: Client,
        plan: UploadPlan,
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
        self._sender = Sender(client, plan.package, self._journal, self._listener)
        self._keep = keep

    def run(self) -> Submission:
        """Do the remaining steps; returns the one submission.

        Raises:
            CodabenchError: There is no submission, and the message says what to do.
            StorageError: The disk refuses the journal, or another command holds it.
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
            self._entry.known = sorted(each.id for each in self._plan.submissions)
            self._sender.run()
            return self._create()

    @property
    def _entry(self) -> JournalEntry:
        return self._journal.entry

    def _there(self) -> Submission | None:
        """The submission in the journal, unless another one is requested."""
        number = self._entry.submission
        if number is None:
            return None
        known = {each.id for each in self._plan.earlier}
        in_flight = not self._entry.watched and not self._plan.force
        if number not in known:
            # Another command was faster, or the server hides it, for example if
            # deleted.
            with contextlib.suppress(RefusedError):
                return self._client.submission(number)
        elif in_flight:
            submission = self._client.submission(number)
            if not submission.has_failed:
                return submission
        self._journal.restart()
        return None

    def _create(self) -> Submission:
        """Create the submission, exactly once."""
        failure: CodabenchError | None = None
        for _ in range(2):
            phase = self._ready()
            there = self._list()
            same = matching(there, self._plan.package.mark)
            known = {each.id for each in self._plan.earlier}
            new = [each for each in same if each.id not in known]
            if new and failure is not None:
                return self._adopt(new[0])
            if new:
                raise DuplicateError(
                    f"the same zip was submitted as {new[0].id} meanwhile, by another "
                    "command",
                    f"see submit status {new[0].id}",
                )
            self._entry.known = sorted(each.id for each in there)
            self._entry.unlisted = _unlisted(phase, there)
            self._entry.creating = format_time(self._client.server_now)
            self._journal.save()
            try:
                created = self._client.create_submission(
                    phase.id,
                    self._entry.key or "",
                    tasks=tuple(task.id for task in phase.tasks),
                    answers=self._plan.answers,
                    idempotency_key=f"{self._entry.sha256}-{phase.id}-{len(same)}",
                )
            except (NetworkError, ServerError) as error:
                failure = error
            except CodabenchError as error:
                self._refused(error)
                raise
            else:
                return self._adopt(created)
            self._listener.note(f"{failure.problem}; checking whether it was created")
            if (asked := failure.retry_after) is not None:
                self._listener.note(f"the server asks to wait for {asked:.0f} s")
                self._client.transport.wait(0.0, asked)
            found = self._look_for_lost(failure)
            if found is not None:
                return self._adopt(found)
        assert failure is not None
        raise type(failure)(
            f"{failure.problem}; nothing was submitted and no attempt is spent",
            "run the same command again later, the upload is kept",
        )

    def _ready(self) -> Phase:
        """Check again what may have changed during a long upload.

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
            raise no_attempt_error(phase, reason, client.server_now)
        return phase

    def _list(self) -> list[Submission]:
        """The account's own submissions to this phase."""
        return self._client.own_submissions(phase=self._plan.phase.id)

    def _look_for_lost(self, failure: CodabenchError | None) -> Submission | None:
        """Find out whether a creation without an answer took place.

        It is found by the digest in its file's name. It certainly did not take place if
        several searches find nothing, no new submission has a name without a digest,
        and the server counts no attempt that is not in its list.

        Args:
            failure: The error instead of the answer; None for a creation of an earlier
                command, after which the first search does not have to wait.

        Returns:
            The submission; None when it is certain that there is none.

        Raises:
            UncertainError: That is not certain.
        """
        earlier = failure is None
        waits = (*LOOKS, LAST_LOOK) if isinstance(failure, NetworkError) else LOOKS
        there: list[Submission] | None = None
        for wait in waits:
            if not earlier or there is not None:
                self._clock.sleep(wait)
            try:
                there = self._list()
            except (NetworkError, ServerError) as error:
                self._listener.note(error.problem)
                there, earlier = None, False
                continue
            new = [each for each in there if each.id not in self._entry.known]
            if mine := matching(new, self._plan.package.mark):
                return mine[0]
        why = "the server does not answer" if there is None else self._doubt(there)
        # With --force, the user has looked at the website.
        if why is not None and not (failure is None and self._plan.force):
            raise UncertainError(
                f"{self._plan.package.path}: whether it was submitted is not known, "
                f"since the answer was lost and {why}",
                "run the same command again later, it checks this first; or look at "
                "the website: if it is there, do submit watch, if not, add --force",
            )
        self._entry.creating = None
        self._journal.save()
        return None

    def _doubt(self, there: Sequence[Submission]) -> str | None:
        """Why a creation may have taken place although it was not found."""
        for each in there:
            if each.id not in self._entry.known and not is_marked(each.file_name):
                return f"submission {each.id} ({each.file_name}) is new"
        try:
            fresh = self._client.competition(self._plan.competition.id)
        except (NetworkError, ServerError) as error:
            self._listener.note(error.problem)
            return "the server does not answer"
        unlisted = _unlisted(fresh.find_phase(str(self._plan.phase.id)), there)
        if unlisted is None or unlisted != self._entry.unlisted:
            return "the server counts an attempt that it does not list"
        return None

    def _adopt(self, submission: Submission) -> Submission:
        """Write the submission into the journal."""
        self._entry.submission = submission.id
        self._entry.watched = False
        try:
            self._journal.save()
        except StorageError as error:
            # The submission exists: an error now would only hide its number. The
            # journal still says that a creation was sent, so that it will be found.
            self._listener.note(
                f"submission {submission.id} is not in the journal: {error}"
            )
        return submission

    def _refused(self, error: CodabenchError) -> None:
        """Clean up after a refusal: without a submission, the upload is not needed.

        If the user can remove the reason, the upload is kept for the next command.
        """
        self._entry.creating = None
        temporary = isinstance(
            error, (LimitError, LoginError, ParticipationError, QuotaError)
        )
        if not self._keep and not temporary:
            self._sender.discard()
        self._journal.save()


def mark_watched(folder: Path, plan: UploadPlan, submission: int) -> None:
    """Note in the journal that the result of a submission was seen."""
    journal = Journal(folder, plan.entry())
    with journal.writing() as entry:
        if entry.submission == submission:
            entry.watched = True
            journal.save()


def _unlisted(phase: Phase, there: Sequence[Submission]) -> int | None:
    """Attempts that the server counts and does not list, such as deleted ones."""
    if phase.used is None:
        return None
    return phase.used - sum(each.status != "Failed" for each in there)
