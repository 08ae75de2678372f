"""A model in one file, named by its path and its class: `path/to/model.py:MyModel`.

It needs no package and no entry point. The file may import what is installed, but not
files beside it: what decides the masks has to be in the file, whose digest is recorded.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import PredictorError
from ..system.homes import user_path
from .options import file_digest

__all__ = ["PluginFile"]

#: What a class has to have, so that it can be a model.
_PARTS = ("Options", "describe", "session")


@dataclass(frozen=True)
class PluginFile:
    """A class in a Python file.

    Attributes:
        path: The file.
        kind: The name of the class.
    """

    path: Path
    kind: str

    @classmethod
    def parse(cls, name: str) -> PluginFile | None:
        """Take a predictor's name apart; None if it names no file.

        Raises:
            PredictorError: It names a file without a class.
        """
        path, _, kind = name.rpartition(":")
        if path.endswith(".py") and kind.isidentifier():
            return cls(user_path(path), kind)
        if name.endswith(".py") or path.endswith(".py"):
            raise PredictorError(
                f"predictor {name}: expected a file and a class, such as "
                f"{path or name}:MyPredictor, found no name of a class"
            )
        return None

    @property
    def label(self) -> str:
        """The name without folders, which does not depend on the path."""
        return f"{self.path.name}:{self.kind}"

    @property
    def absolute(self) -> PluginFile:
        """The same, for processes with another current folder."""
        return PluginFile(self.path.absolute(), self.kind)

    def __str__(self) -> str:
        return f"{self.path}:{self.kind}"

    def digest(self) -> str:
        """The SHA-256 of the file in hex.

        Raises:
            PredictorError: It cannot be read.
        """
        try:
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            return file_digest(self.path)
        except OSError as error:
            raise PredictorError(
                f"{self.path}: cannot be read ({error.strerror}); expected a Python "
                f"file with the class {self.kind}"
            ) from error

    def load(self) -> type[Any]:
        """Import the file, once in a process as long as its content stays.

        Raises:
            PredictorError: It cannot be imported, or its class is not there or is no
                model.
        """
        module = self._module()
        found = getattr(module, self.kind, None)
        if not isinstance(found, type):
            models = [name for name, value in vars(module).items() if _is_model(value)]
            raise PredictorError(
                f"{self.path}: has no class {self.kind}; its models: "
                f"{', '.join(sorted(models)) or 'none'}"
            )
        if lacking := [part for part in _PARTS if not hasattr(found, part)]:
            raise PredictorError(
                f"{self.path}: the class {self.kind} has no {' and no '.join(lacking)};"
                f" a model has {', '.join(_PARTS)} (see docs/predictors.md)"
            )
        return found

    def _module(self) -> ModuleType:
        """The file as a module whose name changes with its content."""
        name = f"submit_plugin_{self.digest()}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look for their module there while they are made.
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        # The import of a foreign file can raise any exception.
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise PredictorError(
                f"{self.path}: cannot be imported: {type(error).__name__}: {error}"
            ) from error
        return module


def _is_model(value: object) -> bool:
    """Whether a class could be a model."""
    return isinstance(value, type) and all(hasattr(value, part) for part in _PARTS)
