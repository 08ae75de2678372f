"""What memory policies may ask about a frame, computed when they ask.

Policies see plain numbers: see `Offer` and `Sighting` in memory/policy.py. Facts that
no policy asks for are not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional as F

from .memory import PixelBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model import Seen
    from .network import Candidates

__all__ = ["Offers", "Sightings"]


class Offers:
    """What the mask decoder offers for N recalls."""

    def __init__(
        self,
        decoded: Candidates,
        *,
        draw: Callable[[Any], Tensor],
        side: int,
        threshold: float,
    ) -> None:
        """Offer.

        Args:
            decoded: From the mask decoder.
            draw: Draws the logits K×3×h×w of K of them.
            side: Of the network's input.
            threshold: An object is in the frame where its presence is above this.
        """
        self._decoded, self._draw = decoded, draw
        self._side, self._threshold = side, threshold

    @cached_property
    def presence(self) -> list[float]:
        """Logits of being in the frame: N."""
        return self._decoded.presence.float().tolist()

    @cached_property
    def ious(self) -> list[tuple[float, ...]]:
        """Predicted IoU of the candidates: N×3."""
        return [tuple(row) for row in self._decoded.ious.float().tolist()]

    @cached_property
    def logits(self) -> Tensor:
        """Logits of the candidates: N×3×h×w."""
        return self._draw(self._decoded)

    def box(self, row: int, candidate: int) -> PixelBox | None:
        """Box of a candidate at the input's resolution; None: it is empty."""
        if self.presence[row] <= self._threshold:
            return None
        logits = self.logits[row, candidate, None]
        mask = _enlarge(logits, (self._side, self._side))[0] > 0
        return _span(*(mask.any(axis).cpu().numpy() for axis in (0, 1)))

    def of(self, row: int) -> OneOffer:
        """Facts of one recall."""
        return OneOffer(self, row)


@dataclass(frozen=True)
class OneOffer:
    """See `Offer` in memory/policy.py."""

    _all: Offers
    _row: int

    @property
    def presence(self) -> float:
        """Logit of the object being there."""
        return self._all.presence[self._row]

    @property
    def ious(self) -> tuple[float, ...]:
        """Predicted IoU of each candidate mask, in [0, 1]."""
        return self._all.ious[self._row]

    def box(self, candidate: int) -> PixelBox | None:
        """Box of a candidate mask at the input's resolution; None: it is empty."""
        return self._all.box(self._row, candidate)


class Sightings:
    """What was seen of N objects."""

    def __init__(
        self,
        seen: Seen,
        *,
        others: Callable[[int], Tensor] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """See.

        Args:
            seen: Of the objects.
            others: Draws all candidates of an object: 3×h×w logits; None where no
                policy asks for rivals.
            size: Height and width of the video; None where no policy asks for it.
        """
        self._seen, self._others, self._size = seen, others, size

    @cached_property
    def presence(self) -> list[float]:
        """Logits of being in the frame: N."""
        return self._seen.presence.tolist()

    @cached_property
    def iou(self) -> list[float]:
        """Predicted IoU of the masks: N."""
        return self._seen.iou.tolist()

    @cached_property
    def quality(self) -> list[float]:
        """How good the masks seem: N."""
        return self._seen.quality().tolist()

    @cached_property
    def visible(self) -> list[bool]:
        """Whether the masks have a pixel: N."""
        pixels: list[bool] = (self._seen.logits > 0).flatten(1).any(1).tolist()
        return pixels

    def mask(self, row: int) -> NDArray[np.bool_]:
        """An object's mask at the video's resolution."""
        mask: NDArray[np.bool_] = self._at_video(self._seen.logits[row, None])[0]
        return mask

    def rivals(self, row: int) -> tuple[float, ...]:
        """How far the other candidates reach beyond an object's mask."""
        assert self._others is not None
        chosen = self.mask(row)
        width, height = _sides(chosen)
        found = []
        for mask in self._at_video(self._others(row)):
            beyond = mask & ~chosen
            # The candidate that was chosen has no pixels beyond itself.
            if beyond.any():
                wide, high = _sides(chosen | _largest_piece(beyond))
                # Boxes without an extent are all the same to the toolkit.
                flat = min(wide, high) <= 1
                found.append(1.0 if flat else width * height / (wide * high))
        return tuple(found)

    def _at_video(self, logits: Tensor) -> NDArray[np.bool_]:
        """Masks K×H×W of K×h×w logits."""
        assert self._size is not None
        masks = (_enlarge(logits, self._size) > 0).cpu().numpy()
        return np.asarray(masks, bool)

    def of(self, row: int) -> OneSighting:
        """Facts of one object."""
        return OneSighting(self, row)


@dataclass(frozen=True)
class OneSighting:
    """See `Sighting` in memory/policy.py."""

    _all: Sightings
    _row: int

    @property
    def presence(self) -> float:
        """Logit of the object being there."""
        return self._all.presence[self._row]

    @property
    def iou(self) -> float:
        """Predicted IoU of the mask, in [0, 1]."""
        return self._all.iou[self._row]

    @property
    def quality(self) -> float:
        """How good the mask seems, in [0, 1]; 0 where it is empty."""
        return self._all.quality[self._row]

    @property
    def visible(self) -> bool:
        """Whether the mask has a pixel, at a quarter of the input's resolution."""
        return self._all.visible[self._row]

    @property
    def area(self) -> int:
        """Pixels of the mask at the video's resolution."""
        return int(self._all.mask(self._row).sum()) if self.visible else 0

    @property
    def rivals(self) -> tuple[float, ...]:
        """How far the masks that were not chosen reach beyond the one that was."""
        return self._all.rivals(self._row)


def _enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize K×h×w logits as the official predictor does."""
    return F.interpolate(
        logits[:, None].float(), size=size, mode="bilinear", align_corners=False
    )[:, 0]


def _span(across: NDArray[Any], down: NDArray[Any]) -> PixelBox | None:
    """Box of a mask of which is known what columns and rows it has pixels in."""
    columns, rows = np.flatnonzero(across), np.flatnonzero(down)
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _sides(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Width and height of a mask's box, from its first pixels to its last.

    The last do not count, as in the toolkit that DAM4SAM measures overlap with:
    vot/region of vot-toolkit 0.7.1.
    """
    box = _span(np.any(mask, 0), np.any(mask, 1))
    if box is None:
        return 0, 0
    left, top, right, bottom = box
    return right - left, bottom - top


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 8-connected piece of a mask that is not empty."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    piece: NDArray[np.bool_] = labels == 1 + facts[1:, cv2.CC_STAT_AREA].argmax()
    return piece
