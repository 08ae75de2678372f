"""Measure time and memory of the slowest commands, against the usual programs.

python tools/bench.py scoring --official MOSE-api/MOSEv2/sam2_rcms/tools
python tools/bench.py scoring --vos-benchmark vos-benchmark --size 854x480
python tools/bench.py check
python tools/bench.py ensemble --cutie Cutie
python tools/bench.py bookkeeping
python tools/bench.py scheduling
python tools/bench.py threads
python tools/bench.py directions
python tools/bench.py memory
python tools/bench.py train --official sam2 --python venv/bin/python
python tools/bench.py train-memory

The programs run one after the other on the same files and cores, each in its own
process; times include the start-up. "wall" is the elapsed time, "processor" the
processor time of all cores. Memory is the largest sum over a program's processes.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image

from bench_bookkeeping import bookkeeping
from bench_directions import directions
from bench_ensemble import ensemble
from bench_memory import memory
from bench_scheduling import scheduling
from bench_threads import threads
from bench_train import train, train_memory
from measuring import Usage, measure, show_table
from submit.masks import Labels
from submit.png.palette import DAVIS_PALETTE


@click.group(help=__doc__)
def bench() -> None:
    """Group the measurements."""


@bench.command()
@click.option(
    "--official",
    type=click.Path(exists=True, path_type=Path),
    help="Folder with the official score.py.",
)
@click.option(
    "--vos-benchmark",
    "vos_benchmark",
    type=click.Path(exists=True, path_type=Path),
    help="Root of hkchengrex/vos-benchmark.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=("854x480", "1920x1080"),
    show_default=True,
    metavar="WxH",
    help="Size of the frames; repeatable.",
)
@click.option("--frames", default=2000, show_default=True, help="Pairs of masks.")
@click.option("--videos", default=20, show_default=True)
@click.option("--objects", default=2, show_default=True, help="Objects of a video.")
def scoring(
    official: Path | None,
    vos_benchmark: Path | None,
    sizes: Sequence[str],
    frames: int,
    videos: int,
    objects: int,
) -> None:
    """Score synthetic masks with `submit score` and with other programs."""
    for size in sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for video in range(videos):
                length = frames // videos
                write_video(root, f"v{video:04d}", (height, width), length, objects)
            write_meta(root, (height, width), frames // videos, videos, objects)
            usages = {}
            for name, run in programs(root, official, vos_benchmark).items():
                if name == "mose-submit":
                    run()  # The first run after an installation compiles.
                usages[name] = run()
        show_table(f"{size}, {frames} pairs of masks, {objects} objects", usages)


@bench.command()
@click.option("--size", default="1920x1080", show_default=True, metavar="WxH")
@click.option("--masks", default=66_526, show_default=True, help="Masks in the zip.")
@click.option("--videos", default=433, show_default=True)
@click.option("--objects", default=3, show_default=True, help="Objects of a video.")
@click.option(
    "--drawn",
    default=3000,
    show_default=True,
    help="Number of different masks; the zip repeats them.",
)
def check(size: str, masks: int, videos: int, objects: int, drawn: int) -> None:
    """Check a zip with as many masks as the valid split.

    The masks are written by Pillow. A zip with a tenth of the masks is checked too, to
    see whether memory grows. Only its masks are opened with Pillow, since all would
    take too long.
    """
    width, height = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        drawings = Path(folder) / "drawings"
        each = max(masks // videos, 1)
        for video in range(max(drawn // each, 1)):
            write_video(drawings, f"v{video:04d}", (height, width), each, objects)
        for part in (10, 1):
            root = Path(folder) / f"part{part}"
            path, count = root / "masks.zip", masks // part
            write_submission(
                root, drawings, (height, width), count, videos // part, objects
            )
            ours: list[str | Path] = [
                sys.executable,
                "-m",
                "submit",
                "check",
                path,
                "--split",
                root,
            ]
            if part > 1:
                measure(ours)  # The first run after an installation compiles.
            usages = {"mose-submit": measure(ours)}
            if part > 1:
                usages["Pillow"] = measure([sys.executable, "-c", OPEN_ALL, path])
            show_table(f"{size}, zip of {count} masks, {objects} objects", usages)


#: A program that opens every mask of a zip with Pillow.
OPEN_ALL = """
import io, sys, zipfile
import numpy as np
from PIL import Image
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        with Image.open(io.BytesIO(archive.read(name))) as image:
            np.array(image)
