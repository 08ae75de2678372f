"""`submit overlay`: films and sheets of masks over frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._completion import complete_videos
from ._looking import no_truth_option, open_video, open_views
from ._options import (
    OUTPUT,
    SOURCE,
    force_option,
    json_option,
    runs_dir_option,
    split_option,
)
from ._output import emit, facts, format_bytes
from ._progress import progress

if TYPE_CHECKING:
    from ..system.urls import Place


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@click.argument("video", shell_complete=complete_videos)
@split_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="FILE|DIR",
    help="A film (.mp4, .webp, .gif), a sheet (.png), or without a suffix a folder "
    "with a PNG for each frame.",
)
@click.option(
    "--sheet",
    is_flag=True,
    help="Draw chosen frames side by side, a row for each run, for a paper. A .png is "
    "always a sheet.",
)
@click.option(
    "--frame",
    "wanted",
    multiple=True,
    metavar="FRAME",
    help="Draw only this frame, such as 42 or 00042; repeatable. Default: for a sheet "
    "the most informative frames, otherwise all.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1, max=60),
    default=6,
    metavar="N",
    help="Number of frames in a sheet: the first one, reappearances, the lowest J, or "
    "the largest differences of runs.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Draw every N-th frame of a film.",
)
@click.option(
    "--columns",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs side by side; in a sheet, frames. Default: as many as fit a screen.",
)
@click.option(
    "--opacity",
    type=click.FloatRange(0, 1),
    default=0.45,
    metavar="SHARE",
    help="Opacity of the colour over objects; 0 draws only outlines.",
)
@click.option(
    "--outline",
    type=click.IntRange(0, 20),
    default=2,
    metavar="PIXELS",
    help="Width of outlines; 0 for none.",
)
@click.option(
    "--font-size",
    type=click.IntRange(0, 200),
    default=16,
    metavar="PIXELS",
    help="Height of ids and names; 0 for none.",
)
@click.option(
    "--fps",
    type=click.FloatRange(0.1, 120),
    default=12.0,
    metavar="N",
    help="Frames per second of a film.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0.01, 4),
    metavar="FACTOR",
    help="Size of each picture relative to the frames. Default: a size at which all "
    "fit into 1920 pixels.",
)
@no_truth_option
@force_option
@runs_dir_option
@json_option
def overlay(
    names: tuple[str, ...],
    video: str,
    split: Place,
    output: Path,
    sheet: bool,
    wanted: tuple[str, ...],
    count: int,
    every: int,
    columns: int | None,
    opacity: float,
    outline: int,
    font_size: int,
    fps: float,
    scale: float | None,
    no_truth: bool,
    force: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw masks over the frames of a video: a film, or a sheet.

    Several runs and the truth are drawn side by side. RUN... are runs, folders of
    <video>/<frame>.png or zips; VIDEO is a video of the split. Objects have the colours
    of the palette and their ids. The truth is shown where the split has it.

    \b
    Example:
      submit overlay plain both vanish --split work/sample -o vanish.mp4
    """
    from ..report.films import OVERLAY, OVERLAY_FOLDER, require_encoder, write_film
    from ..report.looking import Drawing, draw_film, draw_telling
    from ..report.overlays import Style
    from ..report.telling import TellingFrame, telling_frames
    from ..report.views import find_frame
    from ..system.outputs import claim

    sheet = sheet or output.suffix.lower() == ".png"
    if sheet and output.suffix.lower() not in (".png", ".webp"):
        raise click.UsageError("--sheet is one picture: write it to a .png or .webp")
    require_encoder(output)
    kind = OVERLAY if output.suffix else OVERLAY_FOLDER
    claim(output, kind, force=force, inputs=(*names, split))
    opened, shown = open_video(split, video)
    frames = sorted({find_frame(shown, one) for one in wanted}, key=shown.frames.index)
    drawing = Drawing(
        Style(opacity=opacity, outline=outline, font_size=font_size and font_size - 2),
        scale=scale,
        columns=columns,
        font_size=font_size,
    )
    with ExitStack() as stack:
        views = open_views(stack, runs, names, opened, shown, truth=not no_truth)
        if sheet:
            chosen: Sequence[TellingFrame] = [TellingFrame(frame) for frame in frames]
            if not chosen:
                chosen = telling_frames(shown, views, count)
            picture = draw_telling(shown, views, chosen, drawing)
            frames = [one.frame for one in chosen]
            write_film(output, [(video, picture)], fps=fps)
        else:
            frames = frames or list(shown.frames[::every])
            bar = stack.enter_context(progress("overlay", total=len(frames)))
            drawn = draw_film(shown, views, frames, drawing, progress=bar.advance)
            write_film(output, drawn, fps=fps)
    size = output.stat().st_size if output.is_file() else None
    emit(
        facts(
            {
                "written": str(output),
                "frames": len(frames) if not sheet else " ".join(frames),
                "pictures": ", ".join(view.name for view in views),
                **({} if size is None else {"size": format_bytes(size)}),
            }
        ),
        {
            "path": output,
            "video": video,
            "frames": frames,
            "views": [view.name for view in views],
            "size": size,
        },
        as_json=as_json,
    )
