"""The trainers: models that can be trained, by their entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import TrainingError
from ..system.words import did_you_mean
from .protocol import Trainer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "installed", "load"]

GROUP = "submit.trainers"

#: What a class has to have, so that it can be a trainer.
_PARTS = (
    *("Options", "describe", "build", "groups", "losses"),
    *("heaviest", "weights", "export", "predictor"),
)


def installed() -> dict[str, EntryPoint]:
    """List the installed trainers by name, without importing them."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load(name: str) -> type[Trainer]:
    """Import the trainer called `name`.

    Raises:
        TrainingError: No installed package provides it, importing it failed, or it is
            no trainer.
    """
    points = installed()
    if name not in points:
        rest = f"found {', '.join(points) or 'none'}"
        raise TrainingError(
            f"no trainer called {name!r} is installed"
            f"{did_you_mean(name, points, rest)} (see: submit trainers)"
        )
    point = points[name]
    try:
        loaded: type[Trainer] = point.load()
    # The import of a foreign module can raise any exception.
    except (Exception, SystemExit) as error:
        package = point.module if point.dist is None else point.dist.name
        raise TrainingError(
            f"trainer {name} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; reinstall {package}"
        ) from error
    if lacking := [part for part in _PARTS if not hasattr(loaded, part)]:
        raise TrainingError(
            f"trainer {name} ({point.value}): has no {' and no '.join(lacking)}; a "
            f"trainer has {', '.join(_PARTS)} (see docs/training.md)"
        )
    return loaded
