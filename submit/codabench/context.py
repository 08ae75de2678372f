"""The context of a submission: its competition, and earlier submissions."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CodabenchError
from .client import Client
from .competition import Competition
from .submission import Submission

__all__ = ["Context", "find_competition", "read_context"]

#: Most competitions of an account that are searched for a phase.
_MOST = 30


@dataclass(frozen=True)
class Context:
    """The context in which a submission is shown.

    Attributes:
        account: The token's account, spelled as on the server; None when that is not
            known.
        competition: What the submission belongs to; None when that is not known.
        submissions: Those to the same phase that the account may see.
    """

    account: str | None = None
    competition: Competition | None = None
    submissions: tuple[Submission, ...] = ()


def read_context(
    client: Client, submission: Submission, number: int, remembered: int | None = None
) -> Context:
    """Read the context of a submission.

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
    """Find the competition of a phase, which the server does not name.

    Args:
        client: Talks to the server.
        phase: Number of the phase; None for the competition that is expected.
        number: The competition that is tried first.
        remembered: The one that is tried next.

    Returns:
        The competition; None if the account takes part in no such competition.

    Raises:
        CodabenchError: The server refuses or is broken.
    """
    failure: CodabenchError | None = None
    try:
        expected = client.competition(number)
        if phase is None or expected.phase(phase) is not None:
            return expected
    except CodabenchError as error:
        # The remembered one may belong to another server.
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
