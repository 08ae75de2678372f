"""The processes of a training: one, or one for each GPU, as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TrainingError
from ..executors.devices import require_device

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Ranks", "joined"]

T = TypeVar("T")

#: Bytes of gradients that are sent at a time.
_PIECE = 1 << 26


@dataclass(frozen=True)
class Ranks:
    """This process among all.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        device: Where this one computes.
    """

    rank: int
    world: int
    device: str

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def add(self, numbers: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place."""
        if self.world > 1:
            import torch.distributed

            torch.distributed.all_reduce(numbers)
        return numbers

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Add up gradients over all processes.

        A parameter has none afterwards if it had none in any process.
        """
        if self.world == 1:
            return
        import torch

        found = torch.tensor(
            [float(each.grad is not None) for each in parameters],
            device=parameters[0].device,
        )
        used = [
            each
            for each, count in zip(parameters, self.add(found).tolist(), strict=True)
            if count
        ]
        for each in used:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        for piece in _pieces(used):
            flat = torch.cat(
                [each.grad.flatten() for each in piece if each.grad is not None]
            )
            self.add(flat)
            begin = 0
            for each in piece:
                each.grad = flat[begin : begin + each.numel()].view_as(each)
                begin += each.numel()

    def share(self, value: T) -> T:
        """Send a value of the first process to all."""
        if self.world == 1:
            return value
        import torch.distributed

        values: list[Any] = [value]
        torch.distributed.broadcast_object_list(values)
        shared: T = values[0]
        return shared

    def gather(self, value: T) -> list[T]:
        """Collect the values of all processes in each of them."""
        if self.world == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values


def _pieces(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Group tensors so that none of the groups is large."""
    piece: list[Tensor] = []
    size = 0
    for each in tensors:
        piece.append(each)
        size += each.numel() * each.element_size()
        if size >= _PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun has started; alone without torchrun.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        TrainingError: There are more processes than GPUs.
        PredictorError: The device is not there.
    """
    import torch

    require_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = (
        int(os.environ.get("RANK", "0")),
        int(os.environ.get("LOCAL_RANK", "0")),
    )
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if world == 1:
        yield Ranks(
            0, 1, ("cuda:0" if device in ("auto", "cuda") else device) if gpu else "cpu"
        )
        return
    if gpu and local >= torch.cuda.device_count():
        raise TrainingError(
            f"process {rank} of {world} has no GPU of its own: this machine has "
            f"{torch.cuda.device_count()}; start torchrun with --nproc-per-node "
            f"{torch.cuda.device_count()}, or say --device cpu"
        )
    own = f"cuda:{local}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(own)
    torch.distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield Ranks(rank, world, own)
    finally:
        torch.distributed.destroy_process_group()
