"""`submit sample`: a synthetic split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..system.words import counted
from ._options import (
    OUTPUT,
    ParamType,
    force_option,
    json_option,
    seed_option,
)
from ._output import emit
from ._progress import progress


class _Size(ParamType[tuple[int, int]]):
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
@click.argument("directory", type=OUTPUT)
@click.option(
    "--videos",
    type=click.IntRange(min=1),
    default=6,
    metavar="N",
    help="Number of videos.",
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
@force_option
@json_option
def sample(
    directory: Path,
    videos: int,
    frames: int,
    size: tuple[int, int],
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write a synthetic split with complete ground truth.

    DIRECTORY is created. Its videos are rendered from photographs and have the
    difficulties of MOSEv2: objects that disappear and reappear, occlusion by a similar
    object, objects below 1 % of the frame, low light, a cut, and crossings of three and
    more objects. The same seed gives the same bytes. The same sample is kept if it
    exists; another sample is replaced only with --force, since runs depend on it.

    \b
    Example:
      submit sample work/sample
    """
    from ..sample import require_place, write_sample

    wanted: dict[str, Any] = {
        "videos": videos,
        "frames": frames,
        "size": size,
        "seed": seed,
        "force": force,
    }
    require_place(directory, **wanted)
    with progress("sample", total=videos * frames) as bar:
        write_sample(directory, **wanted, progress=bar.advance)
    emit(
        f"{directory}: {counted(videos, 'video')} of {counted(frames, 'frame')}",
        {"split": directory, "videos": videos, "frames": frames},
        as_json=as_json,
    )
