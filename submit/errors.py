"""Errors a user can act on.

Every failure that is not a bug is a `SubmitError`; the command line turns it into one
`Error:` line and exit status 1. The message names the file or the value, what was
expected, what was found and what to do next.

    SubmitError
    ├── SplitError          the data set on disk
    ├── MaskError           one mask file or array
    ├── PredictorError      a model: unknown, misconfigured, or failing
    │   └── OptionError     one `-o key=value` of a model
    ├── RunError            a run folder
    │   └── RunMismatchError
    ├── ArchiveError        a submission zip or folder
    ├── ScoringError        ground truth that cannot be scored against
    ├── RecipeError         a recipe file
    ├── SettingsError       how runs are to be merged, or their masks to be changed
    └── StorageError        the disk: full, read-only, not there
"""

__all__ = [
    "ArchiveError",
    "MaskError",
    "OptionError",
    "PredictorError",
    "RecipeError",
    "RunError",
    "RunMismatchError",
    "ScoringError",
    "SettingsError",
    "SplitError",
    "StorageError",
    "SubmitError",
]


class SubmitError(Exception):
    """Something the user can put right; the message says how."""


class SplitError(SubmitError):
    """A split on disk is missing, incomplete or contradicts itself."""


class MaskError(SubmitError):
    """A mask cannot be read, or is not a map of object ids of the expected size."""


class PredictorError(SubmitError):
    """A model is unknown, cannot be built, or failed on a video."""


class OptionError(PredictorError):
    """An option of a model is unknown or its value is not legal."""


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
    """Settings contradict themselves or name something that does not exist."""


class StorageError(SubmitError):
    """The disk refused a write: full, read-only or gone."""
