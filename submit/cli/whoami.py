"""`submit whoami`: the token's account, and its attempts left today."""

from __future__ import annotations

import click

from ._codabench import connect, remember_account, server_options
from ._options import json_option
from ._output import emit, facts


@click.command()
@server_options
@json_option
def whoami(phase: str | None, competition: int, url: str, as_json: bool) -> None:
    """Show the user of the token, and the attempts left today.

    \b
    Example:
      submit whoami
    """
    from ..codabench import attempts_text

    with connect(url) as client:
        profile = client.profile()
        remember_account(client, profile.account)
        found = client.competition(competition)
        quota = client.quota()
        now = client.server_now
        chosen = found.show_phase(phase, now)
        token = client.transport.token
    status = found.participation or "not registered"
    emit(
        facts(
            {
                "account": f"{profile.username} on {client.url}",
                "token": None if token is None else f"from {token.source}",
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
            "token": token and token.source,
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
