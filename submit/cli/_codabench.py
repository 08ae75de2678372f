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
from ._activity import Activity
from ._output import Cell, facts, number, stack, table, warn

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column as Head

    from ..codabench import (
        Check,
        Client,
        Clock,
        Competition,
        Keyring,
        Ledger,
        Submission,
        TaskScores,
        TokenStore,
    )

__all__ = [
    "account",
    "answered",
    "ask",
    "check_view",
    "competition_option",
    "connect",
    "keep_submission",
    "keeping",
    "keyring",
    "ledger",
    "phase_option",
    "remember_account",
    "score_view",
    "server_options",
    "state",
    "system_clock",
    "token_store",
    "url_option",
    "when",
]

Command = TypeVar("Command", bound=Callable[..., Any])

STYLES = {"fine": "", "warning": "bold", "stop": "bold red"}


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
        show_default=False,
        envvar="SUBMIT_COMPETITION",
        show_envvar=True,
        metavar="N",
        help="Number of the competition. Default: MOSEv2.",
    )(command)


def phase_option(command: Command) -> Command:
    """Add `--phase`; the command gets `phase: str | None`."""
    return click.option(
        "--phase",
        envvar="SUBMIT_PHASE",
        show_envvar=True,
        metavar="N|NAME",
        help="Number or name of the phase. Default: the open phase.",
    )(command)


def server_options(command: Command) -> Command:
    """Add `--phase`, `--competition` and `--url`."""
    return phase_option(competition_option(url_option(command)))


def system_clock() -> Clock:
    """The clock that commands use to wait."""
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


def ledger() -> Ledger:
    """The ledger of this machine."""
    from ..codabench import Ledger

    return Ledger(state())


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
    with Client(checked, token, clock=system_clock(), observer=Activity()) as client:
        yield client


def account(client: Client) -> str:
    """The account of the token, spelled exactly as on the server."""
    name = client.account
    remember_account(client, name)
    return name


def remember_account(client: Client, name: str) -> None:
    """Remember the token's account, for commands that do not ask the server."""
    token = client.transport.token
    if token is not None:
        with keeping() as kept:
            kept.keep_account(client.url, token, name)


def ask(question: str, *, yes: bool) -> bool:
    """Ask on the terminal; `--yes` answers yes.

    Raises:
        SubmitError: There is no terminal to answer on.
    """
    if yes:
        return True
    with answered("add --yes to answer yes"):
        agreed = click.confirm(question, err=True)
    return bool(agreed)


@contextmanager
def answered(otherwise: str) -> Iterator[None]:
    """Allow questions in the block; without a terminal, say what to do instead.

    Raises:
        SubmitError: There is no terminal to answer on.
    """
    try:
        yield
    except click.Abort:
        if sys.stdin.isatty():
            raise  # It was Ctrl-C.
        raise SubmitError(
            f"there is no terminal to answer the question on; {otherwise}"
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


def score_view(tables: Sequence[TaskScores], best: Submission | None) -> RenderableType:
    """The scores and the best earlier submission's, one table for each task."""
    return stack(*(_score_table(each, best) for each in tables))


def _score_table(scores: TaskScores, best: Submission | None) -> RenderableType:
    from rich.text import Text

    rows: list[list[Cell]] = []
    for line in scores.lines:
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
    columns: list[str | Head] = ["measure", number("score")]
    if best is not None:
        columns += [number(f"best before ({best.id})"), number("change")]
    title = None
    if scores.task is not None:
        title = f"task {scores.task.name}: {scores.submission}, {scores.status}"
    return table(columns, rows, title=title)


def when(moment: datetime | None) -> str | None:
    """Write a time to the minute; UTC, as the server counts days."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


@contextmanager
def keeping() -> Iterator[Ledger]:
    """Write to the ledger; an error of the disk is only a warning."""
    try:
        yield ledger()
    except StorageError as error:
        warn(str(error))


def keep_submission(
    client: Client,
    name: str | None,
    competition: Competition | None,
    submission: Submission,
    *,
    ranked: bool = False,
    rank: int | None = None,
) -> None:
    """Write the state of an own submission to the ledger.

    Args:
        client: Talks to the server.
        name: The token's account; submissions of others are not remembered.
        competition: What the submission belongs to; None when that is not known.
        submission: The submission.
        ranked: Whether the leaderboard was read.
        rank: The place on it; None for none.
    """
    from ..codabench import Record

    if name is None or submission.account != name:
        return
    phase = None if competition is None else competition.phase(submission.phase)
    known = {} if competition is None else {"competition": competition.id}
    record = Record.of(
        client.url,
        submission,
        phase_name=None if phase is None else phase.name,
        rank=rank,
        **known,
    )
    phases = [submission.phase] if ranked and submission.phase is not None else []
    with keeping() as kept:
        if competition is not None:
            kept.keep_columns(client.url, name, competition)
        kept.update([record], ranked=phases)
