"""From a submission to its scores: shared by `submit upload` and `submit watch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CodabenchError, EvaluationError, WaitError
from ._codabench import keep_records, previous, score_view, state
from ._output import emit, format_seconds, note, stderr, warn

if TYPE_CHECKING:
    from ..codabench import (
        Client,
        Competition,
        Outcome,
        ScoreLine,
        Standing,
        Submission,
    )

__all__ = [
    "Conclusion",
    "conclude",
    "present",
    "remember",
    "require_success",
    "show",
    "watch_to_end",
]

#: Lines of a log that are shown after a failure.
_LINES = 20


@dataclass(frozen=True)
class Conclusion:
    """What there is to say about a submission.

    Attributes:
        submission: Its state.
        lines: Its scores.
        best: The best one before.
        standing: Its place on the leaderboard.
        metrics: File with the scores of single objects.
    """

    submission: Submission
    lines: list[ScoreLine]
    best: Submission | None = None
    standing: Standing | None = None
    metrics: str | None = None
    log: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """The same for `--json`."""
        seen = self.submission
        return {
            "id": seen.id,
            "status": seen.status,
            "details": seen.details,
            "scores": seen.values(),
            "names": {line.key: line.title for line in self.lines},
            "best_before": None
            if self.best is None
            else {"id": self.best.id, "scores": self.best.values()},
            "rank": None if self.standing is None else self.standing.rank,
            "metrics": self.metrics,
            "log": self.log,
        }


def watch_to_end(
    client: Client,
    number: int,
    competition: Competition,
    *,
    minutes: float | None,
) -> Outcome:
    """Follow a submission, saying what happens.

    Raises:
        WaitError: It was not over in time.
        CodabenchError: The server refuses.
    """
    from ..codabench import Watch

    patience = None if minutes is None else 60 * minutes
    watch = Watch(client, number, competition, patience)
    shown, scores = "", 0
    try:
        with _elapsing(f"watching {number}"):
            for event in watch.events():
                seen = event.submission
                spent = format_seconds(event.seconds)
                if seen.status != shown:
                    note(f"{number}: {seen.status}, {seen.meaning} ({spent})")
                    shown = seen.status
                if len(seen.scores) > scores:
                    scores = len(seen.scores)
                    note(f"{number}: {scores} scores are there ({spent})")
                if event.hint:
                    warn(event.hint)
                if event.outcome is not None:
                    return event.outcome
    except KeyboardInterrupt:
        note(f"{number} goes on by itself; to watch it again: submit watch {number}")
        raise
    raise WaitError(
        f"submission {number} is {shown or 'unknown'} after {minutes:g} minutes; it "
        f"goes on by itself, to watch it again: submit watch {number}"
    )


@contextmanager
def _elapsing(title: str) -> Iterator[None]:
    """Show on a terminal that the program is alive: looks are minutes apart."""
    console = stderr()
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    from rich import progress

    with progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.TimeElapsedColumn(),
        progress.TextColumn("(Ctrl-C leaves it running)", markup=False),
        console=console,
        transient=True,
    ) as bars:
        bars.add_task(title, total=None)
        yield


def conclude(client: Client, competition: Competition, outcome: Outcome) -> Conclusion:
    """Gather and remember everything about a submission that is over."""
    from ..codabench import score_lines, tail_of_log

    seen = outcome.submission
    if outcome.failed:
        name, log = tail_of_log(client, outcome.failed, lines=_LINES)
        remember(client, competition, seen)
        if log:
            note(f"The end of {name}:")
            for line in log:
                note(f"  {line}")
        return Conclusion(seen, score_lines(competition, seen.values()), log=log)
    return show(client, competition, seen)


def show(
    client: Client, competition: Competition, submission: Submission
) -> Conclusion:
    """Compare a submission with others, fetch its details and remember it."""
    from ..codabench import score_lines

    best = standing = None
    metrics = None
    if submission.scores:
        best, standing = previous(client, competition, submission)
        metrics = _metrics(client, submission)
    lines = score_lines(
        competition, submission.values(), None if best is None else best.values()
    )
    remember(client, competition, submission, standing)
    return Conclusion(submission, lines, best, standing, metrics)


def present(
    conclusion: Conclusion, *, as_json: bool, more: Mapping[str, Any] | None = None
) -> None:
    """Print the scores, if there are any; `more` is for `--json`."""
    if as_json or conclusion.submission.scores:
        view = score_view(conclusion.lines, conclusion.best, conclusion.standing)
        emit(view, {**(more or {}), **conclusion.data()}, as_json=as_json)


def require_success(outcome: Outcome) -> None:
    """Tell scripts by the exit status how it came out.

    Raises:
        EvaluationError: It failed, was cancelled or has no scores.
    """
    seen = outcome.submission
    for part in outcome.failed:
        what = "" if part.id == seen.id else f", part {part.id}"
        reason = f" ({part.details})" if part.details else ""
        cost = "costs an attempt" if part.status == "Cancelled" else "costs no attempt"
        raise EvaluationError(
            f"submission {seen.id}{what} is {part.status}{reason}, which {cost}; for "
            f"all logs: submit logs {part.id} --all"
        )
    if not seen.scores:
        raise EvaluationError(
            f"submission {seen.id} is finished, and no scores came; look at submit "
            f"logs {seen.id}, and again later at submit status {seen.id}"
        )


def remember(
    client: Client,
    competition: Competition,
    submission: Submission,
    standing: Standing | None = None,
) -> None:
    """Write the state of a submission to the ledger."""
    from ..codabench import Record

    names = {phase.id: phase.name for phase in competition.phases}
    record = Record.of(
        client.url,
        submission,
        competition=competition.id,
        phase_name=names.get(submission.phase or 0),
        rank=None if standing is None else standing.rank,
    )
    keep_records([record])


def _metrics(client: Client, submission: Submission) -> str | None:
    """Fetch the scores of single objects; that they are kept back is no failure."""
    from ..codabench import Ledger, fetch_metrics

    ledger = Ledger(state())
    if ledger.metrics_path(submission.id).is_file():
        return str(ledger.metrics_path(submission.id))
    try:
        text = fetch_metrics(client, submission)
        return None if text is None else str(ledger.keep_metrics(submission.id, text))
    except CodabenchError as error:
        note(f"the scores of single objects are not given out: {error}")
        return None
