"""Real masks, written in the layouts of other programs, are read back unchanged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from submit.data import Split, read_split
from submit.masks import encode_rle
from submit.png.palette import read
from tests.pipeline.scores import RUN, take

CLIPS = ("dogs_jump", "scooter-gray")
FRAMES = 5

Labels = NDArray[np.uint8]


@pytest.fixture
def split(shared_data: Path, tmp_path: Path) -> Split:
    """The first frames of two clips with several objects."""
    root = tmp_path / "split"
    for clip in CLIPS:
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / clip).mkdir(parents=True)
            for path in sorted((shared_data / "clips" / kind / clip).iterdir())[
                :FRAMES
            ]:
                shutil.copy(path, root / kind / clip)
    return read_split(root)


def soft(labels: Labels, objects: tuple[int, ...], *, background: bool) -> Any:
    """Probabilities with rough values whose highest channel is the label."""
    ids = np.array((0, *objects) if background else objects)[:, None, None]
    random = np.random.default_rng(0).random((len(ids), *labels.shape), np.float32)
    scores = np.where(labels == ids, 0.6 + 0.4 * random, 0.4 * random)
    return scores / scores.sum(0) if background else scores


def as_cutie(root: Path, split: Split) -> None:
    h5py: Any = pytest.importorskip("h5py")
    for video in split.videos.values():
        (root / video.name).mkdir(parents=True)
        for frame in video.frames:
            scores = soft(video.read_mask(frame), video.objects, background=True)
            with h5py.File(root / video.name / f"{frame}.hkl", "w") as file:
                volume = (scores * 255).astype(np.uint8)
                file.create_dataset("data", data=volume, compression="lzf")


def as_arrays(root: Path, split: Split) -> None:
    root.mkdir()
    for video in split.videos.values():
        scores = np.stack(
            [
                soft(video.read_mask(frame), video.objects, background=False)
                for frame in video.frames
            ]
        )
        np.savez_compressed(
            root / f"{video.name}.npz", probabilities=scores.astype(np.float16)
        )


def as_rle(root: Path, split: Split) -> None:
    root.mkdir()
    for video in split.videos.values():
        frames = {
            frame: {
                str(key): encode_rle(video.read_mask(frame) == key)
                for key in video.objects
            }
            for frame in video.frames
        }
        (root / f"{video.name}.json").write_text(json.dumps(frames))


def as_objects(root: Path, split: Split) -> None:
    from PIL import Image

    for video in split.videos.values():
        for key in video.objects:
            folder = root / video.name / f"{key:03}"
            folder.mkdir(parents=True)
            for frame in video.frames:
                mask = video.read_mask(frame) == key
                Image.fromarray(mask).save(folder / f"{frame}.png")


def as_davis(root: Path, split: Split) -> None:
    """As the toolkits of DAVIS and YouTube-VOS write results."""
    shutil.copytree(split.root / "Annotations", root / "Annotations" / "480p")


@pytest.mark.parametrize("write", [as_cutie, as_arrays, as_rle, as_objects, as_davis])
def test_a_round_trip_changes_no_pixel(
    split: Split, tmp_path: Path, write: Callable[[Path, Split], None]
) -> None:
    from submit.pipeline import export_run
    from submit.runs import Run
    from tests.inline import Inline

    write(tmp_path / "in", split)
    assert not take(tmp_path / "in", split).failed
    run = Run.open(tmp_path / RUN)
    export_run(run, split, executor=Inline())
    for video in split.videos.values():
        for frame in video.frames:
            found = read(run.masks_folder / video.name / f"{frame}.png")
            assert np.array_equal(found, video.read_mask(frame)), (video, frame)
