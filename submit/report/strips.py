"""Image strips for the report: chosen frames of a video, and their masks.

A strip is one image file with all chosen frames below each other. A browser loads it
once and shows one frame of it by its position. The masks of each view are another strip
with a transparent background, which the page draws over the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..checks.sanity import object_pixels
from ..data import SplitVideo, read_frame
from ..masks import Labels
from ..png.palette import DAVIS_PALETTE
from ..system.pool import checkpoint
from .cuts import find_cuts
from .overlays import resize_labels, resize_pixels
from .views import MaskView

__all__ = [
    "MISSED",
    "SURPLUS",
    "Counts",
    "Strips",
    "spread",
    "strip_names",
    "write_strips",
]

Pixels = NDArray[np.uint8]
Counts = NDArray[np.int64]

#: Colours of differences: vermilion and blue of Okabe and Ito, which colour-blind
#: people can distinguish.
MISSED = (213, 94, 0)
SURPLUS = (0, 114, 178)
#: Longest side of a WebP file.
_LONGEST = 16_383
_QUALITY = 32
#: Opacity of areas and of their outlines, from 0 to 255.
_AREA, _LINE = 120, 255
#: Added to an id in the pixels of its outline.
_OUTLINE = 128


@dataclass(frozen=True)
class Strips:
    """The result of `write_strips` for a video.

    Attributes:
        shown: Indices of the frames in the strips.
        size: Height and width of each frame in pixels.
        areas: For each view, the truth first, T×N: the area of each object in each
            frame in pixels; −1 without a mask.
        cuts: Indices of the frames in which a shot begins.
    """

    shown: tuple[int, ...]
    size: tuple[int, int]
    areas: tuple[Counts, ...]
    cuts: tuple[int, ...]


def spread(frames: int, most: int) -> tuple[int, ...]:
    """Indices of at most `most` frames, evenly spaced, with the first and the last."""
    places = np.linspace(0, frames - 1, min(frames, most)).round().astype(int)
    return tuple(np.unique(places).tolist())


def strip_names(runs: int, *, truth: bool) -> set[str]:
    """The files that `write_strips` writes for so many runs, with truth or without."""
    names = {"frames.webp", *(f"{number}.png" for number in range(runs + truth))}
    if truth:
        names |= {f"{number}-difference.png" for number in range(1, runs + 1)}
    return names


def write_strips(
    video: SplitVideo,
    views: Sequence[MaskView],
    folder: Path,
    *,
    most: int,
    long_side: int,
) -> Strips:
    """Write the strips of a video: `frames.webp`, and `0.png` … for each view.

    With truth, each run also has a file such as `1-difference.png`, with the missed and
    the extra pixels.

    Args:
        video: The video, with frames.
        views: The truth, if there is any, and the runs.
        folder: The folder to write into; it must exist.
        most: Largest number of frames.
        long_side: Longer side of these frames in pixels.

    Raises:
        SplitError: A frame cannot be read.
        MaskError: A mask cannot be read.
    """
    height, width = video.size
    scale = min(1.0, long_side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    shown = spread(video.length, min(most, max(1, _LONGEST // size[0])))
    frames = [
        resize_pixels(read_frame(video.images[video.frames[place]], video.size), size)
        for place in shown
    ]
    _save(np.concatenate(frames), folder / "frames.webp")
    areas: list[Counts] = []
    truth: list[Labels] | None = None
    for number, view in enumerate(views):
        counts, masks = _follow(video, view, shown, size)
        areas.append(counts)
        _save_masks(np.concatenate([_outlined(mask) for mask in masks]), number, folder)
        if view.is_truth:
            truth = masks
        elif truth is not None:
            pairs = zip(truth, masks, strict=True)
            _save_difference([_difference(*pair) for pair in pairs], number, folder)
    return Strips(shown, size, tuple(areas), find_cuts(video))


def _follow(
    video: SplitVideo, view: MaskView, shown: Sequence[int], size: tuple[int, int]
) -> tuple[Counts, list[Labels]]:
    """Areas of the objects in all frames, and small masks of the shown frames."""
    wanted = set(shown)
    areas = np.full((video.length, len(video.objects)), -1, np.int64)
    masks = []
    for place, frame in enumerate(video.frames):
        checkpoint()
        packed = view.read(frame)
        if packed is not None:
            areas[place] = object_pixels(packed, packed, video.objects).both
        if place in wanted:
            masks.append(
                np.zeros(size, np.uint8)
                if packed is None
                else resize_labels(packed.unpack(), size)
            )
    return areas, masks


def _outlined(mask: Labels) -> Labels:
    """Mark the outlines of a mask, for ids that are small enough to be changed."""
    if mask.max(initial=0) >= _OUTLINE:
        return mask
    edge = np.zeros(mask.shape, np.bool_)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    marked: Labels = np.where(edge & (mask > 0), mask + _OUTLINE, mask)
    return marked


def _difference(truth: Labels, mask: Labels) -> Labels:
    """1 in pixels whose object is missed or confused, 2 in extra pixels."""
    wrong = truth != mask
    found: Labels = np.where(wrong & (truth > 0), 1, np.where(wrong, 2, 0))
    return found.astype(np.uint8)


def _save(pixels: Pixels, path: Path) -> None:
    Image.fromarray(pixels).save(path, "WEBP", quality=_QUALITY, method=2)


def _save_masks(labels: Labels, number: int, folder: Path) -> None:
    colours = DAVIS_PALETTE.copy()
    opacity = np.full(256, _AREA, np.uint8)
    # Ids from 128 on have no outlines, and are drawn as they are.
    if np.any((labels > 0) & (labels < _OUTLINE)):
        colours[_OUTLINE:] = colours[:_OUTLINE]
        opacity[_OUTLINE:] = _LINE
    opacity[0] = 0
    _save_palette(labels, colours, opacity, folder / f"{number}.png")


def _save_difference(strip: Sequence[Labels], number: int, folder: Path) -> None:
    colours = np.array([(0, 0, 0), MISSED, SURPLUS], np.uint8)
    opacity = np.array([0, 230, 230], np.uint8)
    path = folder / f"{number}-difference.png"
    _save_palette(np.concatenate(strip), colours, opacity, path)


def _save_palette(labels: Labels, colours: Pixels, opacity: Pixels, path: Path) -> None:
    image = Image.fromarray(labels).convert("L")
    image.putpalette(colours.tobytes())
    image.save(path, "PNG", transparency=opacity.tobytes(), compress_level=6)
