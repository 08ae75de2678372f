"""A meadow for two scenarios, and `similar`: two similar horses that cross."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .animals import Coat, Horse
from .grade import Grade
from .materials import Array, Colour, blend, fractal, join, rgb, smoothstep
from .render import Actor, Camera, Drawable, Plane, Pose, Shadow
from .sprites import defocus, trunk
from .stage import Curve, Scene, SceneSpec, Shot, curve, handheld, still
from .surfaces import clouds, foliage, grass_blades, ground

__all__ = ["COATS", "Meadow", "hedge", "similar", "tufts", "walker"]

COATS: tuple[Coat, ...] = (
    ((0.07, 0.03, 0.02), (0.36, 0.19, 0.10), (0.74, 0.48, 0.30)),
    ((0.14, 0.06, 0.03), (0.50, 0.27, 0.13), (0.86, 0.60, 0.38)),
    ((0.06, 0.04, 0.03), (0.27, 0.17, 0.11), (0.66, 0.50, 0.38)),
    ((0.16, 0.15, 0.15), (0.56, 0.54, 0.52), (0.93, 0.91, 0.88)),
)
_POINTS = (0.07, 0.05, 0.05)


@dataclass(frozen=True)
class Meadow:
    """A background of sky, distant trees and grass.

    Attributes:
        horizon: World y of the horizon.
        foot: World y of the ground where the actors stand.
        reach: Largest distance of the camera from the middle, in world units.
        sky: Colours of the sky at the zenith and at the horizon.
        grass: Colours of the grass from shadows to lights.
    """

    horizon: float = -0.08
    foot: float = 0.30
    reach: float = 0.3
    sky: tuple[Colour, Colour] = ((0.36, 0.55, 0.80), (0.82, 0.87, 0.90))
    grass: tuple[Colour, ...] = (
        (0.07, 0.09, 0.03), (0.33, 0.37, 0.14), (0.72, 0.70, 0.40)
    )  # fmt: skip

    def build(self, stage: SceneSpec) -> list[Drawable]:
        """Make the layers of the background, from the back to the front."""
        half, rise = stage.half + 0.10, stage.rise + 0.08
        density = stage.unit * 1.05
        rows = int((rise + self.horizon + 0.05) * density)
        air = clouds(
            rows, int(2 * half * density), stage.rng, top=self.sky[0], low=self.sky[1]
        )
        layers: list[Drawable] = [Plane(air, density, -half, -rise, 0.02)]
        for parallax, tall, haze in ((0.08, 0.09, 0.5), (0.16, 0.12, 0.15)):
            layers.append(self._wood(stage, parallax, tall, haze))
        depth = rise - self.horizon
        near = depth / (self.foot - self.horizon)
        wide = 2 * (half + self.reach * near)
        grass = ground(
            int(depth * density),
            int(wide * density),
            stage.rng,
            colours=self.grass,
            fineness=0.75 * 270 / stage.unit,
            focal=1.1 * stage.unit,
        )
        far = smoothstep(0.25, 0.0, np.linspace(0, 1, grass.shape[1])[:, None])
        grass = blend(grass, 0.45 * grass + 0.3 * rgb(*self.sky[1]), 0.5 * far)
        alpha = np.ones(grass.shape[1:], np.float32)
        soft = max(2, int(0.012 * density))
        alpha[:soft] *= np.linspace(0, 1, soft, dtype=np.float32)[:, None]
        layers.append(
            Plane(join(grass, alpha), density, -wide / 2, self.horizon, (0.0, near))
        )
        return layers

    def _wood(
        self, stage: SceneSpec, parallax: float, tall: float, haze: float
    ) -> Plane:
        """Make a band of trees along the horizon."""
        density = stage.unit * 1.05
        wide = 2 * (stage.half + 0.10 + self.reach * parallax)
        rows, columns = int((tall + 0.08) * density), int(wide * density)
        leaves = foliage(
            rows,
            columns,
            stage.rng,
            cell=max(3.0, density * 0.05),
            colours=((0.03, 0.06, 0.03), (0.15, 0.22, 0.10), (0.36, 0.42, 0.20)),
        )
        leaves = blend(
            leaves, 0.85 * rgb(*self.sky[1]), np.full((1, 1), haze, np.float32)
        )
        crowns = fractal(1, columns, density * 0.16, stage.rng, octaves=5)[0]
        lumps = np.abs(fractal(1, columns, density * 0.07, stage.rng, octaves=3)[0])
        up = (rows - np.arange(rows)[:, None]) / density - 0.02
        edge = tall * (0.66 + 0.14 * crowns + 0.12 * lumps)
        band = join(leaves, smoothstep(-0.006, 0.006, edge - up))
        sigma = density / 350
        band = ndimage.gaussian_filter(band, (0, sigma, sigma))
        band = np.pad(band, ((0, 0), (2, 0), (0, 0)))
        top = self.horizon + 0.02 - band.shape[1] / density
        return Plane(band, density, -wide / 2, top, parallax)


def walker(
    stage: SceneSpec,
    *,
    coat: Coat,
    x: Curve,
    foot: float,
    tall: float,
    id: int,
    flip: bool = False,
) -> Actor:
    """Make a walking horse whose steps match its speed.

    Args:
        stage: The scene's specification.
        coat: Colours of its coat.
        x: World x at each time.
        foot: World y of its hooves.
        tall: Its height in world units.
        id: Object id.
        flip: Whether it faces left.
    """

    def step(time: float) -> float:
        return abs(x(time) - x(0.0)) / (0.62 * tall)

    def effort(time: float) -> float:
        return min(1.0, abs(x(time + 0.5) - x(time - 0.5)) / (0.02 * tall))

    horse = Horse(stage.unit * tall * 1.1, stage.rng, coat, _POINTS, step, effort)
    return Actor(
        horse,
        lambda time: Pose(x(time), foot, tall, flip=flip),
        id=id,
        shadow=Shadow(blur=0.010, strength=0.7, flat=0.16, lean=0.3),
    )


def hedge(
    stage: SceneSpec, top: float, tall: float, parallax: float, reach: float = 0.3
) -> Plane:
    """Make a hedge across the frame.

    Args:
        stage: The scene's specification.
        top: World y of its upper edge.
        tall: Its height in world units.
        parallax: As in `Plane`.
        reach: Largest distance of the camera from the middle, in world units.
    """
    density = stage.unit * 1.05
    wide = 2 * (stage.half + 0.1 + reach * parallax)
    rows, columns = int((tall + 0.05) * density), int(wide * density)
    leaves = foliage(
        rows,
        columns,
        stage.rng,
        cell=max(3.0, density * 0.07),
        colours=((0.02, 0.04, 0.02), (0.15, 0.23, 0.08), (0.44, 0.52, 0.22)),
    )
    down = np.arange(rows)[:, None] / density
    light = 1.15 - 0.5 * smoothstep(0.0, 0.5, down)
    edge = 0.05 + 0.010 * fractal(1, columns, density * 0.12, stage.rng, octaves=5)[0]
    leaf = 0.007 * fractal(rows, columns, density * 0.025, stage.rng, octaves=2)
    alpha: Array = smoothstep(-0.003, 0.003, down - edge + leaf)
    alpha[0] = 0
    texture = join(np.clip(leaves * light, 0, 1), alpha)
    return Plane(texture, density, -wide / 2, top - 0.05, parallax)


def tufts(stage: SceneSpec, meadow: Meadow, foot: float) -> Plane:
    """Make grass that covers the hooves of animals that stand at world y `foot`."""
    density = stage.unit * 1.05
    near = (foot - meadow.horizon) / (meadow.foot - meadow.horizon)
    wide = 2 * (stage.half + 0.1 + meadow.reach * near)
    rows, columns = max(4, int(0.055 * near * density)), int(wide * density)
    red, green, blue = meadow.grass[1]
    blades = grass_blades(
        rows,
        columns,
        stage.rng,
        blade=max(0.8, 0.0055 * density),
        thick=0.5,
        colour=(1.3 * red, 1.3 * green, 1.3 * blue),
        shade=0.85,
    )
    gaps = fractal(1, columns, density * 0.12, stage.rng, octaves=4)
    blades = blades * smoothstep(-0.4, 0.5, gaps)
    blades = np.pad(blades, ((0, 0), (2, 1), (0, 0)))
    top = foot + 0.014 - rows / density
    return Plane(blades, density, -wide / 2, top, near)


def _fringe(stage: SceneSpec, reach: float) -> Plane:
    """Make blurred grass close to the camera."""
    density = stage.unit * 0.7
    parallax = 2.4
    wide = 2 * (stage.half + 0.1 + reach * parallax)
    rows, columns = int(0.30 * density), int(wide * density)
    blades = grass_blades(
        rows,
        columns,
        stage.rng,
        blade=max(1.5, 0.016 * density),
        thick=1.6,
        colour=(0.34, 0.42, 0.15),
        shade=0.5,
    )
    sigma = density * 0.009
    blades = ndimage.gaussian_filter(blades, (0, sigma, sigma))
    blades = np.pad(blades, ((0, 0), (2, 0), (0, 0)))
    top = stage.rise + 0.03 - rows / density
    return Plane(blades, density, -wide / 2, top, parallax)


def similar(stage: SceneSpec) -> Scene:
    """Render two horses with the same coat that pass each other behind trees."""
    rng, span = stage.rng, stage.span
    shift = stage.jitter(0.05)
    first = curve(span, (0, -0.52 + shift), (0.5, -0.02), (1, 0.62))
    second = curve(span, (0, 0.52 + shift), (0.45, 0.08), (1, -0.66))
    coat = COATS[int(rng.integers(3))]
    meadow = Meadow(reach=0.2)
    layers = meadow.build(stage)
    layers.append(walker(stage, coat=coat, x=first, foot=0.25, tall=0.47, id=1))
    layers.append(tufts(stage, meadow, 0.25))
    layers.append(
        walker(stage, coat=coat, x=second, foot=0.33, tall=0.53, id=2, flip=True)
    )
    layers.append(tufts(stage, meadow, 0.33))
    for x, width in ((-0.55 + shift, 0.16), (0.93 + shift, 0.22)):
        tree = trunk(stage.unit * 0.9, width, stage.rise + 0.1, rng)
        layers.append(Actor(defocus(tree, 0.006), still(x, 0.0, 1.0), parallax=1.9))
    layers.append(_fringe(stage, 0.2))
    travel = curve(span, (0, -0.17), (1, 0.17))
    camera = handheld(stage, lambda time: Camera(x=travel(time)))
    grade = Grade(gamma=1.08, saturation=0.95, gain=(1.04, 1.0, 0.93), noise=0.009)
    shot = Shot(camera, layers, grade)
    return Scene([(0, shot)], (1, 2), mirror=bool(rng.random() < 0.5))
