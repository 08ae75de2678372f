"""The installed models, found by their entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PredictorError
from .protocol import Predictor

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "installed", "load"]

GROUP = "submit.predictors"


def installed() -> dict[str, EntryPoint]:
    """List the installed models by name, without importing them."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load(name: str) -> type[Predictor]:
    """Import the model called `name`.

    Raises:
        PredictorError: No installed package provides it, or importing it failed.
    """
    points = installed()
    if name not in points:
        raise PredictorError(
            f"no predictor called {name!r} is installed; found "
            f"{', '.join(points) or 'none'} (see: submit predictors)"
        )
    try:
        loaded: type[Predictor] = points[name].load()
    except Exception as error:  # Whatever a stranger's module does when imported.
        raise PredictorError(
            f"predictor {name} ({points[name].value}) cannot be imported: {error}; "
            "reinstall the package that provides it"
        ) from error
    return loaded
