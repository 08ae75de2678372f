"""Measure what later prompts, second passes and routes change, with `classical`.

    python tools/measure_passes.py CLIPS work/passes --films 20

CLIPS is a split with full ground truth. Of each video the mask in the middle is given
too, and tracked forward, backward and in both directions. Then anchors are chosen from
three runs, for a second pass, and small objects go to the variant `zoom`. The same is
done with films of `submit sample`, in which objects disappear and reappear. The tables
are those of compare_methods.py. What is made already is kept, so that the command can
be interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from submit.system.threads import prepare_threads

prepare_threads()  # Before NumPy is imported.

from compare_methods import main as compare  # noqa: E402
from submit.cli import cli  # noqa: E402
from submit.data import read_split  # noqa: E402
from submit.errors import SubmitError  # noqa: E402

#: A recipe whose first step is the plain run.
_RECIPE = """
split = "{split}"
runs = "{runs}"

[[predict]]
name = "plain"
predictor = "classical"
options = {{ pixels = {pixels} }}

[[route]]
name = "routed"
run = "plain"
when = "area < {area}"
variant = "zoom"

[submission]
run = "routed"
"""


@click.command(help=__doc__)
@click.argument("clips", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--videos", multiple=True, help="Only these of the clips; repeatable.")
@click.option("--films", default=20, show_default=True, help="0 for none.")
@click.option("--kinds", multiple=True, help="Only these films; repeatable.")
@click.option("--frames", default=30, show_default=True, help="Of each film.")
@click.option("--size", default="128x72", show_default=True, help="Of the films.")
@click.option("--pixels", default=8000, show_default=True, help="See `classical`.")
@click.option("--area", default=0.01, show_default=True, help="Of small objects.")
def main(
    clips: Path,
    folder: Path,
    videos: tuple[str, ...],
    films: int,
    kinds: tuple[str, ...],
    frames: int,
    size: str,
    pixels: int,
    area: float,
) -> None:
    """Make all runs, and print the tables."""
    split = read_split(clips, videos=videos)
    only = [word for name in videos for word in ("--videos", name)]
    some = [word for name in kinds for word in ("--videos", name)]
    middle = folder / "middle"
    for video in split.videos.values():
        frame = video.frames[video.length // 2]
        (middle / video.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(video.masks[frame], middle / video.name)
    here = _Runs(clips, folder / "runs" / "clips", pixels, only)
    here.predict("plain")
    given = ("--prompts", str(middle))
    here.predict("middle", *given)
    here.predict("middle-both", *given, "--direction", "both")
    here.predict("middle-backward", *given, "--direction", "backward")
    here.show("plain", "middle", "middle-backward", "middle-both")
    here.show("middle", "middle-backward", "middle-both")
    here.second_pass(folder / "clips.json")
    if films:
        made = folder / "films"
        _submit(
            *("sample", str(made), "--videos", films, "--frames", frames),
            *("--size", size, "--seed", 5),
        )
        there = _Runs(made, folder / "runs" / "films", pixels, some)
        there.predict("plain")
        there.second_pass(folder / "films.json")
        there.route(folder / "films.toml", area)
    if not videos:
        here.route(folder / "clips.toml", area)


class _Runs:
    """Runs of one split."""

    def __init__(
        self, split: Path, runs: Path, pixels: int, only: Sequence[str]
    ) -> None:
        self._split, self._runs, self._only = split, runs, only
        self._pixels = pixels

    def predict(self, name: str, *options: str) -> None:
        """Predict, unless that is done."""
        _submit(
            *("predict", self._split, "--predictor", "classical", *self._only),
            *("-o", f"pixels={self._pixels}", "--runs", self._runs, "--workers", 1),
            *("--name", name, *options),
        )

    def second_pass(self, prompts: Path) -> None:
        """Choose anchors of three runs, and predict with them."""
        self.predict("flipped", "--variant", "hflip")
        self.predict("zoomed", "--variant", "zoom")
        runs = ("plain", "flipped", "zoomed")
        try:
            _submit(
                *("anchors", *runs, "--split", self._split, *self._only, "--force"),
                *("--runs", self._runs, "-o", prompts, "--workers", 1),
            )
        except SubmitError as error:
            click.echo(f"no second pass: {error}")
            return
        given = ("--prompts", str(prompts))
        self.predict("second", *given)
        self.predict("second-both", *given, "--direction", "both")
        self.show(*runs, "second", "second-both")

    def route(self, recipe: Path, area: float) -> None:
        """Predict small objects in an enlarged window."""
        recipe.write_text(
            _RECIPE.format(
                split=self._split, runs=self._runs, pixels=self._pixels, area=area
            )
        )
        _submit("build", recipe, "--workers", 1, "--force")
        self.show("plain", "routed")

    def show(self, *names: str) -> None:
        """Print the scores of runs, and differences to the first one."""
        words = [str(self._split), str(self._runs), *names, *self._only, "--alone"]
        compare([*words, "--workers", "1"], standalone_mode=False)


def _submit(*words: object) -> None:
    """Run a command in this process."""
    cli([str(word) for word in words], standalone_mode=False)


if __name__ == "__main__":
    main()
