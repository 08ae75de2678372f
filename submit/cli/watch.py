"""`submit watch`: follow a submission until its scores are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import CodabenchError
from ._codabench import connect, own, server_options
from ._options import json_option
from ._watching import conclude, present, require_success, watch_to_end

if TYPE_CHECKING:
    from ..codabench import Client, Phase


_NUMBER = click.IntRange(min=1)


@click.command()
@click.argument("submission", type=_NUMBER, required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="How long to watch at most.",
)
@server_options
@json_option
def watch(
    submission: int | None,
    timeout: float | None,
    phase: str | None,
    competition: int,
    url: str,
    as_json: bool,
) -> None:
    """Follow a submission until its scores are complete.

    SUBMISSION is its number; the newest one without. Ctrl-C ends the watch and nothing
    else. The exit status is 0 with scores, 20 when the evaluation failed, 21 when the
    time was over.

    \b
    Example:
      submit watch 734512
    """
    with connect(url) as client:
        found = client.competition(competition)
        if submission is None:
            shown = found.show_phase(phase, client.server_now)
            submission = _newest(client, shown)
        outcome = watch_to_end(client, submission, found, minutes=timeout)
        present(conclude(client, found, outcome), as_json=as_json)
    require_success(outcome)


def _newest(client: Client, phase: Phase) -> int:
    mine = own(client.submissions(phase=phase.id), client.profile().username)
    if not mine:
        raise CodabenchError(
            f"phase {phase.name} has no submission of yours; make one with submit "
            "upload"
        )
    return max(each.id for each in mine)
