"""Compare the predictors of transformers with the library's own loop.

    python tools/compare_hf.py time --model sam2-hf --objects 3 --objects 8
    python tools/compare_hf.py memory --model sam3-hf --frames 8000

The models are small, with random weights; `--folder` takes another one. `time` runs
both loops in turns on the same frames, with the library's rules, and prints the
processor time of a frame and the largest difference of the logits. `memory` prints the
memory of the process after certain numbers of frames; with `--library` for the
library's loop.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from small_hf import SIDES, Library, Model, write_folder
from submit.predictors import Mask, Video
from submit_sam2.session import TrackerSession

MODELS = {kind.family.name: kind for kind in SIDES}
HEIGHT, WIDTH = 96, 160

choose = click.option(
    "--model", "name", type=click.Choice(list(MODELS)), default="sam2-hf"
)
place = click.option(
    "--folder",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of a model. Default: a small one with random weights.",
)
sized = click.option("--side", type=int, help="Side of the input, in pixels.")


@click.group(help=__doc__)
def compare() -> None:
    """Group the measurements."""


@compare.command("time")
@choose
@place
@sized
@click.option("--objects", "counts", type=int, multiple=True, default=(3, 8))
@click.option("--frames", default=24, show_default=True)
@click.option("--threads", default=1, show_default=True)
def times(
    name: str,
    folder: Path | None,
    side: int | None,
    counts: Sequence[int],
    frames: int,
    threads: int,
) -> None:
    """Measure the time of a frame in both loops."""
    torch.set_num_threads(threads)
    kind = MODELS[name]
    side = side or SIDES[kind]
    with tempfile.TemporaryDirectory() as root:
        folder = folder or write_folder(kind, Path(root) / "model", side)
        for count in counts:
            masks = make_masks(count)
            session = open_session(kind, folder, side, frames)
            library = Library(kind, folder, side)
            ours, theirs, worst, deviation = [], [], 0.0, 0.0
            for number in range(frames):
                frame, given = make_frame(number), {} if number else masks
                image = session._prepare(frame, side)
                began = time.process_time()
                prompts = {key: Mask(mask) for key, mask in given.items()}
                found = session.step(frame, prompts)
                middle = time.process_time()
                with torch.inference_mode():
                    logits, _ = library.step(number, image, given)
                theirs.append(time.process_time() - middle)
                ours.append(middle - began)
                worst = max(worst, float(np.abs(found.logits - logits).max()))
                deviation = float(logits.std())
            # The window of memories is full after seven frames.
            steady = slice(min(8, frames - 1), None)
            mine, other = (1000 * median(one[steady]) for one in (ours, theirs))
            click.echo(
                f"{name} at {side}, {count} objects: {mine:.0f} ms a frame, the "
                f"library {other:.0f} ms ({other / mine:.2f} times as much); logits "
                f"differ by {worst:.1e} at most (deviation {deviation:.2f})"
            )


@compare.command()
@choose
@place
@sized
@click.option("--objects", default=1, show_default=True)
@click.option("--frames", default=8000, show_default=True)
@click.option("--library", is_flag=True, help="Track with the library's own loop.")
def memory(
    name: str,
    folder: Path | None,
    side: int | None,
    objects: int,
    frames: int,
    library: bool,
) -> None:
    """Measure the memory of the process over a long video."""
    torch.set_num_threads(1)
    kind = MODELS[name]
    side = side or SIDES[kind]
    masks = make_masks(objects)
    marks = {200, 1000, 2000, 4000, frames}
    with tempfile.TemporaryDirectory() as root:
        folder = folder or write_folder(kind, Path(root) / "model", side)
        session = open_session(kind, folder, side, frames)
        theirs = Library(kind, folder, side) if library else None
        first = 0.0
        for number in range(frames):
            frame, given = make_frame(number), {} if number else masks
            if theirs is not None:
                theirs.step(number, session._prepare(frame, side), given)
            else:
                session.step(frame, {key: Mask(mask) for key, mask in given.items()})
            if number + 1 in marks:
                now = resident()
                first = first or now
                click.echo(
                    f"{name} after {number + 1} frames: {now:.1f} MiB "
                    f"({now / first - 1:+.2%})"
                )


def open_session(kind: Model, folder: Path, side: int, length: int) -> TrackerSession:
    """Open a video with the library's rules."""
    options: Any = kind.Options(
        checkpoint=str(folder),
        image_size=side,
        memory="sam2",
        rules="transformers",
        preprocessing="hf",
        dtype="float32",
    )
    session = kind(options, device="cpu").session(Video("clip", HEIGHT, WIDTH, length))
    assert isinstance(session, TrackerSession)
    return session


def make_frame(number: int) -> NDArray[np.uint8]:
    """Make a frame with a moving pattern."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = ((3 * x + number) % 256, (5 * y - number) % 256, (x * y % 89 + number))
    return np.stack(planes, 2).astype(np.uint8)


def make_masks(count: int) -> dict[int, NDArray[np.bool_]]:
    """Make a mask for each of some objects."""
    masks = {key: np.zeros((HEIGHT, WIDTH), bool) for key in range(1, count + 1)}
    for key, mask in masks.items():
        mask[6 * key : 6 * key + 30, 14 * key : 14 * key + 30] = True
    return masks


def resident() -> float:
    """Memory of the process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    compare()
