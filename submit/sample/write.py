"""Writing the synthetic split: layout, meta file, and what may be replaced."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SplitError
from ..png.palette import encode
from ..system.files import atomic_folder, read_json
from .scenes import SCENARIOS
from .stage import Stage

__all__ = ["require_sample", "write_sample"]

#: Raised whenever the same arguments begin to give other pictures.
LOOK = 1
#: One to start a tracker with, and one to track.
FEWEST_FRAMES = 2
SMALLEST = 48
LARGEST = 4096
_META = "meta_valid.json"
_FOLDERS = ("JPEGImages", "Annotations")
_QUALITY = 90


def write_sample(
    directory: Path,
    *,
    videos: int = len(SCENARIOS),
    frames: int = 40,
    size: tuple[int, int] = (480, 270),
    seed: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> None:
    """Write a synthetic split with complete ground truth, in MOSEv2's layout.

    Each video is one scenario (`vanish`, `similar`, `small`, `lowlight`, `cuts`,
    `crossing`); beyond the sixth they begin anew with other details (`vanish_2`).
    Every object is in the first frame and every frame is annotated. The difficulties
    are all there from 8 frames on. The same arguments and library versions give the
    same bytes.

    The split appears when it is complete. One that was written here with the same
    arguments stays as it is; with other arguments it is replaced.

    Args:
        directory: The split's folder; its parents are made.
        videos: Number of videos, 1 or more.
        frames: Frames of each video, 2 or more.
        size: Width and height in pixels, 48 to 4096 each.
        seed: Chooses positions, textures and noise; 0 or more.
        progress: Called with a video's name and a number of frames just done.

    Raises:
        SplitError: An argument is out of range, or the folder holds other things.
        StorageError: The disk refused a write, or scikit-image lacks its pictures.
    """
    width, height = size
    for name, value, low, high in (
        ("videos", videos, 1, 9999),
        ("frames", frames, FEWEST_FRAMES, 100_000),
        ("width", width, SMALLEST, LARGEST),
        ("height", height, SMALLEST, LARGEST),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not low <= value <= high:
            raise SplitError(f"sample {name}: expected {low} to {high}, found {value}")
    directory = Path(directory).resolve()
    recipe = _recipe(videos, frames, size, seed)
    names = _names(videos)
    if _claim(directory, recipe, names, frames):
        for name in names:
            if progress is not None:
                progress(name, frames)
        return
    with atomic_folder(directory) as partial:
        meta: dict[str, Any] = {}
        for index, name in enumerate(names):
            stage = Stage(frames, width, height, np.random.default_rng([seed, index]))
            scene = SCENARIOS[name.partition("_")[0]](stage)
            folders = [partial / folder / name for folder in _FOLDERS]
            for folder in folders:
                folder.mkdir(parents=True)
            for number, (rgb, labels) in enumerate(scene.render(stage)):
                (folders[0] / f"{number:05d}.jpg").write_bytes(_jpeg(rgb))
                (folders[1] / f"{number:05d}.png").write_bytes(encode(labels))
                if progress is not None:
                    progress(name, 1)
            meta[name] = {
                "length": frames,
                "height": height,
                "width": width,
                "objects": [str(id) for id in scene.objects],
            }
        text = json.dumps({"videos": meta, "sample": recipe}, indent=2)
        (partial / _META).write_text(text + "\n", encoding="utf-8")


def require_sample(
    directory: Path, *, videos: int, frames: int, size: tuple[int, int], seed: int
) -> None:
    """Make sure that a folder does not hold a synthetic split of other arguments.

    Args:
        directory: The split's folder; one that was not written here is left alone.
        videos: See `write_sample`.
        frames: See `write_sample`.
        size: See `write_sample`.
        seed: See `write_sample`.

    Raises:
        SplitError: It does.
    """
    written = _written(directory)
    if written is None:
        return
    wanted = _recipe(videos, frames, size, seed)
    differing = [key for key in wanted if written.get(key) != wanted[key]]
    if differing:
        said = ", ".join(
            f"{key} = {written.get(key)}, asked for {wanted[key]}" for key in differing
        )
        raise SplitError(
            f"{directory}: is a sample with {said}; delete the folder to write it "
            "again, or name another one"
        )


def _recipe(
    videos: int, frames: int, size: tuple[int, int], seed: int
) -> dict[str, Any]:
    """What decides the bytes of a sample, as its meta file has it."""
    return {
        "look": LOOK,
        "videos": videos,
        "frames": frames,
        "size": list(size),
        "seed": seed,
    }


def _written(directory: Path) -> dict[str, Any] | None:
    """The recipe of the sample in a folder; None where there is none."""
    try:
        written = read_json(directory / _META)["sample"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return written if isinstance(written, dict) else None


def _names(videos: int) -> list[str]:
    """Name the videos: scenarios in order, numbered from the second round on."""
    scenarios = list(SCENARIOS)
    names = []
    for index in range(videos):
        lap, place = divmod(index, len(scenarios))
        names.append(scenarios[place] + (f"_{lap + 1}" if lap else ""))
    return names


def _claim(
    directory: Path, recipe: dict[str, Any], names: list[str], frames: int
) -> bool:
    """Say whether the folder already holds what the recipe makes.

    Raises:
        SplitError: It holds something else that must not be replaced.
    """
    if not directory.exists():
        return False
    if not directory.is_dir():
        raise SplitError(f"{directory}: expected a folder for the split, found a file")
    found = {child.name for child in directory.iterdir()}
    if not found:
        return False
    written = _written(directory)
    if written is None or found - {*_FOLDERS, _META}:
        raise SplitError(
            f"{directory}: holds files that were not made by submit sample; choose "
            "another folder, or empty this one"
        )
    return written == recipe and all(
        len(list((directory / folder / name).glob("*.*"))) == frames
        for folder in _FOLDERS
        for name in names
    )


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """Encode a frame as cameras do: quality 90, 4:2:0."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=_QUALITY, subsampling=2)
    return stream.getvalue()
