"""Take compiled functions from numba's cache without starting its compiler."""

from __future__ import annotations

from typing import Any

__all__ = ["load_cached"]

#: Releases of numba with which the shortcut is known to work; any other one takes the
#: ordinary way. It reaches into numba, so a new release has to be tried before it is
#: added (tests/metrics/test_cached.py does).
KNOWN = frozenset({"0.68.1"})


def load_cached(function: Any, *arguments: object) -> bool:
    """Load the version of a compiled function for such arguments from the cache.

    On a function's first call numba imports and registers everything that it could
    compile, SciPy's linear algebra included, and only then looks into its cache. That
    takes half a second, which is most of a small job.

    Args:
        function: What `numba.njit(cache=True)` returned.
        arguments: Arguments of the types that the function will be called with.

    Returns:
        Whether the function is ready. If not, its first call will compile it or load it
        the ordinary way.
    """
    import numba

    if numba.__version__ not in KNOWN:
        return False
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.runtime.nrt import rtsys

    signature = tuple(map(numba.typeof, arguments))
    with global_compiler_lock:
        if signature in function.overloads:
            return True
        context = function.targetctx
        # Reference counts and the like, which compiled code calls.
        rtsys.initialize(context)
        compiled = function._cache._load_overload(signature, context)
        if compiled is None:
            return False
        function.add_overload(compiled)
        return True