"""


def write_submission(
    root: Path,
    drawings: Path,
    size: tuple[int, int],
    masks: int,
    videos: int,
    objects: int,
) -> None:
    """Write a split with the first masks, and a zip with all masks of this split."""
    drawn = sorted((drawings / "masks").iterdir())
    content = {}
    root.mkdir()
    with zipfile.ZipFile(root / "masks.zip", "w") as archive:
        for video in range(videos):
            name = f"v{video:04d}"
            # The first videos have one mask more if the division has a remainder.
            length = masks // videos + (video < masks % videos)
            files = sorted(drawn[video % len(drawn)].iterdir())
            for frame in range(length):
                data = files[frame % len(files)].read_bytes()
                archive.writestr(f"{name}/{frame:05d}.png", data)
            first = root / "Annotations" / name / "00000.png"
            first.parent.mkdir(parents=True)
            shutil.copy(files[0], first)
            content[name] = {
                "length": length,
                "height": size[0],
                "width": size[1],
                "objects": list(range(1, objects + 1)),
            }
    (root / "meta.json").write_text(json.dumps({"videos": content}))


def programs(
    root: Path, official: Path | None, vos_benchmark: Path | None
) -> dict[str, Callable[[], Usage]]:
    """Return functions that run the programs to compare, by name, ours first."""
    truth, masks = root / "Annotations", root / "masks"
    runs: dict[str, Callable[[], Usage]] = {
        "mose-submit": lambda: measure(
            [sys.executable, "-m", "submit", "score", masks, "--split", root]
        )
    }
    if official is not None:
        runs["official score.py"] = lambda: measure(
            [
                *(sys.executable, "score.py", "--meta", root / "meta.json"),
                *("--ann", truth, "--pred", masks, "--output", root / "official"),
            ],
            cwd=official,
        )
    if vos_benchmark is not None:
        runs["vos-benchmark"] = lambda: measure(
            [sys.executable, "benchmark.py", "-g", truth, "-m", masks],
            cwd=vos_benchmark,
        )
    return runs


bench.add_command(ensemble)
bench.add_command(bookkeeping)
bench.add_command(scheduling)
bench.add_command(threads)
bench.add_command(directions)
bench.add_command(memory)
bench.add_command(train)
bench.add_command(train_memory)


# Synthetic masks: objects with wavy edges that move, and a delayed prediction.


def write_video(
    root: Path, name: str, size: tuple[int, int], length: int, objects: int
) -> None:
    """Write the truth and the prediction of one video."""
    random = np.random.default_rng(int.from_bytes(name.encode(), "big"))
    height, width = size
    places = random.uniform(0.2, 0.8, (objects, 2)) * size
    speeds = random.uniform(-2, 2, (objects, 2))
    radii = height * np.exp(random.uniform(np.log(0.03), np.log(0.25), objects))
    for frame in range(length):
        now = places + speeds * frame
        lag = 3 * np.sin(frame / 17 + radii[:, None])
        for folder, centres, scale, phase in (
            ("Annotations", now, 1.0, frame / 9),
            ("masks", now - lag, 0.98, frame / 9 + 0.05),
        ):
            labels = np.zeros((height, width), np.uint8)
            for key, (centre, radius) in enumerate(
                zip(centres, radii, strict=True), start=1
            ):
                draw(labels, centre[0], centre[1], scale * radius, phase, key)
            image = Image.fromarray(labels)
            image.putpalette(DAVIS_PALETTE.ravel().tolist())
            path = root / folder / name / f"{frame:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


def draw(
    labels: Labels, y: float, x: float, radius: float, phase: float, key: int
) -> None:
    """Draw the part of an object with a wavy edge that is inside the frame."""
    height, width = labels.shape
    reach = 1.3 * radius
    rows = np.arange(max(int(y - reach), 0), max(min(int(y + reach), height), 0))
    columns = np.arange(max(int(x - reach), 0), max(min(int(x + reach), width), 0))
    if not rows.size or not columns.size:
        return
    dy, dx = rows[:, None] - y, columns[None, :] - x
    angle = np.arctan2(dy, dx)
    edge = radius * (1 + 0.1 * np.sin(5 * angle + phase) + 0.03 * np.sin(19 * angle))
    labels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][
        np.hypot(dy, dx) < edge
    ] = key


def write_meta(
    root: Path, size: tuple[int, int], length: int, videos: int, objects: int
) -> None:
    """Write the meta file that the official program needs."""
    entry = {
        "length": length,
        "height": size[0],
        "width": size[1],
        "objects": [str(key) for key in range(1, objects + 1)],
    }
    content = {"videos": {f"v{video:04d}": entry for video in range(videos)}}
    (root / "meta.json").write_text(json.dumps(content))


if __name__ == "__main__":
    bench()
