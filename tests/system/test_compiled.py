"""Compiled code is kept where it can be, and works where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import WriteSplit

FUNCTIONS = """
from submit.system.compiled import compiled

@compiled()
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result

@compiled(error_model="numpy")
def share(value, whole):
    return value / whole
"""

PROGRAM = """
import numpy as np
from functions import share, total

print(total(np.arange(4.0)), share(1.0, 0.0))
"""


def run(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """Run Python in a folder where nothing of numba's can be kept."""
    done = subprocess.run(
        # -B since a file stands where Python keeps its own code.
        [sys.executable, "-B", *arguments],
        cwd=folder,
        # A home that is none, as for users that only run services.
        env={**os.environ, "HOME": "/dev/null", "NUMBA_CACHE_DIR": "", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def forbid_cache(folder: Path) -> None:
    """Put a file where numba would make its folder; root may write anywhere else."""
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / "__pycache__").touch()


@pytest.mark.slow
def test_without_a_place_for_it_code_is_compiled_each_time_and_that_is_said_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "program.py").write_text(PROGRAM)
    forbid_cache(tmp_path)
    out, err = run(tmp_path, "program.py")
    assert out == "6.0 inf\n"
    assert err.count("CacheWarning: compiled code cannot be kept") == 1
    assert "NUMBA_CACHE_DIR" in err
    out, err = run(tmp_path, "program.py", NUMBA_CACHE_DIR=str(tmp_path / "kept"))
    assert (out, err) == ("6.0 inf\n", "")
    assert len(list((tmp_path / "kept").rglob("*.nbc"))) == 2


@pytest.mark.slow
def test_a_read_only_installation_scores_and_exports(
    write_split: WriteSplit, tmp_path: Path, repository: Path
) -> None:
    split = write_split(frames=[f"{n:05d}" for n in range(4)], annotated=4)
    package = tmp_path / "installed" / "submit"
    shutil.copytree(
        repository / "submit", package, ignore=shutil.ignore_patterns("__pycache__")
    )
    for folder in (package, *package.iterdir()):
        if folder.is_dir():
            forbid_cache(folder)
    path = {"PYTHONPATH": str(tmp_path / "installed")}
    for line in (
        f"predict {split} --predictor static --name a",
        "export a --workers 1",
        f"score a --split {split}",
    ):
        _, err = run(tmp_path, "-m", "submit", *line.split(), **path)
        assert err.count("Warning: compiled code cannot be kept") == 1, err


@pytest.mark.slow
def test_a_full_disk_under_the_cache_is_said_once_and_a_damaged_one_made_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "program.py").write_text(PROGRAM)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))\n"
    (tmp_path / "full.py").write_text(limit + PROGRAM)
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    out, err = run(tmp_path, "full.py", **kept)
    assert out == "6.0 inf\n"
    assert err.count("CacheWarning: compiled code cannot be kept") == 1
    assert run(tmp_path, "program.py", **kept) == ("6.0 inf\n", "")
    files = sorted((tmp_path / "kept").rglob("*.nb?"))
    assert len(files) == 4
    for file in files:
        file.write_bytes(b"")
    assert run(tmp_path, "program.py", **kept) == ("6.0 inf\n", "")
    assert all(file.stat().st_size for file in files)


@pytest.mark.slow
def test_functions_work_without_numbas_own_cache(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    code = "from functions import total; print(total([1.0, 2.0]))"
    assert run(tmp_path, "-c", code, NUMBA_DISABLE_JIT="1") == ("3.0\n", "")
