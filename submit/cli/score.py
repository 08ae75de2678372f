"""`submit score`: the official numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._dividing import digests_of, output_of_part, request_of
from ._options import (
    OUTPUT,
    SOURCE,
    executor_option,
    force_option,
    json_option,
    runs_dir_option,
    score_part_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import Cell, emit, note, number, stack, table, warn
from ._runs import masks_of
from ._scoring import scored
from ._splits import open_split
from ._views import MOSEV2, score_cells, score_columns

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..scoring import DavisSplitScore, SplitScore
    from ..system.parts import Part
    from ..system.urls import Place


#: The numbers of the classic protocol.
DAVIS = {
    "J&F": "jf",
    "J": "j",
    "J recall": "j_recall",
    "J decay": "j_decay",
    "F": "f",
    "F recall": "f_recall",
    "F decay": "f_decay",
}


@click.command()
@click.argument("source", metavar="RUN|DIR|ZIP", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="DIR",
    help="Write scores.json and CSVs here; for MOSEv2 also the official metrics.json "
    "and scores.txt.",
)
@click.option(
    "--protocol",
    type=click.Choice(["mosev2", "davis"]),
    default="mosev2",
    help="The MOSEv2 numbers, or classic J and F with recall and decay.",
)
@click.option(
    "--as-server",
    is_flag=True,
    help="Also score masks with problems, as the server does.",
)
@click.option("--objects", is_flag=True, help="Show every object, not only the totals.")
@executor_option
@score_part_option
@force_option
@workers_option
@runs_dir_option
@json_option
def score(
    source: str,
    split: Place,
    videos: tuple[str, ...],
    output: Path | None,
    protocol: str,
    as_server: bool,
    objects: bool,
    executor: str,
    part: Part | None,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Score masks against ground truth, exactly as the server does.

    RUN|DIR|ZIP is a run, a folder of <video>/<frame>.png, or a zip, which is read in
    place. The split needs a mask for every frame and no images. Problems for which the
    server lowers the score without a message are reported.

    With --part the frames' scores are written to part-I-of-N/DIR, and submit
    merge-parts DIR makes the official numbers of all parts.

    \b
    Example:
      submit score both --split work/sample -o work/scores
    """
    from ..pipeline.last_score import remember_score
    from ..pipeline.parts import split_of_part
    from ..pipeline.sources import find_run
    from ..scoring import SplitScore, scores_json, write_scored_part, write_scores
    from ..scoring.texts import SCORES_FOLDER
    from ..system.outputs import claim

    davis = protocol == "davis"
    if davis and as_server:
        raise click.UsageError("--as-server goes with the protocol mosev2")
    output = output_of_part(output, part)
    if output is not None:
        claim(output, SCORES_FOLDER, force=force, inputs=(source, split))
    opened = open_split(split, videos, say_subset=False)
    settings = {"protocol": protocol, "as_server": as_server}
    asked, digests = None, {}
    if part is not None:
        asked = request_of(source, opened, runs=runs, settings=settings)
        opened = split_of_part(opened, part)
        if not opened.videos:
            # There are more parts than videos.
            assert output is not None
            write_scored_part(output, asked, (), {})
            note(f"part {part} has no videos; written to {output}")
            return
    with masks_of(
        runs, source, opened, part=part, workers=workers, kind=executor
    ) as masks:
        if part is not None:
            # First: of masks that change meanwhile, the scores must not count.
            digests = digests_of(masks, opened.videos)
        scores = scored(
            masks,
            opened,
            protocol=protocol,
            as_server=as_server,
            executor=executor,
            workers=workers,
        )
    if isinstance(scores, SplitScore) and not (videos or part or as_server):
        run = find_run(runs, source)
        if run is not None:
            remember_score(run, opened, scores.totals)
    for text in scores.notes:
        warn(text)
    view = _view(source, scores, DAVIS if davis else MOSEV2, objects=objects)
    # First, since writing the files may fail.
    emit(view, json.loads(scores_json(scores)), as_json=as_json)
    if output is not None:
        if asked is None:
            write_scores(scores, output)
        else:
            frames = [video.frames for video in scores.videos.values()]
            write_scored_part(output, asked, frames, digests)
        note(f"written to {output}")


def _view(
    source: str,
    scores: SplitScore | DavisSplitScore,
    names: Mapping[str, str],
    *,
    objects: bool,
) -> RenderableType:
    totals = table(
        ["all objects", *score_columns(names)],
        [[source, *score_cells(scores.totals, names)]],
    )
    if not objects:
        return totals
    rows: list[list[Cell]] = [
        [name, key, *score_cells(one, names)]
        for name, video in scores.videos.items()
        for key, one in video.objects.items()
    ]
    return stack(
        table(["video", number("object"), *score_columns(names)], rows, keys=2),
        totals,
    )
