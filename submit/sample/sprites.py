"""Rigid sprites: cut out of photographs, or generated from noise.

A sprite is made once for each video, at the resolution that the video needs. `density`
is its resolution in pixels of texture per sprite unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .materials import (
    Array,
    Colour,
    blend,
    cutout,
    fractal,
    grey,
    join,
    outline,
    picture,
    ramp,
    resize,
    rgb,
    smoothstep,
    spread,
)
from .render import sample
from .surfaces import bark, foliage

__all__ = [
    "Still",
    "canopy",
    "car",
    "coin",
    "cup",
    "defocus",
    "dome",
    "lily_pad",
    "raster",
    "rocket",
    "trunk",
]


@dataclass(frozen=True)
class Still:
    """A sprite that does not change over time.

    Attributes:
        texture: 4×H×W, premultiplied, transparent along its edges.
        density: Pixels per unit.
        left: u of the texture's left edge.
        top: v of its upper edge.
    """

    texture: Array
    density: float
    left: float
    top: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The texture's rectangle: left, top, right, bottom."""
        height, width = self.texture.shape[1:]
        right = self.left + width / self.density
        return self.left, self.top, right, self.top + height / self.density

    def look(self, u: Array, v: Array, time: float) -> Array:
        """Sample the texture."""
        del time
        density, half = np.float32(self.density), np.float32(0.5)
        row = (v - np.float32(self.top)) * density - half
        return sample(self.texture, row, (u - np.float32(self.left)) * density - half)


def _framed(texture: Array, density: float, left: float, top: float) -> Still:
    """Make a `Still` with a transparent edge around a 4×H×W texture."""
    texture = np.pad(texture, ((0, 0), (2, 2), (2, 2)))
    return Still(texture, density, left - 2 / density, top - 2 / density)


def defocus(sprite: Still, radius: float) -> Still:
    """Blur a sprite as if out of focus; the radius is in sprite units."""
    sigma = radius * sprite.density
    pad = int(3 * sigma) + 1
    texture = np.pad(sprite.texture, ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    texture = ndimage.gaussian_filter(texture, (0, sigma, sigma), truncate=3)
    shift = pad / sprite.density
    return Still(texture, sprite.density, sprite.left - shift, sprite.top - shift)


def raster(
    left: float, top: float, right: float, bottom: float, density: float
) -> tuple[Array, Array]:
    """The u and v coordinates of the centres of all pixels of a texture."""
    columns = max(4, round((right - left) * density))
    rows = max(4, round((bottom - top) * density))
    v, u = np.mgrid[:rows, :columns].astype(np.float32)
    step = np.float32(1 / density)
    half = np.float32(0.5)
    return (u + half) * step + np.float32(left), (v + half) * step + np.float32(top)


def dome(alpha: Array, radius: float, light: tuple[float, float, float]) -> Array:
    """Shading that makes a flat outline look round; about 1 where it faces the light.

    Args:
        alpha: H×W outline.
        radius: Width in pixels of the curved edge.
        light: Direction towards the light: right, down, towards the viewer.
    """
    inside = ndimage.distance_transform_edt(alpha > 0.5)
    part = np.clip(inside / radius, 0, 1)
    height = np.sqrt(np.clip(1 - (1 - part) ** 2, 0, 1)) * radius
    down, right = np.gradient(ndimage.gaussian_filter(height, radius * 0.28))
    x, y, z = np.array(light) / np.linalg.norm(light)
    facing = (z - right * x - down * y) / np.sqrt(right**2 + down**2 + 1)
    return np.asarray(0.42 + 0.78 * np.clip(facing, 0, 1), np.float32)


# --- Cut from photographs --------------------------------------------------------


def rocket(density: float) -> Still:
    """Cut the rocket out of its photograph; unit and origin are those of the image."""
    shape = [
        (322.3, 126), (326, 131), (330, 140), (333, 151), (333.3, 165), (333, 177),
        (331.5, 181), (331.5, 200), (331.5, 300), (331.5, 400), (331, 406),
        (322, 407), (313.5, 406), (313, 400), (313, 300), (313, 200), (313, 181),
        (311.5, 177), (311, 165), (311.5, 151), (314.5, 140), (318.5, 131),
    ]  # fmt: skip
    top, bottom, left, right = 110, 420, 290, 350
    alpha = outline(shape, 427, 640)[top:bottom, left:right]
    zoom = density / 427
    rows = max(8, round((bottom - top) * zoom))
    columns = max(4, round((right - left) * zoom))
    colour = resize(picture("rocket.jpg")[:, top:bottom, left:right], rows, columns)
    texture = join(colour, np.clip(resize(alpha, rows, columns), 0, 1))
    return _framed(texture, density, left / 427, top / 427)


def coin(
    box: tuple[int, int, int, int], density: float, metal: tuple[Colour, ...]
) -> Still:
    """Cut a coin out of the photograph of coins; it is one unit wide.

    Args:
        box: Left, top, right, bottom in the photograph.
        density: Pixels per unit.
        metal: Colours from shadows to lights.
    """
    left, top, right, bottom = box
    grey = picture("coins.png")[0, top:bottom, left:right]
    smooth = ndimage.gaussian_filter(grey, 1.0)
    rim = np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])
    cut = (np.median(rim) + np.median(smooth)) / 2
    pieces, count = ndimage.label(smooth > cut)
    sizes = ndimage.sum_labels(np.ones_like(grey), pieces, np.arange(1, count + 1))
    solid = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    depth = ndimage.distance_transform_edt(solid)
    depth = depth - ndimage.distance_transform_edt(~solid)
    zoom = density / max(right - left, bottom - top)
    rows = max(4, round((bottom - top) * zoom))
    columns = max(4, round((right - left) * zoom))
    depth = resize(ndimage.gaussian_filter(depth, 2.0), rows, columns)
    tone = resize(grey, rows, columns)
    tone = (tone - tone.min()) / (np.ptp(tone) + 1e-6)
    colour = ramp(tone * (0.45 + 0.55 * smoothstep(0.0, 2.5, depth)), *metal)
    texture = join(colour, smoothstep(-0.7, 0.7, depth * zoom))
    return _framed(texture, density, -columns / density / 2, -rows / density / 2)


