"""From a submission to its scores: shared by `upload`, `watch` and `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CodabenchError, EvaluationError, WaitError
from ._activity import spinning
from ._codabench import keep_submission, ledger, remember_account, score_view
from ._output import Cell, emit, facts, format_seconds, note, stack, warn

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..codabench import (
        Aside,
        Client,
        Column,
        Competition,
        Context,
        LeaderboardRow,
        Submission,
        WatchOutcome,
    )

__all__ = [
    "SubmissionView",
    "read_beside",
    "require_success",
    "show_failure",
    "watch_to_end",
]

#: Lines of a log that are shown after a failure.
_LINES = 20
#: Seconds to wait for names of scores and for the scores to compare with.
NAMES = 3.0
#: Seconds to wait for the place on the leaderboard.
RANK = 10.0
#: Seconds between looks for the archive with the results.
_STEP = 5.0


def watch_to_end(
    client: Client,
    number: int,
    competition: Competition | None,
    *,
    expected: int,
    minutes: float | None,
) -> tuple[WatchOutcome, Aside[Context] | None]:
    """Follow a submission and print what happens.

    Args:
        client: Talks to the server.
        number: The submission.
        competition: What it belongs to; None to find out while it is watched.
        expected: Number of the competition that it is expected in.
        minutes: How long to watch at most; None for no end.

    Returns:
        The outcome, and the context of the submission if that had to be read.

    Raises:
        WaitError: It was not finished in time.
        CodabenchError: The server refuses.
    """
    from ..codabench import Watch

    beside: Aside[Context] | None = None

    def find(seen: Submission) -> Competition | None:
        nonlocal beside
        beside = beside or read_beside(client, seen, expected)
        try:
            return beside.get(NAMES if seen.is_final else 0.0).competition
        except CodabenchError:
            return None

    patience = None if minutes is None else 60 * minutes
    watch = Watch(client, number, competition, patience, find)
    shown, scores = "", 0
    try:
        with spinning(f"watching {number}", "(Ctrl-C leaves it running)"):
            for event in watch.events():
                seen = event.submission
                spent = format_seconds(event.seconds)
                if seen.state != shown:
                    note(f"{number}: {seen.state}, {seen.meaning} ({spent})")
                    shown = seen.state
                if len(seen.scores) > scores:
                    scores = len(seen.scores)
                    note(f"{number}: {scores} scores are there ({spent})")
                if event.hint:
                    warn(event.hint)
                if event.outcome is not None:
                    return event.outcome, beside
    except KeyboardInterrupt:
        note(f"{number} goes on by itself; to watch it again: submit watch {number}")
        raise
    raise WaitError(
        f"submission {number} is {shown or 'unknown'} after {minutes:g} minutes",
        f"it goes on by itself, to watch it again: submit watch {number}",
    )


def read_beside(client: Client, seen: Submission, expected: int) -> Aside[Context]:
    """Begin to read a submission's context in a thread, without waiting for it long."""
    from ..codabench import Aside, read_context

    remembered = None
    if seen.phase is not None:
        remembered = ledger().competition_of(client.url, seen.phase)
    other = client.fork()
    return Aside(
        "read what the submission is compared with",
        lambda: read_context(other, seen, expected, remembered),
    )


