"""`submit sample` and `submit videos`: splits."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import SplitError
from ._options import json_option, seed_option, split_argument, videos_option
from ._output import emit, format_count, note, number, stack, table
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


@click.command()
@split_argument
@videos_option
@click.option("--decode", is_flag=True, help="Decode every frame, not only headers.")
@json_option
def videos(split: Path, videos: tuple[str, ...], decode: bool, as_json: bool) -> None:
    """List the videos of a split, and what is wrong with them.

    SPLIT is a folder with JPEGImages and Annotations. Missing and surplus frames,
    unreadable or truncated files, sizes that differ, objects that appear late, and a
    meta file that disagrees are all named. The exit status is 1 when something would
    make a prediction fail.

    \b
    Example:
      submit videos work/sample
    """
    from ..data import audit_split, read_split

    opened = read_split(split)
    chosen = {video.name for video in opened.select(videos)}
    with progress("videos", total=len(chosen), unit="videos") as bar:
        audits = []
        for audit in audit_split(opened, decode=decode):
            if audit.name in chosen or not videos:
                audits.append(audit)
                bar.advance(audit.name)
    problems = [(audit.name, p) for audit in audits for p in audit.problems]
    rows = [
        [
            audit.name,
            audit.frames,
            "–" if audit.size is None else f"{audit.size[1]}×{audit.size[0]}",
            " ".join(map(str, audit.objects)),
            audit.annotated,
            len(audit.problems) or None,
        ]
        for audit in audits
    ]
    listing = table(
        [
            "video",
            number("frames"),
            number("size"),
            "objects",
            number("masks"),
            number("problems"),
        ],
        rows,
    )
    views = [listing]
    if problems:
        views.append(
            table(
                ["problem", "where", "what"],
                [[p.kind, p.where, p.what] for _, p in problems],
            )
        )
    emit(
        stack(*views),
        {"split": split, "meta": opened.meta_path, "videos": audits},
        as_json=as_json,
    )
    frames = sum(audit.frames for audit in audits)
    note(f"{len(audits)} videos, {format_count(frames)} frames")
    serious = [(name, p) for name, p in problems if p.serious]
    if serious:
        name, first = serious[0]
        raise SplitError(
            f"{split}: {len(serious)} problems in {len({n for n, _ in serious})} "
            f"videos, the first in {name}: {first.kind}, {first.what}"
        )
