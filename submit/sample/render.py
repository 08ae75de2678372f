"""The renderer: layers in front of a moving camera.

World coordinates have their origin in the middle of the frame of a camera at rest, x to
the right and y down; their unit is the frame's height (less in frames narrower than
3:2). Time is in frames and may be fractional, for motion blur.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .materials import Array, Colour, rgb

__all__ = [
    "Actor",
    "Camera",
    "Canvas",
    "Drawable",
    "Filter",
    "Path",
    "Plane",
    "Pose",
    "Shadow",
    "Sprite",
    "sample",
]

#: Exposure time as a share of the time between frames.
SHUTTER = 0.5
#: Longest motion blur by an actor's own motion, in world units.
BLUR = 0.035


def sample(texture: Array, y: Array, x: Array) -> Array:
    """Sample a C×H×W texture at fractional rows and columns; edges are repeated."""
    channels, height, width = texture.shape
    y = np.clip(y, np.float32(0), np.float32(height - 1.001))
    x = np.clip(x, np.float32(0), np.float32(width - 1.001))
    top, left = y.astype(np.int32), x.astype(np.int32)
    down, right = y - top.astype(np.float32), x - left.astype(np.float32)
    corner = top * np.int32(width) + left
    both = down * right
    corners = (
        (corner.astype(np.intp), 1 - down - right + both),
        ((corner + 1).astype(np.intp), right - both),
        ((corner + width).astype(np.intp), down - both),
        ((corner + (width + 1)).astype(np.intp), both),
    )
    result = np.empty((channels, *y.shape), np.float32)
    for plane, values in zip(result, texture.reshape(channels, -1), strict=True):
        index, weight = corners[0]
        np.multiply(values.take(index), weight, out=plane)
        for index, weight in corners[1:]:
            plane += values.take(index) * weight
    return result


@dataclass(frozen=True)
class Camera:
    """The camera at one time.

    Attributes:
        x: Horizontal position; near layers move more than far ones.
        y: Vertical position, likewise.
        zoom: Magnification about the middle of the frame.
        roll: Rotation about the optical axis, in radians.
        pan: Horizontal shift by rotation of the camera, the same for all layers.
        tilt: Vertical shift by rotation of the camera.
    """

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0
    pan: float = 0.0
    tilt: float = 0.0


@dataclass
class Canvas:
    """The frame that is being rendered.

    Attributes:
        rgb: 3×H×W colours.
        labels: H×W uint8 object ids, 0 elsewhere.
        camera: The camera at each time.
        time: The middle of the exposure, in frames.
        unit: Pixels per world unit at zoom 1.
    """

    rgb: Array
    labels: NDArray[np.uint8]
    camera: Callable[[float], Camera]
    time: float
    unit: float

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.labels.shape[1])

    @cached_property
    def scale(self) -> float:
        """Pixels per world unit at the present zoom."""
        return self.unit * self.camera(self.time).zoom

    @cached_property
    def grid(self) -> tuple[Array, Array]:
        """World y and x of all pixels, for a camera at the origin."""
        camera = self.camera(self.time)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        y = (y + np.float32(0.5 - self.height / 2)) / np.float32(self.scale)
        x = (x + np.float32(0.5 - self.width / 2)) / np.float32(self.scale)
        cos, sin = np.float32(np.cos(camera.roll)), np.float32(np.sin(camera.roll))
        pan, tilt = np.float32(camera.pan), np.float32(camera.tilt)
        return sin * x + cos * y + tilt, cos * x - sin * y + pan


class Drawable(Protocol):
    """A layer that draws itself over the canvas."""

    def draw(self, canvas: Canvas) -> None:
        """Draw onto the colours and labels of the canvas."""
        ...


@dataclass(frozen=True)
class Filter:
    """A layer that changes the colours below it, such as a surface of water."""

    apply: Callable[[Canvas], None]

    def draw(self, canvas: Canvas) -> None:
        """Change the colours."""
        self.apply(canvas)


@dataclass(frozen=True)
class Plane:
    """A flat texture that fills the frame or a horizontal band of it.

    Attributes:
        texture: 3×H×W, or 4×H×W premultiplied.
        density: Pixels of the texture per world unit.
        left: World x of its left edge.
        top: World y of its upper edge.
        parallax: Its shift relative to the camera's: 0 infinitely far, 1 at the
            distance of the actors. A pair gives the values at the upper and the lower
            edge.
    """

    texture: Array
    density: float
    left: float
    top: float
    parallax: float | tuple[float, float] = 1.0

    def draw(self, canvas: Canvas) -> None:
        """Draw the texture, blurred by the camera's motion."""
        camera = canvas.camera(canvas.time)
        y, x = canvas.grid
        density = np.float32(self.density)
        tall = self.texture.shape[1]
        row = (y - np.float32(self.top)) * density - np.float32(0.5)
        if not isinstance(self.parallax, tuple):
            row += np.float32(camera.y * self.parallax) * density
        within = np.flatnonzero((row > -1).any(1) & (row < tall).any(1))
        if not within.size:
            return
        rows = slice(int(within[0]), int(within[-1]) + 1)
        row = row[rows]
        if isinstance(self.parallax, tuple):
            far, near = self.parallax
            share = np.clip(row / np.float32(tall), 0, 1)
            travel = np.float32(camera.x) * (
                np.float32(far) + np.float32(near - far) * share
            )
        else:
            travel = np.float32(camera.x * self.parallax)
        column = (x[rows] + travel - np.float32(self.left)) * density - np.float32(0.5)
        seen = self._smear(canvas, sample(self.texture, row, column))
        target = canvas.rgb[:, rows]
        if len(seen) == 3:
            target[:] = seen
        else:
            target *= 1 - seen[3]
            target += seen[:3]
            canvas.labels[rows][seen[3] > 0.5] = 0

    def _smear(self, canvas: Canvas, image: Array) -> Array:
        """Blur an image along the motion of the camera during the exposure."""
        before = canvas.camera(canvas.time - SHUTTER / 2)
        after = canvas.camera(canvas.time + SHUTTER / 2)
        follow = float(np.mean(self.parallax))
        down = (after.y - before.y) * follow + after.tilt - before.tilt
        right = (after.x - before.x) * follow + after.pan - before.pan
        return _streak(image, down * canvas.scale, right * canvas.scale)