@dataclass
class SubmissionView:
    """Shows a submission: its scores at once, everything else when it has arrived.

    Attributes:
        client: Talks to the server.
        submission: Its state.
        context: Its competition and earlier submissions.
        as_json: Whether one document is printed at the end instead.
        columns: The names of its scores.
        best: The best submission before it.
        standing: Its place on the leaderboard.
        metrics: Files with the scores of single objects.
        log: The end of the log that tells why it failed.
    """

    client: Client
    submission: Submission
    context: Context
    as_json: bool
    columns: Sequence[Column] = ()
    best: Submission | None = None
    standing: LeaderboardRow | None = None
    metrics: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        client: Client,
        submission: Submission,
        context: Context | Aside[Context],
        *,
        as_json: bool,
    ) -> SubmissionView:
        """Make a view, without what does not arrive in a moment."""
        from ..codabench import Aside, Context, board_columns, previous_best

        if isinstance(context, Aside):
            try:
                context = context.get(NAMES)
            except CodabenchError as error:
                warn(str(error))
                token = client.transport.token
                context = Context(ledger().account(client.url, token))
        if context.account is not None:
            remember_account(client, context.account)
        made = cls(client, submission, context, as_json)
        competition = made._named(context.competition)
        if competition is not None:
            made.columns = competition.columns
            if submission.scores:
                made.best = previous_best(competition, context.submissions, submission)
        made.columns = board_columns(made.columns, [submission])
        made._keep()
        return made

    def _named(self, competition: Competition | None) -> Competition | None:
        """The competition; with remembered columns if the server shows none."""
        if competition is None or competition.columns:
            return competition
        columns = ledger().columns(
            self.client.url, self.context.account, competition.id
        )
        return competition.with_columns(columns)

    @property
    def is_own(self) -> bool:
        """Whether it is the account's own."""
        return self.submission.account == self.context.account

    def show(self, head: Mapping[str, Cell] | None = None) -> None:
        """Print what is known, with the scores."""
        from ..codabench import score_tables

        if self.as_json:
            return
        views: list[RenderableType] = [] if head is None else [facts(head)]
        if self.submission.scores:
            tables = score_tables(self.columns, self.submission, self.best)
            views.append(score_view(tables, self.best))
        if views:
            emit(stack(*views), None, as_json=False)

    def finish(
        self, *, wait: float = 0.0, more: Mapping[str, Any] | None = None
    ) -> None:
        """Read the rank and the scores of single objects, and print them.

        Args:
            wait: Seconds to wait for the archive with the results.
            more: More for `--json`.
        """
        if self.submission.scores:
            self._say("rank", self._rank())
            try:
                self._fetch_metrics(wait)
            except KeyboardInterrupt:
                number = self.submission.id
                note(f"not waited for; later they are in submit status {number}")
            self._say("objects", ", ".join(self.metrics) or None)
        if self.as_json:
            emit("", {**(more or {}), **self.data()}, as_json=True)

    def _say(self, name: str, text: str | None) -> None:
        if not self.as_json:
            emit(facts({f"{name:7}": text}), None, as_json=False)

    def _rank(self) -> str | None:
        """Its rank, or why it has none; None when that is not known."""
        from ..codabench import Aside, rank_of, why_unranked

        seen, phase = self.submission, self.submission.phase
        if phase is None:
            return None
        other = self.client.fork()
        board = Aside("read the leaderboard", lambda: other.leaderboard(phase))
        try:
            with spinning("reading the leaderboard"):
                rows = board.get(RANK)
        except CodabenchError as error:
            warn(str(error))
            return None
        self.standing = rank_of(rows, seen)
        rank = None if self.standing is None else self.standing.rank
        self._keep(ranked=True, rank=rank)
        if rank is not None:
            return f"{rank} on the leaderboard"
        competition = self.context.competition
        if seen.status != "Finished" or competition is None:
            return None
        named = self._named(competition) or competition
        return why_unranked(named, rows, self.context.submissions, seen)

    def _keep(self, *, ranked: bool = False, rank: int | None = None) -> None:
        keep_submission(
            self.client,
            self.context.account,
            self.context.competition,
            self.submission,
            ranked=ranked,
            rank=rank,
        )

    def _fetch_metrics(self, wait: float) -> None:
        """Fetch the scores of single objects; they may be kept back."""
        from ..codabench import NotYetError

        until = self.client.clock.monotonic() + wait
        for part in self.submission.scored:
            if part.has_failed:
                continue
            while True:
                try:
                    self._fetch_part(part)
                except NotYetError as error:
                    left = until - self.client.clock.monotonic()
                    if left > 0:
                        self._wait(min(_STEP, left))
                        continue
                    note(str(error))
                except CodabenchError as error:
                    note(f"no scores of single objects: {error}")
                break

    def _wait(self, seconds: float) -> None:
        title = "waiting for the scores of single objects"
        with spinning(title, "(Ctrl-C skips them)"):
            self.client.clock.sleep(seconds)

    def _fetch_part(self, part: Submission) -> None:
        from ..codabench import fetch_metrics

        kept, url = ledger(), self.client.url
        path = kept.metrics_path(url, part.id)
        if not path.is_file():
            text = fetch_metrics(self.client, part.id)
            if text is None:
                return
            path = kept.keep_metrics(url, part.id, text)
            if not self.metrics and part.id != self.submission.id:
                # A submission with several tasks is compared by its first task.
                kept.keep_metrics(url, self.submission.id, text)
        self.metrics.append(str(path))

    def data(self) -> dict[str, Any]:
        """The same for `--json`."""
        seen = self.submission
        return {
            "id": seen.id,
            "status": seen.status,
            "details": seen.details,
            "owner": seen.owner,
            "scores": seen.values(),
            "names": {column.key: column.title for column in self.columns},
            "tasks": [
                {
                    "task": part.task and part.task.name,
                    "id": part.id,
                    "status": part.status,
                    "details": part.details,
                    "scores": part.values(),
                }
                for part in seen.parts
            ],
            "best_before": None
            if self.best is None
            else {"id": self.best.id, "scores": self.best.values()},
            "rank": None if self.standing is None else self.standing.rank,
            "metrics": self.metrics[0] if self.metrics else None,
            "log": self.log,
        }


def show_failure(view: SubmissionView, failed: Sequence[Submission]) -> None:
    """Print the end of the log that tells why an evaluation failed."""
    from ..codabench import tail_of_log

    name, view.log = tail_of_log(view.client, failed, lines=_LINES)
    if view.log:
        note(f"The end of {name}:")
        for line in view.log:
            note(f"  {line}")


def require_success(outcome: WatchOutcome) -> None:
    """Raise if the evaluation failed, so that scripts see it by the exit status.

    Raises:
        EvaluationError: It failed, was cancelled or has no scores.
    """
    seen = outcome.submission
    for part in outcome.failed:
        what = "" if part.id == seen.id else f", {_task_of(part)}"
        reason = f" ({part.details})" if part.details else ""
        # The server counts whole submissions, and returns attempts only of failed ones.
        cost = "costs no attempt" if seen.status == "Failed" else "costs an attempt"
        raise EvaluationError(
            f"submission {seen.id}{what} is {part.status}{reason}, which {cost}",
            f"for all logs: submit logs {part.id} --all",
        )
    if not seen.scores:
        raise EvaluationError(
            f"submission {seen.id} is finished, and no scores came",
            f"see submit logs {seen.id}, and submit status {seen.id} again later",
        )


def _task_of(part: Submission) -> str:
    return f"task {part.task.name}" if part.task else f"part {part.id}"
