"""When the state of a video is saved, so that little is lost if its worker dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..predictors import Remark, State
from ..runs import Checkpoint
from ..system.machine import is_out_of_memory
from ..system.refusals import explain
from ..system.warned import say

__all__ = ["Saver", "Unusable"]

#: Seconds of work that may be lost. Most videos end before, and never save anything.
EVERY = 60.0

#: Largest share of the time that saving may take. The state of ten objects of SAM 2, of
#: 37 MB, takes 0.1 s on a local disk. On a slow network disk, or with the many masks
#: that `sam2long` holds back, states are saved less often.
SHARE = 0.02


class Unusable(Exception):
    """A checkpoint cannot be used; the message says why, in a few words."""


class Saver:
    """Saves the state of one video from time to time.

    Args:
        path: The file or folder that is made of the video.
        video: Its name, for warnings.
        fingerprint: Digest of everything that decides the result.
        clock: Returns seconds.

    Attributes:
        path: That file or folder.
    """

    def __init__(
        self,
        path: Path,
        video: str,
        fingerprint: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._checkpoint = Checkpoint(path, fingerprint)
        self._is_saved = False
        self._video, self._clock = video, clock
        self._can = True
        self._next = clock() + EVERY

    def read(self) -> dict[str, Any] | None:
        """What was saved before; None if there is nothing that can be used."""
        try:
            found = self._checkpoint.read()
            self._is_saved = found is not None
            return found
        except ValueError as error:
            self.discard(str(error))
            return None

    def discard(self, why: str) -> None:
        """Delete what was saved before, with a warning."""
        say(
            f"{self._video}: its checkpoint {why}; it begins at its first frame", Remark
        )
        self.delete()

    def delete(self) -> None:
        """Delete what was saved, if anything was."""
        # The result is more important than what is left beside it.
        with suppress(OSError):
            self._checkpoint.delete()

    def offer(
        self,
        state: Callable[[], State | None],
        settle: Callable[[], None],
        content: Callable[[State], tuple[Mapping[str, Any], list[str]]],
    ) -> None:
        """Save the state if it is time to; a failure is a warning.

        Args:
            state: Returns the state of the session; None if it cannot be continued.
            settle: Waits until all results so far are on the disk. Its errors are
                raised: they concern the results.
            content: Makes what is saved, and the names of files that it needs, from
                the state.
        """
        if not self._can or self._clock() < self._next:
            return
        began = self._clock()
        self._next = began + EVERY
        try:
            found = state()
        except Exception as error:
            self._give_up(error)
            return
        if found is None:
            self._can = False
            return
        settle()
        self._save(lambda: content(found))
        now = self._clock()
        self._next = now + max(EVERY, (now - began) / SHARE)

    def renew(self, content: Callable[[], tuple[Mapping[str, Any], list[str]]]) -> None:
        """Save at once if anything is saved, since its files have changed.

        Args:
            content: See `offer`.
        """
        if self._is_saved:
            self._save(content)

    def _save(self, content: Callable[[], tuple[Mapping[str, Any], list[str]]]) -> None:
        try:
            made, names = content()
            self._checkpoint.write(dict(made), keeps=names)
            self._is_saved = True
        except (OSError, StorageError) as error:
            self._tell(error)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Save no more, unless memory ran out: that may be otherwise next time."""
        self._can = is_out_of_memory(error)
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        if is_out_of_memory(error):
            reason = "memory ran out"
        else:
            known = explain(error) if isinstance(error, OSError) else None
            reason = (known or str(error) or type(error).__name__).partition("\n")[0]
        say(
            f"{self._video}: its state could not be saved ({reason}); if its worker "
            "dies, it begins at an earlier frame",
            Remark,
        )
