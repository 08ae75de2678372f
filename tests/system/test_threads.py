from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from submit.system.threads import prepared_threads, variables


def test_these_tests_compute_with_one_thread_as_the_command_does() -> None:
    import torch

    assert prepared_threads() == 1
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("setting", "untouched"),
    [
        ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT"}),
        ({"KMP_BLOCKTIME": "7"}, {"KMP_BLOCKTIME"}),
        ({"KMP_LIBRARY": "turnaround"}, {"KMP_BLOCKTIME"}),
        ({}, set()),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_how(
    setting: Mapping[str, str], untouched: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}
    for name in ways:
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    found = variables(3)
    assert found.keys() & ways == {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"} - untouched
    assert found["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("before", "count", "spins"),
    [("", "1", True), ("import numpy", "None", False)],
    ids=["nothing loaded", "NumPy loaded"],
)
def test_a_process_is_prepared_while_its_libraries_are_not_loaded(
    before: str, count: str, spins: bool
) -> None:
    program = (
        f"{before}\nimport os\nfrom submit.system import threads\n"
        "threads.prepare_threads()\nthreads.prepare_threads()\n"
        "print(threads.prepared_threads(), 'GOMP_SPINCOUNT' in os.environ)"
    )
    environment = dict(os.environ)
    environment.pop("GOMP_SPINCOUNT", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [count, str(spins)]
