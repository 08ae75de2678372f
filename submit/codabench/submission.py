"""A submission as the server shows it, and the files it gives out about one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import ServerError
from .clock import parse_time
from .redaction import clean

__all__ = ["Details", "Score", "Standing", "Submission"]

FINAL = frozenset({"Finished", "Failed", "Cancelled"})

#: What each status means, in the words of docs/codabench.md.
MEANINGS = {
    "Submitting": "the website has it and has not handed it on yet",
    "Submitted": "it waits for the organisers' worker",
    "Preparing": "the worker fetches and unpacks it",
    "Running": "the worker is at it",
    "Scoring": "the masks are there, the scoring waits for its turn",
    "Finished": "the scoring is done",
    "Failed": "the evaluation failed; this costs no attempt",
    "Cancelled": "it was cancelled; this costs an attempt",
    "Unreachable": "the server does not answer",
}


@dataclass(frozen=True)
class Score:
    """One number, as the server has it: usually in percent.

    Attributes:
        key: Key of the leaderboard's column.
        value: The number.
        task: Number of the task it belongs to, where the server says so.
    """

    key: str
    value: float
    task: int | None = None


@dataclass(frozen=True)
class Submission:
    """One submission.

    Attributes:
        id: Its number.
        status: Where it stands; see `MEANINGS`. Servers may know others.
        details: What the server says about it, mostly the reason of a failure.
        file_name: Name of the zip on the server.
        phase: Number of the phase; None when not said.
        owner: Who submitted it.
        created: When.
        parent: Number of the submission it is a part of.
        children: Its parts, one for each task.
        has_children: Whether it stands for parts.
        scores: The numbers so far.
        on_leaderboard: Whether it is on the leaderboard.
        runs_by_itself: Whether it is evaluated without an organiser.
    """

    id: int
    status: str
    details: str = ""
    file_name: str = ""
    phase: int | None = None
    owner: str = ""
    created: datetime | None = None
    parent: int | None = None
    children: tuple[int, ...] = ()
    has_children: bool = False
    scores: tuple[Score, ...] = ()
    on_leaderboard: bool = False
    runs_by_itself: bool = True

    @classmethod
    def parse(cls, value: Any) -> Submission:
        """Read the server's object.

        Raises:
            ServerError: It is not what the API is known to answer.
        """
        try:
            parent = value.get("parent")
            phase = value.get("phase")
            if isinstance(phase, Mapping):
                phase = phase.get("id")
            return cls(
                id=int(value["id"]),
                status=clean(value.get("status") or "None", longest=40),
                details=clean(value.get("status_details") or ""),
                file_name=clean(value.get("filename") or value.get("name") or ""),
                phase=None if phase is None else int(phase),
                owner=clean(value.get("owner") or "", longest=80),
                created=parse_time(value.get("created_when")),
                parent=None if parent is None else _number_of(parent),
                children=tuple(_number_of(c) for c in value.get("children") or ()),
                has_children=bool(value.get("has_children")),
                scores=tuple(
                    Score(
                        clean(each["column_key"]),
                        float(each["score"]),
                        _optional_number(each.get("task_id")),
                    )
                    for each in value.get("scores") or ()
                    if each.get("score") is not None
                ),
                on_leaderboard=bool(value.get("on_leaderboard")),
                runs_by_itself=value.get("auto_run") is not False,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            kind = type(error).__name__
        raise ServerError(
            f"the server describes a submission in an unknown way ({kind}); look for "
            "a newer version of mose-submit"
        )

    @property
    def is_final(self) -> bool:
        """Whether the evaluation is over; scores may still be on their way."""
        return self.status in FINAL

    @property
    def has_failed(self) -> bool:
        """Whether it came to a bad end."""
        return self.status in ("Failed", "Cancelled")

    @property
    def ids(self) -> frozenset[int]:
        """Its own number and those of its parts."""
        return frozenset((self.id, *self.children))

    @property
    def meaning(self) -> str:
        """What the status means, in a few words."""
        if self.status == "Submitting" and not self.runs_by_itself:
            return "an organiser has to start it by hand"
        return MEANINGS.get(self.status, "a status that this version does not know")

    def values(self) -> dict[str, float]:
        """The numbers by column; of several tasks the first."""
        found: dict[str, float] = {}
        for score in self.scores:
            found.setdefault(score.key, score.value)
        return found


def _number_of(value: Any) -> int:
    return int(value["id"] if isinstance(value, Mapping) else value)


def _optional_number(value: Any) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True)
class Details:
    """Where the files of a submission can be fetched: signed URLs, so secrets.

    Attributes:
        logs: Addresses by name, such as `scoring_stderr`.
        scoring_result: Address of the zip with the scores; None where there is none.
    """

    logs: Mapping[str, str] = field(repr=False)
    scoring_result: str | None = field(repr=False)

    @classmethod
    def parse(cls, value: Any) -> Details:
        """Read the server's object; of logs with one name the last counts."""
        if not isinstance(value, Mapping):
            raise ServerError(
                "the server lists the files of a submission in an unknown way; look "
                "for a newer version of mose-submit"
            )
        logs = {
            clean(each.get("name"), longest=60): each["data_file"]
            for each in value.get("logs") or ()
            if isinstance(each, Mapping) and isinstance(each.get("data_file"), str)
        }
        result = value.get("scoring_result")
        return cls(logs, result if isinstance(result, str) and result else None)


@dataclass(frozen=True)
class Standing:
    """One row of the leaderboard.

    Attributes:
        rank: Place, from 1.
        ids: Numbers of the submission, or of its parts: with several tasks, the parts
            stand on the leaderboard, each row for all of one submission.
        owner: The name that is shown.
        values: Numbers by column key.
        created: When it was submitted.
    """

    rank: int
    ids: tuple[int, ...]
    owner: str
    values: Mapping[str, float]
    created: datetime | None

    @classmethod
    def parse(cls, rank: int, value: Any) -> Standing:
        """Read one entry of the server's list."""
        try:
            return cls(
                rank=rank,
                ids=tuple(
                    dict.fromkeys(
                        int(each["id"])
                        for each in (value, *(value.get("detailed_results") or ()))
                    )
                ),
                owner=clean(value.get("owner") or "", longest=80),
                values={
                    clean(each["column_key"]): float(each["score"])
                    for each in reversed(value.get("scores") or ())
                    if each.get("score") is not None
                },
                created=parse_time(value.get("created_when")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            kind = type(error).__name__
        raise ServerError(
            f"the server describes the leaderboard in an unknown way ({kind}); look "
            "for a newer version of mose-submit"
        )
