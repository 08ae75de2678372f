"""`submit status`, `watch`, `logs` and `cancel`: what becomes of submissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CodabenchError, EvaluationError
from ._codabench import (
    ask,
    connect,
    own,
    score_view,
    server_options,
    state,
    url_option,
    when,
)
from ._options import json_option
from ._output import Cell, emit, escape, facts, note, number, stack, table
from ._watching import conclude, present, require_success, show, watch_to_end

if TYPE_CHECKING:
    from ..codabench import Client, Competition, Phase, Submission

#: Submissions that `submit status` lists.
_SHOWN = 10
#: Logs that `submit logs` prints without --all.
_TELLING = ("scoring_stdout", "scoring_stderr")

_NUMBER = click.IntRange(min=1)


@click.command()
@click.argument("submission", type=_NUMBER, required=False)
@server_options
@json_option
def status(
    submission: int | None,
    phase: str | None,
    competition: int,
    url: str,
    as_json: bool,
) -> None:
    """Show the newest submissions, or everything about one.

    SUBMISSION is the number of one: its scores are compared with the best before, and
    those of single objects are fetched, if the organisers give them out. The list
    names interrupted uploads, too.

    \b
    Example:
      submit status 734512
    """
    with connect(url) as client:
        found = client.competition(competition)
        if submission is None:
            _list(client, found, found.show_phase(phase, client.server_now), as_json)
            return
        seen = client.submission(submission)
        result = show(client, found, seen)
    emit(
        stack(
            facts(
                {
                    "submission": str(seen.id),
                    **_remembered(client.url, seen),
                    "zip there": seen.file_name,
                    "submitted (UTC)": when(seen.created),
                    "status": f"{seen.status}: {seen.meaning}",
                    "server says": seen.details or None,
                    "objects": result.metrics,
                }
            ),
            *(
                [score_view(result.lines, result.best, result.standing)]
                if seen.scores
                else []
            ),
        ),
        result.data(),
        as_json=as_json,
    )


def _remembered(url: str, submission: Submission) -> dict[str, Cell]:
    """What only this machine knows of a submission."""
    from ..codabench import Ledger

    record = Ledger(state()).find(url, submission.id)
    if record is None:
        return {}
    commit = record.git_commit
    known: dict[str, Cell] = {
        "label": record.label,
        "zip": record.zip,
        "made of": ", ".join(str(run.get("name")) for run in record.runs),
        "git commit": commit and commit[:12],
        "hold-out": None if record.local is None else f"{record.local:.2f}",
    }
    return {name: value for name, value in known.items() if value}


def _list(
    client: Client, competition: Competition, phase: Phase, as_json: bool
) -> None:
    """The newest submissions to a phase, and uploads that were interrupted."""
    from ..codabench import Ledger, attempts_text, unfinished

    mine = own(client.submissions(phase=phase.id), client.profile().username)
    labels = {each.id: each.label for each in Ledger(state()).records(url=client.url)}
    primary = competition.primary
    rows: list[list[Cell]] = [
        [
            str(each.id),
            labels.get(each.id) or each.file_name,
            when(each.created),
            each.status,
            primary.format(each.values().get(primary.key)) if primary else None,
        ]
        for each in mine[:_SHOWN]
    ]
    attempts = attempts_text(phase, client.server_now)
    columns = ["submission", "label", "submitted (UTC)", "status"]
    pending = unfinished(state())
    for entry in pending:
        note(f"{entry.zip} is {entry.step}; to go on: submit upload {entry.zip}")
    emit(
        stack(
            table([*columns, number(primary.title if primary else "score")], rows),
            facts({"phase": f"{phase.id} {phase.name}", "attempts": attempts}),
        ),
        {
            "phase": phase.id,
            "left_today": phase.left_today,
            "left_in_all": phase.left_in_all,
            "submissions": [
                {
                    "id": each.id,
                    "label": labels.get(each.id),
                    "file_name": each.file_name,
                    "created": each.created and each.created.isoformat(),
                    "status": each.status,
                    "scores": each.values(),
                }
                for each in mine
            ],
            "unfinished": [{"zip": e.zip, "step": e.step} for e in pending],
        },
        as_json=as_json,
    )


@click.command()
@click.argument("submission", type=_NUMBER, required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="How long to watch at most.",
)
@server_options
@json_option
def watch(
    submission: int | None,
    timeout: float | None,
    phase: str | None,
    competition: int,
    url: str,
    as_json: bool,
) -> None:
    """Follow a submission until its scores are complete.

    SUBMISSION is its number; the newest one without. Ctrl-C ends the watch and nothing
    else. The exit status is 0 with scores, 20 when the evaluation failed, 21 when the
    time was over.

    \b
    Example:
      submit watch 734512
    """
    with connect(url) as client:
        found = client.competition(competition)
        if submission is None:
            shown = found.show_phase(phase, client.server_now)
            submission = _newest(client, shown)
        outcome = watch_to_end(client, submission, found, minutes=timeout)
        present(conclude(client, found, outcome), as_json=as_json)
    require_success(outcome)


def _newest(client: Client, phase: Phase) -> int:
    mine = own(client.submissions(phase=phase.id), client.profile().username)
    if not mine:
        raise CodabenchError(
            f"phase {phase.name} has no submission of yours; make one with submit "
            "upload"
        )
    return max(each.id for each in mine)


@click.command()
@click.argument("submission", type=_NUMBER)
@click.option("--all", "every", is_flag=True, help="All logs, not only the scoring's.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the logs here, as they are, instead of printing them.",
)
@click.option(
    "--lines",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the last lines of each.",
)
@url_option
@json_option
def logs(
    submission: int,
    every: bool,
    output: Path | None,
    lines: int | None,
    url: str,
    as_json: bool,
) -> None:
    """Show what the evaluation of a submission has written.

    SUBMISSION is its number. Without --all, the logs of the scoring are shown.

    \b
    Example:
      submit logs 734512 --lines 30
    """
    from ..system.files import write_bytes

    with connect(url) as client:
        there = client.details(submission).logs
        names = (
            sorted(there) if every or output else [n for n in _TELLING if n in there]
        )
        texts = {
            name: client.transport.download(there[name], f"read {name}")
            for name in names
        }
    if not texts:
        raise EvaluationError(
            f"submission {submission} has no logs yet; see submit status {submission}"
        )
    if output is not None:
        for name, data in texts.items():
            write_bytes(output / f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}.txt", data)
        note(f"{len(texts)} logs are in {output}")
    shown = {name: _lines(data, lines) for name, data in texts.items()}
    if output is None or as_json:
        from rich.text import Text

        views = [
            Text("\n".join([escape(name), *(f"  {escape(x)}" for x in some)]))
            for name, some in shown.items()
        ]
        emit(stack(*views), shown, as_json=as_json)


def _lines(data: bytes, count: int | None) -> list[str]:
    """The lines of a log; progress bars leave only their last state."""
    text = data.decode("utf-8", "replace").rstrip("\n")
    found = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return found if count is None else found[-count:]


@click.command()
@click.argument("submission", type=_NUMBER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
def cancel(submission: int, yes: bool, url: str) -> None:
    """Cancel a submission, which costs its attempt all the same.

    SUBMISSION is its number.

    \b
    Example:
      submit cancel 734512
    """
    with connect(url) as client:
        seen = client.submission(submission)
        if seen.is_final:
            raise CodabenchError(
                f"submission {submission} is {seen.status} already; there is nothing "
                "to cancel"
            )
        question = f"Cancel {submission} ({seen.status})? Its attempt stays used"
        if not ask(question, yes=yes):
            click.get_current_context().exit(1)
        if not client.cancel(submission):
            raise CodabenchError(
                f"submission {submission} was over before it could be cancelled; see "
                f"submit status {submission}"
            )
    note(f"submission {submission} is cancelled")
