"""Hard masks: folders of palette PNGs, read and written.

The digest of each mask is recorded when it is written, and compared when it is read. So
masks that were changed, removed or added are never used.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..archive import Entry, MaskFolder
from ..data import SplitVideo
from ..errors import MaskError, RunError
from ..masks import HARD_LOGIT, VALUES, Codes, Labels, Values, to_labels
from ..png.palette import decode, encode
from ..predictors import State
from ..system.files import Draft, digest, folder_digest
from ..system.names import plain_name
from ..system.refusals import storage_failure
from ..system.words import size_text
from .soft import Floats

__all__ = [
    "HARD_CODE",
    "HardVideo",
    "KnownMasks",
    "MaskWriter",
    "hard_codes",
    "read_digests",
]

#: The code of `HARD_LOGIT`; −`HARD_LOGIT` has the negative code.
HARD_CODE = int(np.searchsorted(VALUES, HARD_LOGIT)) - 128


def hard_codes(labels: Labels, objects: Sequence[int]) -> Codes:
    """Turn H×W labels into codes of N objects: N×H×W, ±`HARD_CODE`."""
    ids = np.asarray(objects, np.uint8)[:, None, None]
    return np.where(labels == ids, HARD_CODE, -HARD_CODE).astype(np.int8)


#: Hex digits of a mask's digest that are kept.
_DIGITS = 16


class HardVideo:
    """Reads a folder of palette masks as logits of ±`HARD_LOGIT`.

    Args:
        frames: File of each frame by stem, in order.
        objects: The ids to read; others are background.
        size: Height and width that every mask must have.
        read: Reads a file and compares its digest.
    """

    def __init__(
        self,
        frames: Mapping[str, Path],
        *,
        objects: Sequence[int],
        size: tuple[int, int],
        read: Callable[[Path], bytes] = Path.read_bytes,
    ) -> None:
        self._paths = tuple(frames.values())
        self._read = read
        self.frames = tuple(frames)
        self.objects = tuple(objects)
        self.size = size
        shape = (len(self.frames), len(self.objects))
        self.presence: Floats = np.full(shape, np.nan, np.float32)
        self.iou: Floats = np.full(shape, np.nan, np.float32)
        self.values: Values = VALUES

    def labels(self, index: int) -> Labels:
        """Read a frame's mask as it is.

        Raises:
            RunError: It has changed since it was written.
            MaskError: It is unreadable or of another size.
        """
        path = self._paths[index]
        try:
            labels = decode(self._read(path), name=str(path))
        except OSError as error:
            raise MaskError(f"{path}: cannot be read ({error.strerror})") from error
        if labels.shape != self.size:
            raise MaskError(
                f"{path}: expected {size_text(self.size)} pixels, found "
                f"{size_text(labels.shape)}"
            )
        return labels

    def codes(self, index: int) -> Codes:
        """The mask of a frame as N×H×W codes of ±`HARD_LOGIT`."""
        return hard_codes(self.labels(index), self.objects)

    def close(self) -> None:
        """Do nothing: no file is open between frames."""


class KnownMasks(MaskFolder):
    """Masks in a folder with known digests; other files are ignored.

    Args:
        path: The folder of video folders.
        videos: The digest of each mask by video and stem, as `MaskWriter` gives them.
        remedy: What to do about masks that have changed, for messages.

    Raises:
        RunError: A mask is missing, or one was added.
    """

    def __init__(
        self, path: Path, videos: Mapping[str, Mapping[str, str]], *, remedy: str
    ) -> None:
        super().__init__(path)
        self._known = videos
        self._remedy = remedy
        for video, digests in videos.items():
            self._require_names(video, digests.keys())

    def video(
        self, name: str, *, objects: Sequence[int], size: tuple[int, int]
    ) -> HardVideo:
        """Open one video; see `HardVideo`."""
        return HardVideo(
            {stem: self.path / name / f"{stem}.png" for stem in self.frames(name)},
            objects=objects,
            size=size,
            read=lambda path: self.read(name, path.stem),
        )

    def only(self, videos: Iterable[str]) -> KnownMasks:
        """Some of the videos."""
        names = set(videos)
        some = copy(self)  # Without what it has listed: see `MaskFolder`.
        some._known = {name: one for name, one in self._known.items() if name in names}
        return some

    def digest_of(self, video: str) -> str | None:
        """A digest of the known digests of a video's masks; None if it has none."""
        known = self._known.get(video)
        if known is None:
            return None
        lines = "".join(f"{stem}\0{known[stem]}\n" for stem in sorted(known))
        return hashlib.sha256(lines.encode()).hexdigest()

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """The masks, sorted."""
        found = []
        for name in sorted(
            f"{video}/{stem}.png"
            for video, digests in self._known.items()
            for stem in digests
        ):
            size = (self.path / name).stat().st_size
            found.append(Entry(name, size=size, stored=size))
        return tuple(found)

    def read_entry(self, name: str) -> bytes:
        """Read one mask by its name.

        Raises:
            RunError: It has changed since it was written.
            ArchiveError: It cannot be read.
        """
        data = super().read_entry(name)
        video, _, file = name.partition("/")
        known = self._known[video][file.removesuffix(".png")]
        if hashlib.sha256(data).hexdigest()[:_DIGITS] != known:
            self._refuse(name, "is not the mask that was written there")
        return data

    def _require_names(self, video: str, known: Iterable[str]) -> None:
        found = {path.stem for path in _files(self.path / video)}
        if lacking := sorted(set(known) - found):
            gone = f"{video}/{lacking[0]}.png" if found else video
            self._refuse(gone, "is missing")
        if strange := sorted(found - set(known)):
            self._refuse(f"{video}/{strange[0]}.png", "was not written there")

    def _refuse(self, name: str, what: str) -> NoReturn:
        raise RunError(f"{self.path / name}: {what}; {self._remedy}")


