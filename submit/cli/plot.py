"""`submit plot`: figures for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..metrics.measures import MEASURES
from ._completion import complete_trainings, complete_videos
from ._looking import open_video, open_views
from ._options import (
    OUTPUT,
    SOURCE,
    force_option,
    json_option,
    runs_dir_option,
    split_option,
    trainings_option,
    videos_option,
    workers_option,
)
from ._output import emit, facts, format_bytes
from ._progress import progress
from ._runs import masks_of, open_runs, require_once
from ._splits import open_split

if TYPE_CHECKING:
    from ..report.plots import FigureSize
    from ..scoring import SplitScore
    from ..system.urls import Place

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def plot() -> None:
    """Draw a figure for a paper: scores, a timeline, an ensemble.

    Figures are as wide as a column and have fonts of the size of a caption. They need
    matplotlib (pip install matplotlib).

    \b
    Example:
      submit plot scores plain both --split work/sample -o area.pdf
    """


def _figure_options(command: Command) -> Command:
    """Add what figures of runs take: their names, the split, and the file."""
    for option in reversed(
        (
            click.argument("names", nargs=-1, required=True, type=SOURCE),
            split_option,
            _file_options,
            runs_dir_option,
            json_option,
        )
    ):
        command = option(command)
    return command


def _file_options(command: Command) -> Command:
    """Add what all figures take: the file and its size."""
    for option in reversed(
        (
            click.option(
                "-o",
                "--output",
                type=OUTPUT,
                required=True,
                metavar="FILE",
                help="The figure to write: .pdf, .svg or .png.",
            ),
            click.option(
                "--width",
                type=click.FloatRange(20, 500),
                default=84.0,
                metavar="MM",
                help="Width of the figure in millimetres: 84 for a column, 174 for a "
                "page.",
            ),
            click.option(
                "--font-size",
                type=click.FloatRange(3, 40),
                default=8.0,
                metavar="POINTS",
                help="Size of the text.",
            ),
            force_option,
        )
    ):
        command = option(command)
    return command


@plot.command()
@_figure_options
@videos_option
@workers_option
@click.option(
    "--by",
    type=click.Choice(["area", "length", "objects", "absence", "change"]),
    default="area",
    help="Score against the area of the object, the length of the video, its number "
    "of objects, or absence; or the change of each object between two runs.",
)
def scores(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    by: str,
    width: float,
    font_size: float,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw J&Ḟ against what makes objects hard, or the change between two runs.

    RUN... are runs, folders of <video>/<frame>.png or zips. Points are means over
    objects with 95 % intervals by bootstrap over videos. The split needs truth.

    \b
    Example:
      submit plot scores plain both --split work/sample --by change -o change.pdf
    """
    from ..report.attributes import group_scores, read_facts
    from ..report.plots import plot_changes, plot_groups
    from ..scoring.compare import compare_entries, entry_of

    if by == "change" and len(names) != 2:
        raise click.UsageError("--by change compares two runs; name two")
    size = _size(output, width, font_size, force, (*names, split))
    opened = open_split(split, videos)
    found: dict[str, SplitScore] = {}
    require_once(names)
    with ExitStack() as stack:
        for name in names:
            found[_short(name)] = _scored(stack, runs, name, opened, workers)
    if by == "change":
        entries = [entry_of(name, one) for name, one in found.items()]
        comparison = compare_entries(*entries)
        plot_changes(output, comparison, size)
        _written(output, comparison.objects, as_json)
        return
    total = sum(video.length for video in opened.videos.values())
    with progress("truth", total=total) as bar:
        objects = read_facts(opened, workers=workers, progress=bar.advance)
    groups = group_scores(by, objects, found)
    plot_groups(output, by, groups, size)
    _written(output, groups, as_json)


