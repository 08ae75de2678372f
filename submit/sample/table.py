"""`crossing`: a cup and three coins that cross on a table."""

from __future__ import annotations

import numpy as np

from .grade import Grade
from .materials import Colour, smoothstep
from .render import Actor, Camera, Drawable, Plane, Pose, Shadow
from .sprites import coin, cup
from .stage import Curve, Route, Scene, SceneSpec, Shot, curve, handheld
from .surfaces import wood

__all__ = ["crossing"]

_SILVER = ((0.10, 0.10, 0.11), (0.55, 0.55, 0.56), (0.97, 0.97, 0.95))
_COPPER = ((0.14, 0.06, 0.03), (0.62, 0.36, 0.20), (0.98, 0.78, 0.58))
_GOLD = ((0.16, 0.10, 0.02), (0.68, 0.52, 0.20), (1.0, 0.92, 0.62))
#: Vertical compression of flat objects; that of the saucer in its photograph.
_SLANT = 0.86


def crossing(stage: SceneSpec) -> Scene:
    """Render four objects on a table that move over and under each other.

    Objects 1 to 3 are coins, which occlude each other; object 4 is a cup whose saucer
    covers the coins.
    """
    span, half = stage.span, stage.half
    layers: list[Drawable] = [_table(stage)]
    moves: tuple[
        tuple[int, tuple[int, int, int, int], tuple[Colour, ...], float, Route], ...
    ] = (
        (1, (306, 13, 366, 74), _SILVER, 0.24, Route(
            [(-half + 0.20, 0.26), (-0.30, 0.12), (0.05, 0.20), (0.50, 0.32)],
            curve(span, (0, 0), (0.35, 1.2), (0.7, 2.2), (1, 3)),
        )),
        (2, (16, 230, 78, 292), _COPPER, 0.26, Route(
            [(0.50, 0.36), (0.08, 0.30), (-0.28, 0.12), (-0.60, -0.16), (-0.62, -0.34)],
            curve(span, (0, 0), (0.3, 0.8), (0.7, 2.3), (1, 3.6)),
        )),
        (3, (141, 233, 205, 290), _GOLD, 0.25, Route(
            [(-0.10, 0.38), (-0.02, 0.10), (0.10, -0.14), (0.06, -0.33)],
            curve(span, (0, 0), (0.5, 1.3), (1, 3)),
        )),
    )  # fmt: skip
    for number, box, metal, size, way in moves:
        spin = float(stage.rng.uniform(-2.5, 2.5))
        start = float(stage.rng.uniform(0, 6))

        def pose(
            time: float,
            way: Route = way,
            size: float = size,
            spin: float = spin,
            start: float = start,
        ) -> Pose:
            x, y, _ = way.at(time)
            return Pose(x, y, size, start + spin * way.gone(time), squash=_SLANT)

        piece = coin(box, stage.unit * size * 1.2, metal)
        shadow = Shadow(0.008, 0.012, 0.008, 0.7)
        layers.append(Actor(piece, pose, id=number, shadow=shadow))
    layers.append(_cup(stage, curve(span, (0, 0), (0.25, 0.6), (0.75, 2.5), (1, 3))))
    zoom = curve(span, (0, 1.0), (1, 1.10))
    turn = curve(span, (0, -0.035 + stage.jitter(0.02)), (1, 0.03))
    camera = handheld(stage, lambda time: Camera(zoom=zoom(time), roll=turn(time)))
    grade = Grade(gain=(1.04, 0.98, 0.90), gamma=1.1, noise=0.011, vignette=0.3)
    mirror = bool(stage.rng.random() < 0.5)
    return Scene([(0, Shot(camera, layers, grade))], (1, 2, 3, 4), mirror=mirror)


def _table(stage: SceneSpec) -> Plane:
    """Make a table top with the light of a window at its far side."""
    density = stage.unit * 1.1
    wide, tall = 2 * stage.half + 0.3, 2 * stage.rise + 0.3
    rows, columns = int(tall * density), int(wide * density)
    y = np.linspace(1, 0, rows)[:, None]
    x = np.linspace(0, 1, columns)
    window = np.exp(-(((y - 0.85) / 0.3) ** 2) - ((x - 0.35) / 0.3) ** 2)
    light = 0.62 + 0.55 * smoothstep(-0.2, 1.4, y) + 0.25 * window
    top = wood(rows, columns, stage.rng) * light + 0.10 * window
    texture = np.clip(top, 0, 1).astype(np.float32)
    return Plane(texture, density, -wide / 2, -tall / 2)


def _cup(stage: SceneSpec, progress: Curve) -> Actor:
    """Move the cup across the table; it is larger near the viewer."""
    way = Route([(0.48, -0.12), (0.30, -0.10), (-0.15, -0.06), (-0.42, 0.02)], progress)

    def pose(time: float) -> Pose:
        x, y, _ = way.at(time)
        return Pose(x, y, 0.52 * (1 + 0.25 * y))

    shadow = Shadow(0.018, 0.03, 0.02, 0.75)
    return Actor(cup(stage.unit * 0.55 * 1.1), pose, id=4, shadow=shadow)
