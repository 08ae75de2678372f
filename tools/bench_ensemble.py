"""Measure the speed of merging runs and writing masks, and the size of the masks.

The same members are merged by `submit ensemble` and `submit export`, and by Cutie's
script `merge_multi_scale.py`, which needs probabilities at the size of the frame in
hickle files. Cutie is not changed; `--cutie` names a checkout of hkchengrex/Cutie, and
the package hickle must be installed.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from measuring import Usage, measure, show_table
from submit.masks import resize_logits, to_labels
from submit.png.palette import DAVIS_PALETTE, encode, read
from submit.runs import Identity, Run, SoftWriter, VideoRecord
from submit.system.files import digest

__all__ = ["ensemble"]

#: Resolution of the logits of models such as SAM 2.
GRID = 256
#: Number of different frames of logits; they are repeated, to be written faster.
DISTINCT = 50


#: Runs an unchanged script, but translates a palette mode that new Pillow versions
#: do not accept.
_AS_IT_IS = """
import runpy, sys
from PIL import ImagePalette
init = ImagePalette.ImagePalette.__init__
def patched(self, mode="RGB", palette=None):
    init(self, "RGB" if mode == "P" else mode, palette)
ImagePalette.ImagePalette.__init__ = patched
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@click.command()
@click.option(
    "--cutie",
    type=click.Path(exists=True, path_type=Path),
    help="Root of hkchengrex/Cutie.",
)
@click.option("--size", default="1920x1080", show_default=True, metavar="WxH")
@click.option("--videos", default=4, show_default=True)
@click.option("--frames", default=300, show_default=True, help="Frames of a video.")
@click.option("--objects", default=3, show_default=True, help="Objects of a video.")
@click.option("--members", default=4, show_default=True)
@click.option("--workers", default=2, show_default=True)
def ensemble(
    cutie: Path | None,
    size: str,
    videos: int,
    frames: int,
    objects: int,
    members: int,
    workers: int,
) -> None:
    """Merge synthetic members and write their masks, here and with Cutie."""
    if cutie is not None and importlib.util.find_spec("hickle") is None:
        sys.exit("Error: --cutie needs hickle, Cutie's format; do: pip install hickle")
    width, height = map(int, size.split("x"))
    bench = _Bench((height, width), videos, frames, objects, members, workers)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bench.write_members(root, scores=cutie is not None)
        bench.soft(root, cutie)
        bench.sizes(root)
        bench.hard(root)


