"""`submit history`: what was submitted."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CodabenchError, LoginError, RefusedError
from ..system.words import counted
from ._activity import spinning
from ._codabench import (
    account,
    connect,
    keeping,
    ledger,
    server_options,
    token_store,
)
from ._options import PATH, json_option
from ._output import Cell, best_cells, emit, facts, number, stack, table, warn
from ._views import comparison_view, local_score

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column as Head

    from ..codabench import Client, Column, Competition, LeaderboardRow, Record

#: Seconds that the list waits for the leaderboards.
BOARDS = 10.0

#: Columns of the CSV before the scores.
_FIELDS = (
    "id",
    "created",
    "phase",
    "phase_name",
    "label",
    "status",
    "rank",
    "local",
    "zip",
    "sha256",
    "file_name",
    "git_commit",
)


@click.command()
@click.option("--csv", "as_csv", is_flag=True, help="Print everything as CSV.")
@click.option("--offline", is_flag=True, help="Only what this machine recorded.")
@click.option(
    "--compare",
    type=(int, int),
    metavar="A B",
    help="Compare two submissions object by object.",
)
@click.option(
    "--local-scores",
    type=(int, PATH),
    metavar="ID FILE",
    help="Record the scores.json of a hold-out for a submission.",
)
@server_options
@json_option
def history(
    as_csv: bool,
    offline: bool,
    compare: tuple[int, int] | None,
    local_scores: tuple[int, Path] | None,
    phase: str | None,
    competition: int,
    url: str,
    as_json: bool,
) -> None:
    """List your submissions, with what this machine recorded about them.

    The table shows the server's score and, if given, the hold-out score; below it, how
    well one predicts the other. Ranks are current; a submission that is no longer on
    the leaderboard has none.

    \b
    Example:
      submit history --csv > history.csv
    """
    from ..codabench import check_url

    checked = check_url(url)
    kept = ledger()
    if local_scores is not None:
        _keep_local(checked, competition, *local_scores, offline=offline)
    if compare is not None:
        owner = _remembered_account(checked)
        remembered = kept.records(url=checked, username=owner)
        _compare(checked, remembered, *compare, as_json=as_json)
        return
    owner, columns = (
        _remembered(checked, competition) if offline else _merge(checked, competition)
    )
    records = kept.records(url=checked, username=owner, competition=competition)
    if phase is not None:
        records = [r for r in records if phase in (str(r.phase), r.phase_name)]
    if as_csv:
        click.echo(_csv(records), nl=False)
        return
    data = [_plain(record) for record in records]
    emit(_view(records, columns), data, as_json=as_json)


def _remembered(url: str, competition: int) -> tuple[str | None, Sequence[Column]]:
    """The account, and the leaderboard's columns, without asking the server."""
    owner = _remembered_account(url)
    return owner, ledger().columns(url, owner, competition)


def _remembered_account(url: str) -> str | None:
    """The account of the present token; None for all accounts if it is not known."""
    try:
        return ledger().account(url, token_store().find(url))
    except LoginError as error:
        warn(str(error))
        return None


def _keep_local(
    url: str, competition: int, identity: int, path: Path, *, offline: bool
) -> None:
    """Remember a hold-out score of one's own submission."""
    from ..codabench import Record

    local = local_score(path)
    owner = _remembered_account(url)
    known = ledger().find(url, owner, identity)
    place = None if known is None else known.competition
    if not offline and place is None:
        with connect(url) as client:
            owner = account(client)
            seen = client.submission(identity)
            if seen.account != owner:
                raise RefusedError(
                    f"submission {identity} is of {seen.owner}",
                    "give the number of one of your own; see submit history",
                )
            place = _competition_of(client, seen.phase, competition)
    record = Record(url, identity, username=owner, competition=place, local=local)
    ledger().keep(record)


def _competition_of(client: Client, phase: int | None, expected: int) -> int | None:
    from ..codabench import find_competition

    found = find_competition(client, phase, expected)
    return None if found is None else found.id


def _merge(url: str, competition: int) -> tuple[str | None, Sequence[Column]]:
    """Store what the server knows; returns the account, and the columns."""
    from ..codabench import Record, board_columns, rank_of

    with connect(url) as client:
        owner = account(client)
        found = client.competition(competition)
        names = {phase.id: phase.name for phase in found.phases}
        mine = client.own_submissions(competition=competition)
        boards = _boards(client, found)
    rows = [row for board in boards.values() for row in board]
    records = [
        Record.of(
            url,
            each,
            competition=competition,
            phase_name=names.get(each.phase or 0),
            rank=None if (row := rank_of(rows, each)) is None else row.rank,
        )
        for each in mine
    ]
    with keeping() as kept:
        kept.keep_columns(url, owner, found)
        kept.update(records, ranked=boards)
    columns = found.columns or ledger().columns(url, owner, competition)
    return owner, board_columns(columns, mine)


