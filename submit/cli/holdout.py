"""`submit holdout`: a local split with ground truth."""

from __future__ import annotations

from pathlib import Path

import click

from ..system.words import counted
from ._options import (
    OUTPUT,
    PATH,
    force_option,
    json_option,
    meta_option,
    seed_option,
    workers_option,
)
from ._output import Cell, emit, facts, format_bytes, note, number, stack, table, warn
from ._progress import progress
from ._splits import open_split


@click.command()
@click.argument("train", type=PATH)
@meta_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="DIR",
    help="The split to make.",
)
@click.option(
    "--videos",
    type=click.IntRange(min=1),
    default=50,
    metavar="N",
    help="Number of videos to choose.",
)
@click.option(
    "--list",
    "list_path",
    type=PATH,
    metavar="FILE",
    help="Take the videos of a list that a team shares, instead of choosing.",
)
@seed_option
@force_option
@workers_option
@json_option
def holdout(
    train: Path,
    output: Path,
    videos: int,
    list_path: Path | None,
    seed: int,
    force: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Choose videos of the train set as a local split with ground truth.

    TRAIN is a fully annotated split. The chosen videos have the same mix of
    lengths, object sizes, numbers of objects and disappearances; the same seed chooses
    the same videos. Files
    are links where the disk allows it, else copies, and videos.txt lists the videos for
    the rest of the team (--list).

    \b
    Example:
      submit holdout MOSEv2/train -o holdout --videos 100
    """
    from ..scoring.holdout import HOLDOUT_FOLDER, make_holdout, read_list
    from ..system.links import Linking
    from ..system.outputs import claim

    claim(output, HOLDOUT_FOLDER, inputs=(train, list_path))
    split = open_split(train)
    names = read_list(list_path) if list_path is not None else ()
    wanted = split.videos.keys() & set(names) if names else split.videos
    total = sum(split.videos[name].length for name in wanted)
    with progress("holdout", total=total) as bar:
        made = make_holdout(
            split,
            output,
            videos=videos,
            seed=seed,
            names=names,
            force=force,
            workers=workers,
            progress=bar.advance,
        )
    if made.skipped:
        name, reason = next(iter(sorted(made.skipped.items())))
        videos_are = counted(len(made.skipped), "video")
        warn(f"{videos_are} cannot be held out; {name}: {reason}")
    if made.linking not in (None, Linking.SYMBOLIC):
        size = f" ({format_bytes(made.copied)})" if made.copied else ""
        note(f"{output}: knows no symbolic links; files are {made.linking.value}{size}")
    summary = facts(
        {"split": str(made.path), "videos": len(made.videos), "frames": made.frames}
    )
    rows: list[list[Cell]] = [
        [one.trait, one.kind, f"{one.whole:.0%}", f"{one.holdout:.0%}"]
        for one in made.shares
    ]
    shares = table(["trait", "kind", number("train"), number("hold-out")], rows, keys=2)
    emit(stack(summary, shares) if rows else summary, made, as_json=as_json)
