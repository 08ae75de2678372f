"""`submit cancel`: stop an evaluation."""

from __future__ import annotations

import click

from ..errors import CodabenchError
from ._codabench import ask, connect, url_option
from ._output import note

_NUMBER = click.IntRange(min=1)


@click.command()
@click.argument("submission", type=_NUMBER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
def cancel(submission: int, yes: bool, url: str) -> None:
    """Cancel a submission; its attempt is not given back.

    SUBMISSION is its number.

    \b
    Example:
      submit cancel 734512
    """
    with connect(url) as client:
        seen = client.submission(submission)
        if seen.is_final:
            raise CodabenchError(
                f"submission {submission} is {seen.status} already",
                "there is nothing to cancel",
            )
        # Organisers may cancel those of others.
        whose = "" if seen.account == client.account else f" of {seen.owner}"
        question = f"Cancel {submission}{whose} ({seen.status})? Its attempt stays used"
        if not ask(question, yes=yes):
            click.get_current_context().exit(1)
        if not client.cancel(submission):
            raise CodabenchError(
                f"submission {submission} was over before it could be cancelled",
                f"see submit status {submission}",
            )
    note(f"submission {submission} is cancelled")
