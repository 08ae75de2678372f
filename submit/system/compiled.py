"""Functions that numba compiles, with a cache of the machine code.

The first call after an installation compiles, which takes seconds; later ones load the
cache: beside the source, else in the user's cache folder, or in NUMBA_CACHE_DIR. If
none of these can be written, every process compiles again.
"""

from __future__ import annotations

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
        except RuntimeError:  # numba found no place for its cache.
            _say_so()
            made = njit(nogil=True, **options)(function)
        return made

    return decorate


@functools.cache
def _say_so() -> None:
    """Warn once."""
    warnings.warn(
        "compiled code cannot be kept, so each command compiles for half a minute; "
        "name a folder that can be written in NUMBA_CACHE_DIR",
        CacheWarning,
        stacklevel=1,
    )
