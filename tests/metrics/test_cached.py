from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from submit.metrics.cached import KNOWN

FUNCTIONS = """
import numba

@numba.njit(cache=True)
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result

@numba.njit(cache=True)
def largest(values):
    return values.max()
"""

PROGRAM = """
import sys
import numpy as np
from functions import largest, total
from submit.metrics.cached import load_cached

values = np.arange(4.0)
print(load_cached(total, values))
print(total(values))
print("scipy.linalg" in sys.modules)
print(total(np.arange(3)), largest(values))
"""


@pytest.mark.skipif(version("numba") not in KNOWN, reason="not tried with this numba")
def test_a_cached_function_loads_without_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "program.py").write_text(PROGRAM)

    def run() -> list[str]:
        return subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()

    # Other types and other functions are compiled as ever, before and after.
    assert run() == ["False", "6.0", "True", "3.0", "3.0"]
    assert run() == ["True", "6.0", "False", "3.0", "3.0"]


def test_the_pinned_numba_is_one_of_the_known(repository: Path) -> None:
    pins = (repository / "constraints.txt").read_text().split()
    assert any(f"numba=={release}" in pins for release in KNOWN)
