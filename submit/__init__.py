"""mose-submit: from the MOSEv2 data and a checkpoint to a checked challenge entry."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        OpenRun,
        OpenRunVideo,
        OpenSplit,
        OpenVideo,
        Scores,
        open_run,
        open_split,
        overlay,
        score,
    )
    from .errors import SubmitError
    from .predictors import Prediction, Predictor, Session, Video

__all__ = [
    "OpenRun",
    "OpenRunVideo",
    "OpenSplit",
    "OpenVideo",
    "Prediction",
    "Predictor",
    "Scores",
    "Session",
    "SubmitError",
    "Video",
    "open_run",
    "open_split",
    "overlay",
    "score",
]

#: The module that has each name. It is imported when the name is used: every command
#: imports this package, and few of them need more of it than the version.
_MODULES = {
    "OpenRun": ".api",
    "OpenRunVideo": ".api",
    "OpenSplit": ".api",
    "OpenVideo": ".api",
    "Prediction": ".predictors",
    "Predictor": ".predictors",
    "Scores": ".api",
    "Session": ".predictors",
    "SubmitError": ".errors",
    "Video": ".predictors",
    "open_run": ".api",
    "open_split": ".api",
    "overlay": ".api",
    "score": ".api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
