"""`submit history`: what was submitted."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CodabenchError
from ._codabench import connect, keep_records, own, server_options, state
from ._options import json_option
from ._output import Cell, emit, facts, number, stack, table, warn
from ._views import comparison_view, local_score

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column as Head

    from ..codabench import Client, Column, Competition, Record, Standing


#: What a CSV of the history has before its scores.
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
@click.option("--offline", is_flag=True, help="Only what this machine remembers.")
@click.option(
    "--compare",
    type=(int, int),
    metavar="A B",
    help="Compare two submissions object by object.",
)
@click.option(
    "--local-scores",
    type=(int, click.Path(exists=True, path_type=Path)),
    metavar="ID FILE",
    help="Remember the scores.json of a hold-out for a submission.",
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
    """List your submissions, with what this machine remembers of them.

    Beside the server's score stands the hold-out score, if one was given, and below
    the table how well the one foretells the other.

    \b
    Example:
      submit history --csv > history.csv
    """
    from ..codabench import Ledger, Record, check_url

    checked = check_url(url)
    ledger = Ledger(state())
    if local_scores is not None:
        identity, path = local_scores
        ledger.keep(
            Record(checked, identity, competition=competition, local=local_score(path))
        )
    if compare is not None:
        _compare(ledger.records(url=checked), *compare, as_json=as_json)
        return
    columns: Sequence[Column] = ()
    if not offline:
        columns = _merge(checked, competition)
    records = ledger.records(url=checked, competition=competition)
    if phase is not None:
        records = [r for r in records if phase in (str(r.phase), r.phase_name)]
    if as_csv:
        click.echo(_csv(records), nl=False)
        return
    data = [_plain(record) for record in records]
    emit(_view(records, columns), data, as_json=as_json)


def _merge(url: str, competition: int) -> Sequence[Column]:
    """Take over what the server knows; returns the leaderboard's columns."""
    from ..codabench import Record, rank_of

    with connect(url) as client:
        found = client.competition(competition)
        names = {phase.id: phase.name for phase in found.phases}
        mine = own(
            client.submissions(competition=competition), client.profile().username
        )
        board = _boards(client, found)
    keep_records(
        [
            Record.of(
                url,
                each,
                competition=competition,
                phase_name=names.get(each.phase or 0),
                rank=None if (row := rank_of(board, each)) is None else row.rank,
            )
            for each in mine
        ]
    )
    return found.columns


def _boards(client: Client, competition: Competition) -> list[Standing]:
    """The leaderboards of all phases that have begun, one after the other."""
    rows: list[Standing] = []
    for phase in competition.phases:
        if phase.start is not None and phase.start > client.server_now:
            continue
        try:
            rows += client.leaderboard(phase.id)
        except CodabenchError as error:
            warn(str(error))
    return rows


def _view(records: Sequence[Record], columns: Sequence[Column]) -> RenderableType:
    """The table, newest last, and how local and server scores go together."""
    from ..codabench import correlate

    keys = {c.key: c.title for c in columns if not c.hidden} or {
        key: key for record in records for key in record.scores
    }
    digits = {column.key: column.precision for column in columns}
    rows: list[list[Cell]] = [
        [
            str(record.id),
            record.created and record.created[:16].replace("T", " "),
            record.label or record.file_name,
            record.status,
            None if record.local is None else f"{record.local:.2f}",
            *(_score(record.scores.get(key), digits.get(key, 2)) for key in keys),
            record.rank,
        ]
        for record in records
    ]
    heads: list[str | Head] = [
        "submission",
        "submitted (UTC)",
        "label",
        "status",
        number("local"),
    ]
    heads += [*map(number, keys.values()), number("rank")]
    views: list[RenderableType] = [table(heads, rows)]
    primary = next(iter(keys), "")
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
                    "local and server": f"{found.count} submissions have both",
                    "correlation": _score(found.pearson, 3),
                    "of the ranks": _score(found.spearman, 3),
                    "server less local": f"{found.offset:+.2f}",
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
                *(_harmless(getattr(record, name)) for name in _FIELDS),
                *(record.scores.get(key) for key in keys),
                _harmless(names),
            ]
        )
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    """Keep a text from being run as a formula by a spreadsheet."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return value


def _compare(
    records: Sequence[Record], first: int, second: int, *, as_json: bool
) -> None:
    """Compare two submissions by the scores of their objects."""
    from ..codabench import Ledger
    from ..scoring.compare import compare_entries, read_metrics

    ledger = Ledger(state())
    names = {record.id: record.label for record in records}
    entries = [
        dataclasses.replace(
            read_metrics(ledger.require_metrics(each)),
            name=f"{each} {names.get(each) or ''}".strip(),
        )
        for each in (first, second)
    ]
    found = compare_entries(*entries)
    emit(comparison_view(found), found, as_json=as_json)
