"""`submit leaderboard`: who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._codabench import connect, own, server_options
from ._options import json_option
from ._output import Cell, emit, note, number, table

if TYPE_CHECKING:
    pass


@click.command()
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="How many rows; your own are always there.",
)
@server_options
@json_option
def leaderboard(
    top: int, phase: str | None, competition: int, url: str, as_json: bool
) -> None:
    """Show the leaderboard of a phase, with your submissions marked.

    \b
    Example:
      submit leaderboard --top 5
    """
    from rich.text import Text

    from ._output import escape

    with connect(url, anonymous=True) as client:
        found = client.competition(competition)
        shown = found.show_phase(phase, client.server_now)
        board = client.leaderboard(shown.id)
        mine: set[int] = set()
        if client.transport.has_token:
            theirs = client.submissions(phase=shown.id)
            for each in own(theirs, client.profile().username):
                mine |= each.ids
    if not board:
        note(f"the leaderboard of {shown.name} is empty")
    columns = [column for column in found.columns if not column.hidden]
    rows: list[list[Cell]] = []
    for row in board:
        if row.rank > top and not mine & set(row.ids):
            continue
        is_mine = bool(mine & set(row.ids))
        style = "bold green" if is_mine else ""
        texts = [str(row.rank), row.owner + (" (you)" if is_mine else "")]
        texts += [
            column.format(row.values.get(column.key)) or "–" for column in columns
        ]
        rows.append([Text(escape(text), style=style) for text in texts])
    emit(
        table([number("rank"), "who", *(number(c.title) for c in columns)], rows),
        [
            {
                "rank": row.rank,
                "id": row.ids[0],
                "owner": row.owner,
                "own": bool(mine & set(row.ids)),
                "scores": dict(row.values),
            }
            for row in board
        ],
        as_json=as_json,
    )
