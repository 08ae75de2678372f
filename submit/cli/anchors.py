"""`submit anchors`: prompts for a second pass, from runs that agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..system.words import counted
from ._options import (
    OUTPUT,
    SOURCE,
    force_option,
    json_option,
    runs_dir_option,
    split_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, warn
from ._progress import progress
from ._runs import open_runs
from ._splits import open_split

if TYPE_CHECKING:
    from ..system.urls import Place


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...", type=SOURCE)
@split_option
@videos_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    metavar="FILE.json",
    help="The file of prompts to write.",
)
@click.option(
    "--per-object",
    type=click.IntRange(min=1),
    default=3,
    metavar="N",
    help="Maximum number of masks, and of absences, for each object.",
)
@click.option(
    "--distance",
    type=click.IntRange(min=1),
    default=20,
    metavar="FRAMES",
    help="Minimum distance between two masks, or two absences, of an object.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.85,
    metavar="0..1",
    help="Minimum mean IoU between runs at an anchor.",
)
@force_option
@workers_option
@runs_dir_option
@json_option
def anchors(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    per_object: int,
    distance: int,
    min_agreement: float,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Choose frames with trusted masks as prompts for a second pass.

    RUN... are two or more runs of one split. A mask is trusted where the runs agree
    and their scores are high; it helps where an object reappears, or where the runs
    disagree afterwards. Each prompt in the file has its reasons as "why". Remove or add
    prompts if necessary, and give the file to `submit predict --prompts`.

    \b
    Example:
      submit anchors plain flipped --split work/sample -o work/prompts.json
    """
    from ..pipeline.anchors import AnchorRules
    from ..pipeline.evidence import ANCHORS_FILE, find_anchors
    from ..system.files import write_json
    from ..system.outputs import claim
    from ..tuning import frames_to_look_at

    claim(output, ANCHORS_FILE, force=force, inputs=(*names, split))
    opened = open_split(split, videos)
    rules = AnchorRules(per_object, distance, min_agreement)
    with progress("anchors", total=frames_to_look_at(opened)) as bar:
        found = find_anchors(
            opened,
            open_runs(runs, names),
            rules,
            workers=workers,
            progress=bar.advance,
        )
    write_json(output, found.prompts)
    if found.skipped:
        warn(
            f"no anchors in {counted(len(found.skipped), 'video')} that a run lacks: "
            f"{', '.join(found.skipped[:3])}" + (" …" if len(found.skipped) > 3 else "")
        )
    view = facts(
        {
            "prompts": str(output),
            "masks": found.masks,
            "absences": found.absences,
            "objects": f"{found.objects} of {found.all_objects}",
        }
    )
    data = {
        "prompts": str(output),
        "masks": found.masks,
        "absences": found.absences,
        "objects": found.objects,
        "all_objects": found.all_objects,
        "skipped": found.skipped,
    }
    emit(view, data, as_json=as_json)
