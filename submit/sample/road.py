"""`small`: cars on a road, seen from a drone; each covers far less than 1 % of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .grade import Grade
from .materials import (
    Array,
    Colour,
    blend,
    fractal,
    grey,
    ramp,
    rgb,
    smoothstep,
    spread,
)
from .render import Actor, Camera, Drawable, Plane, Pose, Shadow
from .sprites import canopy, car
from .stage import Curve, Scene, SceneSpec, Shot, curve, handheld, still

__all__ = ["small"]

_CAR = 0.095
_LANE = 0.044


@dataclass(frozen=True)
class _Course:
    """The centre line of the road: y = height · sin(rate · x + phase)."""

    height: float
    rate: float
    phase: float

    def y(self, x: Array | float) -> Array:
        return np.asarray(self.height * np.sin(self.rate * x + self.phase))

    def slope(self, x: Array | float) -> Array:
        rate = self.rate
        return np.asarray(self.height * rate * np.cos(rate * x + self.phase))

    def pose(self, x: float, lane: float) -> Pose:
        """The pose of a car at x; `lane` is negative if it drives to the left."""
        angle = float(np.arctan(self.slope(x)))
        middle = float(self.y(x))
        heading = angle if lane > 0 else angle + np.pi
        return Pose(
            x - lane * np.sin(angle), middle + lane * np.cos(angle), _CAR, heading
        )


def small(stage: SceneSpec) -> Scene:
    """Render a road from above: four cars, two of them similar, and occluding trees."""
    rng, span, half, away = stage.rng, stage.span, stage.half, stage.away
    course = _Course(
        0.10 + stage.jitter(0.03), 1.6 + stage.jitter(0.3), stage.jitter(1)
    )
    tunnel = -0.02 + stage.jitter(0.06)
    stay = 0.11
    keys = [
        (0.0, -half + 0.11),
        (0.5 - away, tunnel - stay),
        (0.5 + away, tunnel + stay),
        (1.0, half - 0.02),
    ]
    drives: tuple[tuple[int, Colour, float, Curve], ...] = (
        (1, (0.74, 0.09, 0.07), _LANE, curve(span, *keys)),
        (
            2,
            (0.88, 0.88, 0.86),
            -_LANE,
            curve(span, (0, half - 0.31), (1, -half - 0.2)),
        ),
        (
            3,
            (0.86, 0.86, 0.85),
            -_LANE,
            curve(span, (0, half - 0.16), (1, -half + 0.1)),
        ),
        (
            4,
            (0.12, 0.19, 0.36),
            _LANE,
            curve(span, (0, -half + 0.28), (1, half + 0.25)),
        ),
    )
    layers: list[Drawable] = [_land(stage, course)]
    for number, paint, lane, along in drives:

        def pose(time: float, lane: float = lane, along: Curve = along) -> Pose:
            return course.pose(along(time), lane)

        sprite = car(stage.unit * _CAR * 1.3, paint, rng)
        shadow = Shadow(0.011, 0.014, 0.004, 0.6)
        layers.append(Actor(sprite, pose, id=number, shadow=shadow))
    layers.extend(_trees(stage, course, tunnel))
    across = curve(span, (0, -0.05), (1, 0.08))
    turn = curve(span, (0, -0.08), (1, 0.04))
    zoom = curve(span, (0, 1.06), (1, 1.0))
    camera = handheld(
        stage,
        lambda time: Camera(x=across(time), roll=turn(time), zoom=zoom(time)),
        0.35,
    )
    shot = Shot(
        camera, layers, Grade(gain=(1.22, 1.19, 1.12), noise=0.007, vignette=0.1)
    )
    return Scene([(0, shot)], (1, 2, 3, 4), mirror=bool(rng.random() < 0.5))


def _land(stage: SceneSpec, course: _Course) -> Plane:
    """Paint grass, a field, the road and its edges."""
    rng = stage.rng
    density = stage.unit * 1.2
    reach, tall = stage.half + 0.32, stage.rise + 0.28
    rows, columns = int(2 * tall * density), int(2 * reach * density)
    v, u = np.mgrid[:rows, :columns].astype(np.float32)
    u, v = u / density - reach, v / density - tall
    off = (v - course.y(u)) / np.sqrt(1 + course.slope(u) ** 2)
    near = np.abs(off)
    fine = stage.unit / 270
    grass, gravel = grey("grass.png"), grey("gravel.png")
    blades = spread(grass, rows, columns, 0.5 * fine, rng)
    wide = fractal(rows, columns, density * 0.7, rng, octaves=6)
    tufts = fractal(rows, columns, density * 0.08, rng, octaves=4)
    tone = np.clip(0.30 + 0.45 * blades + 0.08 * wide + 0.05 * tufts, 0, 1)
    land = ramp(tone, (0.08, 0.11, 0.04), (0.29, 0.34, 0.14), (0.60, 0.58, 0.34))
    dry = smoothstep(0.1, 1.8, fractal(rows, columns, density * 0.5, rng, octaves=6))
    land = blend(land, ramp(tone, (0.22, 0.17, 0.10), (0.66, 0.58, 0.38)), 0.8 * dry)
    # A ploughed field on one side.
    furrow = np.sin((0.35 * u + v) * 2 * np.pi / 0.028 + 0.6 * tufts)
    soil = ramp(
        np.clip(0.45 + 0.16 * furrow + 0.06 * wide + 0.3 * (blades - 0.45), 0, 1),
        (0.16, 0.11, 0.07),
        (0.56, 0.44, 0.30),
    )
    side = v - 0.30 * u - course.y(u) + 0.012 * tufts
    land = blend(land, soil, smoothstep(0.300, 0.306, side))
    earth = spread(gravel, rows, columns, 0.3 * fine, rng)
    dust = ramp(earth, (0.24, 0.19, 0.13), (0.52, 0.45, 0.34), (0.72, 0.66, 0.55))
    land = blend(land, dust, 0.8 * smoothstep(0.120, 0.104, near + 0.008 * tufts))
    grain = spread(gravel, rows, columns, 0.2 * fine, rng)
    worn = fractal(rows, columns, density * 0.3, rng, stretch=0.4)
    tracks = 1 + 0.06 * np.cos(np.clip(near / 0.088, 0, 1) * 4 * np.pi)
    tone = (0.45 + 0.3 * (grain - 0.5) + 0.05 * worn) * tracks
    asphalt = ramp(np.clip(tone, 0, 1), (0.12, 0.12, 0.13), (0.60, 0.59, 0.58))
    land = blend(land, asphalt, smoothstep(0.092, 0.088, near))
    line = smoothstep(0.0032, 0.0016, np.abs(near - 0.080))
    dashes = smoothstep(0.0032, 0.0016, near) * ((u * 7) % 1 < 0.5)
    paint = np.clip(np.maximum(line, dashes) * (0.72 + 0.15 * worn), 0, 1)
    land = blend(land, rgb(0.88, 0.87, 0.82), paint)
    return Plane(land, density, -reach, -tall)


def _trees(stage: SceneSpec, course: _Course, tunnel: float) -> list[Drawable]:
    """Make trees: some cover a part of the road, others stand beside it."""
    rng = stage.rng
    greens = (
        (0.44, 0.54, 0.22),
        (0.38, 0.52, 0.25),
        (0.52, 0.54, 0.24),
        (0.32, 0.45, 0.20),
    )
    kinds = [canopy(stage.unit * 0.36, rng, green) for green in greens]
    places = [
        (tunnel + x, float(course.y(tunnel + x)) + y, size)
        for x, y, size in ((-0.13, 0.11, 0.36), (0.13, 0.12, 0.38), (0.0, 0.10, 0.36))
    ]
    reach, tall = stage.half + 0.1, stage.rise + 0.05
    for _ in range(400):
        x, y = float(rng.uniform(-reach, reach)), float(rng.uniform(-tall, tall))
        size = float(rng.choice([0.10, 0.14, 0.22, 0.30]))
        if abs(y - float(course.y(x))) > 0.14 + size / 2 and all(
            np.hypot(x - a, y - b) > 0.42 * (size + c) for a, b, c in places
        ):
            places.append((x, y, size))
        if len(places) == 21:
            break
    layers: list[Drawable] = []
    for index, (x, y, size) in enumerate(places):
        shadow = Shadow(0.16 * size, 0.20 * size, 0.010, 0.55)
        path = still(x, y, size, 1.7 * index)
        layers.append(Actor(kinds[index % 4], path, parallax=1.04, shadow=shadow))
    return layers
