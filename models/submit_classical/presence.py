"""Presence of an object: whether it is visible, and the confidence in its place."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Presence"]

#: A match below this share of the usual one counts as lost; a little above, doubtful.
_LOST = 0.6
_DOUBTFUL = 0.7
#: Mean score of a mask's pixels that is enough alone, and that needs a match too.
_CONVINCING = 0.35
_PASSABLE = 0.15


@dataclass
class Presence:
    """The evidence for one object, updated frame by frame.

    Attributes:
        share: Area of the mask as a share of the whole object's area.
        quality: Mean score of the mask's pixels by the first frame's model, about ±1.
        match: Score of the object's pose; 1 is that of the first frame.
        usual: Slow average of `match` in frames without doubt.
        lost: For how many frames the match has been too low.
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
        """Whether the object may be at another place."""
        return self.share < 0.5 or self.match < _DOUBTFUL * self.usual

    @property
    def trust(self) -> float:
        """In [0, 1]: confidence that what moves at the object's place is the object."""
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
        """The decision with its strength; > 0 means visible."""
        if self.visible:
            return 1 + 7 * min(max(self.quality, 0.0), 1.0) * min(1.0, self.share / 0.3)
        return -2 - 6 * (1 - min(max(self.match / self.usual, 0.0), 1.0))

    def place(self, match: float) -> None:
        """Take the score of the pose found in this frame."""
        self.match = match
        sure = match > _LOST * self.usual
        if sure and self.share > 0.7 and self.quality > 0.3:
            self.usual += 0.05 * (min(match, 1.0) - self.usual)
        self.lost = 0 if match >= _LOST * self.usual else self.lost + 1

    def judge(self, area: int, quality: float, size: float, *, shown: bool) -> None:
        """Decide from the mask found in this frame.

        Args:
            area: Pixels of the mask.
            quality: Mean score of those pixels.
            size: Side in pixels of a square of the whole object's area.
            shown: Whether a prompt says that the object is visible.
        """
        self.quality = quality
        placed = self.match > 0.4 * self.usual
        self.visible = area > 0.01 * size**2 and (
            shown or quality > _CONVINCING or (quality > _PASSABLE and placed)
        )
        self.share = area / size**2 if self.visible else 0.0
