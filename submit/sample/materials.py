"""Photographs, noise, colour ramps and outlines for the synthetic videos.

The photographs are files of the installed scikit-image package, so nothing is
downloaded. Colours are float32 in [0, 1], as displayed (not linear light), channels
first: 3×H×W, or 4×H×W with premultiplied colours and alpha as the last channel.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from ..errors import StorageError

__all__ = [
    "PICTURES",
    "Array",
    "Colour",
    "blend",
    "cutout",
    "fractal",
    "grey",
    "join",
    "mirrored",
    "outline",
    "picture",
    "ramp",
    "resize",
    "rgb",
    "smoothstep",
    "spread",
]

Array: TypeAlias = NDArray[np.floating[Any]]
Colour: TypeAlias = tuple[float, float, float]

#: All photographs that the scenes use.
PICTURES = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "rocket.jpg",
)


@functools.lru_cache(maxsize=len(PICTURES))
def picture(name: str) -> Array:
    """Open a photograph of scikit-image as 3×H×W, read-only.

    Raises:
        StorageError: The installed scikit-image does not contain it.
    """
    try:
        source = importlib.resources.files("skimage.data").joinpath(name)
        with source.open("rb") as file:
            image = Image.open(file).convert("RGB")
    except (OSError, ModuleNotFoundError) as error:
        raise StorageError(
            f"scikit-image's picture {name} cannot be read: {error}; "
            "reinstall scikit-image from its wheel"
        ) from error
    array = np.moveaxis(np.asarray(image, np.float32) / 255, 2, 0)
    array.flags.writeable = False
    return array


@functools.lru_cache(maxsize=len(PICTURES))
def grey(name: str) -> Array:
    """Open a photograph as H×W grey values, read-only; see `picture`."""
    array = np.asarray(picture(name).mean(0), np.float32)
    array.flags.writeable = False
    return array


def rgb(red: float, green: float, blue: float) -> Array:
    """Make a 3×1×1 colour, which broadcasts over 3×H×W."""
    return np.array([red, green, blue], np.float32)[:, None, None]


def resize(array: Array, rows: int, columns: int) -> Array:
    """Resize H×W or C×H×W with antialiasing."""
    if array.ndim == 3:
        return np.stack([resize(plane, rows, columns) for plane in array])
    image = Image.fromarray(np.ascontiguousarray(array, np.float32))
    small = image.resize((max(1, columns), max(1, rows)), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32)


def smoothstep(low: float, high: float, values: Array) -> Array:
    """Interpolate smoothly from 0 at `low` to 1 at `high`, which may be below `low`."""
    x = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def blend(under: Array, over: Array, alpha: Array) -> Array:
    """Blend `over` onto `under`: alpha·over + (1 − alpha)·under."""
    return np.asarray(under + (over - under) * alpha, np.float32)


def join(colour: Array, alpha: Array) -> Array:
    """Join 3×H×W colour and H×W alpha into premultiplied 4×H×W."""
    joined = np.concatenate([colour * alpha, alpha[None]])
    return np.ascontiguousarray(joined, np.float32)


def ramp(values: Array, *colours: Colour) -> Array:
    """Map H×W values in [0, 1] to 3×H×W, between evenly spaced colours."""
    stops = np.linspace(0, 1, len(colours))
    planes = zip(*colours, strict=True)
    mapped = [np.interp(values, stops, plane) for plane in planes]
    return np.stack(mapped).astype(np.float32)


def fractal(
    rows: int,
    columns: int,
    cell: float,
    rng: np.random.Generator,
    *,
    octaves: int = 4,
    stretch: float = 1.0,
) -> Array:
    """Make smooth noise (fractal noise) of mean 0 and a variance of about 1.

    Args:
        rows: Height of the result.
        columns: Width of the result.
        cell: Width of the largest features in pixels.
        rng: Source of randomness.
        octaves: Number of feature sizes, each half of the previous one and 0.55 times
            as strong.
        stretch: How much taller than wide the features are.
    """
    total = np.zeros((rows, columns), np.float32)
    power = 0.0
    for octave in range(octaves):
        step = max(cell * 0.5**octave, 1.0)
        tall = max(step * stretch, 1.0)
        grid = rng.standard_normal(
            (int(rows / tall) + 4, int(columns / step) + 4), np.float32
        )
        fine = resize(grid, int(len(grid) * tall), int(grid.shape[1] * step))
        top, left = int(1.5 * tall), int(1.5 * step)
        gain = 0.55**octave
        total += gain * fine[top : top + rows, left : left + columns]
        power += gain**2
        if step <= 1:
            break
    return total / np.float32(0.75 * power**0.5)


def spread(
    texture: Array, rows: int, columns: int, zoom: float, rng: np.random.Generator
) -> Array:
    """Cover an area with a photograph; it is mirrored at its edges to hide seams.

    Args:
        texture: The photograph, 3×H×W or H×W.
        rows: Height of the area.
        columns: Width of the area.
        zoom: Pixels of the area for each pixel of the photograph.
        rng: Chooses the part of the photograph.
    """
    tall = max(4, round(texture.shape[-2] * zoom))
    wide = max(4, round(texture.shape[-1] * zoom))
    small = resize(texture, tall, wide)
    # If the photograph is large enough, the area has no mirrored edge.
    y = mirrored(np.arange(rows) + rng.integers(max(tall - rows, 1)), tall)
    x = mirrored(np.arange(columns) + rng.integers(max(wide - columns, 1)), wide)
    return small[..., y[:, None], x[None, :]]


def mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Map indices into range(size) by mirroring at both ends."""
    folded = index % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def outline(
    points: Sequence[tuple[float, float]], rows: int, columns: int, zoom: float = 1.0
) -> Array:
    """Fill a closed smooth curve through (x, y) points, antialiased.

    Args:
        points: Points on the curve, in pixels of the photograph.
        rows: Height of the result.
        columns: Width of the result.
        zoom: Pixels of the result for each unit.
    """
    ring = np.asarray(points, np.float64)
    # A Catmull-Rom spline: smooth, local, and no system of equations to solve.
    before, after, beyond = (np.roll(ring, shift, 0) for shift in (1, -1, -2))
    part = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * ring
        + (after - before) * part
        + (2 * before - 5 * ring + 4 * after - beyond) * part**2
        + (3 * ring - before - 3 * after + beyond) * part**3
    )
    fine = 4
    canvas = Image.new("L", (columns * fine, rows * fine))
    corners = (curve.transpose(1, 0, 2).reshape(-1, 2) * zoom * fine).ravel()
    ImageDraw.Draw(canvas).polygon(corners.tolist(), fill=255)
    small = canvas.resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def cutout(colour: Array, alpha: Array, fringe: float) -> Array:
    """Cut an object out of a photograph, as premultiplied 4×H×W.

    Colours near the edge are replaced by colours from inside, so that nothing of the
    old background is visible.

    Args:
        colour: The photograph, 3×H×W.
        alpha: What to keep, H×W in [0, 1].
        fringe: Width in pixels of the edge whose colours are replaced.
    """
    core = smoothstep(0.6, 1.0, ndimage.gaussian_filter(alpha, fringe)) ** 2
    weight = ndimage.gaussian_filter(core, 2 * fringe) + 1e-6
    near = [ndimage.gaussian_filter(p * core, 2 * fringe) / weight for p in colour]
    return join(blend(np.stack(near), colour, core), alpha)
