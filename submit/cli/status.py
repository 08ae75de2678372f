"""`submit status`: the newest submissions, or everything about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import CodabenchError
from ._codabench import account, connect, keeping, ledger, server_options, state, when
from ._options import json_option
from ._output import Cell, emit, facts, note, number, stack, table
from ._watching import SubmissionView, read_beside

if TYPE_CHECKING:
    from rich.table import Column as Head

    from ..codabench import Client, Competition, JournalEntry, Phase


#: Submissions that `submit status` lists.
_SHOWN = 10
#: Seconds to wait for the list of interrupted uploads.
PENDING = 5.0


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
    those of single objects are fetched, if the organisers give them out. The list is
    followed by interrupted uploads and the commands that continue them.

    \b
    Example:
      submit status 734512
    """
    with connect(url) as client:
        if submission is None:
            found = client.competition(competition)
            _list(client, found, found.show_phase(phase, client.server_now), as_json)
        else:
            _show(client, submission, competition, as_json)


def _show(client: Client, number: int, expected: int, as_json: bool) -> None:
    """Everything about one submission, of any competition."""
    seen = client.whole_submission(number)
    view = SubmissionView.of(
        client, seen, read_beside(client, seen, expected), as_json=as_json
    )
    head: dict[str, Cell] = {
        "submission": str(seen.id),
        **_remembered(view),
        "name there": seen.file_name,
        "submitted (UTC)": when(seen.created),
        "status": f"{seen.state}: {seen.meaning}",
        "server says": seen.details or None,
    }
    known = view.context.competition
    if known is None or known.id != expected:
        head["competition"] = None if known is None else f"{known.id} {known.title}"
    if not view.is_own and view.context.account is not None:
        head["owner"] = seen.owner
    view.show(head)
    if seen.status == "Finished" and not seen.scores:
        note(f"the scores are not there yet; run submit status {seen.id} again later")
    view.finish()


def _remembered(view: SubmissionView) -> dict[str, Cell]:
    """The facts about a submission that only this machine has."""
    client, seen = view.client, view.submission
    record = ledger().find(client.url, seen.account, seen.id)
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
    from ..codabench import attempts_text, board_columns

    name = account(client)
    mine = client.own_submissions(phase=phase.id)
    remembered = ledger().records(url=client.url, username=name)
    labels = {each.id: each.label for each in remembered}
    with keeping() as kept:
        kept.keep_columns(client.url, name, competition)
    columns = board_columns(competition.columns, mine)
    primary = columns[0] if columns else None
    rows: list[list[Cell]] = [
        [
            str(each.id),
            labels.get(each.id) or each.file_name,
            when(each.created),
            each.state,
            primary.format(each.values().get(primary.key)) if primary else None,
        ]
        for each in mine[:_SHOWN]
    ]
    attempts = attempts_text(phase, client.server_now)
    score = primary.title if primary else "score"
    task = next((each.parts[0].task for each in mine if each.parts), None)
    if task is not None:
        score += f", task {task.name}"
    heads: list[str | Head] = ["submission", "label", "submitted (UTC)", "status"]
    view = stack(
        table([*heads, number(score)], rows),
        facts({"phase": f"{phase.id} {phase.name}", "attempts": attempts}),
    )
    if not as_json:
        emit(view, None, as_json=False)
    pending = _pending(client, competition)
    data = {
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
                "failed_tasks": len(each.failed_parts),
                "scores": each.values(),
            }
            for each in mine
        ],
        "unfinished": pending,
    }
    if as_json:
        emit(view, data, as_json=True)
    for each in pending:
        note(f"{each['zip']} is {each['step']}; to continue: {each['command']}")


def _pending(client: Client, competition: Competition) -> list[dict[str, str]]:
    """Interrupted uploads; all are listed even if the server is slow."""
    from ..codabench import Aside, command_of, pending, unfinished

    entries: list[JournalEntry] = unfinished(
        state(), url=client.url, username=client.account
    )
    if entries:
        other = client.fork()
        reading = Aside(
            "look for interrupted uploads",
            lambda: pending(other, state(), competition),
        )
        try:
            entries = reading.get(PENDING)
        except CodabenchError as error:
            note(str(error))
    return [
        {"zip": each.zip, "step": each.step, "command": command_of(each)}
        for each in entries
    ]
