"""Textures of ground, sky, leaves, bark, wood and grass, made of photographs.

All results have the channels first, as in `materials`.
"""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .materials import (
    Array,
    Colour,
    blend,
    fractal,
    grey,
    join,
    mirrored,
    ramp,
    resize,
    rgb,
    smoothstep,
    spread,
)

__all__ = ["bark", "clouds", "foliage", "grass_blades", "ground", "wood"]


def ground(
    rows: int,
    columns: int,
    rng: np.random.Generator,
    *,
    colours: tuple[Colour, ...],
    fineness: float,
    focal: float,
) -> Array:
    """Project photographed grass onto the ground, as seen towards the horizon.

    Args:
        rows: Height, the first row at the horizon.
        columns: Width.
        rng: Chooses the part of the photograph.
        colours: Colours from shadows to lights.
        fineness: Pixels of the photograph for each pixel of the last row.
        focal: Focal length of the camera in pixels.
    """
    plain = grey("grass.png")
    levels = [plain]
    while len(levels) < 6:
        side = len(levels[-1]) // 2
        levels.append(resize(levels[-1], side, side))
    start = rng.integers(0, 512, 2)
    across = np.arange(columns) - columns / 2
    tone = np.empty((rows, columns), np.float32)
    taps = 6
    for row in range(rows):
        # A pixel of this row covers `step` pixels of the photograph in width and many
        # more in depth; a few samples in depth are averaged.
        below = row + 0.5 + (np.arange(taps) + 0.5) / taps - 0.5
        step = fineness * rows / (row + 1)
        depth = fineness * rows * focal / (below + 1)
        level = min(max(np.log2(max(1.4 * step, 1)), 0), len(levels) - 1)
        line = np.zeros(columns, np.float32)
        for index, weight in (
            (int(level), 1 - level % 1),
            (min(int(level) + 1, len(levels) - 1), level % 1),
        ):
            source = levels[index]
            shrink = len(source) / len(plain)
            y = mirrored(((depth + start[0]) * shrink).astype(np.int64), len(source))
            x = (across * step + start[1]) * shrink
            left = np.floor(x).astype(np.int64)
            part = (x - left).astype(np.float32)
            mean = source[y].mean(0)
            line += np.float32(weight) * (
                mean[mirrored(left, mean.size)] * (1 - part)
                + mean[mirrored(left + 1, mean.size)] * part
            )
        tone[row] = line
    contrast = 1 + 0.35 * np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    patches = fractal(rows, columns, rows * 0.9, rng, octaves=5, stretch=0.14)
    tone = 0.47 + (tone - 0.45) * contrast + 0.055 * patches
    return ramp(np.clip(tone, 0, 1), *colours)


def clouds(
    rows: int, columns: int, rng: np.random.Generator, *, top: Colour, low: Colour
) -> Array:
    """Make a sky: a gradient with clouds that become flatter towards the horizon."""
    down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    sky = ramp(np.broadcast_to(down, (rows, columns)), top, low)
    shape = fractal(rows, columns, rows * 1.1, rng, octaves=7, stretch=0.4)
    wisps = fractal(rows, columns, rows * 0.5, rng, octaves=6, stretch=0.2)
    cover = smoothstep(0.0, 1.7, shape + 0.35 * wisps) * (0.9 - 0.45 * down)
    # A cloud is lit from above: it is dark where more cloud is above than below.
    lit = np.clip(-ndimage.sobel(ndimage.gaussian_filter(shape, rows / 60), 0), -1, 1)
    light = 0.94 + 0.10 * lit - 0.06 * smoothstep(0.8, 2.4, shape)
    white = light * (0.72 + 0.28 * rgb(*low))
    return np.clip(blend(sky, white, cover), 0, 1)


def foliage(
    rows: int,
    columns: int,
    rng: np.random.Generator,
    *,
    cell: float,
    colours: tuple[Colour, ...],
) -> Array:
    """Make leaves: photographed grass in bright and dark tufts.

    Args:
        rows: Height.
        columns: Width.
        rng: Source of randomness.
        cell: Width of a tuft in pixels.
        colours: Colours from shadows to lights.
    """
    grass = grey("grass.png")
    blades = spread(grass, rows, columns, min(max(cell / 40, 0.1), 1.5), rng)
    tufts = fractal(rows, columns, cell, rng, octaves=4)
    # Light comes from the upper left; the gradient of the tufts gives the shading.
    slope = ndimage.sobel(tufts, 0) + 0.6 * ndimage.sobel(tufts, 1)
    slope = np.clip(slope / (np.abs(slope).mean() * 4 + 1e-6), -1.5, 1.5)
    tone = 0.45 + 0.15 * tufts - 0.2 * slope + 0.8 * (blades - 0.45)
    return ramp(np.clip(tone, 0, 1), *colours)


