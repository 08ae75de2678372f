"""Errors a user can act on.

Every failure that is not a bug is a `SubmitError`; the command line turns it into one
`Error:` line and exit status 1. The message names the file or the value, what was
expected, what was found and what to do next.

    SubmitError
    ├── SplitError          the data set on disk
    ├── MaskError           one mask file or array
    ├── PredictorError      a model: unknown, misconfigured, or failing
    │   ├── OptionError     one `-o key=value` of a model
    │   └── PromptError     a prompt, or a model that does not take it
    ├── RunError            a run folder
    │   └── RunMismatchError
    ├── ArchiveError        a submission zip or folder
    ├── ScoringError        ground truth that cannot be scored against
    ├── RecipeError         a recipe file
    ├── SettingsError       settings for merging or post-processing
    ├── TrainingError       the training of a model
    ├── WeightsError        weights that are not there or cannot be fetched
    ├── StorageError        the disk: full, read-only, not there
    ├── OutputError         an output that would replace something else
    └── CodabenchError      the competition server, or the way to it
        ├── LoginError          no token, or one that is refused      exit status 10
        ├── ParticipationError  not an approved participant           11
        ├── LimitError          no attempt left                       12
        ├── PhaseError          the phase is not open                 13
        ├── QuotaError          no room left in the account           14
        ├── RefusedError        a request that the server rejects     15
        ├── DuplicateError      the same zip was submitted before    16
        ├── UncertainError      whether it was created is not known   17
        ├── ServerError         broken, or under maintenance          18
        ├── NetworkError        not reachable                         19
        ├── EvaluationError     the submission failed                 20
        └── WaitError           the result is not there yet           21

An error that scripts may need to distinguish has its own exit status.
"""

from typing import ClassVar

__all__ = [
    "ArchiveError",
    "CodabenchError",
    "DuplicateError",
    "EvaluationError",
    "LimitError",
    "LoginError",
    "MaskError",
    "NetworkError",
    "OptionError",
    "OutputError",
    "ParticipationError",
    "PhaseError",
    "PredictorError",
    "PromptError",
    "QuotaError",
    "RecipeError",
    "RefusedError",
    "RunError",
    "RunMismatchError",
    "ScoringError",
    "ServerError",
    "SettingsError",
    "SplitError",
    "StorageError",
    "SubmitError",
    "TrainingError",
    "UncertainError",
    "WaitError",
    "WeightsError",
]


class SubmitError(Exception):
    """An error that the user can correct; the message says how."""

    exit_code: ClassVar[int] = 1


class SplitError(SubmitError):
    """A split on disk is missing, incomplete or contradicts itself."""


class MaskError(SubmitError):
    """A mask cannot be read, or is not a map of object ids of the expected size."""


class PredictorError(SubmitError):
    """A model is unknown, cannot be built, or failed on a video."""


class OptionError(PredictorError):
    """An option of a model is unknown or its value is not legal."""


class PromptError(PredictorError):
    """A prompt is not legal, does not fit its frame, or is not taken by the model."""


class RunError(SubmitError):
    """A run folder is missing, incomplete or unreadable."""


class RunMismatchError(RunError):
    """A run was made with other options than those asked for now."""


class ArchiveError(SubmitError):
    """A submission zip or folder cannot be read or written."""


class ScoringError(SubmitError):
    """The ground truth does not allow the score that was asked for."""


class RecipeError(SubmitError):
    """A recipe file is malformed or names something that does not exist."""


class SettingsError(SubmitError):
    """Settings contradict each other or name something that does not exist."""


class TrainingError(SubmitError):
    """A model cannot be trained, or its training cannot continue."""


class WeightsError(SubmitError):
    """Weights are not on this machine, cannot be fetched, or are damaged."""


class StorageError(SubmitError):
    """The disk refused a write: full, read-only or gone."""

    def __init__(self, message: str, *, everywhere: bool = True) -> None:
        super().__init__(message)
        #: Whether writing other files would fail in the same way.
        self.everywhere = everywhere


class OutputError(SubmitError):
    """An output would replace something that the command does not write."""


class CodabenchError(SubmitError):
    """The competition server, or the connection to it, refused or failed."""

    def __init__(
        self, problem: str, advice: str = "", *, retry_after: float | None = None
    ) -> None:
        """Take the message, what to type or do next, and the wait asked for."""
        super().__init__(f"{problem}; {advice}" if advice else problem)
        self.problem = problem
        self.advice = advice
        #: Seconds that the server asks to wait before another try; None if it does not.
        self.retry_after = retry_after


class LoginError(CodabenchError):
    """There is no token, or the server refuses it."""

    exit_code = 10


class ParticipationError(CodabenchError):
    """The account is not an approved participant of the competition."""

    exit_code = 11


class LimitError(CodabenchError):
    """No attempt is left, today or in all."""

    exit_code = 12


class PhaseError(CodabenchError):
    """The phase is unknown, not open yet or over."""

    exit_code = 13


class QuotaError(CodabenchError):
    """The account has no room left for the zip and its copies."""

    exit_code = 14


class RefusedError(CodabenchError):
    """The server rejects a request; the message has its reason."""

    exit_code = 15


class DuplicateError(CodabenchError):
    """The same zip was submitted to this phase before."""

    exit_code = 16


class UncertainError(CodabenchError):
    """Whether the submission was created cannot be found out."""

    exit_code = 17


class ServerError(CodabenchError):
    """The server is broken or under maintenance, or answers nonsense."""

    exit_code = 18


class NetworkError(CodabenchError):
    """The server cannot be reached, or the connection broke."""

    exit_code = 19


class EvaluationError(CodabenchError):
    """The submission was evaluated and failed, or was cancelled."""

    exit_code = 20


class WaitError(CodabenchError):
    """The result was not there when the waiting time was over."""

    exit_code = 21