def cup(density: float) -> Still:
    """Cut cup, saucer and spoon out of the photograph; they are one unit wide."""
    photo = picture("coffee.png")
    y, x = np.mgrid[: photo.shape[1], : photo.shape[2]].astype(np.float32)
    saucer = 1 - np.hypot((x - 278) / 199.5, (y - 215) / 172.5)
    rim = 1 - np.hypot((x - 289) / 115.5, (y - 112) / 94.5)
    spoon = [(399, 74), (404, 68), (412, 67), (421, 71), (424, 78), (416, 104),
             (408, 122), (395, 130), (392, 110)]  # fmt: skip
    alpha = np.max(
        [
            smoothstep(-0.005, 0.005, saucer),
            smoothstep(-0.008, 0.008, rim),
            outline(spoon, photo.shape[1], photo.shape[2]),
        ],
        axis=0,
    )
    left, top, right, bottom = 70, 8, 488, 396
    whole = cutout(photo, alpha, 1.2)[:, top:bottom, left:right]
    zoom = density / 400
    rows = max(8, round((bottom - top) * zoom))
    columns = max(8, round((right - left) * zoom))
    texture = np.clip(resize(whole, rows, columns), 0, 1)
    return _framed(texture, density, (left - 278) / 400, (top - 215) / 400)


# --- Generated -------------------------------------------------------------------