class _Bench:
    """A set of synthetic members, and the measurements on it."""

    def __init__(
        self,
        size: tuple[int, int],
        videos: int,
        frames: int,
        objects: int,
        members: int,
        workers: int,
    ) -> None:
        self.size = size
        self.videos = [f"v{number:03d}" for number in range(videos)]
        self.frames = [f"{number:05d}" for number in range(frames)]
        self.objects = tuple(range(1, objects + 1))
        self.members = [f"m{number}" for number in range(members)]
        self.workers = workers

    def write_members(self, root: Path, *, scores: bool) -> None:
        """Write the split and the runs, and with `scores` also probabilities."""
        total = len(self.videos) * len(self.frames)
        split = {"path": str(root / "split"), "fingerprint": ""}
        records: dict[str, dict[str, VideoRecord]] = {m: {} for m in self.members}
        logits_of = functools.cache(self._logits)
        for video in self.videos:
            for seed, member in enumerate(self.members):
                path = root / "runs" / member / "soft" / f"{video}.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                with SoftWriter(path, size=self.size) as writer:
                    for number, frame in enumerate(self.frames):
                        logits = logits_of(number % DISTINCT, seed)
                        scores_of = np.full(len(self.objects), 0.8, np.float32)
                        writer.write(frame, self.objects, logits, scores_of, scores_of)
                        if scores:
                            self._write_scores(root, member, video, frame, logits)
                        if member == self.members[0]:
                            path_of = root / "split" / "Annotations" / video
                            path_of.mkdir(parents=True, exist_ok=True)
                            labels = to_labels(logits, self.objects, self.size)
                            (path_of / f"{frame}.png").write_bytes(encode(labels))
                records[member][video] = VideoRecord(
                    frames=len(self.frames),
                    objects=self.objects,
                    size=self.size,
                    seconds=0.0,
                    digest=digest(path),
                )
        split["fingerprint"] = _fingerprint(root / "split")
        for member in self.members:
            folder = root / "runs" / member
            soft = folder / "soft"
            aside = soft.rename(root / f".{member}")
            folder.rmdir()
            with Run.making(folder, Identity("predict", {}, split)) as run:
                aside.rename(soft)
                for video, record in records[member].items():
                    run.add(video, record)
        click.echo(
            f"{self.size[1]}×{self.size[0]}, {total} frames, {len(self.objects)} "
            f"objects, {len(self.members)} members of {GRID}×{GRID}, {self.workers} "
            "processes"
        )

    def soft(self, root: Path, cutie: Path | None) -> None:
        """Merge soft members and write palette masks."""
        runs: Sequence[str | Path] = ["--runs", root / "runs"]

        def ours(name: str) -> tuple[Usage, Usage]:
            merge = self._submit("ensemble", *self.members, "--name", name, *runs)
            return merge, self._submit("export", name, *runs, workers=False)

        ours("warm")  # The first run after an installation compiles.
        merging, writing = ours("merged")
        usages = {"mose-submit": merging + writing}
        if cutie is not None:
            usages["merge_multi_scale.py"] = self._cutie(root, cutie)
        show_table("soft members → palette masks", usages)
        frames = len(self.videos) * len(self.frames)
        for name, usage in usages.items():
            click.echo(
                f"{name}: {frames / usage.wall:.1f} frames/s, "
                f"{1000 * usage.cpu / frames:.1f} ms of processor time a frame"
            )

    def sizes(self, root: Path) -> None:
        """Compare the size of the masks with that of Pillow's default encoding."""
        own = default = 0
        for path in sorted((root / "runs" / "merged" / "masks").rglob("*.png")):
            own += path.stat().st_size
            image = Image.fromarray(read(path))
            image.putpalette(DAVIS_PALETTE.ravel().tolist())
            stream = io.BytesIO()
            image.save(stream, "PNG")
            default += stream.tell()
        click.echo(
            f"\nmasks: {own / 1e6:.2f} MB, with Pillow's defaults {default / 1e6:.2f} "
            f"MB: {1 - own / default:.0%} smaller"
        )

    def hard(self, root: Path) -> None:
        """Merge members that are palette masks at the size of the frame."""
        usages = {}
        runs: Sequence[str | Path] = ["--runs", root / "runs"]
        split: Sequence[str | Path] = ["--split", root / "split"]
        names = [f"h{member}" for member in self.members[:3]]
        for name, member in zip(names, self.members, strict=False):
            self._submit("export", member, *runs, workers=False)
            masks = root / "runs" / member / "masks"
            self._submit("import", masks, "--name", name, *split, *runs)
        for method in ("vote", "mean_probabilities", "mean_logits"):
            options = [*names, "--method", method, *split, *runs]
            self._submit("ensemble", *options, "--name", f"warm-{method}")
            usages[method] = self._submit("ensemble", *options, "--name", method)
        show_table(f"{len(names)} hard members", usages)

    def _submit(self, *command: str | Path, workers: bool = True) -> Usage:
        extra = ["--workers", str(self.workers)] if workers else []
        return measure([sys.executable, "-m", "submit", *command, *extra])

    def _cutie(self, root: Path, cutie: Path) -> Usage:
        path = os.pathsep.join([str(cutie), os.environ.get("PYTHONPATH", "")])
        options = [root / "cutie" / member for member in self.members]
        return measure(
            [
                *(sys.executable, "-c", _AS_IT_IS),
                cutie / "scripts" / "merge_multi_scale.py",
                *("--dataset", "D", "--num_proc", str(self.workers), "--list"),
                *options,
                *("--output", root / "cutie" / "merged"),
            ],
            environment={"PYTHONPATH": path},
        )

    def _logits(self, number: int, seed: int) -> NDArray[np.float32]:
        """Logits of objects with wavy edges that move, with the noise of a model."""
        random = np.random.default_rng((number, seed))
        rows, columns = np.mgrid[:GRID, :GRID]
        planes = []
        for key in self.objects:
            y = GRID * (0.2 + 0.6 * (key * 0.37 % 1)) + 0.7 * seed
            x = GRID * (0.2 + 0.6 * (key * 0.61 % 1)) + 20 * np.sin(number / 30 + key)
            radius = 14 + 11 * (key % 4)
            distance = np.hypot(rows - y, columns - x)
            angle = np.arctan2(rows - y, columns - x)
            edge = radius * (1 + 0.1 * np.sin(5 * angle + number / 9 + seed / 3))
            planes.append(np.clip(0.8 * (edge - distance), -14, 14))
        # Decoders upsample their last map by a factor of 4, so the noise in their
        # logits is as smooth.
        coarse = random.normal(0, 0.6, (len(planes), GRID // 4, GRID // 4))
        noise = resize_logits(coarse.astype(np.float32), (GRID, GRID))
        fine = random.normal(0, 0.05, noise.shape)
        return (np.stack(planes) + noise + fine).astype(np.float32)

    def _write_scores(
        self,
        root: Path,
        member: str,
        video: str,
        frame: str,
        logits: NDArray[np.float32],
    ) -> None:
        """Write a frame's probabilities as Cutie's `save_scores` does."""
        import hickle
        import torch

        folder = root / "cutie" / member / "Scores" / video
        folder.mkdir(parents=True, exist_ok=True)
        if frame == self.frames[0]:
            mapping = {key: key for key in self.objects}
            hickle.dump(mapping, folder / "backward.hkl", mode="w")
        twin = folder.parent / self.videos[0] / f"{int(frame) % DISTINCT:05d}.hkl"
        if twin.exists():
            os.link(twin, folder / f"{frame}.hkl")
            return
        chances = torch.nn.functional.interpolate(
            torch.from_numpy(logits)[None], self.size, mode="bilinear"
        )[0].sigmoid()
        background = (1 - chances).prod(0, keepdim=True)
        odds = torch.cat([background, chances]).clamp(1e-7, 1 - 1e-7)
        shares = torch.softmax(torch.log(odds / (1 - odds)), 0)
        scores = (shares.numpy() * 255).astype(np.uint8)
        hickle.dump(scores, folder / f"{frame}.hkl", mode="w", compression="lzf")


def _fingerprint(root: Path) -> str:
    """The fingerprint of a split without images, as in a run's manifest."""
    from submit.data import read_split

    return read_split(root).fingerprint
