"""Choose device, precision and batch size, and explain errors of full memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from submit.errors import PredictorError

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import torch

__all__ = ["choose_batch", "choose_dtype", "explained", "find_device"]

#: Most objects that the network processes together.
_BATCH = 8

#: Bytes that one object needs on its way through the network, for each cell of the
#: coarsest features: measured at its peak, in the memory attention, and rounded up.
_BYTES_PER_CELL = 102_400


def find_device(name: str) -> torch.device:
    """Find a device.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        PredictorError: It is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PredictorError(
            f"device {name!r}: expected auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PredictorError(
            f"device {name}: is not there; this machine has "
            f"{torch.cuda.device_count()} CUDA devices that PyTorch "
            f"{torch.__version__} can use; say --device cpu, or install the PyTorch "
            "build for your GPU"
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Choose the precision: bfloat16 if the hardware supports it directly.

    Args:
        name: `float32`, `bfloat16`, or `auto` for the faster one.
        device: The device of the network.
    """
    import torch

    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and _cpu_has_matrix_units()
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_matrix_units() -> bool:
    """Whether the processor has tile registers for bfloat16 (Intel AMX)."""
    import torch

    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check and check())


def choose_batch(cells: int, device: torch.device) -> int:
    """Choose the number of objects that the network processes together.

    Products of another size are added up in another order. So it follows the hardware
    and not what is free at the moment: half of the memory of a GPU.

    Args:
        cells: Of the coarsest features of a frame.
        device: Where the network runs.
    """
    import torch

    if device.type != "cuda":
        return _BATCH
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(_BATCH, memory // 2 // (_BYTES_PER_CELL * cells)))


@contextlib.contextmanager
def explained(model: str, image_size: int) -> Iterator[None]:
    """Turn an error of full memory into a message with a solution.

    Args:
        model: The network's name, for the message.
        image_size: Side of its input, for the message.

    Raises:
        PredictorError: Memory ran out.
    """
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
            "can't allocate memory" in str(error)
        )
        if not out_of_memory:
            raise
        raise PredictorError(
            f"{model} at image_size={image_size} ran out of memory; "
            "continue this run with a smaller -o batch (such as batch=1) or fewer "
            "--workers; or begin another one (--name) with -o dtype=bfloat16, a "
            "smaller -o image_size or a smaller network, which give other masks"
        ) from error
