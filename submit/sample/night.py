"""`lowlight`: an astronaut walks past a rocket at night, under flickering lamps."""

from __future__ import annotations

import numpy as np

from .grade import Grade
from .materials import picture, resize
from .person import Astronaut
from .render import Actor, Camera, Drawable, Plane, Pose
from .sprites import rocket
from .stage import Scene, SceneSpec, Shot, curve, handheld, still

__all__ = ["lowlight"]


def lowlight(stage: SceneSpec) -> Scene:
    """Render a dark and noisy video of an astronaut in front of a rocket.

    Object 1 is the astronaut, object 2 the rocket, which the astronaut partly occludes.
    """
    rng, span, half, rise = stage.rng, stage.span, stage.half, stage.rise
    photo = picture("rocket.jpg")
    far = 0.2
    wide = max(2 * half + 0.10, 640 / 427 * (2 * rise + 0.12))
    tall = wide * 427 / 640
    density = min(640 / wide, stage.unit * 1.2)
    backdrop = resize(photo, int(tall * density), int(wide * density))
    left, top = -wide / 2, rise + 0.05 - tall
    walk = curve(
        span, (0, -0.60 + stage.jitter(0.06)), (0.42, -0.02), (0.62, 0.06), (1, 0.60)
    )
    scale = 0.74

    def pose(time: float) -> Pose:
        x = walk(time)
        step = np.pi * x / 0.11
        bob = 0.012 * abs(float(np.sin(step)))
        return Pose(x, rise + 0.07 + bob, scale, 0.02 * float(np.sin(step)))

    phase = float(rng.uniform(0, 6))
    person = Astronaut(
        stage.unit * scale * 1.1,
        lambda time: float(np.sin(0.16 * time + phase)),
        lambda time: float(np.sin(0.35 * time)),
    )
    layers: list[Drawable] = [
        Plane(backdrop, density, left, top, far),
        Actor(
            rocket(stage.unit * tall * 1.1), still(left, top, tall), id=2, parallax=far
        ),
        Actor(person, pose, id=1, tint=(0.66, 0.52, 0.44)),
    ]
    travel = curve(span, (0, -0.12), (1, 0.12))
    camera = handheld(stage, lambda time: Camera(x=travel(time), zoom=1.04), 1.5)
    flutter = rng.uniform(0.82, 1.0, stage.frames)
    hum = float(rng.uniform(0, 6))

    def flicker(time: float) -> float:
        return float((1 + 0.09 * np.sin(2.4 * time + hum)) * flutter[int(time)])

    grade = Grade(
        gain=(0.72, 0.69, 0.73),
        gamma=1.2,
        noise=0.036,
        grain=0.8,
        blur=0.6,
        vignette=0.3,
        saturation=0.8,
        lift=0.018,
        flicker=flicker,
    )
    return Scene([(0, Shot(camera, layers, grade))], (1, 2))