def _boards(
    client: Client, competition: Competition
) -> dict[int, list[LeaderboardRow]]:
    """The leaderboards of the phases that have begun, as far as they can be read."""
    from ..codabench import Aside

    other, found = client.fork(), {}
    begun = [
        phase
        for phase in competition.phases
        if phase.start is None or phase.start <= client.server_now
    ]

    def read() -> None:
        for phase in begun:
            try:
                found[phase.id] = other.leaderboard(phase.id)
            except CodabenchError as error:
                problems.append(str(error))

    problems: list[str] = []
    try:
        with spinning("reading the leaderboards"):
            Aside("read the leaderboards", read).get(BOARDS)
    except CodabenchError as error:
        problems.append(str(error))
    for problem in problems:
        warn(f"{problem}; ranks may be old")
    return dict(found)


def _view(records: Sequence[Record], columns: Sequence[Column]) -> RenderableType:
    """The table, newest last, and how well local scores predict those of the server."""
    from ..codabench import Column, correlate

    keys = {column.key: column.title for column in columns if not column.hidden}
    for record in records:
        for key in record.scores:
            if all(column.key != key for column in columns):
                keys.setdefault(key, key)
    known = {column.key: column for column in columns}
    scores = []
    for key in keys:
        column = known.get(key, Column(key, key))
        values = [record.scores.get(key) for record in records]
        scores.append(best_cells(values, column.format, highest=column.descending))
    # Only a leaderboard tells which measure ranks.
    primary = columns[0].key if columns else ""
    owners = {record.username for record in records}
    tasks = {record.task for record in records if record.task is not None}
    rows: list[list[Cell]] = [
        [
            str(record.id),
            *([record.username] if len(owners) > 1 else []),
            record.created and record.created[:16].replace("T", " "),
            record.label or record.file_name,
            record.status,
            *([record.task] if tasks else []),
            None if record.local is None else f"{record.local:.2f}",
            *(cells[place] for cells in scores),
            record.rank,
        ]
        for place, record in enumerate(records)
    ]
    heads: list[str | Head] = [
        "submission",
        *(["account"] if len(owners) > 1 else []),
        "submitted (UTC)",
        "label",
        "status",
        *(["task"] if tasks else []),
        number("local"),
        *map(number, keys.values()),
        number("rank"),
    ]
    views: list[RenderableType] = [table(heads, rows)]
    pairs = [
        (record.local, record.scores[primary])
        for record in records
        if record.local is not None and primary in record.scores
    ]
    found = correlate(pairs)
    if found is not None:
        views.append(
            facts(
                {
                    "local and server": f"{counted(found.count, 'submission')} "
                    "have both",
                    "correlation": _score(found.pearson, 3),
                    "of the ranks": _score(found.spearman, 3),
                    "server minus local": f"{found.offset:+.2f}",
                }
            )
        )
    return stack(*views)


def _score(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _plain(record: Record) -> dict[str, Any]:
    return dataclasses.asdict(record)


def _csv(records: Sequence[Record]) -> str:
    """One row for each submission, one column for each score."""
    keys = list(dict.fromkeys(key for record in records for key in record.scores))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*_FIELDS, *keys, "runs"])
    for record in records:
        names = "+".join(str(run.get("name")) for run in record.runs)
        writer.writerow(
            [
                *(_without_formulas(getattr(record, name)) for name in _FIELDS),
                *(record.scores.get(key) for key in keys),
                _without_formulas(names),
            ]
        )
    return stream.getvalue()


def _without_formulas(value: Any) -> Any:
    """Escape a text that a spreadsheet would run as a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return value


def _compare(
    url: str, records: Sequence[Record], first: int, second: int, *, as_json: bool
) -> None:
    """Compare two submissions by the scores of their objects."""
    from ..scoring.compare import compare_entries, read_metrics

    names = {record.id: record.label for record in records}
    entries = [
        dataclasses.replace(
            read_metrics(ledger().require_metrics(url, each)),
            name=f"{each} {names.get(each) or ''}".strip(),
        )
        for each in (first, second)
    ]
    found = compare_entries(*entries)
    emit(comparison_view(found), found, as_json=as_json)
