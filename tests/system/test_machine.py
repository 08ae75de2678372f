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


FREED = """
import numpy as np
from submit.system.machine import memory_in_use, return_freed_memory

return_freed_memory()
# Blocks of many sizes, of which those between stay.
before = memory_in_use()
blocks = [np.ones(((8 + number % 9) << 20) // 8) for number in range(60)]
full = memory_in_use() - before
del blocks[::2]
print((memory_in_use() - before) / full)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_memory_between_other_blocks_goes_back_when_it_is_freed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREED], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.6