def read_digests(folder: Path) -> tuple[str, dict[str, str]]:
    """Compute the digests of the masks in a folder without recorded ones.

    Returns:
        The digest of the folder, and those of the masks by stem.
    """
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in _files(folder)}
    return folder_digest(files), _shortened(files)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.png") if path.name[0] != "."]


def _shortened(files: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removesuffix(".png"): found[:_DIGITS]
        for name, found in sorted(files.items())
    }


class MaskWriter:
    """Writes the masks of one video into a folder; the first one is the annotation.

    Frame 0 is the annotation, not the output of a model: it is not scored, and servers
    and people compare it.

    Args:
        folder: An existing empty folder under its temporary name.
        video: The video.
        begun: What `so_far` of another writer returned, to continue its folder.

    Raises:
        ValueError: The folder that was begun is not there as it was.
    """

    def __init__(
        self, folder: Path, video: SplitVideo, *, begun: State | None = None
    ) -> None:
        self._folder = folder
        self._video = video
        self._first: Labels | None = video.first_mask()
        self._files: dict[str, str] = {}
        if begun is not None:
            self._continue(begun)

    def so_far(self, draft: Draft, path: Path) -> State:
        """Say what was written, so that another writer can continue it.

        The temporary folder is kept from here on: see `Draft.keep`. The masks are not
        synced: their digests show what a power cut has taken.

        Args:
            draft: The temporary folder.
            path: The folder whose checkpoint this belongs to, beside this one.

        Raises:
            OSError: The disk refuses.
        """
        name = draft.keep(path)
        self._folder = draft.path
        return {"name": name, "files": self._files}

    def _continue(self, begun: State) -> None:
        """Copy the masks that another writer has written.

        Raises:
            ValueError: They are not what was written.
        """
        source = self._folder.with_name(plain_name(begun["name"]))
        try:
            for name, known in begun["files"].items():
                copy = self._folder / plain_name(name)
                shutil.copyfile(source / name, copy)
                if digest(copy) != known:
                    raise ValueError(f"{source.name}/{name} has changed")
        except OSError as error:
            if storage_failure(error) is not None:
                raise
            raise ValueError(f"{source.name}: {error.strerror}") from error
        self._files = dict(begun["files"])
        if self._files:
            self._first = None

    @property
    def digest(self) -> str:
        """The digest of the folder, as `system.files.digest` computes it."""
        return folder_digest(self._files)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each mask by stem, for `KnownMasks`."""
        return _shortened(self._files)

    def write(
        self,
        frame: str,
        objects: tuple[int, ...],
        codes: Codes,
        *,
        values: Values = VALUES,
    ) -> None:
        """Apply the overlap rule to the codes of a frame's logits and write the mask.

        Args:
            frame: The frame's stem.
            objects: N ids.
            codes: N×h×w.
            values: The values of codes.
        """
        labels = self._first
        if labels is None:
            labels = to_labels(codes, objects, self._video.size, values=values)
        self._write(frame, labels)

    def write_labels(self, frame: str, labels: Labels) -> None:
        """Write a mask as it is; for the first frame write the annotation."""
        self._write(frame, labels if self._first is None else self._first)

    def _write(self, frame: str, labels: Labels) -> None:
        self._first = None
        data, name = encode(labels), f"{frame}.png"
        (self._folder / name).write_bytes(data)
        self._files[name] = hashlib.sha256(data).hexdigest()
