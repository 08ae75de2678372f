"""What a test-time augmentation is.

An augmentation is one file in `submit/augment/augmentations/`: a frozen dataclass with
its value, if it takes one, and the session that shows the model another view.
`--variant` and `--tta` accept its name, and docs/methods.md lists it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..predictors import AnySession, Video
from ..system.registry import Registry

__all__ = ["AUGMENTATIONS", "Augmentation"]


class Augmentation:
    """One augmentation; a subclass is a frozen dataclass of at most one setting.

    Attributes:
        name: How it is written, alone or with `=` and its value.
        order: Its place in the text of a variant.
        depth: Its place around the model: the lowest changes frames last, right before
            the model sees them.
        keeps_frames: Whether the model sees the frames as they are in their files.
        at_once: Whether it needs the prediction of a frame before the next one, which a
            delayed model does not have.
        metavar: The value in help; empty for one without a value.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    depth: ClassVar[int]
    keeps_frames: ClassVar[bool] = False
    at_once: ClassVar[bool] = False
    metavar: ClassVar[str] = ""

    @property
    def scale(self) -> float:
        """Input resolution of the model as a multiple of its usual one."""
        return 1.0

    def session(
        self, video: Video, open_session: Callable[[int], AnySession]
    ) -> AnySession:
        """Open a video as the augmentation shows it, logits in the video's geometry.

        Args:
            video: The video.
            open_session: Opens the model, or the next inner augmentation, for so many
                frames.
        """
        return open_session(video.length)


#: All augmentations by name.
AUGMENTATIONS: Registry[type[Augmentation]] = Registry("submit.augment.augmentations")
