"""Threads of the numeric libraries: their number, and how idle threads wait.

A matrix product that is split among threads is summed in another order, which changes
last bits and sometimes pixels. So the number of threads does not depend on the machine
or on the environment. The libraries read environment variables when they are loaded;
for some of them the number cannot be changed later. So a process sets the variables
before it loads the libraries, or starts another process with `variables`.

An idle thread first polls for a while, and then sleeps. Polling is fast if the thread
has its own core. Otherwise it takes time from other threads, also from the thread that
it waits for. So threads poll only for a short time.
"""

from __future__ import annotations

import os
import sys

__all__ = ["prepare_threads", "prepared_threads", "variables"]

#: Libraries that read the variables when they are loaded.
_LIBRARIES = ("cv2", "numba", "numpy", "scipy", "torch")

#: Variables that hold the number of threads.
_COUNTS = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

_FIXED = {
    # These take no more threads than there are cores: one is the same everywhere.
    "BLIS_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # No library may take fewer threads than it is given, or give some to each thread.
    "MKL_DYNAMIC": "FALSE",
    "OMP_DYNAMIC": "FALSE",
    "OMP_MAX_ACTIVE_LEVELS": "1",
    "OMP_THREAD_LIMIT": "1024",
}

#: How long an idle thread polls, by library, and what else would set it: for libgomp
#: the number of looks, for the OpenMP of LLVM and Intel milliseconds.
_WAITING = {
    "GOMP_SPINCOUNT": ("2000", ("OMP_WAIT_POLICY",)),
    "KMP_BLOCKTIME": ("0", ("OMP_WAIT_POLICY", "KMP_LIBRARY")),
}

_prepared: int | None = None


def prepare_threads() -> None:
    """Let this process compute with one thread, and wait briefly.

    Nothing happens where a numeric library is loaded already.
    """
    global _prepared
    if _prepared is None and not any(name in sys.modules for name in _LIBRARIES):
        os.environ.update(variables(1))
        _prepared = 1


def prepared_threads() -> int | None:
    """Number of threads that jobs compute with in this process; None if not fixed."""
    return _prepared


def variables(threads: int) -> dict[str, str]:
    """The variables of a process whose jobs compute with so many threads.

    How threads wait is left as it is where the user has set it.
    """
    waiting = {
        name: value
        for name, (value, others) in _WAITING.items()
        if not any(each in os.environ for each in (name, *others))
    }
    if "MKL_DOMAIN_NUM_THREADS" in os.environ:  # It would count more than the others.
        waiting["MKL_DOMAIN_NUM_THREADS"] = f"MKL_DOMAIN_ALL={threads}"
    return {**dict.fromkeys(_COUNTS, str(threads)), **_FIXED, **waiting}