def _streak(image: Array, down: float, right: float) -> Array:
    """Blur C×H×W evenly along a line, with repeated edges."""
    length = max(abs(down), abs(right))
    if length < 0.7:
        return image
    if min(abs(down), abs(right)) < 0.7:
        axis = 1 if abs(down) > abs(right) else 2
        side = int(length / 2 + 1)
        kernel = np.clip(length / 2 + 0.5 - np.abs(np.arange(-side, side + 1)), 0, 1)
        kernel = (kernel / kernel.sum()).astype(np.float32)
        return np.asarray(ndimage.convolve1d(image, kernel, axis, mode="nearest"))
    count = int(np.ceil(length)) + 1
    height, width = image.shape[1:]
    pad = int(length / 2 + 1)
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    total = np.zeros_like(image)
    for share in np.linspace(-0.5, 0.5, count):
        top, left = pad + round(share * down), pad + round(share * right)
        total += padded[:, top : top + height, left : left + width]
    return total / np.float32(count)


@dataclass(frozen=True)
class Pose:
    """Position and orientation of an actor at one time.

    Attributes:
        x: World x of its origin.
        y: World y of its origin.
        scale: World units per unit of the sprite.
        angle: Rotation in radians, clockwise on the screen.
        flip: Whether it is mirrored horizontally.
        squash: Vertical compression after rotation, for flat objects seen at an angle.
    """

    x: float
    y: float
    scale: float
    angle: float = 0.0
    flip: bool = False
    squash: float = 1.0


Path: TypeAlias = Callable[[float], Pose]


class Sprite(Protocol):
    """The appearance of an actor, which may change over time."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounding box over all times: left, top, right, bottom, in sprite units."""
        ...

    def look(self, u: Array, v: Array, time: float) -> Array:
        """Return 4×N×M premultiplied colours at u (to the right) and v (down)."""
        ...


@dataclass(frozen=True)
class Shadow:
    """A soft shadow of an actor on the layers below.

    Attributes:
        x: Shift to the right, in world units.
        y: Shift down, in world units.
        blur: Width of the soft edge, in world units.
        strength: Darkening in its middle, in [0, 1].
        flat: Height of the shadow relative to the actor's: 1 for objects seen from
            above, small for objects that stand on the ground.
        lean: Horizontal shift of the top of the shadow, relative to the actor's height.
    """

    x: float = 0.0
    y: float = 0.0
    blur: float = 0.02
    strength: float = 0.5
    flat: float = 1.0
    lean: float = 0.0


