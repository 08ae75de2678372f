"""Scores as people compare them: official names, the previous best, the rank."""

from __future__ import annotations

import io
import json
import math
import statistics
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ServerError
from .client import Client
from .competition import Competition
from .submission import Standing, Submission

__all__ = [
    "Correlation",
    "ScoreLine",
    "correlate",
    "fetch_metrics",
    "local_total",
    "previous_best",
    "rank_of",
    "score_lines",
]

#: Largest file that is read from a result archive.
_LARGEST = 1 << 26


@dataclass(frozen=True)
class ScoreLine:
    """One number of a submission.

    Attributes:
        key: The leaderboard's key.
        title: The official name.
        value: The number; None when the server has not got one.
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
    competition: Competition,
    values: Mapping[str, float],
    best: Mapping[str, float] | None = None,
) -> list[ScoreLine]:
    """Set numbers beside those of an earlier submission, in the leaderboard's order.

    Args:
        competition: Has the names.
        values: Numbers by column key.
        best: Those of the earlier submission.
    """
    lines = []
    for column in competition.columns:
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


def previous_best(
    competition: Competition, submissions: Iterable[Submission], before: Submission
) -> Submission | None:
    """The best submission that was made before one; None without any."""
    primary = competition.primary
    if primary is None:
        return None
    best: Submission | None = None
    for each in submissions:
        value = each.values().get(primary.key)
        if each.id >= before.id or each.status != "Finished" or value is None:
            continue
        if best is None or primary.better(value, best.values()[primary.key]):
            best = each
    return best


def rank_of(board: Sequence[Standing], submission: Submission) -> Standing | None:
    """Where a submission stands; None when it is not on the leaderboard.

    Names are of no use here: the board shows names that users choose.
    """
    return next((row for row in board if submission.ids & set(row.ids)), None)


def fetch_metrics(client: Client, submission: Submission) -> str | None:
    """Fetch the scores of single objects, the official `metrics.json`.

    Returns:
        Its text; None when the organisers do not give it out.

    Raises:
        CodabenchError: The server refuses or is broken.
    """
    numbers = submission.children or (submission.id,)
    for number in numbers:
        url = client.details(number).scoring_result
        if url is not None:
            found = _from_archive(client.transport.download(url, "read the result"))
            if found is not None:
                return found
    return None


def _from_archive(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                name = info.filename.rpartition("/")[2]
                if name == "metrics.json" and info.file_size <= _LARGEST:
                    text = archive.read(info).decode("utf-8")
                    return text if isinstance(json.loads(text), dict) else None
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ServerError(
            f"the archive with the result cannot be read ({type(error).__name__}); "
            "try again with submit status"
        ) from None
    return None


@dataclass(frozen=True)
class Correlation:
    """How well local scores foretell the server's.

    Attributes:
        count: Submissions that have both.
        pearson: Linear correlation; None without spread.
        spearman: Correlation of the ranks.
        offset: Mean of server less local, in the server's unit.
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
    except statistics.StatisticsError:  # One of them is constant.
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