def car(density: float, paint: Colour, rng: np.random.Generator) -> Still:
    """Make a car seen from above, one unit long, driving towards u > 0."""
    fine = 3
    u, v = raster(-0.54, -0.28, 0.54, 0.28, density * fine)
    edge = 1.5 / (density * fine)

    def plate(middle: float, length: float, width: float, taper: float = 0.0) -> Array:
        across = v / (1 - taper * (u - middle) / length)
        shape = np.abs((u - middle) / length) ** 5 + np.abs(across / width) ** 5
        return smoothstep(-1, 1, (1 - shape**0.2) * width / edge)

    body = plate(0.0, 0.5, 0.215, 0.07)
    dirt = 1 + 0.04 * fractal(*_size(u), density, rng, octaves=3)
    bonnet = 1 + 0.10 * np.cos(np.clip(v / 0.2, -1, 1) * np.pi / 2) - 0.25 * v
    crease = np.exp(-(((np.abs(v) - 0.12) / 0.012) ** 2)) * (u > 0.2)
    base = rgb(*paint) * (bonnet * dirt * (1 - 0.18 * crease))
    glass = rgb(0.05, 0.06, 0.08) + 0.22 * smoothstep(0.1, -0.25, v + u)
    colour = blend(base, glass, plate(-0.06, 0.295, 0.18, -0.02))
    colour = blend(colour, base * 1.12, plate(-0.09, 0.185, 0.163))
    lamps = smoothstep(0.44, 0.455, np.abs(u)) * (np.abs(np.abs(v) - 0.145) < 0.04)
    lamp = np.where(u > 0, rgb(1.0, 0.98, 0.9), rgb(0.6, 0.05, 0.04))
    colour = blend(colour, lamp, 0.85 * lamps)
    rows, columns = max(4, len(u) // fine), max(4, u.shape[1] // fine)
    colour = np.clip(resize(colour, rows, columns), 0, 1)
    alpha = np.clip(resize(body, rows, columns), 0, 1)
    return _framed(join(colour, alpha), density, -0.54, -0.28)


def lily_pad(density: float, rng: np.random.Generator) -> Still:
    """Make a water lily leaf, one unit wide, with its notch towards u > 0."""
    u, v = raster(-0.54, -0.54, 0.54, 0.54, density)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    wobble = 0.012 * np.sin(5 * angle + rng.uniform(0, 6)) + 0.008 * np.sin(11 * angle)
    edge = 0.7 / density
    alpha = smoothstep(-edge, edge, 0.49 + wobble - radius)
    # The notch does not reach the middle, so that the water there stays covered.
    notch = np.abs(v) - 0.16 * (u - 0.20)
    alpha = alpha * smoothstep(-edge, edge, notch)
    veins = np.abs(np.sin(angle * 9.5 + 0.3 * np.sin(radius * 14)))
    vein = np.exp(-((veins * radius / 0.016) ** 2)) * smoothstep(0.5, 0.1, radius)
    grass = grey("grass.png")
    fibre = spread(grass, *_size(u), max(density / 700, 0.05), rng)
    blotch = fractal(*_size(u), density * 0.3, rng)
    tone = 0.5 + 0.22 * (fibre - 0.5) + 0.08 * blotch + 0.16 * vein
    tone += 0.10 * smoothstep(0.44, 0.49, radius) - 0.24 * np.cos(angle + 0.8) * radius
    young, old = (0.62, 0.72, 0.38), (0.20, 0.36, 0.15)
    colour = ramp(np.clip(tone, 0, 1), (0.03, 0.11, 0.05), old, young)
    spots = smoothstep(1.5, 2.2, fractal(*_size(u), density * 0.12, rng))
    colour = blend(colour, rgb(0.42, 0.32, 0.12), 0.6 * spots)
    return _framed(join(colour, alpha), density, -0.54, -0.54)


def canopy(density: float, rng: np.random.Generator, leaf: Colour) -> Still:
    """Make the crown of a tree seen from above, about one unit wide.

    Args:
        density: Pixels per unit.
        rng: Source of randomness for its outline.
        leaf: Colour of its leaves in the light.
    """
    u, v = raster(-0.62, -0.62, 0.62, 0.62, density)
    lobes = np.clip(fractal(*_size(u), density * 0.4, rng, octaves=5), -2, 2)
    alpha = smoothstep(-0.008, 0.008, 0.46 + 0.055 * lobes - np.hypot(u, v))
    dark = tuple(0.1 * channel for channel in leaf)
    middle = tuple(0.45 * channel for channel in leaf)
    leaves = foliage(
        *_size(u),
        rng,
        cell=max(3.0, density * 0.15),
        colours=((dark[0], dark[1], dark[2]), (middle[0], middle[1], middle[2]), leaf),
    )
    light = dome(alpha, density * 0.45, (-0.6, -0.5, 0.8))
    return _framed(join(np.clip(leaves * light, 0, 1), alpha), density, -0.62, -0.62)


def trunk(density: float, width: float, rise: float, rng: np.random.Generator) -> Still:
    """Make a tree trunk that crosses the frame from top to bottom.

    Args:
        density: Pixels per unit.
        width: Width at half height, in units.
        rise: Half of its height, in units.
        rng: Source of randomness for its bark.
    """
    u, v = raster(-width, -rise, width, rise, density)
    sway = 0.12 * width * np.sin(v * 3 + rng.uniform(0, 6))
    rough = fractal(len(u), 1, density * 0.12, rng, octaves=4) * 0.025 * width
    half = width * (0.5 + 0.06 * v / rise) + rough
    alpha = smoothstep(-0.7 / density, 0.7 / density, half - np.abs(u - sway))
    across = np.clip((u - sway) / half, -1, 1)
    light = 0.3 + 0.85 * np.sqrt(np.clip(1 - (across + 0.35) ** 2 / 1.85, 0, 1))
    colour = np.clip(bark(*_size(u), rng) * light, 0, 1)
    texture = np.pad(join(colour, alpha), ((0, 0), (0, 0), (2, 2)))
    return Still(texture, density, -width - 2 / density, -rise)


def _size(values: Array) -> tuple[int, int]:
    """Rows and columns of an image."""
    return values.shape[0], values.shape[1]
