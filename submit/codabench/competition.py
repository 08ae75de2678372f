"""A competition as the server describes it: phases, limits, leaderboard, questions.

Only what is needed is kept. The server's own object holds the password of the
organisers' queue, so it is dropped at once.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import (
    ParticipationError,
    PhaseError,
    RefusedError,
    ServerError,
)
from .clock import format_time, parse_time
from .redaction import clean
from .submission import UNKNOWN_FORM, Task

__all__ = [
    "Board",
    "Column",
    "Competition",
    "Phase",
    "Question",
    "Quota",
    "participation_problem",
]

#: What the rule of a leaderboard means for a new submission.
RULES = {
    "Add": "you choose one submission on the website, permanently",
    "Add_And_Delete": "you choose on the website which one is there",
    "Add_And_Delete_Multiple": "you choose on the website which ones are there",
    "Force_Last": "this submission replaces your earlier one, even a better one",
    "Force_Latest_Multiple": "this submission is added to your earlier ones",
    "Force_Best": "your best submission is there",
}


@dataclass(frozen=True)
class Column:
    """One number of the leaderboard.

    Attributes:
        key: The key of its scores.
        title: The official name.
        descending: Whether higher is better.
        precision: Digits after the point.
        computed: Whether the server derives it from other columns.
        hidden: Whether participants do not see it.
    """

    key: str
    title: str
    descending: bool = True
    precision: int = 2
    computed: bool = False
    hidden: bool = False

    def format(self, value: float | None) -> str | None:
        """Write a value with the digits of the leaderboard."""
        return None if value is None else f"{value:.{self.precision}f}"

    def better(self, value: float, than: float) -> bool:
        """Whether one value is better than another."""
        return value > than if self.descending else value < than


@dataclass(frozen=True)
class Board:
    """A leaderboard: its rule and columns, the primary one first."""

    title: str
    rule: str
    columns: tuple[Column, ...]

    @property
    def replaces_best(self) -> bool:
        """Whether the newest submission replaces a better one."""
        return self.rule == "Force_Last"

    @property
    def meaning(self) -> str:
        """What the rule means for a new submission."""
        said = RULES.get(self.rule)
        return f"{self.rule}: {said}" if said else self.rule or "no rule given"


@dataclass(frozen=True)
class Question:
    """One question of the fact sheet.

    Attributes:
        key: The key of the answer.
        title: The question.
        kind: `text`, `checkbox` or `select`.
        choices: What may be selected: as it is typed, and as the server wants it.
        required: Whether it must be answered.
    """

    key: str
    title: str
    kind: str
    choices: Mapping[str, Any]
    required: bool

    @property
    def needed(self) -> bool:
        """Whether an answer is required; a selection always needs one."""
        return self.required or (self.kind == "select" and bool(self.choices))

    def answer(self, text: str | None) -> Any:
        """Turn what was typed into an answer; None stands for no answer.

        Raises:
            _MissingError: It has to be answered.
            _WrongError: It is not one of the choices.
        """
        if self.needed and (text is None or not text.strip()):
            raise _MissingError
        if self.kind == "checkbox":
            checked = _CHECKED.get((text or "").strip().lower())
            if checked is None:
                raise _WrongError("yes or no")
            # For a selection without choices the server fails on anything but text.
            return checked if self.choices else "true" * checked
        if self.kind == "select" and text is not None and self.choices:
            if text not in self.choices:
                raise _WrongError(f"one of {', '.join(self.choices)}")
            return self.choices[text]
        return text or ""

    @property
    def example(self) -> str:
        """What can be typed, such as `net='SAM2|other'`."""
        if self.kind == "checkbox":
            return f"{self.key}=yes"
        choices = "|".join(self.choices) if self.kind == "select" else ""
        return shlex.join([f"{self.key}={choices or 'TEXT'}"])


#: Accepted texts for a checkbox; an empty text leaves it unchecked.
_CHECKED = {
    **dict.fromkeys(("true", "yes", "y", "1", "on"), True),
    **dict.fromkeys(("false", "no", "n", "0", "off", ""), False),
}


class _MissingError(Exception):
    """A question that must be answered is not."""


class _WrongError(Exception):
    """An answer is not one of the choices."""


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        id: Its number.
        name: Its name.
        start: When it begins; None for always.
        end: When it ends; None for never.
        tasks: Its tasks, each of which a submission is evaluated on.
        time_limit: Seconds that an evaluation may take; None when not said.
        day_limit: Attempts a day; None without limit.
        total_limit: Attempts in all; None without limit.
        used_today: Attempts of this UTC day.
        used: Attempts so far; None when the server does not say.
    """

    id: int
    name: str
    start: datetime | None = None
    end: datetime | None = None
    tasks: tuple[Task, ...] = ()
    time_limit: int | None = None
    day_limit: int | None = None
    total_limit: int | None = None
    used_today: int = 0
    used: int | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether submissions are taken, by the server's clock."""
        return (self.start is None or self.start <= now) and (
            self.end is None or now < self.end
        )

    @property
    def left_today(self) -> int | None:
        """Attempts left today, by the daily limit and the total limit."""
        limits = [self.left_in_all]
        if self.day_limit is not None:
            limits.append(max(0, self.day_limit - self.used_today))
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None

    @property
    def left_in_all(self) -> int | None:
        """Attempts left in all; None without limit."""
        if self.total_limit is None:
            return None
        return max(0, self.total_limit - (self.used or 0))

    def window(self) -> str:
        """The dates between which it is open, as text."""
        start = format_time(self.start) or "ever"
        end = format_time(self.end)
        return f"{start} to {end}" if end else f"since {start}, without end"


