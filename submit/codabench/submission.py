"""Submissions, their files and leaderboard rows, as the server describes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..errors import ServerError
from .clock import parse_time
from .redaction import clean

__all__ = ["UNKNOWN_FORM", "Details", "LeaderboardRow", "Score", "Submission", "Task"]

#: What reading an object raises that the server describes in an unknown way.
UNKNOWN_FORM = (KeyError, TypeError, ValueError, AttributeError, OverflowError)

FINAL = frozenset({"Finished", "Failed", "Cancelled"})

#: What each status means, in the words of docs/codabench.md.
MEANINGS = {
    "Submitting": "the website has it and has not queued it yet",
    "Submitted": "it waits in the queue for a worker",
    "Preparing": "the worker downloads and unpacks it",
    "Running": "the worker evaluates it",
    "Scoring": "it is unpacked, the scoring waits in the queue",
    "Finished": "the scoring is done",
    "Failed": "the evaluation failed; this costs no attempt",
    "Cancelled": "it was cancelled; this costs an attempt",
    "Unreachable": "the server does not answer",
}

#: What workers write instead of a reason: the place where they ran.
_HOSTNAME = re.compile(r"(?:ingestion|scoring)_hostname-\S*")


@dataclass(frozen=True)
class Task:
    """One task of a phase: what the server evaluates a submission on.

    Attributes:
        id: Its number.
        name: Its name.
    """

    id: int
    name: str

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Task:
        """Read the server's object."""
        number = int(value["id"])
        return cls(number, clean(value.get("name") or f"task {number}", longest=80))


@dataclass(frozen=True)
class Score:
    """One number, as on the server: usually in percent.

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
        status: Its status; see `MEANINGS`. Servers may have others.
        details: What the server says about it, mostly the reason of a failure.
        file_name: Name of the zip on the server.
        phase: Number of the phase; None when not said.
        owner: Who submitted it, as it can be shown.
        account: Its owner: the exact user name on the server, which is unique there.
            Similar names are other accounts.
        created: When.
        parent: Number of the submission it is a part of.
        children: Numbers of its parts, one for each task.
        parts: Its parts, in the order of their numbers, as far as they were read.
        task: The task it was evaluated on; None for one that has parts.
        scores: The numbers so far, in the order of the leaderboard's columns.
        runs_by_itself: Whether it is evaluated without an organiser.
    """

    id: int
    status: str
    details: str = ""
    file_name: str = ""
    phase: int | None = None
    owner: str = ""
    account: str = field(default="", repr=False)
    created: datetime | None = None
    parent: int | None = None
    children: tuple[int, ...] = ()
    parts: tuple[Submission, ...] = ()
    task: Task | None = None
    scores: tuple[Score, ...] = ()
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
            owner = str(value.get("owner") or "")
            task = value.get("task")
            details = clean(value.get("status_details") or "")
            return cls(
                id=int(value["id"]),
                status=clean(value.get("status") or "None", longest=40),
                details="" if _HOSTNAME.fullmatch(details) else details,
                file_name=clean(value.get("filename") or value.get("name") or ""),
                phase=None if phase is None else int(phase),
                owner=clean(owner, longest=80),
                account=owner,
                created=parse_time(value.get("created_when")),
                parent=None if parent is None else _number_of(parent),
                children=tuple(_number_of(c) for c in value.get("children") or ()),
                task=Task.parse(task) if isinstance(task, Mapping) else None,
                scores=tuple(_scores(value.get("scores") or ())),
                runs_by_itself=value.get("auto_run") is not False,
            )
        except UNKNOWN_FORM as error:
            kind = type(error).__name__
        raise ServerError(
            f"the server describes a submission in an unknown way ({kind})",
            "look for a newer version of mose-submit",
        )

    @property
    def is_final(self) -> bool:
        """Whether the evaluation has ended; scores may still be missing."""
        return self.status in FINAL

    @property
    def has_failed(self) -> bool:
        """Whether it failed or was cancelled; of one with parts, as a whole."""
        return self.status in ("Failed", "Cancelled")

    @property
    def failed_parts(self) -> tuple[Submission, ...]:
        """Parts that failed; the submission has the status Finished nevertheless."""
        return tuple(part for part in self.parts if part.has_failed)

    @property
    def ids(self) -> frozenset[int]:
        """Its own number and those of its parts."""
        return frozenset((self.id, *self.children))

    @property
    def state(self) -> str:
        """The status, and how many of its parts failed."""
        if not self.failed_parts or self.has_failed:
            return self.status
        count = f"{len(self.failed_parts)} of {len(self.children)}"
        return f"{self.status}, {count} tasks failed"

    @property
    def meaning(self) -> str:
        """What the status means, in a few words."""
        if self.status == "Submitting" and not self.runs_by_itself:
            return "an organiser has to start it by hand"
        if self.status == "Finished" and self.failed_parts:
            return "this costs an attempt"
        return MEANINGS.get(self.status, "a status that this version does not know")

    @property
    def scored(self) -> tuple[Submission, ...]:
        """The submissions that have scores: its parts, otherwise itself."""
        return self.parts or (self,)

    def values(self) -> dict[str, float]:
        """The numbers by column; of several tasks those of the first.

        The server mixes those of all tasks in a submission with parts.
        """
        found: dict[str, float] = {}
        for score in self.scored[0].scores:
            found.setdefault(score.key, score.value)
        return found

    def with_parts(self, parts: Iterable[Submission]) -> Submission:
        """A copy with its parts; parts of other submissions are left out."""
        mine = {part.id: part for part in parts if part.id in self.children}
        ordered = tuple(mine[number] for number in sorted(mine))
        # If some are missing, it is not known which is the first.
        return replace(self, parts=ordered if len(mine) == len(self.children) else ())


