"""Frames of a video, decoded ahead of the model by one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SplitError

__all__ = ["FrameReader", "read_frame"]

#: Frames decoded and not yet used: enough to hide the decoder behind the model, and
#: 50 MB at 1920×1080.
AHEAD = 8


def read_frame(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        path: A JPEG or PNG file.
        size: Height and width that it must have.

    Returns:
        H×W×3 uint8 RGB.

    Raises:
        SplitError: It is unreadable, truncated or of another size.
    """
    try:
        with Image.open(path) as image:
            frame = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SplitError(
            f"{path}: cannot be decoded ({error}); extract the split again"
        ) from error
    if size is not None and frame.shape[:2] != size:
        raise SplitError(
            f"{path}: expected {size[1]}×{size[0]} pixels as in the first frame, found "
            f"{frame.shape[1]}×{frame.shape[0]}"
        )
    return frame


class FrameReader:
    """Iterates over the decoded frames of a video, in order.

    At most `ahead` frames wait decoded. An error in the thread reaches the consumer at
    the frame it belongs to; leaving the block ends the thread.

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
