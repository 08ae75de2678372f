"""Measure whether memory grows with the length of a video, command by command.

A short video, and as many frames in many videos and in a long one, longer than MOSEv2's
longest of 7,825, go through the whole chain. The last two should take the same. Each
command runs in its own process with one worker; memory is the largest sum over its
processes.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from measuring import measure
from moving_shapes import shapes

__all__ = ["memory"]

#: The commands, in a folder with the split `split`. The first two are a warm-up, too.
_COMMANDS = (
    "predict split --predictor PREDICTOR --name plain --workers 1",
    "predict split --predictor PREDICTOR --variant hflip --name flipped --workers 1",
    "ensemble plain flipped --name both --workers 1",
    "export both -o masks --workers 1",
    "pack both -o both.zip",
    "import both.zip --split split --name imported --workers 1",
    "score both --split split -o scores --workers 1",
    "check both.zip --split split --workers 1",
    "repair both.zip --split split -o repaired.zip",
    "preview plain flipped --split split --workers 1",
    "report plain both --split split -o report --workers 1",
)


@click.command()
@click.option(
    "--videos",
    "splits",
    multiple=True,
    default=("1x200", "40x200", "1x8000"),
    show_default=True,
    metavar="VIDEOSxFRAMES",
    help="A split to measure; repeatable.",
)
@click.option("--size", default="160x96", show_default=True, metavar="WxH")
@click.option("--predictor", default="static", show_default=True)
def memory(splits: Sequence[str], size: str, predictor: str) -> None:
    """Run the chain over splits with videos of several lengths."""
    found: dict[str, list[float]] = {}
    for split in splits:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            videos, frames = split.split("x")
            # The server would take a single folder for a wrapper of videos.
            for seed, (count, length) in enumerate(((videos, frames), ("1", "4"))):
                arguments = [str(root / "split"), "--size", size, "--seed", str(seed)]
                arguments += ["--videos", count, "--frames", length]
                shapes.main(arguments, standalone_mode=False)
            for line in _COMMANDS:
                words = shlex.split(line.replace("PREDICTOR", predictor))
                usage = measure([sys.executable, "-m", "submit", *words], cwd=root)
                found.setdefault(line, []).append((usage.memory or 0) / 1e6)
                click.echo(f"{split}, {words[0]}: {usage.wall:.1f} s", err=True)
    click.echo(f"\n{'videos × frames':16}" + "".join(f"{one:>12}" for one in splits))
    for line, sizes in found.items():
        name = f"{line.split()[0]}{' hflip' if 'hflip' in line else ''}"
        shown = "".join(f"{each:>9.1f} MB" for each in sizes)
        click.echo(f"{name:16}{shown}  {sizes[-1] / sizes[-2] - 1:+.1%}")
