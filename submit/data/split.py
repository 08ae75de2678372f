"""Splits on disk: which videos, frames, sizes and objects there are.

Three layouts are read, all with the same two folders. MOSEv2 and MOSEv1:

    JPEGImages/<video>/00000.jpg …    Annotations/<video>/00000.png …    meta*.json

DAVIS puts a resolution between (`JPEGImages/480p/<video>`). A meta file is optional; a
split without JPEGImages can be scored against but not predicted. Listing a split reads
only folders; sizes and objects of a video are read when they are asked for.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import MaskError, SplitError
from ..masks import Labels, object_ids
from ..png.palette import read as read_labels
from ..system.files import read_json

__all__ = ["VOID", "Split", "SplitVideo", "VideoMeta", "image_size", "read_split"]

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
#: 255 marks void pixels in DAVIS-like data; as an object id it is always a mistake.
VOID = 255


@dataclass(frozen=True)
class VideoMeta:
    """What the meta file says of one video; None where it is silent."""

    length: int | None = None
    height: int | None = None
    width: int | None = None
    objects: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SplitVideo:
    """One video of a split.

    Attributes:
        name: Folder name.
        frames: Stems of all frames in order; of the annotated ones where the split has
            no images.
        images: File of each frame, by stem; empty where the split has no images.
        masks: File of each annotated frame, by stem, in order.
        meta: What the meta file says, None where it does not know the video.
    """

    name: str
    frames: tuple[str, ...]
    images: Mapping[str, Path] = field(repr=False)
    masks: Mapping[str, Path] = field(repr=False)
    meta: VideoMeta | None = None

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, of the first frame or else the first mask.

        Raises:
            SplitError: Neither can be opened.
        """
        paths = (*self.images.values(), *self.masks.values())
        if not paths:
            raise SplitError(f"video {self.name}: has neither frames nor masks")
        return image_size(paths[0])

    @property
    def height(self) -> int:
        """Rows of every frame."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Columns of every frame."""
        return self.size[1]

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending: those of the meta file, else of the first mask."""
        if self.meta is not None and self.meta.objects is not None:
            return self.meta.objects
        return object_ids(self.first_mask())

    def read_mask(self, frame: str) -> Labels:
        """Read the annotation of a frame as an H×W map of object ids.

        Raises:
            MaskError: It is missing, unreadable, of another size than the video, or
                not a palette or grey image of ids.
        """
        path = self.masks.get(frame)
        if path is None:
            raise MaskError(
                f"video {self.name}: frame {frame} has no annotation; expected "
                f"Annotations/{self.name}/{frame}.png"
            )
        labels = read_labels(path)
        if labels.shape != self.size:
            raise MaskError(
                f"{path}: expected the size of the video's frames, "
                f"{_text(self.size)}, found {_text(labels.shape)}"
            )
        if np.any(labels == VOID):
            raise MaskError(
                f"{path}: holds the id {VOID}, which marks void pixels; object ids go "
                f"from 1 to {VOID - 1}"
            )
        return labels

    def first_mask(self) -> Labels:
        """Read the annotation of the first frame: what a predictor is given.

        Raises:
            MaskError: See `read_mask`.
        """
        if not self.frames:
            raise SplitError(f"video {self.name}: has no frames")
        return self.read_mask(self.frames[0])

    @property
    def fully_annotated(self) -> bool:
        """Whether every frame has a mask, so that the video can be scored."""
        return self.length > 1 and self.masks.keys() >= set(self.frames)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what defines the task: frame names and the first mask's bytes."""
        sha = hashlib.sha256("\n".join((self.name, *self.frames)).encode())
        if self.frames and (path := self.masks.get(self.frames[0])):
            sha.update(path.read_bytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Split:
    """A split on disk.

    Attributes:
        root: The folder that was given.
        videos: The videos by name, sorted.
        meta_path: The meta file, None where there is none.
        absent: Videos that the meta file knows and that have no folder.
    """

    root: Path
    videos: Mapping[str, SplitVideo]
    meta_path: Path | None = None
    absent: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Digest over all videos, recorded in the manifest of every run."""
        sha = hashlib.sha256()
        for video in self.videos.values():
            sha.update(video.fingerprint.encode())
        return sha.hexdigest()

    def select(self, patterns: Sequence[str] = ()) -> tuple[SplitVideo, ...]:
        """The videos whose names match any of the shell patterns; all without one.

        Raises:
            SplitError: Nothing matches.
        """
        chosen = tuple(
            video
            for video in self.videos.values()
            if not patterns or any(fnmatchcase(video.name, p) for p in patterns)
        )
        if not chosen:
            raise SplitError(
                f"{self.root}: no video matches {' or '.join(patterns)}; it has "
                f"{len(self.videos)}, such as {next(iter(self.videos))}"
            )
        return chosen


def image_size(path: Path) -> tuple[int, int]:
    """Height and width that the header of an image file says.

    Raises:
        SplitError: It cannot be opened as an image.
    """
    try:
        with warnings.catch_warnings():
            # A damaged header may claim an absurd size, which is for the caller to see.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.height, image.width
    except (OSError, Image.DecompressionBombError) as error:
        raise SplitError(
            f"{path}: cannot be opened as an image ({error}); extract the split again"
        ) from error


def read_split(root: Path | str, *, meta: Path | str | None = None) -> Split:
    """List a split.

    Args:
        root: Folder with JPEGImages and Annotations, in any of the known layouts.
        meta: The meta file, where it is not one of `meta*.json` in the folder or
            `meta_<folder>.json` beside it.

    Raises:
        SplitError: There is no split at `root`, or its meta file is malformed.
    """
    root = Path(root)
    if not root.is_dir():
        raise SplitError(
            f"{root}: no such folder; expected a split with JPEGImages/ and "
            "Annotations/ (to try the toolkit without data: submit sample DIR)"
        )
    images = _video_folders(root / "JPEGImages")
    masks = _video_folders(root / "Annotations")
    names = sorted(images.keys() | masks.keys())
    if not names:
        nested = [
            child.name for child in root.iterdir() if (child / "JPEGImages").is_dir()
        ]
        hint = f"; did you mean {root / min(nested)}?" if nested else ""
        raise SplitError(
            f"{root}: holds no videos; expected JPEGImages/<video>/<frame>.jpg and "
            f"Annotations/<video>/<frame>.png{hint}"
        )
    meta_path = Path(meta) if meta is not None else _find_meta(root, names)
    metas = _read_meta(meta_path) if meta_path else {}
    videos = {
        name: _read_video(name, images.get(name), masks.get(name), metas.get(name))
        for name in names
    }
    return Split(
        root=root,
        videos=videos,
        meta_path=meta_path,
        absent=tuple(sorted(metas.keys() - videos.keys())),
    )


def _read_video(
    name: str, images: Path | None, masks: Path | None, meta: VideoMeta | None
) -> SplitVideo:
    image_files = _numbered(images, _IMAGE_SUFFIXES)
    mask_files = _numbered(masks, (".png",))
    return SplitVideo(
        name=name,
        frames=tuple(image_files or mask_files),
        images=image_files,
        masks=mask_files,
        meta=meta,
    )


def _video_folders(folder: Path) -> dict[str, Path]:
    """Find the video folders in a data folder, below a resolution or not."""
    children = _folders(folder)
    for resolution in _RESOLUTIONS:
        if resolution in children:
            return _folders(children[resolution])
    return children


def _folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {
        child.name: child
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }


def _numbered(folder: Path | None, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """List the files of a video by stem, in the order of their numbers."""
    if folder is None:
        return {}
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]
    paths.sort(key=lambda path: (_number(path.stem), path.stem))
    return {path.stem: path for path in paths}


def _number(stem: str) -> int:
    """The frame number of a stem; names that are no numbers sort by their text."""
    return int(stem) if stem.isdecimal() else -1


def _find_meta(root: Path, names: list[str]) -> Path | None:
    """Choose the meta file of a split: the only one, or the only one that fits."""
    found = sorted(root.glob("meta*.json"))
    if beside := [p for p in (root.parent / f"meta_{root.name}.json",) if p.is_file()]:
        found = found or beside
    if len(found) < 2:
        return found[0] if found else None
    fitting = [path for path in found if _read_meta(path).keys() >= set(names)]
    if len(fitting) != 1:
        raise SplitError(
            f"{root}: {len(found)} meta files and {len(fitting)} of them list all "
            f"videos ({', '.join(path.name for path in found)}); name one with --meta"
        )
    return fitting[0]


def _read_meta(path: Path) -> dict[str, VideoMeta]:
    try:
        videos = read_json(path)["videos"]
        return {str(name): _video_meta(entry) for name, entry in videos.items()}
    except OSError as error:
        raise SplitError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SplitError(
            f'{path}: is not a meta file; expected {{"videos": {{<video>: '
            f'{{"length", "height", "width", "objects"}}}}}} ({error})'
        ) from error


def _video_meta(entry: Mapping[str, Any]) -> VideoMeta:
    """Read one entry; `objects` is a list of ids or a dict whose keys are ids."""
    objects = entry.get("objects")
    numbers = {
        key: None if entry.get(key) is None else int(entry[key])
        for key in ("length", "height", "width")
    }
    return VideoMeta(
        **numbers,
        objects=None if objects is None else tuple(sorted(int(o) for o in objects)),
    )


def _text(size: tuple[int, ...]) -> str:
    """Height and width in the order in which people say them."""
    return f"{size[1]}×{size[0]}"
