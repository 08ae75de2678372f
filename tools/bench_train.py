"""Training: how fast clips are made, per core, and whether memory is as estimated.

The same split is read by our loader and by the official one, with the transforms of the
official recipe for MOSE (sam2.1_hiera_b+_MOSE_finetune.yaml). That needs a checkout of
facebookresearch/sam2 (`--official`) and a Python that has torch, torchvision, pandas,
iopath, hydra-core and tensordict (`--python`). Both make clips in one process with one
thread; starting it does not count. Ours are 8-bit pixels, which the GPU turns into
normalised numbers; the official ones are such numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from submit.png.palette import encode

__all__ = ["train", "train_memory"]

_OURS = """
import json, sys, time
import cv2
from pathlib import Path
from submit.training.index import build_index
from submit.training.maker import ClipMaker
from submit.training.tables import AugmentTable, ClipTable, DataTable
root, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cv2.setNumThreads(1)
clips = ClipTable()
sources = build_index([DataTable(Path(root))], clips, workers=1)
maker = ClipMaker(sources, clips, AugmentTable(), size=size, seed=0)
maker[0]
began, cpu = time.perf_counter(), time.process_time()
for number in range(1, count + 1):
    maker[number]
wall, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps([wall, cpu]))
"""

_OFFICIAL = """
import json, logging, random, sys, time
import torch
from training.dataset import transforms as T
from training.dataset.vos_dataset import VOSDataset
from training.dataset.vos_raw_dataset import PNGRawDataset
from training.dataset.vos_sampler import RandomUniformSampler
root, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
random.seed(0); torch.manual_seed(0)
transforms = T.ComposeAPI([
    T.RandomHorizontalFlip(consistent_transform=True),
    T.RandomAffine(degrees=25, shear=20, image_interpolation="bilinear",
                   consistent_transform=True),
    T.RandomResizeAPI(sizes=size, square=True, consistent_transform=True),
    T.ColorJitter(True, 0.1, 0.03, 0.03, None),
    T.RandomGrayscale(p=0.05, consistent_transform=True),
    T.ColorJitter(False, 0.1, 0.05, 0.05, None),
    T.ToTensorAPI(),
    T.NormalizeAPI(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
])
videos = PNGRawDataset(root + "/JPEGImages", root + "/Annotations")
clips = VOSDataset([transforms], True, videos,
                   RandomUniformSampler(num_frames=8, max_num_objects=3), 1)
order = [random.randrange(len(videos)) for _ in range(count + 1)]
clips[order[0]]
began, cpu = time.perf_counter(), time.process_time()
for number in order[1:]:
    clips[number]
wall, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps([wall, cpu]))
"""


@click.command()
@click.option(
    "--official",
    type=click.Path(exists=True, path_type=Path),
    help="Root of facebookresearch/sam2.",
)
@click.option(
    "--python",
    default=sys.executable,
    help="A Python that has what the official loader imports.",
)
@click.option(
    "--split",
    type=click.Path(exists=True, path_type=Path),
    help="A split with masks for all frames. Default: a synthetic one.",
)
@click.option("--size", default="1920x1080", show_default=True, metavar="WxH")
@click.option("--side", default=1024, show_default=True, help="Side of the output.")
@click.option("--clips", default=20, show_default=True, help="Clips to make.")
@click.option("--rounds", default=3, show_default=True, help="Times each program runs.")
def train(
    official: Path | None,
    python: str,
    split: Path | None,
    size: str,
    side: int,
    clips: int,
    rounds: int,
) -> None:
    """Make clips of 8 frames, as our loader and as the official one does."""
    width, height = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        root = split or write_split(Path(folder), (height, width))
        programs: dict[str, list[str]] = {"mose-submit": [sys.executable, "-c", _OURS]}
        environment = dict(os.environ)
        if official is not None:
            programs["official"] = [python, "-c", _OFFICIAL]
            environment["PYTHONPATH"] = str(official)
        taken: dict[str, list[list[float]]] = {name: [] for name in programs}
        # In turn, so that what else the machine does concerns both.
        for _ in range(rounds):
            for name, command in programs.items():
                arguments = [*command, str(root), str(clips), str(side)]
                own = None if name == "mose-submit" else environment
                taken[name].append(run(arguments, own))
    click.echo(f"\n{size} to {side}×{side}, {clips} clips of 8 frames, one thread")
    ours = best(taken["mose-submit"])
    for name, times in taken.items():
        seconds = best(times)
        click.echo(
            f"{name:12}  {clips / seconds:6.2f} clips/s and core  "
            f"{1000 * seconds / clips / 8:6.1f} ms a frame  {seconds / ours:.1f}×"
        )


#: Masks in the first frame only; else two frames may leave nothing to track.
_MASKS = ("prompts.points=0", "prompts.frames=1")
#: Trainings of two steps, by name: values in place of those of `_RECIPE`.
_TRAININGS = {
    "narrow, 8 frames at 256, masks": _MASKS,
    "narrow, 8 frames at 256, clicks": ("prompts.points=1",),
    "narrow, the same in batches of 2": (*_MASKS, "schedule.batch=2"),
    "narrow, the same, recomputed": (
        *(*_MASKS, "schedule.batch=2", "model.recompute=true"),
    ),
    "tiny, 3 frames at 512": (
        *(*_MASKS, "model.name=sam2.1_hiera_tiny", "model.image_size=512"),
        *("clips.length=3", "clips.objects=1", "schedule.clips=1"),
    ),
    "base_plus, 2 frames at 512, encoder frozen": (
        *(*_MASKS, "model.name=sam2.1_hiera_base_plus"),
        *("model.image_size=512", "clips.length=2", 'model.freeze=["encoder"]'),
        *("schedule.clips=1", "average.decay=0"),
    ),
}
_RECIPE = """
trainer = "sam2"
[model]
name = "sam2.1_narrow"
scratch = true
image_size = 256
[prompts]
points = 1.0
[[data]]
path = "{root}"
[schedule]
steps = 2
clips = 2
[average]
decay = 0.99
"""


@click.command()
@click.option("--only", default="", help="Only trainings whose name has this.")
def train_memory(only: str) -> None:
    """Compare the estimate of memory with the peak of trainings on the processor."""
    click.echo(f"{'':44}  estimate  measured  difference")
    for name, changes in _TRAININGS.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = write_split(Path(folder), (270, 480))
            recipe = Path(folder) / "recipe.toml"
            recipe.write_text(_RECIPE.format(root=root))
            command = [
                *(sys.executable, "-m", "submit", "train", str(recipe)),
                *("--name", "t", "--trainings", str(Path(folder) / "trainings")),
                *("--device", "cpu", "--workers", "0"),
                *(part for change in changes for part in ("-o", change)),
            ]
            done = subprocess.run(
                [*command, "--estimate", "--json"],
                capture_output=True,
                text=True,
                check=True,
            )
            expected = json.loads(done.stdout)["memory"]["total"]
            measured = peak(command)
        click.echo(
            f"{name:44}  {expected / 1e9:5.2f} GB  {measured / 1e9:5.2f} GB  "
            f"{100 * (expected / measured - 1):+8.0f} %"
        )


def peak(command: Sequence[str]) -> int:
    """Run a program of one process; the most memory that it took, in bytes."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"Error: {' '.join(command)} failed")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(arguments: Sequence[str], environment: dict[str, str] | None) -> list[float]:
    """Run a program that prints its wall and processor seconds."""
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(f"Error: {arguments[0]} …: {done.stderr[-2000:]}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def best(times: Sequence[Sequence[float]]) -> float:
    """The least processor time, which other programs disturb the least."""
    return min(cpu for _, cpu in times)


def write_split(root: Path, size: tuple[int, int]) -> Path:
    """Write two videos with the detail of photographs, and three objects each."""
    from skimage import data

    height, width = size
    images: Any = data
    photos = [images.coffee(), images.astronaut()]
    y, x = np.mgrid[:height, :width]
    for number, photo in enumerate(photos):
        large = Image.fromarray(photo).resize(
            (width + 64, height + 64), Image.Resampling.BICUBIC
        )
        random = np.random.default_rng(number)
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / f"v{number}").mkdir(parents=True)
        for time in range(24):
            frame = np.asarray(large)[2 * time :, time:][:height, :width]
            noise = random.normal(0, 3, (height, width, 1))
            pixels = (frame + noise).clip(0, 255).astype(np.uint8)
            labels = np.zeros(size, np.uint8)
            for key in range(1, 4):
                row, column = height * key // 4, width * key // 5 + 8 * time
                inside = np.hypot(y - row, x - column) < height * (5 - key) / 30
                labels[inside] = key
            Image.fromarray(pixels).save(
                root / "JPEGImages" / f"v{number}" / f"{time:05d}.jpg", quality=90
            )
            (root / "Annotations" / f"v{number}" / f"{time:05d}.png").write_bytes(
                encode(labels)
            )
    return root
