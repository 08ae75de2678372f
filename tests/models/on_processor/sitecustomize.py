"""Lets Cutie and XMem, which are written for CUDA, run on a processor.

Python imports this file at its start where its folder is in PYTHONPATH. ResNets get
random weights instead of downloads, which the weights of the program replace.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.utils.model_zoo


class _Event:
    """A point in time that is not measured."""

    def __init__(self, **options: Any) -> None:
        del options

    def record(self) -> None:
        """Do nothing."""

    def elapsed_time(self, other: _Event) -> float:
        """Return any time."""
        del other
        return 1.0


def _stay(self: Any, *device: Any, **options: Any) -> Any:
    """Stay on the processor."""
    del device, options
    return self


def _random(url: str, **options: Any) -> Any:
    """Random weights of the ResNet at an address."""
    del options
    import torchvision  # type: ignore[import-not-found]

    name = url.rpartition("/")[2].partition("-")[0]
    return getattr(torchvision.models, name)(weights=None).state_dict()


cuda: Any = torch.cuda
cuda.synchronize = cuda.reset_peak_memory_stats = lambda *device: None
cuda.max_memory_allocated = lambda *device: 0
cuda.Event = _Event
for kind in (torch.Tensor, torch.nn.Module):
    setattr(kind, "cuda", _stay)  # noqa: B010
zoo: Any = torch.utils.model_zoo
zoo.load_url = _random