@dataclass(frozen=True)
class Quota:
    """Storage of the account, in bytes."""

    total: int
    used: int

    @property
    def left(self) -> int:
        """Free bytes."""
        return max(0, self.total - self.used)


@dataclass(frozen=True)
class Competition:
    """A competition as one account sees it.

    Attributes:
        id: Its number.
        title: Its name.
        participation: `approved`, `pending`, `denied`, `unknown`; None when not
            registered.
        runs_by_itself: Whether submissions are evaluated without an organiser.
        phases: In their order.
        boards: Its leaderboards.
        questions: Its fact sheet.
        queue: Name of the organisers' own queue; None for the server's.
    """

    id: int
    title: str
    participation: str | None
    runs_by_itself: bool
    phases: tuple[Phase, ...]
    boards: tuple[Board, ...]
    questions: tuple[Question, ...]
    queue: str | None = None

    @classmethod
    def parse(cls, value: Any) -> Competition:
        """Read the server's object.

        Raises:
            ServerError: It is not what the API is known to answer.
        """
        try:
            queue = value.get("queue")
            sheet = value.get("fact_sheet") or {}
            return cls(
                id=int(value["id"]),
                title=clean(value.get("title") or f"competition {value['id']}"),
                participation=_optional(value.get("participant_status")),
                runs_by_itself=value.get("auto_run_submissions") is not False,
                phases=tuple(_phase(each) for each in value.get("phases") or ()),
                boards=tuple(_board(each) for each in value.get("leaderboards") or ()),
                questions=tuple(_question(*pair) for pair in sheet.items()),
                queue=clean(queue.get("name") or "their own")
                if isinstance(queue, Mapping)
                else None,
            )
        except UNKNOWN_FORM as error:
            # The error text could quote the object, which holds a password.
            kind = type(error).__name__
        raise ServerError(
            f"the server describes the competition in an unknown way ({kind})",
            "look for a newer version of mose-submit",
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of all leaderboards, each once, the primary one first.

        There are none where the organisers hide the leaderboard.
        """
        found = {c.key: c for board in reversed(self.boards) for c in board.columns}
        order = [c.key for board in self.boards for c in board.columns]
        return tuple(found[key] for key in dict.fromkeys(order))

    @property
    def primary(self) -> Column | None:
        """The column that ranks."""
        return self.columns[0] if self.columns else None

    def require_phase(self, wanted: str | None, now: datetime) -> Phase:
        """Choose the phase to submit to.

        Args:
            wanted: Number or name; None for the only one that is open.
            now: The time by the server's clock.

        Raises:
            PhaseError: There is no such phase, or not exactly one is open.
        """
        if wanted is not None:
            return self.find_phase(wanted)
        current = [phase for phase in self.phases if phase.is_open(now)]
        if len(current) == 1:
            return current[0]
        if not current:
            raise PhaseError(
                f"no phase of {self.title} is open at {format_time(now)} "
                f"({self._listed(self.phases)})",
                "wait, or name one with --phase",
            )
        raise PhaseError(
            f"{len(current)} phases of {self.title} are open ({self._listed(current)})",
            "name one with --phase",
        )

    def show_phase(self, wanted: str | None, now: datetime) -> Phase:
        """Choose the phase to show: the open one, else the last that began."""
        if wanted is not None:
            return self.find_phase(wanted)
        begun = [p for p in self.phases if p.start is None or p.start <= now]
        current = [p for p in begun if p.is_open(now)]
        chosen = (current or begun or list(self.phases))[-1:]
        if not chosen:
            raise PhaseError(
                f"{self.title} has no phases yet", "look at its page on the website"
            )
        return chosen[0]

    def find_phase(self, wanted: str) -> Phase:
        """Find a phase by number or name.

        Raises:
            PhaseError: There is none.
        """
        for phase in self.phases:
            if wanted == str(phase.id):
                return phase
        for phase in self.phases:
            if wanted.casefold() == phase.name.casefold():
                return phase
        raise PhaseError(
            f"--phase {wanted}: expected one of {self._listed(self.phases)}",
            "name one of them by number or name",
        )

    def with_columns(self, columns: Sequence[Column]) -> Competition:
        """A copy with a leaderboard of these columns, if the server shows none."""
        if self.boards or not columns:
            return self
        return dataclasses.replace(self, boards=(Board("", "", tuple(columns)),))

    def phase(self, number: int | None) -> Phase | None:
        """The phase of a number; None when it is of another competition."""
        return next((phase for phase in self.phases if phase.id == number), None)

    def answers(self, given: Mapping[str, str]) -> dict[str, Any] | None:
        """Fill in the fact sheet; None where there is none.

        Raises:
            RefusedError: Questions are open, or answers are not among the choices; all
                of them are named.
        """
        problems, missing = [], []
        questions = {question.key: question for question in self.questions}
        for key in given:
            if key not in questions:
                known = ", ".join(questions) or "none"
                problems.append(
                    f"--fact {clean(key)}: the fact sheet has no such question, it has "
                    f"{known}"
                )
        answers = {}
        for key, question in questions.items():
            try:
                answers[key] = question.answer(given.get(key))
            except _MissingError:
                missing.append(question)
            except _WrongError as error:
                problems.append(f"--fact {key}={given[key]}: expected {error}")
        if missing:
            titles = ", ".join(f"{each.key} ({each.title})" for each in missing)
            problems.append(f"the fact sheet asks for {titles}")
        if problems:
            examples = " ".join(f"--fact {each.example}" for each in missing)
            raise RefusedError(
                ", and ".join(problems),
                f"answer with {examples}" if missing else "correct the answers",
            )
        return answers if self.questions else None

    @staticmethod
    def _listed(phases: Sequence[Phase]) -> str:
        return "; ".join(f"{p.id} {p.name}, {p.window()}" for p in phases) or "none"


def _optional(value: object) -> str | None:
    return None if value is None else clean(value)


def _phase(value: Mapping[str, Any]) -> Phase:
    limited = value.get("has_max_submissions") is not False
    used = value.get("used_submissions_per_person")
    return Phase(
        id=int(value["id"]),
        name=clean(value.get("name") or value["id"]),
        start=parse_time(value.get("start")),
        end=parse_time(value.get("end")),
        tasks=tuple(
            Task.parse(task) for task in value.get("tasks") or () if "id" in task
        ),
        time_limit=_positive(value.get("execution_time_limit")),
        day_limit=_positive(value.get("max_submissions_per_day")) if limited else None,
        total_limit=(
            _positive(value.get("max_submissions_per_person")) if limited else None
        ),
        used_today=int(value.get("used_submissions_per_day") or 0),
        used=None if used is None else int(used),
    )


def _positive(value: Any) -> int | None:
    """A limit; 0 and null mean that there is none."""
    return int(value) if value and int(value) > 0 else None


def _board(value: Mapping[str, Any]) -> Board:
    primary = value.get("primary_index") or 0
    columns = sorted(
        value.get("columns") or (), key=lambda c: (c["index"] != primary, c["index"])
    )
    return Board(
        title=clean(value.get("title") or ""),
        rule=clean(value.get("submission_rule") or ""),
        columns=tuple(
            Column(
                key=clean(each["key"]),
                title=clean(each.get("title") or each["key"]),
                descending=each.get("sorting") != "asc",
                precision=_precision(each.get("precision")),
                computed=bool(each.get("computation")),
                hidden=bool(each.get("hidden")),
            )
            for each in columns
        ),
    )


def _precision(value: Any) -> int:
    return 2 if value is None else min(max(int(value), 0), 10)


def _question(key: str, value: Mapping[str, Any]) -> Question:
    choices = value.get("selection") or ()
    if isinstance(choices, str):
        choices = choices.split(",")
    return Question(
        # The server compares the keys of the sheet, and expects its own choices.
        key=key,
        title=clean(value.get("title") or key),
        kind=clean(value.get("type") or "text"),
        choices={clean(choice): choice for choice in choices if str(choice).strip()},
        required=str(value.get("is_required")).lower() == "true",
    )


def participation_problem(
    competition: Competition, url: str
) -> ParticipationError | None:
    """Why the account cannot submit; None if it can."""
    page = f"{url}/competitions/{competition.id}/"
    status = competition.participation
    if status == "approved":
        return None
    if status is None:
        return ParticipationError(
            f"you are not registered for {competition.title}",
            f"accept its terms at {page}",
        )
    if status == "pending":
        return ParticipationError(
            f"your registration for {competition.title} waits for the organisers' "
            "approval",
            f"see {page}",
        )
    return ParticipationError(
        f"your registration for {competition.title} is {status}",
        f"ask the organisers, see {page}",
    )
