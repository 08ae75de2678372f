"""Scores for people: official names, the previous best, the rank."""

from __future__ import annotations

import io
import json
import math
import statistics
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CodabenchError, ServerError
from .client import Client
from .competition import Column, Competition
from .submission import LeaderboardRow, Submission, Task

__all__ = [
    "Correlation",
    "NotYetError",
    "ScoreLine",
    "TaskScores",
    "board_columns",
    "correlate",
    "fetch_metrics",
    "local_total",
    "previous_best",
    "rank_of",
    "score_lines",
    "score_tables",
    "why_unranked",
]

#: Largest file that is read from a result archive.
_LARGEST = 1 << 26


@dataclass(frozen=True)
class ScoreLine:
    """One number of a submission.

    Attributes:
        key: The leaderboard's key.
        title: The official name.
        value: The number; None when the server has none.
        shown: The number with the leaderboard's digits.
        best: The same of the best earlier submission.
        change: The difference between the two.
        is_better: Whether the difference is an improvement; None without one.
    """

    key: str
    title: str
    value: float | None
    shown: str | None
    best: float | None
    change: float | None
    is_better: bool | None


def score_lines(
    columns: Sequence[Column],
    values: Mapping[str, float],
    best: Mapping[str, float] | None = None,
) -> list[ScoreLine]:
    """Compare numbers with those of an earlier submission, in the order of columns.

    Args:
        columns: Columns with the names, the primary one first.
        values: Numbers by column key.
        best: Those of the earlier submission.
    """
    lines = []
    for column in columns:
        value = values.get(column.key)
        earlier = (best or {}).get(column.key)
        if column.hidden and value is None:
            continue
        change = None if value is None or earlier is None else value - earlier
        lines.append(
            ScoreLine(
                key=column.key,
                title=column.title,
                value=value,
                shown=column.format(value),
                best=earlier,
                change=change,
                is_better=None
                if value is None or earlier is None or value == earlier
                else column.better(value, earlier),
            )
        )
    return lines


@dataclass(frozen=True)
class TaskScores:
    """The scores of a submission on one task.

    Attributes:
        task: The task; None where the phase has only one.
        submission: Number of the submission, or of its part for this task.
        status: Its status.
        lines: The scores.
    """

    task: Task | None
    submission: int
    status: str
    lines: list[ScoreLine]


def score_tables(
    columns: Sequence[Column], submission: Submission, best: Submission | None = None
) -> list[TaskScores]:
    """The scores of a submission, for each task apart.

    Args:
        columns: Columns with the names, the primary one first.
        submission: The submission.
        best: An earlier one to compare with.
    """
    earlier = {} if best is None else {_task_id(part): part for part in best.scored}
    found = []
    for part in submission.scored:
        before = earlier.get(_task_id(part))
        lines = score_lines(
            columns, part.values(), None if before is None else before.values()
        )
        task = part.task if submission.parts else None
        found.append(TaskScores(task, part.id, part.status, lines))
    return found


def _task_id(part: Submission) -> int | None:
    """The key by which parts of two submissions are matched."""
    return part.task.id if part.parent is not None and part.task else None


def previous_best(
    competition: Competition, submissions: Iterable[Submission], before: Submission
) -> Submission | None:
    """The best earlier submission of the same account.

    Args:
        competition: The competition with the column that ranks; without it no
            submission is the best.
        submissions: Submissions to the same phase, of all accounts.
        before: The submission.
    """
    primary = competition.primary
    if primary is None:
        return None
    best: Submission | None = None
    for each in submissions:
        value = each.values().get(primary.key)
        if each.account != before.account or each.id >= before.id:
            continue
        if each.status != "Finished" or value is None:
            continue
        if best is None or primary.better(value, best.values()[primary.key]):
            best = each
    return best


def rank_of(
    board: Sequence[LeaderboardRow], submission: Submission
) -> LeaderboardRow | None:
    """The rank of a submission; None if it is not on the leaderboard.

    Names cannot tell: the board shows names that users choose.
    """
    return next((row for row in board if submission.ids & set(row.ids)), None)


