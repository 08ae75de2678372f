"""What a submission is shown beside: its competition, and those submitted before it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CodabenchError
from .client import Client
from .competition import Competition
from .submission import Submission

__all__ = ["Context", "find_competition", "read_context"]

#: Competitions of an account that are looked through for a phase.
_MOST = 30


@dataclass(frozen=True)
class Context:
    """What a submission is shown beside.

    Attributes:
        account: The account that asks, exactly as the server has it; None when that is
            not known.
        competition: What the submission belongs to; None when that is not known.
        submissions: Those to the same phase that the account may see.
    """

    account: str | None = None
    competition: Competition | None = None
    submissions: tuple[Submission, ...] = ()


def read_context(
    client: Client, submission: Submission, number: int, remembered: int | None = None
) -> Context:
    """Read what a submission is shown beside.

    Args:
        client: Talks to the server.
        submission: The submission.
        number: The competition that it is expected in.
        remembered: The competition that its phase was in before, if that is known.

    Raises:
        CodabenchError: The server refuses or is broken.
    """
    account = client.account
    competition = find_competition(client, submission.phase, number, remembered)
    if submission.phase is None:
        return Context(account, competition)
    listed = client.submissions(phase=submission.phase)
    return Context(account, competition, tuple(listed))


def find_competition(
    client: Client, phase: int | None, number: int, remembered: int | None = None
) -> Competition | None:
    """Find the competition of a phase: the server does not name it.

    Args:
        client: Talks to the server.
        phase: Number of the phase; None for the competition that is expected.
        number: The competition that is looked at first.
        remembered: The one that is looked at next.

    Returns:
        The competition; None when it is none that the account takes part in.

    Raises:
        CodabenchError: The server refuses or is broken.
    """
    failure: CodabenchError | None = None
    try:
        expected = client.competition(number)
        if phase is None or expected.phase(phase) is not None:
            return expected
    except CodabenchError as error:
        # That one may be none of this server's.
        failure = error
    others = [remembered] if remembered is not None else []
    others += client.competitions()
    for other in [each for each in dict.fromkeys(others) if each != number][:_MOST]:
        try:
            found = client.competition(other)
        except CodabenchError as error:
            failure = error
            continue
        if found.phase(phase) is not None:
            return found
    if failure is not None:
        raise failure
    return None
