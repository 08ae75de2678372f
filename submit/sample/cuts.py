"""`cuts`: an astronaut and a horse in three shots, with cuts between them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .animals import Coat
from .grade import Grade
from .materials import fractal, grey, ramp, spread
from .meadow import COATS, Meadow, hedge, tufts, walker
from .person import Astronaut
from .render import Actor, Camera, Plane, Pose, Shadow
from .stage import Scene, SceneSpec, Shot, curve, handheld, still

__all__ = ["cuts"]


def cuts(stage: SceneSpec) -> Scene:
    """Render three shots: by day, a close-up, and in the evening from the other side.

    Object 1, the astronaut, is in all shots, at different scales. Object 2, the horse,
    is not in the second shot.
    """
    second = max(1, round(stage.frames * 0.34))
    third = max(second + 1, round(stage.frames * 0.70))
    coat = COATS[int(stage.rng.integers(4))]
    shots = [(0, _day(stage, coat)), (second, _close(stage))]
    shots.append((third, _evening(stage, coat)))
    return Scene(shots, (1, 2))


def _person(stage: SceneSpec, scale: float) -> Astronaut:
    """Make the astronaut for a shot in which one sprite unit is `scale` world units."""
    phase = float(stage.rng.uniform(0, 6))
    return Astronaut(
        stage.unit * scale * 1.1,
        lambda time: float(np.sin(0.14 * time + phase)),
        lambda time: float(np.sin(0.30 * time)),
    )


def _day(stage: SceneSpec, coat: Coat) -> Shot:
    """The first shot: the horse on a meadow, the astronaut behind a hedge."""
    span = stage.span
    meadow = Meadow(reach=0.2)
    layers = meadow.build(stage)
    walk = curve(span, (0, -0.48), (0.36, 0.14))
    layers.append(walker(stage, coat=coat, x=walk, foot=0.22, tall=0.50, id=2))
    layers.append(tufts(stage, meadow, 0.22))
    scale = 0.62
    place = 0.46 + stage.jitter(0.08)
    layers.append(
        Actor(_person(stage, scale), still(place, 0.53, scale), id=1, parallax=1.15)
    )
    layers.append(hedge(stage, 0.28, stage.rise, 1.2))
    travel = curve(span, (0, -0.04), (0.36, 0.10))
    camera = handheld(stage, lambda time: Camera(x=travel(time)))
    return Shot(camera, layers, Grade(gamma=1.05, saturation=0.95, noise=0.009))


def _close(stage: SceneSpec) -> Shot:
    """The second shot: the astronaut alone in front of a wall that is out of focus."""
    density = stage.unit * 0.8
    wide, tall = 2 * stage.half + 0.2, 2 * stage.rise + 0.2
    rows, columns = int(tall * density), int(wide * density)
    zoom = max(1.02 * columns / 512, 1.02 * rows / 512)
    bricks = spread(grey("brick.png"), rows, columns, zoom, stage.rng)
    bricks = ndimage.gaussian_filter(bricks, density * 0.007)
    stains = fractal(rows, columns, density * 0.7, stage.rng)
    wall = ramp(
        np.clip(bricks * (1 + 0.12 * stains), 0, 1),
        (0.14, 0.07, 0.05),
        (0.45, 0.27, 0.20),
        (0.74, 0.60, 0.50),
    )
    step = curve(stage.span, (0.34, -0.30), (0.70, 0.06))
    person = Actor(
        _person(stage, 1.0),
        lambda time: Pose(step(time), stage.rise + 0.16, 1.0),
        id=1,
        shadow=Shadow(0.16, 0.05, 0.07, 0.4),
    )
    return Shot(
        handheld(stage, lambda time: Camera(), 1.8),
        [Plane(wall, density, -wide / 2, -tall / 2, 0.3), person],
        Grade(gain=(1.0, 1.0, 1.04), gamma=1.1, saturation=0.85, noise=0.012),
    )


def _evening(stage: SceneSpec, coat: Coat) -> Shot:
    """The third shot: the evening, from the other side; the horse is nearer."""
    meadow = Meadow(
        horizon=-0.02,
        foot=0.36,
        reach=0.2,
        sky=((0.35, 0.38, 0.58), (0.98, 0.74, 0.50)),
    )
    layers = meadow.build(stage)
    scale = 0.34
    place = -0.42 + stage.jitter(0.08)
    layers.append(
        Actor(_person(stage, scale), still(place, 0.26, scale), id=1, parallax=0.7)
    )
    layers.append(hedge(stage, 0.11, 0.16, 0.72))
    home = curve(stage.span, (0.68, 0.60), (1.0, 0.02))
    layers.append(
        walker(stage, coat=coat, x=home, foot=0.42, tall=0.68, id=2, flip=True)
    )
    layers.append(tufts(stage, meadow, 0.42))
    camera = handheld(stage, lambda time: Camera(x=0.1))
    grade = Grade(gain=(1.0, 0.80, 0.64), gamma=1.2, noise=0.018, lift=0.03)
    return Shot(camera, layers, grade)
