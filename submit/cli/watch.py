"""`submit watch`: follow a submission until its scores are complete."""

from __future__ import annotations

import click

from ..errors import CodabenchError
from ._codabench import account, connect, server_options
from ._options import json_option
from ._watching import SubmissionView, require_success, show_failure, watch_to_end

_NUMBER = click.IntRange(min=1)


@click.command()
@click.argument("submission", type=_NUMBER, required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="MINUTES",
    help="Maximum time to watch.",
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

    SUBMISSION is its number. Default: your newest one. Ctrl-C ends only the watch. The
    exit status is 0 with scores, 20 if the evaluation failed, 21 if the time limit
    passed.

    \b
    Example:
      submit watch 734512
    """
    from ..codabench import Context

    with connect(url) as client:
        known, mine = None, []
        if submission is None:
            known = client.competition(competition)
            shown = known.show_phase(phase, client.server_now)
            account(client)
            mine = client.own_submissions(phase=shown.id)
            if not mine:
                raise CodabenchError(
                    f"phase {shown.name} has no submission of yours",
                    "make one with submit upload",
                )
            submission = max(each.id for each in mine)
        outcome, beside = watch_to_end(
            client, submission, known, expected=competition, minutes=timeout
        )
        context = beside or Context(client.account, known, tuple(mine))
        view = SubmissionView.of(client, outcome.submission, context, as_json=as_json)
        view.show()
        show_failure(view, outcome.failed)
        view.finish(wait=outcome.grace)
    require_success(outcome)
