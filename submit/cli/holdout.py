"""`submit holdout`: a local split with ground truth."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import (
    OUTPUT,
    PATH,
    force_option,
    json_option,
    seed_option,
    workers_option,
)
from ._output import Cell, emit, facts, number, stack, table, warn
from ._progress import progress


@click.command()
@click.argument("train", type=PATH)
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
    help="How many videos to choose.",
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

    TRAIN is a fully annotated split. The choice mirrors its lengths, object sizes,
    numbers of objects and disappearances; the same seed chooses the same videos. Files
    are linked, not copied, and videos.txt lists them for the rest of the team (--list).

    \b
    Example:
      submit holdout MOSEv2/train -o holdout --videos 100
    """
    from ..data import read_split
    from ..scoring.holdout import HOLDOUT_FOLDER, make_holdout, read_list
    from ..system.outputs import claim

    claim(output, HOLDOUT_FOLDER, inputs=(train, list_path))
    split = read_split(train)
    names = read_list(list_path) if list_path is not None else ()
    total = sum(video.length for video in split.select(names))
    with progress("holdout", total=total) as bar:
        made = make_holdout(
            split,
            output,
            videos=videos,
            seed=seed,
            names=names,
            force=force,
            workers=workers,
            report=bar.advance,
        )
    if made.skipped:
        name, reason = next(iter(sorted(made.skipped.items())))
        warn(f"{len(made.skipped)} videos cannot be held out; {name}: {reason}")
    summary = facts(
        {"split": str(made.path), "videos": len(made.videos), "frames": made.frames}
    )
    rows: list[list[Cell]] = [
        [one.trait, one.kind, f"{one.whole:.0%}", f"{one.holdout:.0%}"]
        for one in made.shares
    ]
    shares = table(["trait", "kind", number("train"), number("hold-out")], rows)
    emit(stack(summary, shares) if rows else summary, made, as_json=as_json)
