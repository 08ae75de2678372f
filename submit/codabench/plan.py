"""The plan of an upload: what would happen, and what prevents it.

All requests to the server only read, so that a plan costs nothing.
"""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import (
    CodabenchError,
    DuplicateError,
    LimitError,
    PhaseError,
    QuotaError,
    RefusedError,
)
from ..system.words import counted
from .answers import reason_error
from .client import Client
from .clock import format_time, next_midnight
from .competition import Competition, Phase, Quota, participation_problem
from .journal import Journal, JournalEntry
from .package import Package
from .submission import Submission

__all__ = [
    "Check",
    "Level",
    "UploadPlan",
    "attempts_text",
    "duration",
    "make_plan",
    "matching",
    "no_attempt_error",
    "phase_problem",
]

#: Seconds by which clocks may differ without a warning.
SKEW = 60.0
#: Copies of the zip that the server counts: the upload, and the worker's output.
COPIES = 2


class Level(enum.Enum):
    """The result of a check."""

    FINE = "fine"
    WARNING = "warning"
    STOP = "stop"


@dataclass(frozen=True)
class Check:
    """One line of a plan.

    Attributes:
        name: What was looked at.
        text: What was found.
        level: How serious that is.
        error: Why nothing can be submitted; only with `Level.STOP`.
    """

    name: str
    text: str
    level: Level = Level.FINE
    error: CodabenchError | None = field(default=None, repr=False)

    @classmethod
    def stop(cls, name: str, error: CodabenchError) -> Check:
        """Make a check that ends the plan."""
        return cls(name, str(error), Level.STOP, error)


