"""Paired augmentation of clips: one warp and one change of colours for each frame.

The transforms are those of the official recipe, in its order: mirror image, affine
map, resize; then colours of the clip, grey, colours of the frame
(training/dataset/transforms.py of facebookresearch/sam2 @ 2b90b9f). There each is a
pass over the pixels. Here all maps of places are one matrix, and so are all changes of
colours, since each is an affine map of red, green and blue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..masks import Labels
from .tables import AugmentTable

__all__ = ["ClipWarp", "ColourChange", "Pixels", "draw_colours", "draw_warp", "warp"]

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]

#: Weights of red, green and blue in a grey image, as Pillow has them (ITU-R 601-2).
_GREY = np.array([0.299, 0.587, 0.114])
#: From this factor on, an axis is averaged before it is sampled at fewer points.
_MINIFIED = 1.5
#: How often another part is cut out if an object is lost.
_CROP_TRIES = 4


@dataclass(frozen=True)
class ClipWarp:
    """The map of places of a clip, the same for all of its frames.

    Attributes:
        matrix: 3×3, from places in the square [0, 1]² of the output to places in the
            square of the frame; (0, 0) is the upper left corner.
        tiles: None, or which of the four copies holds the objects, and which of them
            are mirrored.
    """

    matrix: Matrix
    tiles: tuple[int, tuple[bool, ...]] | None = None


@dataclass(frozen=True)
class ColourChange:
    """Changes of colours in order: `brightness`, `contrast`, `saturation` by a factor.

    Grey is a saturation of 0.
    """

    changes: tuple[tuple[str, float], ...] = ()

    def matrix(self, mean: Sequence[float]) -> Matrix:
        """The affine map of red, green and blue, 3×4, for a frame of this mean.

        As in Pillow's `ImageEnhance`: contrast is relative to the mean of the grey
        image, and saturation to each pixel's grey. What leaves 0 to 255 in between is
        not cut off, and nothing is rounded in between.
        """
        linear, offset = np.eye(3), np.zeros(3)
        for kind, factor in self.changes:
            if kind == "brightness":
                linear, offset = linear * factor, offset * factor
            elif kind == "contrast":
                level = float(_GREY @ (linear @ np.asarray(mean[:3]) + offset))
                linear = linear * factor
                offset = offset * factor + (1 - factor) * math.floor(level + 0.5)
            else:
                mix = factor * np.eye(3) + (1 - factor) * np.ones((3, 1)) * _GREY
                linear, offset = mix @ linear, mix @ offset
        return np.column_stack((linear, offset))


def draw_warp(
    table: AugmentTable,
    random: np.random.Generator,
    first: Labels,
    size: int,
) -> ClipWarp:
    """Draw the map of places of a clip.

    An affine map that leaves an object without a pixel in the first frame is not used,
    as officially, and so is a cut.

    Args:
        table: What is drawn.
        random: Source of all decisions.
        first: H×W labels of the first frame; 1 to N are the objects.
        size: Side of the output.
    """
    mirror = np.diag([-1.0, 1.0, 1.0]) if random.random() < table.flip else np.eye(3)
    mirror[0, 2] = 1.0 if mirror[0, 0] < 0 else 0.0
    angle = random.uniform(-table.rotate, table.rotate)
    shear = random.uniform(-table.shear, table.shear)
    zoom = math.exp(random.uniform(*np.log(table.zoom)))
    cut = random.random() < table.crop
    cuts = [_draw_cut(table, random) for _ in range(_CROP_TRIES)]
    mosaic = random.random() < table.mosaic
    tiles = int(random.integers(4)), tuple(bool(x) for x in random.random(4) < 0.5)
    height, width = first.shape
    turned = mirror @ _affine(angle, shear, zoom, width / height)
    small = _shrunk_labels(first, size)
    count = int(first.max(initial=0))
    if not _keeps(turned, small, size, count):
        turned = mirror
    if cut:
        kept = (turned @ each for each in cuts)
        turned = next((m for m in kept if _keeps(m, small, size, count)), turned)
    return ClipWarp(turned, tiles if mosaic else None)


def _affine(angle: float, shear: float, zoom: float, aspect: float) -> Matrix:
    """Rotate, shear and zoom around the centre: from the output to the frame.

    The inverse of torchvision's `_get_inverse_affine_matrix`, which works on pixels; so
    the square is stretched to the frame's aspect, width / height, and back.
    """
    turn, along = math.radians(angle), math.radians(shear)
    cosine, sine = math.cos(turn), math.sin(turn)
    # The matrix of the forward map is [[a, b], [c, d]] of determinant 1.
    a, b = cosine, -cosine * math.tan(along) - sine
    c, d = sine, -sine * math.tan(along) + cosine
    inverse = np.array([[d, -b, 0.0], [-c, a, 0.0], [0.0, 0.0, zoom]]) / zoom
    there = np.array([[aspect, 0, -aspect / 2], [0, 1, -0.5], [0, 0, 1]])
    back = np.array([[1 / aspect, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(back @ inverse @ there)


def _draw_cut(table: AugmentTable, random: np.random.Generator) -> Matrix:
    """Draw a part of the output: a map from the whole square to the part."""
    side = math.sqrt(random.uniform(*table.crop_area))
    x, y = random.uniform(0, 1 - side, 2)
    return np.array([[side, 0, x], [0, side, y], [0, 0, 1]])


def _keeps(matrix: Matrix, labels: Labels, size: int, objects: int) -> bool:
    """Whether all objects still have pixels."""
    warped = _warp_plane(labels, matrix, (size, size), cv2.INTER_NEAREST, 0)
    found = np.flatnonzero(cv2.calcHist([warped], [0], None, [256], [0, 256]))
    return len(found[found > 0]) >= objects


def _shrunk_labels(labels: Labels, size: int) -> Labels:
    """Labels with not many more pixels than the output."""
    height, width = labels.shape
    steps = max(height // (2 * size), 1), max(width // (2 * size), 1)
    return np.ascontiguousarray(labels[:: steps[0], :: steps[1]])


def draw_colours(
    table: AugmentTable, random: np.random.Generator, frames: int
) -> list[ColourChange]:
    """Draw the changes of colours of each frame of a clip."""
    common = _draw_jitter(random, (table.brightness, table.contrast, table.saturation))
    if random.random() < table.grey:
        common.append(("saturation", 0.0))
    changes = []
    for _ in range(frames):
        own = _draw_jitter(
            random,
            (table.frame_brightness, table.frame_contrast, table.frame_saturation),
        )
        if random.random() < table.frame_grey:
            own.append(("saturation", 0.0))
        changes.append(ColourChange((*common, *own)))
    return changes


def _draw_jitter(
    random: np.random.Generator, reach: tuple[float, float, float]
) -> list[tuple[str, float]]:
    kinds = ("brightness", "contrast", "saturation")
    factors = [random.uniform(max(0.0, 1 - r), 1 + r) for r in reach]
    return [
        (kinds[index], factors[index])
        for index in random.permutation(3)
        if reach[index]
    ]


def warp(
    image: Pixels,
    labels: Labels,
    where: ClipWarp,
    colours: ColourChange,
    *,
    size: int,
    fill: tuple[int, int, int],
) -> tuple[Pixels, Labels]:
    """Augment one frame.

    Args:
        image: H×W×3 uint8, **blue, green, red**; perhaps a smaller copy of the frame.
        labels: H×W uint8 at any size.
        where: The map of places.
        colours: The changes of colours.
        size: Side of the output.
        fill: Red, green and blue outside of the frame.

    Returns:
        size×size×3 uint8 **red, green, blue**, and size×size labels.
    """
    if where.tiles is None:
        side = (size, size)
        pixels = _warp_image(image, where.matrix, side, fill)
        found = _warp_plane(labels, where.matrix, side, cv2.INTER_NEAREST, 0)
    else:
        pixels, found = _mosaic(image, labels, where, size, fill)
    blue, green, red, _ = cv2.mean(pixels)
    change = colours.matrix((red, green, blue))
    # Columns take blue, green and red; rows give red, green and blue.
    swapped = change[:, [2, 1, 0, 3]]
    return np.asarray(cv2.transform(pixels, swapped), np.uint8), found


def _mosaic(
    image: Pixels,
    labels: Labels,
    where: ClipWarp,
    size: int,
    fill: tuple[int, int, int],
) -> tuple[Pixels, Labels]:
    """Four copies in a square, each half as large; objects count in one of them.

    Matches `random_mosaic_frame` of training/dataset/transforms.py
    (facebookresearch/sam2 @ 2b90b9f), with mirrored copies.
    """
    assert where.tiles is not None
    target, mirrored = where.tiles
    edges = (0, size // 2, size)
    pixels = np.empty((size, size, 3), np.uint8)
    found = np.zeros((size, size), np.uint8)
    for tile in range(4):
        row, column = divmod(tile, 2)
        rows = slice(edges[row], edges[row + 1])
        columns = slice(edges[column], edges[column + 1])
        side = (rows.stop - rows.start, columns.stop - columns.start)
        matrix = where.matrix
        if mirrored[tile]:
            matrix = matrix @ np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
        pixels[rows, columns] = _warp_image(image, matrix, side, fill)
        if tile == target:
            found[rows, columns] = _warp_plane(
                labels, matrix, side, cv2.INTER_NEAREST, 0
            )
    return pixels, found


def _warp_image(
    image: Pixels, matrix: Matrix, side: tuple[int, int], fill: tuple[int, int, int]
) -> Pixels:
    """Warp an image; axes that become much smaller are averaged first."""
    height, width = image.shape[:2]
    # How many pixels of the image lie between two neighbours of the output.
    across = width / side[1] * float(np.hypot(matrix[0, 0], matrix[0, 1]))
    down = height / side[0] * float(np.hypot(matrix[1, 0], matrix[1, 1]))
    narrow = round(width / across) if across >= _MINIFIED else width
    low = round(height / down) if down >= _MINIFIED else height
    if (low, narrow) != (height, width):
        image = np.asarray(
            cv2.resize(image, (narrow, low), interpolation=cv2.INTER_AREA), np.uint8
        )
    return _warp_plane(image, matrix, side, cv2.INTER_LINEAR, fill[::-1])


def _warp_plane(
    plane: Pixels,
    matrix: Matrix,
    side: tuple[int, int],
    interpolation: int,
    fill: int | Sequence[int],
) -> Pixels:
    """Sample a plane at the places that a map of unit squares gives."""
    height, width = plane.shape[:2]
    # Pixel centres: (x + 1/2) / width in the unit square.
    output = np.array(
        [[1 / side[1], 0, 0.5 / side[1]], [0, 1 / side[0], 0.5 / side[0]], [0, 0, 1]]
    )
    frame = np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])
    return np.asarray(
        cv2.warpAffine(
            plane,
            (frame @ matrix @ output)[:2],
            side[::-1],
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        ),
        np.uint8,
    )
