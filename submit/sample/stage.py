"""Time, motion and camera shots, shared by all scenarios."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from .grade import Film, Grade
from .render import Camera, Canvas, Drawable, Path, Pose

__all__ = ["Curve", "Route", "Scene", "SceneSpec", "Shot", "curve", "handheld", "still"]

Curve: TypeAlias = Callable[[float], float]


@dataclass(frozen=True)
class SceneSpec:
    """The length, size and random numbers of a scene.

    Attributes:
        frames: Length of the video.
        width: Columns of a frame.
        height: Rows of a frame.
        rng: Source of all differences between seeds.
    """

    frames: int
    width: int
    height: int
    rng: np.random.Generator

    @property
    def unit(self) -> float:
        """Pixels per world unit: the height, or less in narrow frames."""
        return min(self.height, self.width / 1.5)

    @property
    def half(self) -> float:
        """Half of the frame's width in world units; at least 0.75."""
        return self.width / self.unit / 2

    @property
    def rise(self) -> float:
        """Half of the frame's height in world units; at least 0.5."""
        return self.height / self.unit / 2

    @property
    def span(self) -> int:
        """Number of frames from the start to the end of the action, at least 7.

        A video of fewer than eight frames shows only the start of the action.
        """
        return max(self.frames - 1, 7)

    @property
    def away(self) -> float:
        """Half of an absence (3 frames or more), as a share of the action."""
        return max(0.11, 1.55 / self.span)

    def jitter(self, amount: float) -> float:
        """Draw a number between -amount and amount."""
        return float(self.rng.uniform(-amount, amount))


@dataclass(frozen=True)
class Shot:
    """The part of a video between two cuts.

    Attributes:
        camera: The camera at each time.
        layers: All layers, from the back to the front.
        grade: Lens, sensor and colour.
    """

    camera: Callable[[float], Camera]
    layers: Sequence[Drawable]
    grade: Grade


@dataclass(frozen=True)
class Scene:
    """A whole video.

    Attributes:
        shots: Pairs of a first frame and the shot that begins there, in order.
        objects: Ids of the annotated objects.
        mirror: Whether all frames are mirrored.
    """

    shots: Sequence[tuple[int, Shot]]
    objects: tuple[int, ...]
    mirror: bool = False

    def render(
        self, stage: SceneSpec
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield each frame, H×W×3 RGB, and its labels, H×W object ids."""
        size = (stage.height, stage.width)
        starts = dict(self.shots)
        for time in range(stage.frames):
            if time in starts:
                shot = starts[time]
                film = Film(shot.grade, *size, stage.rng)
            canvas = Canvas(
                rgb=np.zeros((3, *size), np.float32),
                labels=np.zeros(size, np.uint8),
                camera=shot.camera,
                time=float(time),
                unit=stage.unit,
            )
            for layer in shot.layers:
                layer.draw(canvas)
            frame = film.finish(canvas.rgb, canvas.time)
            labels = canvas.labels
            if self.mirror:
                frame, labels = frame[:, ::-1], labels[:, ::-1]
            yield np.ascontiguousarray(frame), np.ascontiguousarray(labels)


def curve(span: float, *keys: tuple[float, float]) -> Curve:
    """Interpolate smoothly between pairs of a share of the span and a value.

    The curve is monotonic between two pairs, and constant before the first and after
    the last pair.

    Args:
        span: Frames that the shares refer to.
        keys: The pairs, in order of time.
    """
    shares, values = zip(*keys, strict=True)
    spline = PchipInterpolator(shares, values)
    slope = spline.derivative()
    low, high = shares[0], shares[-1]

    @functools.lru_cache(maxsize=16)
    def value(time: float) -> float:
        share = time / span
        near = min(max(share, low), high)
        return float(spline(near) + slope(near) * (share - near))

    return value


def still(x: float, y: float, scale: float, angle: float = 0.0) -> Path:
    """Make a path with a constant pose."""
    pose = Pose(x, y, scale, angle)
    return lambda time: pose


class Route:
    """A smooth path through points, followed with varying speed.

    Args:
        points: World x and y of the points.
        progress: Index of the point reached at each time; a fraction between points.
    """

    def __init__(self, points: Sequence[tuple[float, float]], progress: Curve) -> None:
        stations = np.arange(len(points))
        self._curve = CubicSpline(stations, np.asarray(points), bc_type="natural")
        self._progress = progress
        self._fine = np.linspace(0, len(points) - 1, 40 * len(points))
        steps = np.linalg.norm(np.diff(self._curve(self._fine), axis=0), axis=1)
        self._length = np.concatenate([[0], np.cumsum(steps)])

    def at(self, time: float) -> tuple[float, float, float]:
        """Return x, y and the direction of motion in radians."""
        station = self._progress(time)
        x, y = self._curve(station)
        right, down = self._curve(station, 1)
        return float(x), float(y), float(np.arctan2(down, right))

    def bend(self, time: float) -> float:
        """Return the curvature in 1 / world unit; it is positive for right turns."""
        station = self._progress(time)
        right, down = self._curve(station, 1)
        faster, lower = self._curve(station, 2)
        speed = float(np.hypot(right, down)) + 1e-6
        return float((right * lower - down * faster) / speed**3)

    def gone(self, time: float) -> float:
        """Return the distance travelled so far, in world units."""
        return float(np.interp(self._progress(time), self._fine, self._length))


def handheld(
    stage: SceneSpec, base: Callable[[float], Camera], amount: float = 1.0
) -> Callable[[float], Camera]:
    """Add the shaking of a handheld camera to the camera path `base`."""
    rates = stage.rng.uniform((0.22, 0.55, 1.2), (0.40, 0.9, 1.8), (3, 3))
    starts = stage.rng.uniform(0, 2 * np.pi, (3, 3))
    sizes = np.array([1.0, 0.40, 0.12]) * 0.0045 * amount

    @functools.lru_cache(maxsize=16)
    def shaken(time: float) -> Camera:
        pan, tilt, roll = (sizes * np.sin(rates * time + starts)).sum(1)
        camera = base(time)
        return Camera(
            x=camera.x,
            y=camera.y,
            zoom=camera.zoom,
            roll=camera.roll + float(roll) * 0.5,
            pan=camera.pan + float(pan),
            tilt=camera.tilt + float(tilt),
        )

    return shaken
