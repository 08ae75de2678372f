"""What is done to the shapes in one mask: parts, holes, gaps; inside boxes only."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..masks import Labels
from ..masks.regions import boxes
from .settings import Postprocess

__all__ = ["tidy"]


class _Box(NamedTuple):
    """Rows and columns, the ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of an H×W array in this box, as a view."""
        return array[self.top : self.bottom, self.left : self.right]

    def grown(self, by: int, shape: tuple[int, ...]) -> _Box:
        """This box with a margin, within a label map."""
        return _Box(
            max(self.top - by, 0),
            min(self.bottom + by, shape[0]),
            max(self.left - by, 0),
            min(self.right + by, shape[1]),
        )

    def common(self, other: _Box) -> _Box:
        """What two boxes share; empty where they share nothing."""
        return _Box(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.top >= self.bottom or self.left >= self.right


def tidy(labels: Labels, settings: Postprocess) -> None:
    """Change the shapes in a label map, in place.

    Args:
        labels: H×W uint8 object ids.
        settings: Which shapes are too small.
    """
    places = _places(labels)
    if settings.components or settings.min_area:
        for key, box in places.items():
            _remove_parts(box.of(labels), key, settings)
    if settings.holes:
        for key, box in places.items():
            _fill_holes(box.of(labels), key, settings.holes)
    if settings.gaps:
        _close_gaps(labels, _places(labels), settings.gaps)


def _places(labels: Labels) -> dict[int, _Box]:
    """The box of each object, by id, ascending."""
    found = boxes(labels)
    return {
        key: _Box(*found[key, 1:].tolist())
        for key in np.flatnonzero(found[:, 0]).tolist()
        if key
    }


def _remove_parts(labels: Labels, key: int, settings: Postprocess) -> None:
    """Remove small parts of an object, and then the object if too little is left."""
    mask = labels == key
    if settings.components:
        count, parts, statistics, _ = cv2.connectedComponentsWithStats(
            mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
        )
        if count > 2:
            areas = statistics[:, cv2.CC_STAT_AREA].copy()
            areas[0] = 0
            small = areas < settings.components * areas.max()
            small[0] = False
            removed = small[parts]
            labels[removed] = 0
            mask &= ~removed
    if settings.min_area and np.count_nonzero(mask) < settings.min_area:
        labels[mask] = 0


def _fill_holes(labels: Labels, key: int, share: float) -> None:
    """Fill background that an object encloses.

    A hole in which there is any of another object stays, since that is what the hole
    is for. The edge of the frame encloses nothing.
    """
    # The margin is outside, and makes all that is outside one region.
    mask = cv2.copyMakeBorder(labels, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[0])
    outside = mask != key
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(
        outside.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    if count <= 2:
        return
    area = outside.size - np.count_nonzero(outside)
    filled = statistics[:, cv2.CC_STAT_AREA] <= share * area
    filled[[0, regions[0, 0]]] = False
    others = outside & (mask != 0)
    filled[np.unique(regions[others])] = False
    if filled.any():
        labels[filled[regions[1:-1, 1:-1]]] = key


def _close_gaps(labels: Labels, places: dict[int, _Box], width: int) -> None:
    """Give background that lies between two objects to the nearer one.

    A pixel lies between two objects when its distances to both add up to no more than
    the width and one: straight across a gap they add up to the gap's width and one.
    """
    nearest: NDArray[np.float32] | None = None
    before = labels
    for one, other in combinations(places, 2):
        box = (
            places[one]
            .grown(width, labels.shape)
            .common(places[other].grown(width, labels.shape))
        )
        if box.is_empty:
            continue
        if nearest is None:
            before = labels.copy()
            nearest = np.full(labels.shape, np.inf, np.float32)
        # Pixels of the objects that decide about a pixel in the box may lie around it.
        wide = box.grown(width, labels.shape)
        view = wide.of(before)
        inner = (
            slice(box.top - wide.top, box.bottom - wide.top),
            slice(box.left - wide.left, box.right - wide.left),
        )
        distances = {key: _distance(view == key)[inner] for key in (one, other)}
        between = (distances[one] + distances[other] <= width + 1) & (view[inner] == 0)
        for key, distance in distances.items():
            best = box.of(nearest)
            closer = between & (distance < best)
            box.of(labels)[closer] = key
            best[closer] = distance[closer]


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest one of a mask, in pixels."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    away = (~mask).view(np.uint8)
    return cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(
        np.float32, copy=False
    )