@plot.command()
@_figure_options
@click.argument("video", shell_complete=complete_videos)
@click.option(
    "--object",
    "key",
    type=click.IntRange(1, 254),
    metavar="ID",
    help="The object. Default: the first one of the video.",
)
def timeline(
    names: tuple[str, ...],
    video: str,
    split: Place,
    output: Path,
    key: int | None,
    width: float,
    font_size: float,
    force: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw J of one object over time, and where it is seen.

    RUN... are runs, folders of <video>/<frame>.png or zips; VIDEO is a video of the
    split. Without truth only the frames in which each run sees the object are drawn.

    \b
    Example:
      submit plot timeline plain both vanish --split work/sample -o time.pdf
    """
    from ..report.plots import plot_timeline
    from ..report.timelines import read_tracks

    size = _size(output, width, font_size, force, (*names, split))
    opened, shown = open_video(split, video)
    chosen = shown.objects[0] if key is None else key
    if chosen not in shown.objects:
        listed = ", ".join(map(str, shown.objects))
        raise click.UsageError(f"--object {key}: {video} has the objects {listed}")
    with ExitStack() as stack:
        views = open_views(stack, runs, names, opened, shown, truth=True)
        tracks = read_tracks(shown, views, chosen)
    plot_timeline(output, f"{video}, object {chosen}", tracks, size)
    _written(output, tracks, as_json)


@plot.command()
@_figure_options
@videos_option
@workers_option
@click.option(
    "--method",
    metavar="METHOD",
    help="How members are merged; see submit ensemble. Default: that of submit "
    "ensemble.",
)
@click.option(
    "--metric",
    type=click.Choice(tuple(MEASURES)),
    default="jf_dot",
    help="The measure to draw.",
)
def ensemble(
    names: tuple[str, ...],
    split: Place,
    videos: tuple[str, ...],
    output: Path,
    method: str | None,
    metric: str,
    width: float,
    font_size: float,
    force: bool,
    workers: int | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw the score against the number of members, and what each member brings.

    RUN... are the members. They are merged in the order of their own scores; the lower
    part shows what the whole ensemble loses without each of them. The split needs
    truth.

    \b
    Example:
      submit plot ensemble plain flipped --split work/sample -o members.pdf
    """
    from ..report.plots import plot_ensemble
    from ..tuning.members import frames_to_merge, member_steps

    size = _size(output, width, font_size, force, (*names, split))
    opened = open_split(split, videos)
    members = open_runs(runs, names)
    with progress("merge", total=frames_to_merge(opened, len(members))) as bar:
        steps = member_steps(
            opened,
            members,
            method=method,
            metric=metric,
            workers=workers,
            progress=bar.advance,
        )
    plot_ensemble(output, metric, steps, size)
    _written(output, steps, as_json)


@plot.command()
@click.argument(
    "names",
    nargs=-1,
    required=True,
    type=SOURCE,
    shell_complete=complete_trainings,
)
@_file_options
@trainings_option
@json_option
def training(
    names: tuple[str, ...],
    output: Path,
    width: float,
    font_size: float,
    force: bool,
    trainings: Path,
    as_json: bool,
) -> None:
    """Draw the loss of trainings over their steps, and J&Ḟ on the hold-out.

    NAME... are trainings, which may still run. The band is the 95 % interval of the
    weights' score by bootstrap over videos.

    \b
    Example:
      submit plot training vos mose -o curves.pdf
    """
    from ..report.learning import plot_training
    from ..training.folder import read_log

    require_once(names)
    size = _size(output, width, font_size, force, [trainings / name for name in names])
    logs = {name: read_log(trainings / name) for name in names}
    plot_training(output, logs, size)
    _written(output, {name: len(log) for name, log in logs.items()}, as_json)


def _size(
    output: Path,
    width: float,
    font_size: float,
    force: bool,
    inputs: Iterable[Place | str],
) -> FigureSize:
    """Make sure that the figure can be written, before the work.

    Raises:
        SubmitError: matplotlib is not installed, or there is another file.
    """
    from ..report.plots import FORMATS, PLOT, FigureSize, require_matplotlib
    from ..system.outputs import claim

    if output.suffix.lower() not in FORMATS:
        raise click.UsageError(
            f"-o {output}: expected a name that ends with {', '.join(FORMATS)}"
        )
    require_matplotlib()
    claim(output, PLOT, force=force, inputs=inputs)
    return FigureSize(width, font_size)


def _scored(
    stack: ExitStack, runs: Path, name: str, split: Any, workers: int | None
) -> SplitScore:
    from ..scoring import frames_to_score, score_split

    masks = stack.enter_context(masks_of(runs, name, split, workers=workers))
    with progress(f"score {name}", total=frames_to_score(split)) as bar:
        return score_split(split, masks, workers=workers, progress=bar.advance)


def _short(source: str) -> str:
    """What a source is called in a legend."""
    return Path(source).name or source


def _written(output: Path, data: object, as_json: bool) -> None:
    size = output.stat().st_size
    emit(
        facts({"written": str(output), "size": format_bytes(size)}),
        {"path": output, "size": size, "data": data},
        as_json=as_json,
    )
