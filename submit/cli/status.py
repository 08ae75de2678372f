"""`submit status`: the newest submissions, or everything about one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._codabench import connect, own, score_view, server_options, state, when
from ._options import json_option
from ._output import Cell, emit, facts, note, number, stack, table
from ._watching import show

if TYPE_CHECKING:
    from ..codabench import Client, Competition, Phase, Submission


#: Submissions that `submit status` lists.
_SHOWN = 10


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
