"""Loading clips in worker processes, in order.

Workers share the numbers of the clips; what they make does not depend on how many there
are. One that is killed is replaced, and its clips are made again.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import SubmitError, TrainingError
from .maker import ClipMaker, ClipSample

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

__all__ = ["load_clips"]

#: Clips that each worker makes ahead.
_AHEAD = 2
#: How often workers may be killed, one after the other, before training ends.
_DEATHS = 3
#: Memory that processes share, on Linux.
_SHARED = "/dev/shm"


def load_clips(
    maker: ClipMaker, numbers: Sequence[int], *, workers: int, clip_bytes: int = 0
) -> Iterator[ClipSample]:
    """Make clips in order.

    Args:
        maker: Makes them.
        numbers: Their numbers, in order.
        workers: Number of processes; 0 makes clips in this one.
        clip_bytes: Size of a clip, to check that the shared memory suffices.

    Raises:
        TrainingError: Workers are killed again and again, or see `ClipMaker`.
    """
    workers = _affordable_workers(workers, clip_bytes) if workers else 0
    if not workers:
        yield from map(maker.__getitem__, numbers)
        return
    done = deaths = 0
    while done < len(numbers):
        try:
            for found in _start(_loader(maker, numbers[done:], workers)):
                if isinstance(found, SubmitError):
                    raise found
                images, labels, *rest = found
                deaths = 0
                done += 1
                yield ClipSample(images.numpy(), labels.numpy(), *rest)
        except (RuntimeError, ConnectionError, EOFError) as error:
            if not _tells_of_a_death(error):
                raise
            deaths += 1
            if deaths > _DEATHS:
                raise TrainingError(
                    f"worker processes that load clips exited unexpectedly {deaths} "
                    "times in a row; the system kills processes when memory runs out: "
                    "use fewer --workers"
                ) from error
            warnings.warn(
                "a worker process that loads clips exited unexpectedly; it is "
                "replaced, and its clips are made again",
                stacklevel=2,
            )


def _loader(maker: ClipMaker, numbers: Sequence[int], workers: int) -> DataLoader[Any]:
    import torch
    from torch.utils.data import DataLoader

    clips: Any = _Clips(maker)  # A data set in all but name, without importing torch.
    return DataLoader(
        clips,
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        # Neither threads nor CUDA survive a fork.
        multiprocessing_context="spawn",
        worker_init_fn=_prepare,
        # Otherwise a number is taken from the generator of this process.
        generator=torch.Generator(),
    )


def _start(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the workers of a loader.

    PyTorch installs a signal handler from the main thread, which raises an error in
    any line of that thread when a worker ends: in a step of the training, too. From
    another thread it installs none, and finds that a worker has ended when it waits for
    its clip.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(iter, loader).result()


def _tells_of_a_death(error: Exception) -> bool:
    """Whether an error says that a worker was killed, and not that its code failed.

    A clip is in memory that its worker shares until it is taken; a worker that is
    killed before refuses or breaks the connection.
    """
    text = str(error)
    if text.startswith("Caught "):  # PyTorch's start of an error in a worker.
        return False
    return not isinstance(error, RuntimeError) or "DataLoader worker" in text


class _Clips:
    """Clips as PyTorch's loader takes them.

    Tensors travel through shared memory, where arrays would be copied into a pipe;
    errors are returned unchanged, without the traceback of the worker.
    """

    def __init__(self, maker: ClipMaker) -> None:
        self._maker = maker

    def __getitem__(self, number: int) -> tuple[Any, ...] | SubmitError:
        import torch

        try:
            found = self._maker[number]
        except SubmitError as error:
            return error
        images, labels = torch.from_numpy(found.images), torch.from_numpy(found.labels)
        return images, labels, found.objects, found.name, found.problems

    def __len__(self) -> int:
        return len(self._maker)


def _prepare(worker: int) -> None:
    """Let a worker compute with one thread."""
    import cv2

    del worker
    cv2.setNumThreads(1)


def _affordable_workers(workers: int, clip_bytes: int) -> int:
    """The number of workers whose clips fit into the shared memory; at most `workers`.

    Containers often have only 64 MB of it. A process that writes more is killed.
    """
    if not os.path.isdir(_SHARED) or not clip_bytes:
        return workers
    free = shutil.disk_usage(_SHARED).free
    # Those that are ready, and one that is being made.
    fitting = int(free // (clip_bytes * (_AHEAD + 1)))
    if fitting >= workers:
        return workers
    fewer = max(fitting, 0)
    warnings.warn(
        f"{_SHARED} has room for the clips of {fewer} of {workers} loading processes; "
        f"{fewer} are used (containers: give more with --shm-size)",
        stacklevel=3,
    )
    return fewer
