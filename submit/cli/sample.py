"""`submit sample`: a synthetic split."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import json_option, seed_option
from ._output import emit
from ._progress import progress


class _Size(click.ParamType[tuple[int, int]]):
    """`WIDTHxHEIGHT` in pixels."""

    name = "WxH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read a size as width and height."""
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().replace("×", "x").partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            self.fail(f"expected WIDTHxHEIGHT such as 480x270, found {value!r}")
        return int(width), int(height)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--videos",
    type=click.IntRange(min=1),
    default=6,
    metavar="N",
    help="How many videos.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=2),
    default=40,
    metavar="T",
    help="Frames of each video.",
)
@click.option(
    "--size", type=_Size(), default="480x270", help="Width and height in pixels."
)
@seed_option
@json_option
def sample(
    directory: Path,
    videos: int,
    frames: int,
    size: tuple[int, int],
    seed: int,
    as_json: bool,
) -> None:
    """Write a synthetic split with complete ground truth.

    DIRECTORY is made. Its videos are rendered from photographs and show what MOSEv2
    is about: objects that disappear and return, occlusion by a similar object, objects
    below 1 % of the picture, low light, a cut, and crossings of three and more objects.
    The same seed gives the same bytes.

    \b
    Example:
      submit sample work/sample
    """
    from ..sample import write_sample

    with progress("sample", total=videos * frames) as bar:
        write_sample(
            directory,
            videos=videos,
            frames=frames,
            size=size,
            seed=seed,
            progress=lambda name, count: bar.advance(name, count),
        )
    emit(
        f"{directory}: {videos} videos of {frames} frames",
        {"split": directory, "videos": videos, "frames": frames},
        as_json=as_json,
    )
