"""Draw videos and sheets: frames with the masks of the truth and of several runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..data import FrameReader, SplitVideo
from ..storage import bring
from ..system.pool import checkpoint
from .grid import Grid, Panel, draw_sheet
from .overlays import Painter, Style, resize_pixels
from .telling import TellingFrame
from .views import MaskView

__all__ = ["Drawing", "draw_film", "draw_telling"]

Pixels = NDArray[np.uint8]

#: Largest width in pixels if no scale is given: larger drawings are made smaller.
_WIDEST = 1920


@dataclass(frozen=True)
class Drawing:
    """The layout of a video or a sheet.

    Attributes:
        style: How masks are drawn.
        scale: Size of a panel relative to the frames. None: 1, or less if the whole
            would be wider than 1920 pixels.
        columns: Panels side by side. None: chosen automatically.
        font_size: Height of the text around panels in pixels; 0 for no text.
    """

    style: Style = field(default_factory=Style)
    scale: float | None = None
    columns: int | None = None
    font_size: int = 16

    def panel_size(self, video: SplitVideo, columns: int) -> tuple[int, int]:
        """Height and width of a panel, both even, for `columns` panels side by side."""
        height, width = video.size
        scale = self.scale
        if scale is None:
            scale = min(1.0, _WIDEST / (columns * width))
        half = scale / 2
        return max(1, round(height * half)) * 2, max(1, round(width * half)) * 2


def draw_film(
    video: SplitVideo,
    views: Sequence[MaskView],
    frames: Sequence[str],
    drawing: Drawing,
    *,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> Iterator[tuple[str, Pixels]]:
    """Draw the frames of a video in order, with a panel for each view.

    Args:
        video: The video.
        views: The truth and runs to draw.
        frames: Stems of the frames, in order.
        drawing: The layout.
        progress: Called with the video and 1 after each frame.

    Yields:
        The stem and H×W×3 uint8 of each frame.

    Raises:
        SplitError: A frame cannot be read.
        MaskError: A mask cannot be read.
    """
    video.require_images()
    columns = Grid(len(views), video.size, columns=drawing.columns).columns
    size = drawing.panel_size(video, columns)
    grid = Grid(len(views), size, columns=columns, font_size=drawing.font_size)
    painter = Painter(drawing.style)
    bring(video.images, frames)
    images = {frame: video.images[frame] for frame in frames}
    with FrameReader(images, size=video.size) as reader:
        for frame, pixels in reader:
            checkpoint()
            small = resize_pixels(pixels, size)
            panels = [_panel(painter, view, frame, small) for view in views]
            yield frame, grid.draw(f"{video.name}  {frame}", panels)
            progress(video.name, 1)


def draw_telling(
    video: SplitVideo,
    views: Sequence[MaskView],
    chosen: Sequence[TellingFrame],
    drawing: Drawing,
) -> Pixels:
    """Draw a contact sheet: a row for each view, a column for each frame.

    Args:
        video: The video.
        views: The truth and runs to draw.
        chosen: The frames, with the reason for each.
        drawing: The layout.

    Returns:
        H×W×3 uint8.

    Raises:
        SplitError: A frame cannot be read.
        MaskError: A mask cannot be read.
    """
    video.require_images()
    columns = min(drawing.columns or len(chosen), len(chosen))
    size = drawing.panel_size(video, columns)
    painter = Painter(drawing.style)
    rows: list[tuple[str, list[Pixels]]] = [(view.name, []) for view in views]
    images = {one.frame: video.images[one.frame] for one in chosen}
    with FrameReader(images, size=video.size) as reader:
        for frame, pixels in reader:
            small = resize_pixels(pixels, size)
            for view, (_, panels) in zip(views, rows, strict=True):
                panels.append(_panel(painter, view, frame, small).pixels)
    titles = [
        f"{one.frame}  {one.reason}" if one.reason else one.frame for one in chosen
    ]
    return draw_sheet(titles, rows, columns=columns, font_size=drawing.font_size)


def _panel(painter: Painter, view: MaskView, frame: str, pixels: Pixels) -> Panel:
    labels = view.labels(frame)
    if labels is None:
        return Panel(f"{view.name} (no mask)", pixels)
    return Panel(view.name, painter.paint(pixels, labels))
