"""Decide whether an object is visible, and how reliable its position is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Presence"]

#: The match relative to its usual value: below the first, an object counts as lost;
#: below the second, its position is doubtful.
_LOST = 0.6
_DOUBTFUL = 0.7
#: Mean score of a mask's pixels that is sufficient alone; and with a good match.
_CONVINCING = 0.35
_PASSABLE = 0.15


@dataclass
class Presence:
    """The evidence for one object, updated frame by frame.

    Attributes:
        share: Area of the mask relative to the area of the whole object.
        quality: Mean score of the mask's pixels by the first frame's model, about ±1.
        match: Score of the object's pose; 1 is that of the first frame.
        usual: Slow moving average of `match` over frames that are not doubtful.
        lost: Number of frames for which the match has been too low.
        visible: The decision.
    """

    share: float = 1.0
    quality: float = 1.0
    match: float = 1.0
    usual: float = 1.0
    lost: int = 0
    visible: bool = True

    @property
    def doubtful(self) -> bool:
        """Whether the object may be at another position."""
        return self.share < 0.5 or self.match < _DOUBTFUL * self.usual

    @property
    def trust(self) -> float:
        """Confidence in [0, 1] that the pixels that move there belong to the object."""
        return min(max((self.match / self.usual - 0.4) / 0.3, 0.0), 1.0)

    @property
    def teaches(self) -> bool:
        """Whether the appearance model should learn from this frame."""
        return self.share > 0.4 and self.quality > 0.0

    @property
    def typical(self) -> bool:
        """Whether the mask shows the object's usual shape."""
        return 0.7 < self.share < 1.4 and self.quality > 0.2

    @property
    def logit(self) -> float:
        """The decision as a logit; above 0 the object is visible."""
        if self.visible:
            return 1 + 7 * min(max(self.quality, 0.0), 1.0) * min(1.0, self.share / 0.3)
        return -2 - 6 * (1 - min(max(self.match / self.usual, 0.0), 1.0))

    def place(self, match: float) -> None:
        """Update with the score of the pose that was found in this frame."""
        self.match = match
        sure = match > _LOST * self.usual
        if sure and self.share > 0.7 and self.quality > 0.3:
            self.usual += 0.05 * (min(match, 1.0) - self.usual)
        self.lost = 0 if match >= _LOST * self.usual else self.lost + 1

    def judge(self, area: int, quality: float, size: float, *, shown: bool) -> None:
        """Decide whether the object is visible, from its mask in this frame.

        Args:
            area: Pixels of the mask.
            quality: Mean score of those pixels.
            size: Side in pixels of a square with the area of the whole object.
            shown: Whether a prompt says that the object is visible.
        """
        self.quality = quality
        placed = self.match > 0.4 * self.usual
        self.visible = area > 0.01 * size**2 and (
            shown or quality > _CONVINCING or (quality > _PASSABLE and placed)
        )
        self.share = area / size**2 if self.visible else 0.0
