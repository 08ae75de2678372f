"""Write the synthetic split: frames, masks and meta file; protect existing files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SplitError
from ..png.palette import encode
from ..system.files import atomic_folder, read_json
from ..system.outputs import OutputKind, claim
from .scenes import SCENARIOS
from .stage import SceneSpec

__all__ = ["require_place", "require_sample", "write_sample"]

#: Increased with each change that gives other frames for the same arguments.
LOOK = 1
#: One frame with the first mask, and one to predict.
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
    force: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> None:
    """Write a synthetic split with complete ground truth, in MOSEv2's layout.

    Each video is one scenario (`vanish`, `similar`, `small`, `lowlight`, `cuts`,
    `crossing`); after the sixth they are repeated with other details (`vanish_2`).
    Every object is in the first frame and every frame is annotated. With 8 frames or
    more, each shows its difficulty. The same arguments and library versions give the
    same bytes.

    The split is written under a temporary name and renamed when it is complete. An
    existing sample with the same arguments is kept. One with other arguments is
    replaced only with `force`, since runs depend on it.

    Args:
        directory: The split's folder; its parents are created.
        videos: Number of videos, 1 or more.
        frames: Frames of each video, 2 or more.
        size: Width and height in pixels, 48 to 4096 each.
        seed: Chooses positions, textures and noise; 0 or more.
        force: Replace a sample that was written with other arguments, or that was
            changed.
        progress: Called with a video's name and a number of frames just done.

    Raises:
        SplitError: An argument is out of range, or the folder holds other files.
        StorageError: A write failed, or scikit-image lacks its photographs.
    """
    directory = _real(directory)
    (width, height), names = size, _names(videos)
    recipe = _recipe(videos, frames, size, seed)
    if _is_there(directory, recipe, names, force=force):
        for name in names:
            if progress is not None:
                progress(name, frames)
        return
    with atomic_folder(directory) as partial:
        meta: dict[str, Any] = {}
        for index, name in enumerate(names):
            stage = SceneSpec(
                frames, width, height, np.random.default_rng([seed, index])
            )
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
    """Check that a folder holds no synthetic split with other arguments.

    Args:
        directory: The split's folder; a folder that is not a sample is accepted.
        videos: See `write_sample`.
        frames: See `write_sample`.
        size: See `write_sample`.
        seed: See `write_sample`.

    Raises:
        SplitError: It holds one.
    """
    written = _written(directory)
    if written is None:
        return
    if said := _differences(written, _recipe(videos, frames, size, seed)):
        raise SplitError(
            f"{directory}: is a sample with {said}; delete the folder to write it "
            "again, or name another one"
        )


def require_place(
    directory: Path,
    *,
    videos: int,
    frames: int,
    size: tuple[int, int],
    seed: int,
    force: bool,
) -> None:
    """Check that `write_sample` could write a sample with these arguments.

    Raises:
        SplitError: An argument is out of range, or the folder holds other files.
        StorageError: The folder cannot be written.
    """
    recipe = _recipe(videos, frames, size, seed)
    _is_there(_real(directory), recipe, _names(videos), force=force)


def _real(path: Path | str) -> Path:
    """Resolve symbolic links; unlike `Path.resolve`, it raises no error."""
    return Path(os.path.realpath(path))


def _recipe(
    videos: int, frames: int, size: tuple[int, int], seed: int
) -> dict[str, Any]:
    """The arguments that identify a sample.

    Raises:
        SplitError: A value is out of range.
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
    return {
        "look": LOOK,
        "videos": videos,
        "frames": frames,
        "size": [width, height],
        "seed": seed,
    }


def _names(videos: int) -> list[str]:
    """Name the videos: scenarios in order, numbered from the second round on."""
    scenarios = list(SCENARIOS)
    names = []
    for index in range(videos):
        lap, place = divmod(index, len(scenarios))
        names.append(scenarios[place] + (f"_{lap + 1}" if lap else ""))
    return names


def _is_there(
    directory: Path, recipe: dict[str, Any], names: list[str], *, force: bool
) -> bool:
    """Whether the folder already holds the same sample, complete.

    Raises:
        SplitError: It holds other files, which are not replaced.
        StorageError: The folder cannot be written.
    """
    written = _written(directory)
    there = {str(path.relative_to(directory)) for path in _files(directory)}
    wanted = {
        f"{folder}/{name}/{number:05d}.{suffix}"
        for folder, suffix in zip(_FOLDERS, ("jpg", "png"), strict=True)
        for name in names
        for number in range(recipe["frames"])
    } | {_META}
    if written == recipe and wanted <= there:
        return True
    claim(directory, _SAMPLE)
    added = sorted(there - wanted)
    if written is None or force or (written == recipe and not added):
        return False
    if said := _differences(written, recipe):
        what = f"is a sample with {said}, and runs may depend on it"
    else:
        what = f"has files that submit sample did not write, such as {added[0]}"
    raise SplitError(
        f"{directory}: {what}; choose another folder, or replace it with --force"
    )


def _written(directory: Path) -> dict[str, Any] | None:
    """The arguments of the sample in a folder; None if there is no sample."""
    try:
        found = read_json(directory / _META)["sample"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _differences(written: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Describe the arguments that differ from those of another sample; may be empty."""
    return ", ".join(
        f"{key} = {written.get(key)}, asked for {value}"
        for key, value in wanted.items()
        if written.get(key) != value
    )


def _files(directory: Path) -> Iterator[Path]:
    """All files, except those that operating systems add to folders."""
    for path in directory.rglob("*"):
        if not path.is_dir() and not path.name.startswith("."):
            yield path


def _find_foreign(directory: Path) -> Path | None:
    """Find a file in a folder that `submit sample` did not write."""
    there = [child for child in directory.iterdir() if child.name[0] != "."]
    known = {*_FOLDERS, _META} if _written(directory) is not None else set()
    return next((c for c in sorted(there) if c.name not in known), None)


#: A sample as an output of a command: it is replaced as a whole folder.
_SAMPLE = OutputKind(
    "a part of a sample", "submit sample", _find_foreign, is_folder=True, forcible=False
)


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """Encode a frame as cameras do: quality 90, 4:2:0."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=_QUALITY, subsampling=2)
    return stream.getvalue()
