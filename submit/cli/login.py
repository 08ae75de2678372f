"""`submit login`: get a token and keep it."""

from __future__ import annotations

import sys

import click

from ._codabench import answered, keyring, state, system_clock, url_option
from ._output import note


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
