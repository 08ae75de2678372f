"""Frames of a video, decoded ahead of the model by one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from .images import read_frame

__all__ = ["FrameReader"]

#: Frames decoded ahead: enough that the model does not wait for the decoder, and 50 MB
#: at 1920×1080 …
AHEAD = 8
#: … but fewer if the frames are so large that they need more bytes than this.
_MEMORY = 1 << 28


class FrameReader:
    """Iterates over the decoded frames of a video, in order.

    At most `ahead` frames are decoded in advance, fewer if they are huge. An error in
    the thread is raised at its frame; leaving the block ends the thread.

    with FrameReader(video.images, size=video.size) as frames:
        for stem, frame in frames:
            ...
    """

    def __init__(
        self,
        images: Mapping[str, Path],
        *,
        size: tuple[int, int] | None = None,
        ahead: int = AHEAD,
    ) -> None:
        if size is not None:
            ahead = max(1, min(ahead, _MEMORY // (3 * size[0] * size[1])))
        self._images = images
        self._size = size
        self._queue: queue.SimpleQueue[
            tuple[str, NDArray[np.uint8]] | BaseException | None
        ] = queue.SimpleQueue()
        self._free = threading.Semaphore(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decode, daemon=True)

    def __enter__(self) -> FrameReader:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self._free.release()
            yield item

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._free.release()
        self._thread.join()

    def _decode(self) -> None:
        """Run in the thread: wait for a free place, then decode into it."""
        try:
            for stem, path in self._images.items():
                self._free.acquire()
                if self._stop.is_set():
                    return
                self._queue.put((stem, read_frame(path, self._size)))
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)
