"""`vanish`: carp that disappear under leaves or out of the frame, and reappear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .animals import Koi
from .grade import Grade
from .materials import (
    Array,
    Colour,
    fractal,
    grey,
    ramp,
    resize,
    rgb,
    smoothstep,
    spread,
)
from .render import Actor, Camera, Canvas, Drawable, Filter, Plane, Pose, Shadow, sample
from .sprites import lily_pad
from .stage import Route, Scene, SceneSpec, Shot, curve, handheld

__all__ = ["vanish"]

_WHITE = (0.97, 0.93, 0.86)
_FISH = 0.40


def vanish(stage: SceneSpec) -> Scene:
    """Render a pond from above.

    Object 1 hides below leaves, object 2 leaves the frame and reappears from another
    side, object 3 crosses the paths of both.
    """
    span, half, away = stage.span, stage.half, stage.away
    spot = (0.10 + stage.jitter(0.06), -0.02 + stage.jitter(0.03))
    under = Route(
        [
            (-half + 0.28, 0.24 + stage.jitter(0.05)),
            (-0.42, 0.20),
            (spot[0] - 0.075, spot[1] + 0.05),
            (spot[0] + 0.095, spot[1] + 0.03),
            (half - 0.30, -0.16 + stage.jitter(0.05)),
            (half - 0.10, 0.10),
        ],
        curve(span, (0, 0), (0.5 - away, 2.0), (0.5 + away, 3.0), (1, 4.7)),
    )
    outside = Route(
        [
            (0.12 + stage.jitter(0.1), -0.38),
            (-half + 0.25, -0.29),
            (-half - 0.38, -0.10),
            (-half - 0.45, 0.12),
            (-half + 0.05, 0.34),
            (-half + 0.65, 0.38),
        ],
        curve(span, (0, 0), (0.5 - away, 2.0), (0.5 + away, 3.0), (1, 4.8)),
    )
    across = Route(
        [
            (half - 0.30, 0.33),
            (0.25, 0.40),
            (-0.14, 0.34),
            (-0.42, 0.05),
            (-0.46, -0.3),
        ],
        curve(span, (0, 0), (0.5, 1.7), (1, 3.5)),
    )
    layers: list[Drawable] = [_bed(stage)]
    black = (0.10, 0.10, 0.11)
    red = (0.95, 0.34, 0.06)
    layers.append(_swimmer(stage, across, 3, _WHITE, black))
    layers.append(_swimmer(stage, outside, 2, (0.97, 0.56, 0.14), red))
    layers.append(_swimmer(stage, under, 1, _WHITE, red))
    layers.append(Filter(_water(stage)))
    layers.extend(_leaves(stage, spot))
    zoom = curve(span, (0, 1.0), (1, 1.07))
    camera = handheld(stage, lambda time: Camera(zoom=zoom(time)), 0.8)
    shot = Shot(
        camera,
        layers,
        Grade(gain=(1.18, 1.18, 1.14), gamma=0.95, noise=0.009, saturation=1.1),
    )
    return Scene([(0, shot)], (1, 2, 3), mirror=bool(stage.rng.random() < 0.5))


def _swimmer(
    stage: SceneSpec, route: Route, id: int, belly: Colour, marks: Colour
) -> Actor:
    """Make a carp that swims along a route; its tail beats faster with its speed."""

    def pose(time: float) -> Pose:
        x, y, angle = route.at(time)
        return Pose(x, y, _FISH, angle)

    def beat(time: float) -> float:
        return 0.06 * time + 1.3 * route.gone(time) / _FISH

    def bend(time: float) -> float:
        return float(np.clip(route.bend(time) * _FISH / 2, -0.6, 0.6))

    fish = Koi(stage.unit * _FISH * 1.1, stage.rng, belly, marks, beat, bend)
    return Actor(fish, pose, id=id, shadow=Shadow(0.03, 0.05, 0.02, 0.6))


def _bed(stage: SceneSpec) -> Plane:
    """Make the gravel on the ground of the pond."""
    density = stage.unit * 1.1
    wide, tall = 2 * stage.half + 0.24, 2 * stage.rise + 0.24
    rows, columns = int(tall * density), int(wide * density)
    zoom = max(density / 330, 1.02 * columns / 512, 1.02 * rows / 512)
    stones = spread(grey("gravel.png"), rows, columns, zoom, stage.rng)
    mud = fractal(rows, columns, density * 0.5, stage.rng, octaves=5)
    stones = 0.06 + stones * (0.85 + 0.14 * mud)
    bed = ramp(
        np.clip(stones, 0, 1),
        (0.02, 0.04, 0.03),
        (0.25, 0.26, 0.17),
        (0.58, 0.55, 0.38),
    )
    silt = smoothstep(0.2, 1.6, fractal(rows, columns, density * 0.35, stage.rng))
    bed = bed + (rgb(0.20, 0.20, 0.12) - bed) * (0.6 * silt)
    return Plane(bed, density, -wide / 2, -tall / 2)


def _leaves(stage: SceneSpec, spot: tuple[float, float]) -> list[Drawable]:
    """Make leaves on the water: two over `spot`, the others at the edges."""
    kinds = [lily_pad(stage.unit * 0.68, stage.rng) for _ in range(3)]
    half, rise = stage.half, stage.rise
    places = [
        (spot[0] - 0.15, spot[1] + 0.01, 0.66, -2.2),
        (spot[0] + 0.17, spot[1] - 0.01, 0.64, -0.9),
        (half - 0.03, rise + 0.02, 0.40, 2.6),
        (half - 0.30, -rise - 0.02, 0.32, 1.9),
        (-half + 0.04, -rise + 0.04, 0.40, 0.5),
    ]
    layers: list[Drawable] = []
    for index, (x, y, scale, angle) in enumerate(places):
        phase = float(stage.rng.uniform(0, 6))

        def drift(
            time: float,
            place: tuple[float, ...] = (x, y, scale, angle),
            phase: float = phase,
        ) -> Pose:
            swing = float(np.sin(0.09 * time + phase))
            x, y, scale, angle = place
            return Pose(
                x + 0.006 * swing, y + 0.004 * swing, scale, angle + 0.03 * swing
            )

        shadow = Shadow(0.035, 0.055, 0.02, 0.6)
        layers.append(Actor(kinds[index % 3], drift, shadow=shadow))
    return layers


def _water(stage: SceneSpec) -> Callable[[Canvas], None]:
    """Make the water: caustics below the surface, reflections of the sky on it."""
    rows, columns = stage.height // 2 + 1, stage.width // 2 + 1
    pad = 40
    size = (rows + 2 * pad, columns + 2 * pad)
    cell = stage.unit * 0.16
    nets = [fractal(*size, cell, stage.rng, octaves=2) for _ in range(2)]
    sky = fractal(*size, stage.unit * 0.4, stage.rng, octaves=4, stretch=0.5)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)

    def part(noise: Array, right: float, down: float) -> Array:
        moved = sample(
            noise[None], y + np.float32(pad + down), x + np.float32(pad + right)
        )
        return np.asarray(moved[0])

    def full(half: Array) -> Array:
        return resize(half, 2 * rows, 2 * columns)[: stage.height, : stage.width]

    def apply(canvas: Canvas) -> None:
        time = canvas.time
        slow = 0.10 * time
        one = part(nets[0], 20 * np.sin(slow), 15 * np.cos(0.8 * slow))
        two = part(nets[1], -18 * np.sin(0.9 * slow + 1), 16 * np.sin(slow + 2))
        net = np.exp(-5 * np.abs(one + 0.3 * two)) + np.exp(
            -5 * np.abs(two - 0.4 * one)
        )
        light = full(0.80 + 0.55 * net)
        swell = part(sky, 25 * np.sin(0.05 * time), 8 * np.sin(0.2 * time))
        gleam = full(smoothstep(0.4, 2.4, swell))
        canvas.rgb *= light * rgb(0.86, 0.97, 0.90)
        canvas.rgb += rgb(0.04, 0.09, 0.07) * (1 - canvas.rgb)
        canvas.rgb += rgb(0.62, 0.72, 0.78) * (0.20 * gleam)

    return apply