@dataclass(frozen=True)
class UploadPlan:
    """What an upload would do.

    Attributes:
        package: The zip.
        url: Address of the server.
        username: The account.
        competition: The competition.
        phase: The phase.
        label: What the user calls the submission.
        answers: Fact sheet; None where there is none.
        force: Whether a zip that was submitted before is submitted again.
        checks: What was looked at.
        earlier: Submissions of the same zip to this phase.
        submissions: All submissions of the account to this phase.
        facts: What was typed for the fact sheet, by question.
        runs: Heads of the manifests of the runs that the zip was made of.
        local: Hold-out score, in percent.
        command: Options of the command that continues the upload.
        resumes: The submission that an interrupted command has created already.
    """

    package: Package
    url: str
    username: str
    competition: Competition
    phase: Phase
    label: str
    answers: Mapping[str, Any] | None
    force: bool
    checks: tuple[Check, ...]
    earlier: tuple[Submission, ...]
    submissions: tuple[Submission, ...] = field(repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[Mapping[str, Any], ...] = ()
    local: float | None = None
    command: tuple[str, ...] = ()
    resumes: Submission | None = None

    def require(self) -> None:
        """Make sure that no check stops the upload.

        Raises:
            CodabenchError: A check does; the first of them is raised.
        """
        for check in self.checks:
            if check.error is not None:
                raise check.error

    def entry(self) -> JournalEntry:
        """The journal's first state."""
        return JournalEntry(
            zip=os.path.abspath(self.package.path),
            sha256=self.package.sha256,
            size=self.package.size,
            url=self.url,
            username=self.username,
            competition=self.competition.id,
            phase=self.phase.id,
            label=self.label,
            file_name=self.package.file_name(self.label),
            facts=dict(self.facts),
            runs=[dict(run) for run in self.runs],
            local=self.local,
            command=list(self.command),
        )


def make_plan(
    client: Client,
    package: Package,
    folder: Path,
    *,
    competition: int,
    phase: str | None = None,
    label: str | None = None,
    facts: Mapping[str, str] | None = None,
    runs: Sequence[Mapping[str, Any]] = (),
    local: float | None = None,
    command: Sequence[str] = (),
    force: bool = False,
) -> UploadPlan:
    """Run all checks that decide whether an upload makes sense.

    Options of an earlier command for the same zip and phase are used, unless they are
    given again.

    Args:
        client: Sends the account's requests.
        package: The zip.
        folder: The state folder.
        competition: Number of the competition.
        phase: Number or name of the phase; None for the only open one.
        label: What to call the submission. Default: the zip's own name.
        facts: What was typed for the fact sheet, by key.
        runs: Heads of the manifests of the runs that the zip was made of.
        local: Hold-out score, in percent.
        command: Options of the command that continues the upload.
        force: Whether a zip that was submitted before may be submitted again.

    Raises:
        CodabenchError: The server cannot be asked, or there is no such phase.
    """
    profile = client.profile()
    found = client.competition(competition)
    now = client.server_now
    chosen = found.require_phase(phase, now)
    plan = UploadPlan(
        package=package,
        url=client.url,
        username=client.account,
        competition=found,
        phase=chosen,
        label=package.path.stem if label is None else label,
        answers=None,
        force=force,
        checks=(),
        earlier=(),
        submissions=(),
        facts=facts or {},
        runs=tuple(runs),
        local=local,
        command=tuple(command),
    )
    journal = Journal(folder, plan.entry())
    if journal.exists:
        plan = _described(plan, journal.entry, label)
    approved = _participation(found, client.url)
    checks = [
        Check("account", f"{profile.username} on {client.route}"),
        approved,
        _phase(chosen, now),
    ]
    if not found.runs_by_itself:
        text = "an organiser has to start each evaluation by hand"
        checks.append(Check("evaluation", text, Level.WARNING))
    if approved.error is None:
        checks.append(_attempts(client, chosen, now))
    checks += [_storage(client.quota(), package), *_rules(found)]
    sheet, answers = _answers(found, plan.facts)
    checks += sheet
    submissions = client.own_submissions(phase=chosen.id)
    earlier = matching(submissions, package.mark)
    check, resumes = _duplicates(earlier, journal.entry, force=force)
    checks.append(check)
    if abs(client.transport.skew) > SKEW:
        ahead = "ahead of" if client.transport.skew > 0 else "behind"
        text = (
            f"the server is {duration(abs(client.transport.skew))} {ahead} this "
            "machine; its clock decides"
        )
        checks.append(Check("clock", text, Level.WARNING))
    if resumes is not None:
        # Its attempt is spent, so reasons against another attempt do not matter.
        checks = [
            dataclasses.replace(c, level=_soft(c.level), error=None) for c in checks
        ]
    return dataclasses.replace(
        plan,
        answers=answers,
        checks=tuple(checks),
        earlier=tuple(earlier),
        submissions=tuple(submissions),
        resumes=resumes,
    )


def _described(plan: UploadPlan, before: JournalEntry, label: str | None) -> UploadPlan:
    """The plan, completed by the options of an earlier command."""
    return dataclasses.replace(
        plan,
        label=before.label if label is None else label,
        facts={**before.facts, **plan.facts},
        runs=plan.runs or tuple(before.runs),
        local=before.local if plan.local is None else plan.local,
        command=plan.command or tuple(before.command),
    )


def _soft(level: Level) -> Level:
    return Level.WARNING if level is Level.STOP else level


def matching(submissions: Sequence[Submission], mark: str) -> list[Submission]:
    """Those whose file has the digest in its name, newest first."""
    found = [each for each in submissions if mark in each.file_name]
    return sorted(found, key=lambda each: -each.id)


def duration(seconds: float) -> str:
    """Write a time that is left, with two units at most.

    >>> duration(11525)
    '3 h 12 min'
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def attempts_text(phase: Phase, now: datetime) -> str:
    """Say how many attempts are left, and when there are new ones."""
    parts = []
    if phase.day_limit is not None:
        left = max(0, phase.day_limit - phase.used_today)
        reset = duration((next_midnight(now) - now).total_seconds())
        parts.append(
            f"{left} of {phase.day_limit} left today (new at 00:00 UTC, in {reset})"
        )
    if phase.total_limit is not None:
        parts.append(f"{phase.left_in_all} of {phase.total_limit} left in all")
    return ", ".join(parts) or "no limit"


def _participation(competition: Competition, url: str) -> Check:
    problem = participation_problem(competition, url)
    if problem is not None:
        return Check.stop("competition", problem)
    return Check("competition", f"{competition.title}; you are approved")


def _phase(phase: Phase, now: datetime) -> Check:
    problem = phase_problem(phase, now)
    if problem is not None:
        return Check.stop("phase", problem)
    if phase.end is None:
        return Check("phase", f"{phase.name}, open, without end")
    left = (phase.end - now).total_seconds()
    text = f"{phase.name}, open for {duration(left)} more"
    return Check("phase", text, Level.WARNING if left < 3600 else Level.FINE)


def phase_problem(phase: Phase, now: datetime) -> PhaseError | None:
    """Why a phase takes no submissions; None when it does.

    Some servers accept them anyway and count the attempt.
    """
    if phase.is_open(now):
        return None
    if phase.start is not None and now < phase.start:
        wait = duration((phase.start - now).total_seconds())
        return PhaseError(
            f"phase {phase.name} opens at {format_time(phase.start)}, in {wait}",
            "wait until then, or name another with --phase",
        )
    return PhaseError(
        f"phase {phase.name} ended at {format_time(phase.end)}",
        "name another with --phase",
    )


def _attempts(client: Client, phase: Phase, now: datetime) -> Check:
    text = attempts_text(phase, now)
    can, reason = client.can_submit(phase.id)
    if not can:
        return Check.stop("attempts", no_attempt_error(phase, reason, now))
    if phase.left_today == 0:
        # Such as for accounts that the organisers have exempted.
        text += "; the server accepts one nevertheless"
        return Check("attempts", text, Level.WARNING)
    last = phase.left_today == 1
    if last:
        text += "; this one is the last"
    return Check("attempts", text, Level.WARNING if last else Level.FINE)


def no_attempt_error(phase: Phase, reason: str, now: datetime) -> CodabenchError:
    """Say why the server accepts no submission, and what can be done.

    The server's reason decides, not the number of attempts: it may be another reason.
    """
    error = reason_error(reason) if reason else None
    if reason and not isinstance(error, LimitError):
        return error or RefusedError(
            f"cannot submit to phase {phase.name}: {reason}", "see submit doctor"
        )
    reset = duration((next_midnight(now) - now).total_seconds())
    said = f" ({reason})" if reason else ""
    if phase.left_in_all == 0:
        return LimitError(
            f"no attempt is left in phase {phase.name}{said}: {phase.used} of "
            f"{phase.total_limit} are used",
            "keep the zip for the next phase",
        )
    return LimitError(
        f"no attempt is left in phase {phase.name}{said}",
        f"days begin at 00:00 UTC, run the command again in {reset}",
    )


def _storage(quota: Quota, package: Package) -> Check:
    needed = COPIES * package.size
    left, size = f"{quota.left / 1e9:.2f} GB", f"{needed / 1e6:,.1f} MB"
    text = f"{left} of {quota.total / 1e9:.0f} GB left, {size} needed"
    if quota.left < package.size:
        return Check.stop(
            "storage",
            QuotaError(
                f"the account has {left} of storage left, {size} are needed for the "
                "zip and its copy",
                "delete old files under Resources on the website",
            ),
        )
    if quota.left < needed:
        text += " with the copy that the worker keeps, which may not fit"
        return Check("storage", text, Level.WARNING)
    return Check("storage", text)


def _rules(competition: Competition) -> list[Check]:
    return [
        Check(
            "leaderboard",
            board.meaning,
            Level.WARNING if board.replaces_best else Level.FINE,
        )
        for board in competition.boards
    ]


def _answers(
    competition: Competition, facts: Mapping[str, str]
) -> tuple[list[Check], Mapping[str, Any] | None]:
    try:
        answers = competition.answers(facts)
    except RefusedError as error:
        return [Check.stop("fact sheet", error)], None
    if answers is None:
        return [], None
    filled = sum(value not in ("", False) for value in answers.values())
    return [Check("fact sheet", f"{filled} of {len(answers)} answered")], answers


def _duplicates(
    earlier: Sequence[Submission], journal: JournalEntry, *, force: bool
) -> tuple[Check, Submission | None]:
    """Check for the same zip submitted before; returns the one to continue, if any."""
    name = "submitted before"
    alive = [each for each in earlier if not each.has_failed]
    if journal.creating is not None and journal.submission is None:
        lost = [each for each in alive if each.id not in journal.known]
        if lost:
            text = f"as {lost[0].id}, whose answer was lost; it is continued"
            return Check(name, text, Level.WARNING), lost[0]
        text = "perhaps: an earlier command was interrupted; this is checked first"
        return Check(name, text, Level.WARNING), None
    if not alive:
        failed = f"{counted(len(earlier), 'time')}, which failed" if earlier else "no"
        goes_on = journal.step if journal.key is not None else ""
        if goes_on and journal.submission is None:
            failed += f"; an interrupted upload continues ({goes_on})"
        return Check(name, failed), None
    first = alive[0]
    if force:
        text = f"as {first.id} ({first.state}); submitted again with --force"
        return Check(name, text, Level.WARNING), None
    if journal.submission == first.id and not journal.watched:
        text = f"as {first.id}; watching it continues"
        return Check(name, text, Level.WARNING), first
    when = format_time(first.created) or "an unknown time"
    return (
        Check.stop(
            name,
            DuplicateError(
                f"the same zip was submitted as {first.id} at {when} ({first.state})",
                f"see submit status {first.id}, or submit it again with --force",
            ),
        ),
        None,
    )
