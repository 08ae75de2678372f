"""Draw the masks of a run over its frames, as a strip for the README.

python tools/draw_strip.py runs/sample/both -o docs/sample.jpg vanish crossing
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image

from submit.data import read_frame
from submit.pipeline import exported_masks, split_of
from submit.png.palette import decode
from submit.report.overlays import overlay
from submit.runs import Run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("videos", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--columns", default=5, help="Frames of each video.")
@click.option("--width", default=240, help="Width of a frame in pixels.")
def main(
    run: Path, videos: tuple[str, ...], output: Path, columns: int, width: int
) -> None:
    """Draw one row of frames for each of VIDEOS, with the masks of RUN."""
    opened = Run.open(run)
    split, masks = split_of(opened), exported_masks(opened)
    rows = []
    for name in videos:
        video = split.videos[name]
        height = round(width * video.height / video.width)
        row = []
        for index in np.linspace(0, video.length - 1, columns).round().astype(int):
            frame = video.frames[index]
            labels = decode(masks.read(name, frame), name=f"{name}/{frame}.png")
            drawn = overlay(read_frame(video.images[frame]), labels)
            small = Image.fromarray(drawn).resize((width, height), Image.Resampling.BOX)
            row.append(np.asarray(small))
        rows.append(np.hstack(row))
    output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(output, quality=85, optimize=True)
    click.echo(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
