from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from submit.system.threads import prepare_threads

# Hundreds of processes import the toolkit, which is compiled once for all.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# As in the command line, before the libraries are loaded that read the environment.
prepare_threads()

import pytest  # noqa: E402
from click.testing import CliRunner, Result  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests import splits  # noqa: E402

ROOT = Path(__file__).parents[1]

# A slow machine is no failure, and the same commit gives the same result everywhere.
settings.register_profile("repository", deadline=None, derandomize=True)
settings.load_profile("repository")


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> Iterator[None]:
    """Keep the user's settings and terminal out of all tests.

    Commands start no processes, unless a test says so with --workers.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("SUBMIT_", "SLURM_")) or name in (
                "COLUMNS",
                "FORCE_COLOR",
                "NO_COLOR",
                "TTY_COMPATIBLE",
                "TTY_INTERACTIVE",
            ):
                patch.delenv(name)
        patch.setenv("SUBMIT_WORKERS", "1")
        yield


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are not there yet, one after the other."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, homes: Iterator[Path]) -> None:
    """Give each test a home of its own, which is empty."""
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture
def runner() -> CliRunner:
    """Run commands in this process, with stdout and stderr apart."""
    return CliRunner()


class TypeLine(Protocol):
    """Types a command; see the fixture `type_line`."""

    def __call__(self, line: str, *, code: int = 0) -> Result:
        """Type what follows `submit`; it must end with this status."""


@pytest.fixture
def type_line(runner: CliRunner) -> TypeLine:
    """Type commands, each of which must end with a status."""
    from submit.cli import cli

    def call(line: str, *, code: int = 0) -> Result:
        done = runner.invoke(cli, line.split())
        assert done.exit_code == code, done.output
        return done

    return call


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


class WriteSplit(Protocol):
    """Writes a tiny split; see the fixture `write_split`."""

    def __call__(
        self,
        videos: Sequence[str] = ("a", "b"),
        *,
        frames: Sequence[str] = ("00000", "00001", "00002"),
        annotated: int = 1,
        objects: Sequence[int] = (1, 2),
        size: tuple[int, int] = (24, 32),
        between: str = "",
        meta: Mapping[str, Any] | None = None,
        root: str = "split",
    ) -> Path: ...


@pytest.fixture
def write_split(tmp_path: Path) -> WriteSplit:
    """Write a split in which each object is a bar that moves down.

    The first `annotated` frames have masks, `between` is a folder as DAVIS has it, and
    `meta` are the videos of a meta file.
    """

    def write(
        videos: Sequence[str] = ("a", "b"),
        *,
        frames: Sequence[str] = ("00000", "00001", "00002"),
        annotated: int = 1,
        objects: Sequence[int] = (1, 2),
        size: tuple[int, int] = (24, 32),
        between: str = "",
        meta: Mapping[str, Any] | None = None,
        root: str = "split",
    ) -> Path:
        shown = splits.bars(frames, objects, size)
        return splits.write_split(
            tmp_path / root,
            dict.fromkeys(videos, shown),
            annotated=annotated,
            between=between,
            meta=meta,
        )

    return write
