"""`submit doctor`: whether everything is in place for an upload."""

from __future__ import annotations

import click

from ..errors import CodabenchError, LoginError
from ._activity import Activity
from ._codabench import check_view, server_options, state, system_clock, token_store
from ._options import json_option
from ._output import emit


@click.command()
@server_options
@json_option
def doctor(phase: str | None, competition: int, url: str, as_json: bool) -> None:
    """Check that everything is ready for an upload.

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
        token = None  # The checks report what is wrong with it.
    with Client(checked, token, clock=system_clock(), observer=Activity()) as client:
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
