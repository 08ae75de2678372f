"""The machine: its cores, its memory, and the repository that a command runs in."""

from __future__ import annotations

import atexit
import errno
import functools
import gc
import os
import sys
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ProcessMemory",
    "cores",
    "end_quickly",
    "git_commit",
    "is_out_of_memory",
    "memory_available",
    "memory_in_use",
    "peak_memory",
    "process_memory",
    "release",
    "release_memory",
    "return_freed_memory",
]

#: Numbers of settings in malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_NO_MEMORY = "can't allocate memory"


@functools.cache
def end_quickly() -> None:
    """Let this process end without a last garbage collection.

    At its end Python searches all objects for cycles. After importing numba or torch
    that takes 0.2 to 0.5 s for nothing: the system frees the memory, and files are
    closed where they are opened.
    """
    atexit.register(gc.freeze)


def cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def release() -> str:
    """Name and version of this package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"mose-submit {version('mose-submit')}"
    except PackageNotFoundError:  # Run from a source tree.
        return "mose-submit"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, means that memory ran out.

    That of a GPU counts, too.
    """
    while error is not None:
        if (
            isinstance(error, MemoryError)
            # torch has a class of this name and must not be imported for it.
            or type(error).__name__ == "OutOfMemoryError"
            or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
            # What torch says of the memory of the processor.
            or (isinstance(error, RuntimeError) and _NO_MEMORY in str(error))
        ):
            return True
        error = error.__cause__
    return False


def release_memory() -> None:
    """Free what nothing refers to any more, on GPUs too."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def return_freed_memory() -> None:
    """Let this process give freed memory back to the system at once.

    glibc keeps what is freed for later, in blocks of up to 32 MB. Between tensors of
    many sizes that leaves gaps, which can take as much memory as they do. With this,
    blocks of 64 KB and more come from the system each time. Elsewhere it does nothing.
    """
    import ctypes

    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for number, size in ((_M_MMAP_THRESHOLD, 64 << 10), (_M_TRIM_THRESHOLD, 128 << 10)):
        change(number, size)


def memory_in_use() -> int:
    """Bytes of memory that this process takes; elsewhere than on Linux its most."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _most_memory()


def _most_memory() -> int:
    """Most bytes of memory that this process has taken so far."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory() -> dict[str, int]:
    """Most bytes of memory that this process has taken so far, on a GPU too.

    Returns:
        `peak_memory`, and `peak_gpu_memory` if PyTorch has used a GPU.
    """
    found = {"peak_memory": _most_memory()}
    # Without torch in use, do not import it.
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        found["peak_gpu_memory"] = torch.cuda.max_memory_allocated()
    return found


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes of memory of a process.

    Attributes:
        own: What only it has; several processes need it several times.
        shared: What it shares with others that run the same programs: libraries.
    """

    own: int
    shared: int


def process_memory() -> ProcessMemory:
    """The most memory that this process has taken; not on Linux, all is its own."""
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            found = dict(line.split(":", 1) for line in stream)
        peak, shared = (
            sum(int(found[key].split()[0]) for key in keys) * 1024
            for keys in (["VmHWM"], ["RssFile", "RssShmem"])
        )
        return ProcessMemory(peak - shared, shared)
    except (OSError, KeyError):
        return ProcessMemory(memory_in_use(), 0)


def memory_available() -> int | None:
    """Bytes of memory that programs may still take; None where that is not known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def git_commit() -> str | None:
    """The commit of the working directory's repository; None outside of one."""
    import subprocess

    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