def _scores(rows: Iterable[Mapping[str, Any]]) -> list[Score]:
    """Read scores, in the order of the leaderboard's columns."""
    found = []
    for place, row in enumerate(rows):
        if row.get("score") is None:
            continue
        score = Score(
            clean(row["column_key"]),
            float(row["score"]),
            _optional_number(row.get("task_id")),
        )
        index = row.get("index")
        found.append((place if index is None else int(index), place, score))
    return [score for *_, score in sorted(found, key=lambda each: each[:2])]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
                "the server lists the files of a submission in an unknown way",
                "look for a newer version of mose-submit",
            )
        logs = {
            clean(each.get("name"), longest=60): each["data_file"]
            for each in _listed(value.get("logs"))
            if isinstance(each, Mapping) and isinstance(each.get("data_file"), str)
        }
        result = value.get("scoring_result")
        return cls(logs, result if isinstance(result, str) and result else None)


@dataclass(frozen=True)
class LeaderboardRow:
    """One row of the leaderboard.

    Attributes:
        rank: Place, from 1.
        ids: Numbers of the submission, or of its parts: with several tasks, the parts
            stand on the leaderboard, each row for all of one submission.
        owner: The name that is shown.
        scores: The numbers, of several tasks each with its task.
        created: When it was submitted.
    """

    rank: int
    ids: tuple[int, ...]
    owner: str
    scores: tuple[Score, ...]
    created: datetime | None

    @classmethod
    def parse(cls, rank: int, value: Any) -> LeaderboardRow:
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
                scores=tuple(_scores(value.get("scores") or ())),
                created=parse_time(value.get("created_when")),
            )
        except UNKNOWN_FORM as error:
            kind = type(error).__name__
        raise ServerError(
            f"the server describes the leaderboard in an unknown way ({kind})",
            "look for a newer version of mose-submit",
        )

    @property
    def values(self) -> Mapping[str, float]:
        """The numbers by column; of several tasks those of the first."""
        return self.values_of(None)

    def values_of(self, task: int | None) -> dict[str, float]:
        """The numbers of one task by column; None for the first that has any."""
        found: dict[str, float] = {}
        for score in self.scores:
            if task is None or score.task is None or score.task == task:
                found.setdefault(score.key, score.value)
        return found
