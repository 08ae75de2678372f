"""`submit login`: get a token and keep it."""

from __future__ import annotations

import sys

import click

from ..errors import LoginError
from ._activity import Activity
from ._codabench import answered, system_clock, token_store, url_option
from ._output import note, warn


@click.command()
@click.option("--username", metavar="NAME", help="Name or mail address.")
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
    read. The environment variable SUBMIT_TOKEN is used before both.

    \b
    Example:
      submit login --username alice
    """
    from ..codabench import Client, Token, check_url

    checked = check_url(url)
    if token_stdin:
        value = sys.stdin.readline().strip()
    else:
        with answered("pipe a token to submit login --token-stdin"):
            name = username or click.prompt("Name or mail address", err=True)
            password = click.prompt("Password", hide_input=True, err=True)
        with Client(checked, clock=system_clock(), observer=Activity()) as client:
            value = client.login(name, password)
    token = Token(value, "standard input" if token_stdin else checked)
    with Client(checked, token, clock=system_clock(), observer=Activity()) as client:
        profile = client.profile()
    store = token_store()
    kept = store.keep(checked, token.value, in_keyring=not no_keyring)
    note(f"logged in to {checked} as {profile.username}; the token is in {kept.source}")
    try:
        used = store.find(checked)
    except LoginError as error:
        warn(str(error))
    else:
        if used is not None and used.value != token.value:
            warn(
                f"this token is not used: {used.source} has another, which is used "
                f"before it; {_removal(used.source)}"
            )


def _removal(source: str) -> str:
    """What to type so that a token from this source is no longer used."""
    return "do: unset SUBMIT_TOKEN" if source == "SUBMIT_TOKEN" else "do: submit logout"
