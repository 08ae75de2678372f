"""Measure the overhead per video of the commands, with many short videos.

The train split has 3,666 videos. Commands run in their own process with growing numbers
of videos; if the processor time per video stays the same, the total is linear. The
records alone are measured in this process: records of finished videos are added to a
run and to an export folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image

from measuring import Usage, measure
from submit.pipeline.exported import Exported, ExportRecord
from submit.png.palette import encode
from submit.runs import Identity, Run, VideoRecord

__all__ = ["bookkeeping"]


@click.command()
@click.option(
    "--videos",
    "sizes",
    multiple=True,
    type=int,
    default=(500, 1000, 2000),
    show_default=True,
    help="Number of videos; repeatable.",
)
@click.option("--frames", default=3, show_default=True, help="Frames of a video.")
@click.option("--workers", default=2, show_default=True)
def bookkeeping(sizes: Sequence[int], frames: int, workers: int) -> None:
    """Predict, merge, export and import many short videos."""
    click.echo(f"{frames} frames of 64×48 a video, {workers} processes")
    click.echo(f"{'':36}  {'wall':>9}  {'processor':>9}  {'of a video':>10}")
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            videos = [f"v{number:05d}" for number in range(count)]
            for number, video in enumerate(videos):
                _write_video(root / "split", video, frames, number)
            for line in (
                "predict split --predictor static --name plain",
                "predict split --predictor static --variant hflip --name flipped",
                "ensemble plain flipped --name both",
                "export both -o masks",
                "import masks --name again --split split",
            ):
                command = [sys.executable, "-m", "submit", *line.split()]
                command += ["--workers", str(workers)]
                _show(
                    f"{count} videos, {line.split()[0]}",
                    measure(command, cwd=root),
                    count,
                )
            for name, books in (("run", _keep_run), ("export", _keep_export)):
                wall, cpu = time.perf_counter(), time.process_time()
                books(root / "books", videos, frames)
                usage = Usage(
                    time.perf_counter() - wall, time.process_time() - cpu, None
                )
                _show(f"{count} videos, bookkeeping of {name}", usage, count)


def _show(title: str, usage: Usage, videos: int) -> None:
    each = 1e3 * usage.cpu / videos
    click.echo(f"{title:36}  {usage.wall:7.2f} s  {usage.cpu:7.2f} s  {each:7.2f} ms")


def _write_video(split: Path, video: str, frames: int, seed: int) -> None:
    """Write frames of noise, and the first mask."""
    random = np.random.default_rng(seed)
    images, masks = split / "JPEGImages" / video, split / "Annotations" / video
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for frame in range(frames):
        noise = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / f"{frame:05d}.jpg")
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30], labels[20:40, 35:60] = 1, 2
    (masks / "00000.png").write_bytes(encode(labels))


def _keep_run(root: Path, videos: Sequence[str], frames: int) -> None:
    record = VideoRecord(
        frames=frames,
        objects=(1, 2),
        size=(48, 64),
        seconds=0.1,
        digest="0" * 64,
        source="1" * 64,
        worker={"facts": {"device": "cpu"}},
    )
    split = {"path": "", "fingerprint": ""}
    with Run.making(root / "run", Identity("predict", {}, split)) as run:
        for video in videos:
            run.add(video, record)


def _keep_export(root: Path, videos: Sequence[str], frames: int) -> None:
    run = Run.open(root / "run")
    record = ExportRecord.open(root / "masks")
    digests = {f"{frame:05d}": "0" * 16 for frame in range(frames)}
    exported = Exported("0" * 64, "1" * 64, digests)
    with run.writing() as lock, record.writing(run, None, lock, renew=False):
        for video in videos:
            record.add(video, exported)
