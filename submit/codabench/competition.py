"""A competition as the server describes it: phases, limits, leaderboard, questions.

Only what is needed is taken over. The server's own object holds the password of the
organisers' queue, and so is dropped at once.
"""

from __future__ import annotations

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
    "Add": "on the website, you put one submission there, for good",
    "Add_And_Delete": "on the website, you choose the one that stands there",
    "Add_And_Delete_Multiple": "on the website, you choose those that stand there",
    "Force_Last": "this submission replaces your earlier one, even a better one",
    "Force_Latest_Multiple": "this submission will stand there beside earlier ones",
    "Force_Best": "your best submission stands there",
}


@dataclass(frozen=True)
class Column:
    """One number of the leaderboard.

    Attributes:
        key: What scores are found under.
        title: The official name.
        descending: Whether more is better.
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
        """Whether one value beats another."""
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
        key: What the answer is sent under.
        title: The question.
        kind: `text`, `checkbox` or `select`.
        choices: What may be selected.
        required: Whether it must be answered.
    """

    key: str
    title: str
    kind: str
    choices: tuple[str, ...]
    required: bool

    def answer(self, text: str | None) -> str | bool:
        """Turn what was typed into an answer; None stands for no answer.

        Raises:
            RefusedError: It is missing or not one of the choices.
        """
        if text is None and self.required:
            raise RefusedError(
                f"the fact sheet asks for {self.key} ({self.title}); answer with "
                f"--fact {self.key}={self._example}"
            )
        if self.kind == "checkbox":
            return (text or "").strip().lower() in ("true", "yes", "1", "on")
        if self.kind == "select" and text is not None and text not in self.choices:
            raise RefusedError(
                f"--fact {self.key}={text}: expected one of {', '.join(self.choices)}"
            )
        return text or ""

    @property
    def _example(self) -> str:
        if self.kind == "checkbox":
            return "yes"
        return "|".join(self.choices) if self.choices else "…"


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        id: Its number.
        name: Its name.
        start: When it begins; None for always.
        end: When it ends; None for never.
        tasks: Numbers of its tasks.
        time_limit: Seconds that an evaluation may take; None when not said.
        day_limit: Attempts a day; None without limit.
        total_limit: Attempts in all; None without limit.
        used_today: Attempts of this UTC day.
        used: Attempts so far; None when the server does not say.
        hides_output: Whether logs and results are kept from participants.
    """

    id: int
    name: str
    start: datetime | None = None
    end: datetime | None = None
    tasks: tuple[int, ...] = ()
    time_limit: int | None = None
    day_limit: int | None = None
    total_limit: int | None = None
    used_today: int = 0
    used: int | None = None
    hides_output: bool = False

    def is_open(self, now: datetime) -> bool:
        """Whether submissions are taken, by the server's clock."""
        return (self.start is None or self.start <= now) and (
            self.end is None or now < self.end
        )

    @property
    def left_today(self) -> int | None:
        """Attempts left today, by the daily limit and the one in all."""
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
        """Say when it is open."""
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
        """What is free."""
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
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # The text of the error could quote the object, which holds a password.
            kind = type(error).__name__
        raise ServerError(
            f"the server describes the competition in an unknown way ({kind}); look "
            "for a newer version of mose-submit"
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of all leaderboards, each once, the primary one first."""
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
                f"({self._listed(self.phases)}); wait, or name one with --phase"
            )
        raise PhaseError(
            f"{len(current)} phases of {self.title} are open "
            f"({self._listed(current)}); name one with --phase"
        )

    def show_phase(self, wanted: str | None, now: datetime) -> Phase:
        """Choose the phase to look at: the open one, else the last that began."""
        if wanted is not None:
            return self.find_phase(wanted)
        begun = [p for p in self.phases if p.start is None or p.start <= now]
        current = [p for p in begun if p.is_open(now)]
        chosen = (current or begun or list(self.phases))[-1:]
        if not chosen:
            raise PhaseError(f"{self.title} has no phases yet")
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
            f"--phase {wanted}: expected one of {self._listed(self.phases)}"
        )

    def answers(self, given: Mapping[str, str]) -> dict[str, str | bool] | None:
        """Fill in the fact sheet; None where there is none.

        Raises:
            RefusedError: A question is open, or an answer is not one of the choices.
        """
        unknown = sorted(given.keys() - {question.key for question in self.questions})
        if unknown:
            known = ", ".join(question.key for question in self.questions) or "none"
            raise RefusedError(
                f"--fact {unknown[0]}: the fact sheet has no such question; it has "
                f"{known}"
            )
        if not self.questions:
            return None
        return {q.key: q.answer(given.get(q.key)) for q in self.questions}

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
            int(task["id"]) for task in value.get("tasks") or () if "id" in task
        ),
        time_limit=_positive(value.get("execution_time_limit")),
        day_limit=_positive(value.get("max_submissions_per_day")) if limited else None,
        total_limit=(
            _positive(value.get("max_submissions_per_person")) if limited else None
        ),
        used_today=int(value.get("used_submissions_per_day") or 0),
        used=None if used is None else int(used),
        hides_output=bool(value.get("hide_output")),
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
        key=clean(value.get("key") or key),
        title=clean(value.get("title") or key),
        kind=clean(value.get("type") or "text"),
        choices=tuple(clean(choice) for choice in choices if str(choice).strip()),
        required=str(value.get("is_required")).lower() == "true",
    )


def participation_problem(
    competition: Competition, url: str
) -> ParticipationError | None:
    """What keeps the account from submitting, if anything does."""
    page = f"{url}/competitions/{competition.id}/"
    status = competition.participation
    if status == "approved":
        return None
    if status is None:
        return ParticipationError(
            f"you are not registered for {competition.title}; accept its terms at "
            f"{page}"
        )
    if status == "pending":
        return ParticipationError(
            f"your registration for {competition.title} waits for the organisers; see "
            f"{page}"
        )
    return ParticipationError(
        f"your registration for {competition.title} is {status}; ask the organisers, "
        f"see {page}"
    )
