"""The models: installed ones by their entry points, others by their files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import PredictorError
from ..system.words import did_you_mean
from .guard import GuardedPredictor, ModelPackage
from .options import parse_options
from .plugin_file import PluginFile
from .protocol import Predictor

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "build", "installed", "load", "package_of"]

GROUP = "submit.predictors"


def installed() -> dict[str, EntryPoint]:
    """List the installed models by name, without importing them."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load(name: str) -> type[Predictor]:
    """Import the model called `name`.

    Args:
        name: An installed model, or a file and a class: `path/to/model.py:MyModel`.

    Raises:
        PredictorError: No installed package provides it, or importing it failed.
    """
    if file := PluginFile.parse(name):
        return file.load()
    point = _find(name)
    try:
        loaded: type[Predictor] = point.load()
    # The import of a foreign module can raise any exception.
    except (Exception, SystemExit) as error:
        raise PredictorError(
            f"predictor {name} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; reinstall {_package_of(point)}"
        ) from error
    return loaded


def build(name: str, settings: Iterable[str], *, device: str = "auto") -> Predictor:
    """Make the model called `name`, inside a guard.

    Args:
        name: The model; see `load`.
        settings: Its options as `key=value`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        PredictorError: The model is unknown or cannot be built.
        OptionError: An option is not legal.
    """
    kind = load(name)

    def make() -> Predictor:
        return kind(parse_options(name, kind.Options, settings), device=device)

    return GuardedPredictor(name, package_of(name), make)


def package_of(name: str) -> ModelPackage:
    """The package that provides the model called `name`, or its file.

    Raises:
        PredictorError: The model is unknown.
    """
    if file := PluginFile.parse(name):
        return ModelPackage(str(file.path))
    return _package_of(_find(name))


def _package_of(point: EntryPoint) -> ModelPackage:
    """The package that provides a model."""
    if point.dist is None:
        return ModelPackage(f"the package of {point.module}")
    return ModelPackage(point.dist.name, point.dist.version)


def _find(name: str) -> EntryPoint:
    points = installed()
    if name not in points:
        rest = f"found {', '.join(points) or 'none'}"
        raise PredictorError(
            f"no predictor called {name!r} is installed"
            f"{did_you_mean(name, points, rest)} (see: submit predictors), or name a "
            "file and its class, such as model.py:MyPredictor"
        )
    return points[name]