def why_unranked(
    competition: Competition,
    board: Sequence[LeaderboardRow],
    submissions: Iterable[Submission],
    submission: Submission,
) -> str:
    """Say why a finished submission is not on the leaderboard.

    Args:
        competition: The competition with the rule of its leaderboard.
        board: The leaderboard.
        submissions: Submissions to the same phase, of all accounts.
        submission: The submission.
    """
    rules = {each.rule for each in competition.boards}
    mine = [each for each in submissions if each.account == submission.account]
    others = [(each, row) for each in mine if (row := rank_of(board, each)) is not None]
    primary = competition.primary
    if not others:
        if rules and all(rule.startswith("Add") for rule in rules):
            return "not on the leaderboard: put it there on the website"
        return "not on the leaderboard"
    best, row = min(others, key=lambda pair: pair[1].rank)
    what = f"your submission {best.id}"
    if primary is not None and primary.key in best.values():
        value, own = best.values()[primary.key], submission.values().get(primary.key)
        what += f" ({primary.title} {primary.format(value)}, rank {row.rank})"
        if own is not None and primary.better(value, own):
            return f"not on the leaderboard: {what} is better"
    if "Force_Last" in rules and best.id > submission.id:
        return f"not on the leaderboard: {what} is newer"
    return f"not on the leaderboard: {what} is there"


def board_columns(
    columns: Sequence[Column], submissions: Iterable[Submission]
) -> tuple[Column, ...]:
    """The columns to show: the leaderboard's, and other scores of submissions.

    Where the organisers hide the leaderboard, a submission still has its scores, and
    those are shown under their keys.

    Args:
        columns: Columns of the leaderboard, the primary one first; may be empty.
        submissions: The submissions that are shown.
    """
    known = {column.key for column in columns}
    more: dict[str, Column] = {}
    for submission in submissions:
        for part in submission.scored:
            for score in part.scores:
                if score.key not in known:
                    more.setdefault(score.key, Column(score.key, score.key))
    return (*columns, *more.values())


def fetch_metrics(client: Client, number: int) -> str | None:
    """Fetch the scores of single objects, the official `metrics.json`.

    Args:
        client: Talks to the server.
        number: The submission; of one with parts, a part.

    Returns:
        Its text; None when the organisers do not give it out.

    Raises:
        NotYetError: The worker has not uploaded the archive so far.
        CodabenchError: The server refuses or is broken.
    """
    url = client.details(number).scoring_result
    if url is None:
        return None
    data = client.transport.download(url, "read the result")
    if not data:
        # The server puts an empty file there when the evaluation begins. The worker
        # replaces it after it has posted the scores, up to half a minute later.
        raise NotYetError(
            f"the archive with the results of {number} is not there yet",
            f"run submit status {number} again later",
        )
    return _from_archive(data)


class NotYetError(CodabenchError):
    """The worker has not written the file yet: there is only an empty one."""


def _from_archive(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                name = info.filename.rpartition("/")[2]
                if name == "metrics.json" and info.file_size <= _LARGEST:
                    text = archive.read(info).decode("utf-8")
                    return text if isinstance(json.loads(text), dict) else None
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        OSError,
        NotImplementedError,
        RecursionError,
        RuntimeError,
    ) as error:
        raise ServerError(
            f"the archive with the result cannot be read ({type(error).__name__})",
            "try again with submit status",
        ) from None
    return None


@dataclass(frozen=True)
class Correlation:
    """How well local scores predict the server's.

    Attributes:
        count: Submissions that have both.
        pearson: Linear correlation; None without spread.
        spearman: Correlation of the ranks.
        offset: Mean of server score minus local score, in the server's unit.
    """

    count: int
    pearson: float | None
    spearman: float | None
    offset: float


def correlate(pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    """Correlate local with server scores; None for fewer than three pairs.

    >>> correlate([(1, 2), (2, 3), (3, 5)]).spearman
    1.0
    """
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if len(finite) < 3:
        return None
    local, server = [list(column) for column in zip(*finite, strict=True)]
    return Correlation(
        count=len(finite),
        pearson=_pearson(local, server),
        spearman=_pearson(_ranks(local), _ranks(server)),
        offset=statistics.fmean(s - o for o, s in finite),
    )


def _pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    try:
        return round(statistics.correlation(x, y), 6)
    except statistics.StatisticsError:  # One series is constant.
        return None


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(values)
    return [order.index(value) + (order.count(value) + 1) / 2 for value in values]


def local_total(content: Any) -> float | None:
    """The hold-out score in the `scores.json` of `submit score`, in percent."""
    try:
        return 100 * float(content["totals"]["jf_dot"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
