"""Following a submission to its end, which is later than the status `Finished`.

The worker sets that status first and posts the scores afterwards, one column at a time;
without scores the status may still become `Failed`. It can also go back.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..errors import (
    CodabenchError,
    NetworkError,
    ParticipationError,
    RefusedError,
    ServerError,
)
from .client import Client
from .competition import Competition
from .submission import Submission

__all__ = ["Watch", "WatchOutcome", "Watched", "tail_of_log"]

#: Until which second of the watch the server is asked every so many seconds. A day has
#: about 300 requests, below any limit that servers have had.
SCHEDULE = ((60.0, 5.0), (600.0, 15.0), (3600.0, 60.0), (float("inf"), 300.0))
#: Seconds between requests, and seconds in all, while scores arrive.
GRACE_STEP, GRACE = 5.0, 120.0
#: Seconds in one status after which the user is told what it may mean.
STUCK = {"Submitting": 600.0, "Submitted": 1800.0}
#: Seconds that a worker adds to the time limit, for unpacking and the like.
PADDING = 1200.0
#: Default of a phase's time limit, in seconds.
TIME_LIMIT = 600

#: Logs that tell why an evaluation failed, the most useful first.
LOGS = ("scoring_stderr", "scoring_stdout", "prediction_stderr", "prediction_stdout")


@dataclass(frozen=True)
class WatchOutcome:
    """How a submission ended.

    Attributes:
        submission: Its last state; of a failed part, the reason is in `details`.
        scored: Whether the scores are complete, or at least no longer change.
        failed: Parts that failed, or the submission itself.
        grace: Seconds that are left for what the worker still has to upload.
    """

    submission: Submission
    scored: bool
    failed: tuple[Submission, ...] = ()
    grace: float = 0.0


@dataclass(frozen=True)
class Watched:
    """The answer to one request for the state.

    Attributes:
        submission: The state.
        changed: Whether it differs from the previous one.
        seconds: How long the watch has lasted.
        hint: A remark for the user, given once for each reason.
        outcome: The end of the watch.
    """

    submission: Submission
    changed: bool
    seconds: float
    hint: str | None = None
    outcome: WatchOutcome | None = None


@dataclass
class Watch:
    """Asks for the state of a submission repeatedly.

    Iterate over `events` until one has an outcome. Stopping earlier is harmless: a new
    watch continues.

    Attributes:
        client: Talks to the server.
        number: The submission.
        competition: What it belongs to. Until it is known, scores are complete when
            they no longer change.
        patience: Seconds to watch at most; None for no end.
        find: Returns the competition once it is known; called until then.
    """

    client: Client
    number: int
    competition: Competition | None = None
    patience: float | None = None
    find: Callable[[Submission], Competition | None] | None = None
    _random: random.Random = field(default_factory=random.Random, repr=False)
    _told: set[str] = field(default_factory=set, repr=False)
    _parts: dict[int, Submission | None] = field(default_factory=dict, repr=False)

    def events(self) -> Iterator[Watched]:
        """Yield each answer; the last has an outcome, or `patience` has passed."""
        clock = self.client.clock
        began = since = clock.monotonic()
        grace: float | None = None
        last: Submission | None = None
        scores_since = began
        while True:
            now = clock.monotonic()
            seen, trouble = self._look()
            if seen is None:
                hint = self._once("trouble", trouble)
                if hint is not None:
                    shown = last or Submission(self.number, "Unreachable")
                    yield Watched(shown, False, now - began, hint)
            else:
                self._told.discard("trouble")
                if self.competition is None and self.find is not None:
                    self.competition = self.find(seen)
                if last is None or last.status != seen.status:
                    since = now
                if last is None or last.scores != seen.scores:
                    scores_since = now
                if seen.status != "Finished":
                    grace = None
                elif grace is None:
                    grace = now
                outcome = self._outcome(seen, now, grace, scores_since)
                hint = None if outcome else self._stuck(seen, now - since)
                yield Watched(seen, seen != last, now - began, hint, outcome)
                if outcome is not None:
                    return
                last = seen
            if grace is not None and seen is not None:
                step = GRACE_STEP
            else:
                step = _step(now - began) * self._random.uniform(0.8, 1.2)
            left = None if self.patience is None else self.patience - (now - began)
            if left is not None and left <= 0:
                return
            clock.sleep(step if left is None else min(step, left))

    def _look(self) -> tuple[Submission | None, str]:
        """Read the submission and its parts; network errors become a hint."""
        try:
            seen = self.client.submission(self.number)
            for child in seen.children:
                part = self._parts.get(child)
                # The scores of a part come after its status.
                if part is None or not part.has_failed:
                    self._parts[child] = self._part(child)
        except (NetworkError, ServerError) as error:
            return None, f"{error.problem}; watching continues"
        read = [part for part in self._parts.values() if part is not None]
        if not all(part.is_final for part in read):
            # The server may set `Finished` when the first parts are finished.
            return replace(seen, status=_open_status(seen)), ""
        return seen.with_parts(read), ""

    def _part(self, child: int) -> Submission | None:
        """Read a part; None if participants may not read it."""
        try:
            return self.client.submission(child)
        except (ParticipationError, RefusedError):
            return None

    def _outcome(
        self, seen: Submission, now: float, grace: float | None, scores_since: float
    ) -> WatchOutcome | None:
        """The outcome; None while the evaluation runs."""
        if seen.has_failed:
            return WatchOutcome(seen, bool(seen.scores), seen.failed_parts or (seen,))
        if seen.status != "Finished" or grace is None:
            return None
        columns = () if self.competition is None else self.competition.columns
        wanted = sum(not column.computed for column in columns)
        # A failed submission gets no scores.
        tasks = max(len(seen.children), 1) - len(seen.failed_parts)
        complete = bool(wanted) and len(seen.scores) >= wanted * tasks
        settled = bool(seen.scores) and now - scores_since >= 2 * GRACE_STEP
        if complete or settled or not tasks or now - grace >= GRACE:
            left = max(0.0, GRACE - (now - grace))
            return WatchOutcome(seen, bool(seen.scores), seen.failed_parts, left)
        return None

    def _stuck(self, seen: Submission, seconds: float) -> str | None:
        """Explain a long time without a change, once for each status."""
        limit = STUCK.get(seen.status)
        known = self.competition
        by_hand = not seen.runs_by_itself or (known and not known.runs_by_itself)
        if seen.status == "Submitting" and by_hand:
            return self._once(
                "by hand",
                "the organisers start each evaluation by hand; nothing is wrong, "
                "please wait",
            )
        if seen.status in ("Preparing", "Running", "Scoring"):
            phase = known.phase(seen.phase) if known else None
            allowed = (phase.time_limit if phase else None) or TIME_LIMIT
            limit = 2 * (allowed + PADDING)
        if limit is None or seconds < limit:
            return None
        minutes = f"{seconds / 60:.0f} minutes"
        queue = known.queue if known else None
        where = f"the organisers' own ({queue})" if queue else "Codabench's own"
        hints = {
            "Submitting": f"the website has not queued it for {minutes}: Codabench is "
            "busy or has a problem",
            "Submitted": f"no worker has taken it for {minutes}: the queue is {where}, "
            "and its workers are busy or down. Your zip is not the reason",
        }
        told = hints.get(
            seen.status,
            f"it is {seen.status} for {minutes}, longer than the phase allows: the "
            "worker may have stopped. The server gives up after about a day, and then "
            "it costs no attempt",
        )
        return self._once(
            f"stuck {seen.status}",
            f"{told}. Do not cancel it: that costs the attempt. Ask on the "
            "competition's forum if it lasts",
        )

    def _once(self, reason: str, text: str) -> str | None:
        if reason in self._told:
            return None
        self._told.add(reason)
        return text


def _step(seconds: float) -> float:
    return next(step for until, step in SCHEDULE if seconds < until)


def _open_status(seen: Submission) -> str:
    return "Running" if seen.is_final and not seen.has_failed else seen.status


def tail_of_log(
    client: Client, failed: Sequence[Submission], *, lines: int = 20
) -> tuple[str, list[str]]:
    """The end of the log that tells why an evaluation failed.

    Args:
        client: Talks to the server.
        failed: What failed; the first with a log is used. A log that the worker has not
            written is empty and is ignored.
        lines: How many lines at most.

    Returns:
        Name of the log and its last lines; both empty when there is none.
    """
    for submission in failed:
        with contextlib.suppress(CodabenchError):
            logs = client.details(submission.id).logs
            for name in LOGS:
                if name not in logs:
                    continue
                text = client.transport.download(logs[name], f"read {name}")
                found = text.decode("utf-8", "replace").split("\n")
                found = [line.rstrip() for line in found if line.strip()]
                if found:
                    return name, found[-lines:]
    return "", []
