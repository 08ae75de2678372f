"""What the commands about Codabench share: options, the connection, tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import StorageError, SubmitError
from ._output import Cell, facts, number, stack, table, warn

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column

    from ..codabench import (
        Check,
        Client,
        Clock,
        Competition,
        Keyring,
        Record,
        ScoreLine,
        Standing,
        Submission,
        TokenStore,
    )

__all__ = [
    "answered",
    "ask",
    "check_view",
    "competition_option",
    "connect",
    "keep_records",
    "keyring",
    "own",
    "phase_option",
    "previous",
    "score_view",
    "server_options",
    "state",
    "system_clock",
    "token_store",
    "url_option",
    "when",
]

Command = TypeVar("Command", bound=Callable[..., Any])

STYLES = {"fine": "", "warning": "yellow", "stop": "bold red"}


def url_option(command: Command) -> Command:
    """Add `--url`; the command gets `url: str`."""
    return click.option(
        "--url",
        default="https://www.codabench.org",
        envvar="SUBMIT_URL",
        show_envvar=True,
        metavar="URL",
        help="Address of the server.",
    )(command)


def competition_option(command: Command) -> Command:
    """Add `--competition`; the command gets `competition: int`."""
    return click.option(
        "--competition",
        type=click.IntRange(min=1),
        default=10062,
        envvar="SUBMIT_COMPETITION",
        show_envvar=True,
        metavar="N",
        help="Number of the competition; MOSEv2 without it.",
    )(command)


def phase_option(command: Command) -> Command:
    """Add `--phase`; the command gets `phase: str | None`."""
    return click.option(
        "--phase",
        envvar="SUBMIT_PHASE",
        show_envvar=True,
        metavar="N|NAME",
        help="Number or name of the phase; the open one without it.",
    )(command)


def server_options(command: Command) -> Command:
    """Add `--phase`, `--competition` and `--url`."""
    return phase_option(competition_option(url_option(command)))


def system_clock() -> Clock:
    """The clock that commands wait by."""
    from ..codabench import SystemClock

    return SystemClock()


def keyring() -> Keyring | None:
    """The system's keyring, if there is one."""
    from ..codabench import installed_keyring

    return installed_keyring()


def state() -> Path:
    """The state folder."""
    from ..codabench import state_folder

    return state_folder(os.environ)


def token_store() -> TokenStore:
    """Where tokens are kept."""
    from ..codabench import TokenStore

    return TokenStore(state(), keyring=keyring())


@contextmanager
def connect(url: str, *, anonymous: bool = False) -> Iterator[Client]:
    """Open a connection with the account's token.

    Args:
        url: Address of the server.
        anonymous: Whether to go on without a token where there is none.

    Raises:
        LoginError: There is no token.
    """
    from ..codabench import Client, check_url

    checked = check_url(url)
    store = token_store()
    token = store.find(checked) if anonymous else store.require(checked)
    with Client(checked, token, clock=system_clock()) as client:
        yield client


def ask(question: str, *, yes: bool) -> bool:
    """Ask on the terminal; with `--yes` the answer is known.

    Raises:
        SubmitError: Nobody is there to answer.
    """
    if yes:
        return True
    with answered("add --yes to answer it beforehand"):
        agreed = click.confirm(question, err=True)
    return bool(agreed)


@contextmanager
def answered(otherwise: str) -> Iterator[None]:
    """Ask questions within; without a terminal, say what to do otherwise.

    Raises:
        SubmitError: Nobody is there to answer.
    """
    try:
        yield
    except click.Abort:
        if sys.stdin.isatty():
            raise  # It was Ctrl-C.
        raise SubmitError(
            f"nobody is there to answer the question; {otherwise}"
        ) from None


def check_view(checks: Sequence[Check]) -> RenderableType:
    """One line for each check, in the colour of its level."""
    from rich.text import Text

    from ._output import escape

    return facts(
        {
            check.name: Text(escape(check.text), style=STYLES[check.level.value])
            for check in checks
        }
    )


def score_view(
    lines: Sequence[ScoreLine], best: Submission | None, standing: Standing | None
) -> RenderableType:
    """The scores as a table, beside the best before and with the rank."""
    from rich.text import Text

    rows: list[list[Cell]] = []
    for line in lines:
        row: list[Cell] = [line.title, line.shown]
        if best is not None:
            digits = len((line.shown or "").partition(".")[2])
            style = {True: "green", False: "red", None: ""}[line.is_better]
            row.append(None if line.best is None else f"{line.best:.{digits}f}")
            row.append(
                None
                if line.change is None
                else Text(f"{line.change:+.{digits}f}", style=style)
            )
        rows.append(row)
    columns: list[str | Column] = ["measure", number("score")]
    if best is not None:
        columns += [number(f"best before ({best.id})"), number("change")]
    views: list[RenderableType] = [table(columns, rows)]
    if standing is not None:
        views.append(facts({"rank": f"{standing.rank} on the leaderboard"}))
    return stack(*views)


def when(moment: datetime | None) -> str | None:
    """Write a time to the minute; UTC, as the server counts days."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def own(submissions: Sequence[Submission], username: str) -> list[Submission]:
    """Those of the account itself; organisers are shown everybody's."""
    mine = [each for each in submissions if each.owner == username]
    return mine or list(submissions)


def keep_records(records: Sequence[Record]) -> None:
    """Write to the ledger; a disk that refuses does not undo what the server did."""
    from ..codabench import Ledger

    try:
        Ledger(state()).merge(records)
    except StorageError as error:
        warn(str(error))


def previous(
    client: Client, competition: Competition, submission: Submission
) -> tuple[Submission | None, Standing | None]:
    """The best submission before one, and where that one stands."""
    from ..codabench import previous_best, rank_of
    from ..errors import CodabenchError

    phase = submission.phase
    if phase is None:
        return None, None
    try:
        best = previous_best(competition, client.submissions(phase=phase), submission)
        return best, rank_of(client.leaderboard(phase), submission)
    except CodabenchError as error:
        warn(str(error))
        return None, None
