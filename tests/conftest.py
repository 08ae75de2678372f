from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# A slow machine is no failure, and the same commit gives the same result everywhere.
settings.register_profile("repository", deadline=None, derandomize=True)
settings.load_profile("repository")


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the user's settings, home and terminal out of every test."""
    for name in list(os.environ):
        if name.startswith("SUBMIT_") or name in (
            "COLUMNS",
            "FORCE_COLOR",
            "NO_COLOR",
            "TTY_COMPATIBLE",
            "TTY_INTERACTIVE",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def runner() -> CliRunner:
    """Run commands in this process, with stdout and stderr apart."""
    return CliRunner()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and masks, where the machine has them beside the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data in {path}")
    return path
