"""Functions that numba compiles, with a cache of the machine code.

The first call after an installation compiles, which takes seconds; later ones load the
cache: beside the source, else in the user's cache folder, or in NUMBA_CACHE_DIR. If
none of these can be written, or its disk is full, every process compiles again. What a
power cut has damaged is compiled again, too.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

__all__ = ["CacheWarning", "compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])


class CacheWarning(UserWarning):
    """Compiled code cannot be cached."""


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile a function when it is first called; see `numba.njit` for the options.

    It runs without the interpreter lock.
    """

    def decorate(function: Function) -> Function:
        made: Function
        try:
            made = njit(cache=True, nogil=True, **options)(function)
            _forgive(made)
        except RuntimeError:  # numba found no place for its cache.
            _say_so()
            made = njit(nogil=True, **options)(function)
        return made

    return decorate


def _forgive(made: Any) -> None:
    """Let a full disk, or damaged files, under numba's cache fail no call.

    numba has no public place for this. Where its own one is another, these errors are
    raised as they were, and nothing else changes.
    """
    cache: Any = getattr(made, "_cache", None)
    load, save = (getattr(cache, f"{what}_overload", None) for what in ("load", "save"))
    if load is None or save is None:
        return

    def load_overload(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception:  # Damaged pickles raise exceptions of many types.
            with contextlib.suppress(OSError):
                cache.flush()
            return None

    def save_overload(*args: Any) -> None:
        try:
            save(*args)
        except OSError:
            _say_so()

    cache.load_overload, cache.save_overload = load_overload, save_overload


@functools.cache
def _say_so() -> None:
    """Warn once."""
    warnings.warn(
        "compiled code cannot be kept, so each command compiles for half a minute; "
        "name a folder that can be written in NUMBA_CACHE_DIR",
        CacheWarning,
        stacklevel=1,
    )
