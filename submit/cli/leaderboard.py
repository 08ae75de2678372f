"""`submit leaderboard`: the ranking of a phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..errors import CodabenchError
from ._codabench import connect, server_options
from ._options import json_option
from ._output import Cell, best_cells, emit, note, number, table, tinted, warn

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..codabench import (
        Aside,
        Client,
        Column,
        Competition,
        LeaderboardRow,
        Phase,
    )

#: Seconds to wait for the list of the account's own submissions.
OWN = 5.0


@click.command()
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=20,
    metavar="N",
    help="How many rows; your own are always shown.",
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
    with connect(url, anonymous=True) as client:
        own = _own(client, competition)
        found = client.competition(competition)
        shown = found.show_phase(phase, client.server_now)
        board = client.leaderboard(shown.id)
        mine = _ids(own)
    if not board:
        note(f"the leaderboard of {shown.name} is empty")
    emit(
        _view(found, shown, board, mine, top),
        [
            {
                "rank": row.rank,
                "id": row.ids[0],
                "owner": row.owner,
                "own": bool(mine & set(row.ids)),
                "scores": dict(row.values),
                "tasks": {
                    task.name: row.values_of(task.id)
                    for task in shown.tasks
                    if len(shown.tasks) > 1
                },
            }
            for row in board
        ],
        as_json=as_json,
    )


def _own(client: Client, competition: int) -> Aside[set[int]] | None:
    """Begin to read which submissions are the account's own, to mark them."""
    from ..codabench import Aside

    if client.transport.token is None:
        return None
    other = client.fork()

    def read() -> set[int]:
        # Names cannot tell: the board shows names that users choose.
        found = other.own_submissions(competition=competition)
        return {number for each in found for number in each.ids}

    return Aside("see which submissions are yours", read)


def _ids(own: Aside[set[int]] | None) -> set[int]:
    try:
        return set() if own is None else own.get(OWN)
    except CodabenchError as error:
        warn(str(error))
        return set()


def _view(
    competition: Competition,
    phase: Phase,
    board: Sequence[LeaderboardRow],
    mine: set[int],
    top: int,
) -> RenderableType:
    """The table: the first rows, and the account's own; each task has its columns."""
    tasks = phase.tasks if len(phase.tasks) > 1 else (None,)
    known = competition.columns or _keys(board)
    columns = [
        (task, column) for task in tasks for column in known if not column.hidden
    ]
    shown = [row for row in board if row.rank <= top or mine & set(row.ids)]
    scores = []
    for task, column in columns:
        identity = None if task is None else task.id
        values = [row.values_of(identity).get(column.key) for row in shown]
        scores.append(best_cells(values, column.format, highest=column.descending))
    rows: list[Sequence[Cell]] = []
    for place, row in enumerate(shown):
        cells: list[Cell] = [str(row.rank), row.owner]
        cells += [column[place] for column in scores]
        if mine & set(row.ids):
            cells[1] = f"{row.owner} (you)"
            cells = [tinted(cell, "green") for cell in cells]
        rows.append(cells)
    heads = [
        number(column.title if task is None else f"{column.title}, {task.name}")
        for task, column in columns
    ]
    return table([number("rank"), "who", *heads], rows, keys=2)


def _keys(board: Sequence[LeaderboardRow]) -> list[Column]:
    """Columns named by their keys, if the competition shows no leaderboard."""
    from ..codabench import Column

    keys = dict.fromkeys(score.key for row in board for score in row.scores)
    return [Column(key, key) for key in keys]