def bark(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """Make bark: photographed grass, stretched vertically."""
    source = grey("grass.png")[:170]
    tall = resize(source, rows * 2, max(columns * 3, 8))
    top, left = int(rng.integers(rows)), int(rng.integers(columns * 2))
    fibre = tall[top : top + rows, left : left + columns]
    cracks = fractal(rows, columns, max(2.0, columns * 0.2), rng, octaves=3, stretch=5)
    tone = 0.40 + 0.9 * (fibre - 0.45) + 0.12 * cracks
    brown = ramp(
        np.clip(tone, 0, 1), (0.08, 0.06, 0.05), (0.33, 0.27, 0.21), (0.7, 0.63, 0.54)
    )
    moss = smoothstep(0.3, 1.6, fractal(rows, columns, columns * 1.0, rng, stretch=2))
    return blend(brown, brown * rgb(0.78, 0.95, 0.52), moss)


def wood(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """Make a table top of wooden boards, in the colours of the coffee photograph."""
    edges = [0]
    while edges[-1] < rows:
        edges.append(edges[-1] + int(rows * rng.uniform(0.17, 0.27)) + 1)
    grain = np.empty((rows, columns), np.float32)
    y = np.arange(rows)[:, None]
    for low, end in itertools.pairwise(edges):
        high = min(end, rows)
        count = high - low
        fine = fractal(count, columns, max(4.0, rows / 12), rng, stretch=0.03)
        rings = fractal(count, columns, rows * 1.1, rng, octaves=3, stretch=0.09)
        waves = np.sin(10 * rings + 1.5 * fine)
        board = 0.52 + 0.09 * rng.standard_normal()
        grain[low:high] = board + 0.07 * waves * (0.6 + 0.4 * fine) + 0.07 * fine
    seam = np.min([np.abs(y - edge) for edge in edges[1:-1]], axis=0)
    grain -= 0.42 * np.exp(-((seam / (rows / 260)) ** 2))
    scratches = fractal(rows, columns, rows / 5, rng, octaves=6, stretch=0.3)
    grain += 0.025 * scratches
    return ramp(
        np.clip(grain, 0, 1),
        (0.10, 0.04, 0.02),
        (0.36, 0.18, 0.09),
        (0.64, 0.40, 0.23),
        (0.86, 0.66, 0.46),
    )


def grass_blades(
    rows: int,
    columns: int,
    rng: np.random.Generator,
    *,
    blade: float,
    thick: float,
    colour: Colour,
    shade: float,
) -> Array:
    """Draw blades of grass along the lower edge, as 4×H×W.

    Args:
        rows: Height; the tallest blades are nearly as tall.
        columns: Width.
        rng: Source of randomness.
        blade: Width of a blade in pixels.
        thick: Number of blades per width of a blade.
        colour: Colour of a blade in the light.
        shade: Brightness at the foot of the blades, relative to their tips.
    """
    fine = 2
    canvas = Image.new("RGBA", (columns * fine, rows * fine))
    draw = ImageDraw.Draw(canvas)
    part = np.linspace(0, 1, 6)
    for _ in range(int(columns / blade * thick)):
        tall = rows * fine * rng.uniform(0.25, 0.68)
        foot = rng.uniform(-0.05, 1.05) * columns * fine
        lean = rng.normal(0, 0.30) * tall
        middle = foot + lean * part**2
        half = 0.5 * blade * fine * (1 - part) ** 0.7 + 0.3
        y = rows * fine * (1 - rng.uniform(0, 0.3)) - tall * part
        sides = np.concatenate([middle - half, (middle + half)[::-1]])
        corners = np.stack([sides, np.concatenate([y, y[::-1]])], axis=1)
        tone = rng.uniform(0.6, 1.15)
        green = np.clip(np.array(colour) * tone * 255, 0, 255).astype(int)
        draw.polygon(corners.ravel().tolist(), fill=(*green.tolist(), 255))
    small = canvas.resize((columns, rows), Image.Resampling.BOX)
    planes = np.moveaxis(np.asarray(small, np.float32) / 255, 2, 0)
    light = np.linspace(1.1, 1.1 * shade, rows, dtype=np.float32)[:, None]
    return join(np.clip(planes[:3] * light, 0, 1), planes[3])
