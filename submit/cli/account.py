"""`submit login`, `logout`, `whoami` and `doctor`: the account, and what it may do."""

from __future__ import annotations

import sys

import click

from ..errors import CodabenchError, LoginError
from ._codabench import (
    answered,
    check_view,
    connect,
    keyring,
    server_options,
    state,
    system_clock,
    token_store,
    url_option,
)
from ._options import json_option
from ._output import emit, facts, note


@click.command()
@click.option("--username", metavar="NAME", help="Name or mail address; asked without.")
@click.option(
    "--token-stdin",
    is_flag=True,
    help="Read a token from standard input, instead of asking for a password.",
)
@click.option("--no-keyring", is_flag=True, help="Keep the token in a file, mode 0600.")
@url_option
def login(username: str | None, token_stdin: bool, no_keyring: bool, url: str) -> None:
    """Get a token from Codabench and keep it.

    The password is asked for, sent once and not kept. The token goes to the system's
    keyring if the package keyring is installed, otherwise to a file that only you can
    read. SUBMIT_TOKEN in the environment goes before both.

    \b
    Example:
      submit login --username alice
    """
    from ..codabench import Client, Token, TokenStore, check_url

    checked = check_url(url)
    if token_stdin:
        value = sys.stdin.readline().strip()
    else:
        with answered("pipe a token to submit login --token-stdin"):
            name = username or click.prompt("Name or mail address", err=True)
            password = click.prompt("Password", hide_input=True, err=True)
        with Client(checked, clock=system_clock()) as client:
            value = client.login(name, password)
    token = Token(value, "standard input" if token_stdin else checked)
    with Client(checked, token, clock=system_clock()) as client:
        profile = client.profile()
    store = TokenStore(state(), keyring=None if no_keyring else keyring())
    kept = store.keep(checked, token.value)
    note(f"logged in to {checked} as {profile.username}; the token is in {kept.source}")


@click.command()
@url_option
def logout(url: str) -> None:
    """Forget the token of this machine.

    Codabench cannot revoke tokens: one that others have seen stays good until the
    operators replace it.

    \b
    Example:
      submit logout
    """
    import os

    from ..codabench import check_url

    places = token_store().forget(check_url(url))
    if places:
        note(f"the token is removed from {' and '.join(places)}")
    else:
        note(f"there was no token for {check_url(url)}")
    if os.environ.get("SUBMIT_TOKEN"):
        note("SUBMIT_TOKEN is still set in this shell; do: unset SUBMIT_TOKEN")


@click.command()
@server_options
@json_option
def whoami(phase: str | None, competition: int, url: str, as_json: bool) -> None:
    """Show whose token it is, and what is left for it today.

    \b
    Example:
      submit whoami
    """
    from ..codabench import attempts_text

    with connect(url) as client:
        profile = client.profile()
        found = client.competition(competition)
        quota = client.quota()
        now = client.server_now
        chosen = found.show_phase(phase, now)
    status = found.participation or "not registered"
    emit(
        facts(
            {
                "account": f"{profile.username} on {client.url}",
                "mail": profile.email,
                "competition": f"{found.title}: {status}",
                "phase": f"{chosen.name}, {chosen.window()}",
                "attempts": attempts_text(chosen, now),
                "storage": f"{quota.left / 1e9:.2f} of {quota.total / 1e9:.0f} GB left",
            }
        ),
        {
            "url": client.url,
            "username": profile.username,
            "email": profile.email,
            "competition": found.id,
            "participation": found.participation,
            "phase": chosen.id,
            "left_today": chosen.left_today,
            "left_in_all": chosen.left_in_all,
            "storage_left": quota.left,
        },
        as_json=as_json,
    )


@click.command()
@server_options
@json_option
def doctor(phase: str | None, competition: int, url: str, as_json: bool) -> None:
    """Look whether everything is in place for an upload.

    State folder, server, clock, token, approval, phase, attempts and storage, each
    with the next step to type. Nothing is changed on the server.

    \b
    Example:
      submit doctor
    """
    from ..codabench import Client, Level, check_url, examine

    checked = check_url(url)
    store = token_store()
    try:
        token = store.find(checked)
    except LoginError:
        token = None  # The examination says what is wrong with it.
    with Client(checked, token, clock=system_clock()) as client:
        checks = list(
            examine(client, store, state(), competition=competition, phase=phase)
        )
    emit(
        check_view(checks),
        [
            {"name": each.name, "level": each.level.value, "text": each.text}
            for each in checks
        ],
        as_json=as_json,
    )
    problems = [each.error for each in checks if each.level is Level.STOP]
    if problems:
        error = problems[0] or CodabenchError("")
        click.get_current_context().exit(error.exit_code)
