from __future__ import annotations

import subprocess
import sys

import pytest

FAREWELL = """
from submit.system.machine import end_quickly

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("found")

{call}
cycle = Cycle()
print("done")
"""


@pytest.mark.parametrize(
    ("call", "lines"), [("", ["done", "found"]), ("end_quickly()", ["done"])]
)
def test_the_last_search_for_garbage_is_left_out(call: str, lines: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAREWELL.format(call=call)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == lines
    assert done.stderr == ""
