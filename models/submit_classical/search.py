"""Search for an object's position by its appearance in the first frame."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .appearance import Appearance, describe
from .features import CHANNELS, Floats
from .motion import PixelBox
from .presence import Presence
from .scene import WorkingFrame
from .template import ObjectPose, Template

__all__ = ["locate", "locate_within", "match_poses"]

Doubles = NDArray[np.float64]

#: After this many frames a lost object is searched for in the whole frame.
_PATIENCE = 4
#: Penalty on the score: the first value times the squared distance from the expected
#: position in object sizes, which is limited to the second value in the whole frame.
_DISTANCE = 0.5
_FARTHEST = 4.0
#: A better position must exceed the expected position's score by the first value, and
#: reach the second value as a share of the usual match.
_GAIN = 0.03
_LEAST = 0.5
#: While the position is not doubtful, the pose moves by this share of the distance: a
#: slow correction of drift.
_CORRECTION = 0.3
#: Number of positions in the whole frame that are scored exactly.
_CANDIDATES = 40
#: Most positions that are tried along a side of a box; and the penalty on the score:
#: this times the squared distance from the middle, in sides of the box.
_MOST_PLACES = 32
_OFF_MIDDLE = 0.5


def match_poses(
    scene: WorkingFrame,
    appearance: Appearance,
    template: Template,
    centres: Doubles,
    size: float,
) -> Floats:
    """Score poses: how much better the pixels inside fit than those around the object.

    Args:
        scene: The present frame.
        appearance: The object's model.
        template: The object's shape.
        centres: P×2 x and y in pixels.
        size: Size of the object in each pose.

    Returns:
        P scores. Pixels outside the frame count as 0.
    """
    positions, weights = template.points()
    x = np.rint(centres[:, None, 0] + size * positions[:, 0]).astype(np.intp)
    y = np.rint(centres[:, None, 1] + size * positions[:, 1]).astype(np.intp)
    inside = (x >= 0) & (x < scene.width) & (y >= 0) & (y < scene.height)
    x, y = np.clip(x, 0, scene.width - 1), np.clip(y, 0, scene.height - 1)
    samples = describe(
        scene.features[y, x].reshape(-1, CHANNELS), np.tile(positions, (len(x), 1))
    )
    scores = appearance.match(samples).reshape(x.shape)
    matches: Floats = (scores * weights * inside).sum(1)
    return matches


def locate(
    scene: WorkingFrame,
    appearance: Appearance,
    template: Template,
    pose: ObjectPose,
    presence: Presence,
    *,
    reference: float,
    everywhere: bool,
) -> tuple[ObjectPose, float]:
    """Search for the object near its expected pose, or in a wider area if it is lost.

    Args:
        scene: The present frame.
        appearance: The object's model.
        template: The object's shape.
        pose: The pose that is expected from the motion.
        presence: The evidence so far.
        reference: Score of the pose in the first frame.
        everywhere: Whether a lost object is searched for in the whole frame.

    Returns:
        The pose, moved if another position is clearly better, and its score relative to
        `reference`.
    """
    doubtful = presence.doubtful
    reach = min(5, 2 + presence.lost // 2) if doubtful else 1
    step = max(1.0, (0.2 if doubtful else 0.12) * pose.size)
    shifts = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(shifts, shifts), -1).reshape(-1, 2)
    centres = pose.centre + grid * step
    stay = len(grid) // 2
    wide = everywhere and presence.lost >= _PATIENCE
    if wide:
        centres = np.concatenate([centres, _candidates(scene, appearance, pose.size)])
    matches = match_poses(scene, appearance, template, centres, pose.size) / reference
    distance = ((centres - pose.centre) ** 2).sum(1) / pose.size**2
    if wide:
        distance = np.minimum(distance, _FARTHEST)
    preference = matches - _DISTANCE * distance / (1 + 0.5 * presence.lost)
    best = int(preference.argmax())
    gain = preference[best] - preference[stay]
    if gain <= _GAIN or matches[best] <= _LEAST * presence.usual:
        return pose, float(matches[stay])
    share = 1.0 if doubtful else _CORRECTION
    centre = pose.centre + share * (centres[best] - pose.centre)
    return ObjectPose(centre, pose.size), float(matches[best])


def locate_within(
    scene: WorkingFrame,
    appearance: Appearance,
    template: Template,
    pose: ObjectPose,
    box: PixelBox,
    *,
    reference: float,
) -> tuple[ObjectPose, float]:
    """Search for the object within a box, independently of where it was expected.

    Args:
        scene: The present frame.
        appearance: The object's model.
        template: The object's shape.
        pose: The pose that is expected from the motion.
        box: The area of the object, at least one pixel.
        reference: Score of the pose in the first frame.

    Returns:
        The best pose, no larger than the box, and its score relative to `reference`.
    """
    size = max(2.0, min(pose.size, math.sqrt(box.area)))
    middle = np.array([box.left + box.right - 1, box.top + box.bottom - 1]) / 2
    sides = np.array([box.right - box.left, box.bottom - box.top])
    counts = np.clip(sides / max(1.0, 0.12 * size), 1, _MOST_PLACES).astype(int)
    # Half a step from the edges of the box.
    across, down = (
        start + (np.arange(count) + 0.5) * side / count - 0.5
        for start, side, count in zip((box.left, box.top), sides, counts, strict=True)
    )
    centres = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
    matches = match_poses(scene, appearance, template, centres, size) / reference
    # Most boxes are tight, so a position near the middle is more likely.
    preference = matches - _OFF_MIDDLE * (((centres - middle) / sides) ** 2).sum(1)
    best = int(preference.argmax())
    return ObjectPose(centres[best], size), float(matches[best])


def _candidates(scene: WorkingFrame, appearance: Appearance, size: float) -> Doubles:
    """Find positions in the whole frame that look like the object, P×2, best first."""
    step = int(min(max(2, size / 5), 6))
    start = step // 2
    sparse = scene.features[start::step, start::step]
    scores = appearance.match_anywhere(sparse.reshape(-1, CHANNELS))
    scores = scores.reshape(sparse.shape[:2])
    side = round(size / step) | 1
    inner = cv2.blur(scores, (side, side), borderType=cv2.BORDER_CONSTANT)
    outer = cv2.blur(
        scores, (2 * side + 1, 2 * side + 1), borderType=cv2.BORDER_REPLICATE
    )
    contrast = inner - 0.5 * outer
    peaks = np.flatnonzero(contrast >= cv2.dilate(contrast, np.ones((3, 3), np.uint8)))
    order = np.argsort(-contrast.ravel()[peaks], kind="stable")
    y, x = np.divmod(peaks[order[:_CANDIDATES]], sparse.shape[1])
    centres = start + step * np.stack([x, y], -1)
    around = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]) * 0.25 * size
    nearby: Doubles = (centres[:, None] + around).reshape(-1, 2)
    return nearby