@dataclass(frozen=True)
class Actor:
    """A sprite that moves through the scene.

    Attributes:
        sprite: Its appearance.
        path: Its pose at each time.
        id: Object id; 0 if it is not annotated and only occludes other objects.
        parallax: As in `Plane`.
        shadow: Its shadow; None: no shadow.
        tint: Factor for each colour channel.
    """

    sprite: Sprite
    path: Path
    id: int = 0
    parallax: float = 1.0
    shadow: Shadow | None = None
    tint: Colour = (1.0, 1.0, 1.0)

    def draw(self, canvas: Canvas) -> None:
        """Draw shadow and sprite, blurred by its own motion and the camera's."""
        corners = self._corners(canvas, SHUTTER)
        shift = float(np.abs((corners[1] - corners[0]).mean(0)).max())
        # Very fast motion gets a shorter exposure.
        shutter = SHUTTER * min(1.0, BLUR * canvas.scale / (shift + 1e-6))
        corners = self._corners(canvas, shutter)
        moved = corners[1] - corners[0]
        shift = moved.mean(0)
        turned = float(np.abs(moved - shift).max())
        moments = 1 + min(int(turned / 2.5), 2)
        left, top = np.floor(corners.min((0, 1))).astype(int) - 1
        right, bottom = np.ceil(corners.max((0, 1))).astype(int) + 2
        margin = self._margin(canvas, bottom - top, float(np.abs(shift).max()))
        left, right = max(left, -margin), min(right, canvas.width + margin)
        top, bottom = max(top, -margin), min(bottom, canvas.height + margin)
        if left >= right or top >= bottom:
            return
        y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
        seen = np.zeros((4, *x.shape), np.float32)
        for moment in range(moments):
            time = canvas.time + shutter * ((moment + 0.5) / moments - 0.5)
            inverse = self._view(canvas, time)[0]
            u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
            v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
            look = self.sprite.look(u, v, time)
            seen += _streak(look, *(shift[::-1] / moments))
        seen /= moments
        if self.shadow is not None:
            self._cast(canvas, self.shadow, seen[3], left, top, corners[..., 1].max())
        rows = slice(max(top, 0), min(bottom, canvas.height))
        columns = slice(max(left, 0), min(right, canvas.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        seen = seen[
            :,
            rows.start - top : rows.stop - top,
            columns.start - left : columns.stop - left,
        ]
        target = canvas.rgb[:, rows, columns]
        target *= 1 - seen[3]
        target += seen[:3] * rgb(*self.tint)
        canvas.labels[rows, columns][seen[3] > 0.5] = self.id

    def _corners(self, canvas: Canvas, shutter: float) -> Array:
        """Corners of the bounding box at both ends of an exposure, 2×4×2."""
        times = (canvas.time - shutter / 2, canvas.time + shutter / 2)
        return np.stack([self._view(canvas, time)[1] for time in times])

    def _margin(self, canvas: Canvas, tall: int, moved: float) -> int:
        """Margin around the frame, in pixels, in which an actor changes the frame."""
        margin = int(moved) + 2
        if self.shadow is not None:
            reach = abs(self.shadow.x) + abs(self.shadow.y) + 3 * self.shadow.blur
            margin += int(reach * canvas.scale)
            if self.shadow.flat < 1:
                margin = max(margin, tall)
        return margin

    def _view(self, canvas: Canvas, time: float) -> tuple[Array, Array]:
        """Map from pixels to sprite coordinates, 2×3, and the corners of the box.

        The corners are 4×2, x and y in pixels.
        """
        camera = canvas.camera(time)
        pose = self.path(time)
        mirror = -1.0 if pose.flip else 1.0
        turn = (
            np.diag([1.0, pose.squash]) @ _rotation(pose.angle) @ np.diag([mirror, 1])
        )
        shift = (
            pose.x - camera.x * self.parallax - camera.pan,
            pose.y - camera.y * self.parallax - camera.tilt,
        )
        view = _rotation(-camera.roll) * canvas.unit * camera.zoom
        matrix = view @ turn * pose.scale
        origin = view @ np.array(shift)
        origin = origin + np.array([canvas.width - 1, canvas.height - 1]) / 2
        inverse = np.linalg.inv(matrix)
        whole = np.concatenate([inverse, -(inverse @ origin)[:, None]], axis=1)
        left, top, right, bottom = self.sprite.box
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return whole.astype(np.float32), box @ matrix.T + origin

    @staticmethod
    def _cast(
        canvas: Canvas, shadow: Shadow, alpha: Array, left: int, top: int, foot: float
    ) -> None:
        """Darken the canvas with the shadow of the actor."""
        blur = shadow.blur * canvas.scale
        pad = int(3 * blur) + 1
        height, width = alpha.shape
        if shadow.flat < 1:
            # The shadow is the outline, compressed and sheared; its lower edge stays.
            aside = int(abs(shadow.lean) * height) + pad
            y, x = np.mgrid[: height + 2 * pad, : width + 2 * aside].astype(np.float32)
            floor = np.float32(foot - top)
            up = (floor + pad - y) / np.float32(shadow.flat)
            x = x - aside - np.float32(shadow.lean) * up
            inside = (up >= 0) & (up <= height) & (x >= 0) & (x <= width - 1)
            dark = sample(alpha[None], floor - up, x)[0] * inside
        else:
            aside = pad
            dark = np.pad(alpha, pad)
        # Two box filters are as fast for a wide blur as for a narrow one.
        box = 2 * int(blur * 1.2) + 1
        dark = ndimage.uniform_filter(dark, box, mode="constant")
        dark = ndimage.uniform_filter(dark, box, mode="constant")
        left += round(shadow.x * canvas.scale) - aside
        top += round(shadow.y * canvas.scale) - pad
        rows = slice(max(top, 0), min(top + dark.shape[0], canvas.height))
        columns = slice(max(left, 0), min(left + dark.shape[1], canvas.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        part = dark[
            rows.start - top : rows.stop - top,
            columns.start - left : columns.stop - left,
        ]
        canvas.rgb[:, rows, columns] *= 1 - np.float32(shadow.strength) * part


def _rotation(angle: float) -> Array:
    """The 2×2 matrix of a clockwise rotation on the screen."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])
