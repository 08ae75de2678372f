from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from submit.predictors import GROUP, registry

InstallModels = Callable[..., None]


@pytest.fixture
def install_models(monkeypatch: pytest.MonkeyPatch) -> InstallModels:
    """Install models beside the real ones, as a stranger's package does."""

    def call(**models: str) -> None:
        """Install classes, `module:Class`, under their names."""
        known = dict(registry.installed())
        for name, value in models.items():
            point = EntryPoint(name, value, GROUP)
            vars(point).update(dist=SimpleNamespace(name="theirs", version="1"))
            known[name] = point
        monkeypatch.setattr("submit.predictors.registry.installed", lambda: known)

    return call
