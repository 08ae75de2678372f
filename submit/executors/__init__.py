"""Where the work on videos happens: `Executor` and its implementations.

An executor runs one task per video in workers. A worker builds what it needs once (a
predictor, say) and then takes video after video.
"""

from .base import Event, Executor, Finished, Job, Progressed, Warned, Worker
from .local import LocalExecutor

__all__ = [
    "Event",
    "Executor",
    "Finished",
    "Job",
    "LocalExecutor",
    "Progressed",
    "Warned",
    "Worker",
]
