"""Running work on videos in workers: `Executor` and its implementations.

An executor runs one task per video in workers. A worker builds what it needs once, such
as a predictor, and then processes videos one by one.
"""

from .base import (
    Event,
    Executor,
    Finished,
    Job,
    Postponed,
    Progressed,
    Warned,
    Worker,
)
from .local import LocalExecutor
from .mapping import map_jobs

__all__ = [
    "Event",
    "Executor",
    "Finished",
    "Job",
    "LocalExecutor",
    "Postponed",
    "Progressed",
    "Warned",
    "Worker",
    "map_jobs",
]
