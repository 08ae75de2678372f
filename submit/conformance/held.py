"""The memory that a model holds, counted in its objects and not in the process.

A process keeps memory that was freed, and gets it in large steps. What Python, NumPy
and PyTorch hold is exact, so that a leak of a kilobyte per frame shows after few
frames.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["counted_memory", "held", "with_gradients"]


@contextmanager
def counted_memory() -> Iterator[None]:
    """Let Python count what it allocates while the block runs.

    What is there before is set aside, so that it need not be searched each time.
    """
    started = not tracemalloc.is_tracing()
    gc.collect()
    gc.freeze()
    if started:
        tracemalloc.start()
    try:
        yield
    finally:
        if started:
            tracemalloc.stop()
        gc.unfreeze()


def held() -> int:
    """Bytes that were allocated in `counted_memory` and are in use.

    They are those of Python and NumPy, and of tensors on every device.
    """
    gc.collect()
    storages: dict[object, int] = {}
    for tensor in _tensors():
        storage = tensor.untyped_storage()
        storages[tensor.device, storage.data_ptr()] = storage.nbytes()
    return tracemalloc.get_traced_memory()[0] + sum(storages.values())


def with_gradients() -> int:
    """Number of tensors that keep all from which they were computed."""
    return sum(tensor.grad_fn is not None for tensor in _tensors())


def _tensors() -> list[Any]:
    """All tensors with memory of their own; none where PyTorch is not in use."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return []
    return [
        one
        for one in gc.get_objects()
        if issubclass(type(one), torch.Tensor)
        and one.layout == torch.strided
        and one.device.type != "meta"
    ]
