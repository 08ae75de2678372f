"""`submit show`: a frame and its masks in the terminal."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._completion import complete_videos
from ._encoding import spell
from ._looking import open_video, open_views
from ._options import SOURCE, json_option, runs_dir_option, split_option
from ._output import emit, format_score, number, stack, stdout, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..masks import Labels
    from ..report.overlays import Pixels
    from ..system.urls import Place

#: The default number of columns, and the smallest one.
_COLUMNS, _NARROWEST = 80, 20
#: Lines that the table below the picture takes, mostly.
_BELOW = 6
#: Its upper half has the colour of letters, its lower half that behind them.
_HALF = "▀"


@click.command()
@click.argument("name", metavar="RUN", type=SOURCE)
@click.argument("video", shell_complete=complete_videos)
@split_option
@click.option(
    "--frame",
    "wanted",
    default="0",
    metavar="FRAME",
    help="The frame, such as 42 or 00042.",
)
@click.option(
    "--truth",
    is_flag=True,
    help="Draw the truth instead of the run's mask.",
)
@click.option(
    "--width",
    type=click.IntRange(min=8, max=1000),
    metavar="COLUMNS",
    help="Width of the picture. Default: the width of the terminal.",
)
@runs_dir_option
@json_option
def show(
    name: str,
    video: str,
    split: Place,
    wanted: str,
    truth: bool,
    width: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw a frame and its masks in the terminal.

    RUN is a run, a folder of <video>/<frame>.png or a zip; VIDEO is a video of the
    split. Colours are those of the terminal; without any (NO_COLOR, or output to a
    file) brightness becomes letters and objects become their ids.

    \b
    Example:
      submit show plain vanish --frame 12 --split work/sample
    """
    import numpy as np

    from ..data import read_frame
    from ..report.telling import overlaps
    from ..report.views import find_frame

    opened, shown = open_video(split, video)
    frame = find_frame(shown, wanted)
    with ExitStack() as closing:
        views = open_views(closing, runs, [name], opened, shown, truth=True)
        masks = [view.read(frame) for view in views]
        pixels = read_frame(shown.images[frame], shown.size)
    run, real = masks[-1], masks[0] if views[0].is_truth else None
    drawn = real if truth else run
    labels = None if drawn is None else drawn.unpack()
    scores = None
    if run is not None and real is not None:
        scores = overlaps(real, run, shown.objects).tolist()
    own = None if run is None else run.unpack()
    areas = [0 if own is None else int(np.sum(own == key)) for key in shown.objects]
    data: dict[str, Any] = {
        "video": video,
        "frame": frame,
        "objects": [
            {
                "object": key,
                "pixels": area,
                "j": None if scores is None else scores[place],
            }
            for place, (key, area) in enumerate(zip(shown.objects, areas, strict=True))
        ],
    }
    rows = table(
        [f"{video} {frame}", number("pixels"), number("J")],
        [
            [str(one["object"]), one["pixels"], format_score(one["j"])]
            for one in data["objects"]
        ],
    )
    emit(lambda: stack(_picture(pixels, labels, width), rows), data, as_json=as_json)


def _picture(
    pixels: Pixels, labels: Labels | None, width: int | None
) -> RenderableType:
    """The picture for the terminal that there is."""
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    from ..report.terminal import as_half_blocks, as_letters

    console = stdout()
    columns = width or _fitting(console, (pixels.shape[0], pixels.shape[1]))
    plain = console.color_system is None or console.no_color
    if plain or spell(_HALF) != _HALF:
        return Text("\n".join(as_letters(pixels, labels, columns)), no_wrap=True)
    upper, lower = as_half_blocks(pixels, labels, columns)
    text = Text(no_wrap=True)
    for place, line in enumerate(zip(upper.tolist(), lower.tolist(), strict=True)):
        text.append("\n" if place else "")
        for above, below in zip(*line, strict=True):
            colours = Color.from_rgb(*above), Color.from_rgb(*below)
            text.append(_HALF, Style(color=colours[0], bgcolor=colours[1]))
    return text


def _fitting(console: Console, size: tuple[int, int]) -> int:
    """Columns of a picture that fits the terminal with the table below it."""
    from ..report.terminal import rows_for

    if not console.is_terminal:
        return _COLUMNS
    columns = console.width
    room = max(console.height - _BELOW, 8)
    while columns > _NARROWEST and rows_for(size, columns) > room:
        columns -= 1
    return columns
