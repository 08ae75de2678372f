"""The interface of a layout in which other programs write masks.

A layout is one file in `submit/formats/layouts/`: an object that detects whether the
files of a video have this layout, and opens them. `submit import` tries all layouts,
`--format` selects one, and the command's help and docs/methods.md list them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import IO, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..archive import Masks
from ..checks.numbering import Numbering, number_frames
from ..data import SplitVideo
from ..errors import ArchiveError, SettingsError
from ..masks import Codes, Labels, Logits, ScoreKind, object_ids
from ..runs import hard_codes
from ..system.registry import Registry

__all__ = [
    "FORMATS",
    "ImportFormat",
    "ImportHints",
    "LabelReader",
    "ScoreReader",
    "SoftFrame",
    "VideoFiles",
    "VideoReader",
    "annotation_scores",
    "appearance_order",
    "find_format",
    "match_frames",
    "stems_of",
]


@dataclass(frozen=True)
class ImportHints:
    """The user's information about files that cannot be detected with certainty.

    Attributes:
        format: Name of the layout; None to detect it.
        scores: The kind of the numbers in NumPy files; None to detect it.
        object_key: The field of a COCO JSON that holds the object id.
        partial: Whether frames may be missing.

    Raises:
        SettingsError: There is no such layout.
    """

    format: str | None = None
    scores: ScoreKind | None = None
    object_key: str | None = None
    partial: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise SettingsError(
                f"format {self.format!r}: there is no such layout; expected "
                f"{', '.join(FORMATS)}"
            )

    @property
    def given(self) -> dict[str, str]:
        """The hints that were given, as JSON."""
        scores = None if self.scores is None else self.scores.value
        hints = {
            "format": self.format,
            "as": scores,
            "object_key": self.object_key,
        }
        return {key: value for key, value in hints.items() if value is not None}


@dataclass(frozen=True)
class VideoFiles:
    """The files of one video.

    Attributes:
        masks: The folder or zip.
        video: The video's name.
        names: Name of the entry of each file, by its path below the video's folder. A
            file with the name of the video, such as `<video>.npz`, has its own name as
            the path.
    """

    masks: Masks
    video: str
    names: Mapping[str, str]

    @property
    def where(self) -> str:
        """The name of the video in messages."""
        return f"{self.masks.path}: {self.video}"

    def label(self, path: str) -> str:
        """The name of a file in messages."""
        return f"{self.masks.path}: {self.names[path]}"

    def folders(self, path: str) -> list[str]:
        """The name of a file and the names of its folders, from the inside outwards."""
        parts = self.names[path].split("/")
        return [*reversed(parts), self.masks.path.name]

    def read(self, path: str) -> bytes:
        """Read a file by its path below the video's folder.

        Raises:
            ArchiveError: It cannot be read.
        """
        return self.masks.read_entry(self.names[path])

    def open(self, path: str) -> IO[bytes]:
        """Open a file of any size, to read it piece by piece; close it afterwards.

        Raises:
            ArchiveError: It cannot be read.
        """
        return self.masks.open_entry(self.names[path])


@dataclass(frozen=True, eq=False)
class SoftFrame:
    """The scores of a frame.

    Attributes:
        objects: The n ids, those of earlier frames first.
        logits: n×h×w over the whole frame, at any resolution; int8 are codes of
            `masks.VALUES`.
        presence: n object scores as logits, or None.
        iou: n predicted IoUs, or None.
    """

    objects: tuple[int, ...]
    logits: Logits | Codes
    presence: NDArray[np.float32] | None = None
    iou: NDArray[np.float32] | None = None


class _Reader:
    """Reads one video.

    Attributes:
        remarks: Numbers of masks that were changed, by a description of the change.
        frames: The frames that have a file, in order.
    """

    def __init__(self) -> None:
        self.remarks: Counter[str] = Counter()
        self.frames: tuple[str, ...] = ()

    def close(self) -> None:
        """Close open files."""


class LabelReader(_Reader, ABC):
    """Reads the masks of one video."""

    @abstractmethod
    def labels(self, frame: str) -> Labels:
        """Read the mask of any frame but the first as H×W object ids.

        Raises:
            ArchiveError: The file cannot be read.
            MaskError: It is not a mask of the video.
        """


class ScoreReader(_Reader, ABC):
    """Reads the scores of one video."""

    @abstractmethod
    def scores(self, frame: str) -> SoftFrame:
        """Read the scores of a frame; frames are read in their order.

        If the first frame has no scores, those of the annotation are returned.

        Raises:
            ArchiveError: The file cannot be read.
            MaskError: They are not scores of the video.
        """


def appearance_order(video: SplitVideo) -> list[int]:
    """The objects of a video by the frame in which they appear, then by id.

    Raises:
        MaskError: An annotation cannot be read.
    """
    order: list[int] = []
    for frame in video.masks:
        if frame in video.frames:
            new = set(object_ids(video.read_mask(frame))) - set(order)
            order.extend(sorted(new))
        if set(order) >= set(video.objects):
            break
    return order


def annotation_scores(video: SplitVideo, order: Sequence[int] = ()) -> SoftFrame:
    """The scores of a first frame by its annotation.

    Args:
        video: The video.
        order: The order of its objects; ascending ids by default.

    Raises:
        MaskError: The annotation cannot be read.
    """
    labels = video.first_mask()
    there = object_ids(labels)
    objects = tuple(key for key in order or there if key in there)
    return SoftFrame(objects, hard_codes(labels, objects))


VideoReader: TypeAlias = LabelReader | ScoreReader


class ImportFormat(Protocol):
    """A layout of masks; see `FORMATS`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def order(self) -> int:
        """Its place in lists."""
        ...

    @property
    def layout(self) -> str:
        """The path of a file, such as `<video>/<frame>.png`."""
        ...

    @property
    def help(self) -> str:
        """A description of the files, in a few words."""
        ...

    @property
    def soft(self) -> bool:
        """Whether the files hold scores, which the run keeps."""
        ...

    @property
    def package(self) -> str | None:
        """The optional package that reading needs; None for none."""
        ...

    def holds(self, files: VideoFiles) -> bool:
        """Whether the files of a video have this layout."""
        ...

    def open(
        self, files: VideoFiles, video: SplitVideo, hints: ImportHints
    ) -> VideoReader:
        """Open a video.

        Raises:
            ArchiveError: Masks are missing, or it is not certain which frames or
                objects they belong to.
            MaskError: A file or the annotation cannot be read.
        """
        ...


#: All layouts by name, in the order in which help lists them.
FORMATS: Registry[ImportFormat] = Registry("submit.formats.layouts")


def find_format(files: VideoFiles, hints: ImportHints) -> ImportFormat:
    """Detect the layout of a video's files, or return the selected one.

    Raises:
        ArchiveError: They have no known layout, several layouts, or not the selected
            one.
    """
    if hints.format is not None:
        named = FORMATS[hints.format]
        if not named.holds(files):
            raise ArchiveError(
                f"{files.where}: has no files of the layout {named.name}; expected "
                f"{named.layout}"
            )
        return named
    found = [layout for layout in FORMATS.values() if layout.holds(files)]
    if len(found) == 1:
        return found[0]
    known = " or ".join(one.layout for one in found or FORMATS.values())
    if found:
        names = " or ".join(one.name for one in found)
        raise ArchiveError(
            f"{files.where}: has masks in {_several(len(found))} layouts, {known}; "
            f"remove all but one, or name it: --format {names}"
        )
    raise ArchiveError(f"{files.where}: has no masks; expected {known}")


def _several(count: int) -> str:
    return {2: "two"}.get(count, str(count))


def stems_of(
    names: Collection[str], folder: str = "", *, suffix: str = ".png"
) -> dict[str, str]:
    """The files with a suffix directly in a folder: their paths by stem."""
    found = {}
    for name in names:
        path = PurePosixPath(name)
        inside = str(path.parent) == (folder or ".")
        if inside and path.suffix.lower() == suffix:
            found[path.stem] = name
    return found


def match_frames(
    video: SplitVideo,
    stems: Collection[str],
    *,
    where: str,
    suffix: str = ".png",
    is_first: Callable[[str], bool] = lambda stem: False,
    late: bool = False,
    partial: bool = False,
) -> Numbering:
    """Find the file of each frame except the first, whose mask is the annotation.

    Args:
        video: The video.
        stems: Stems of the files.
        where: The name of the folder in messages.
        suffix: The ending of the files.
        is_first: Whether the file of a stem is the annotation of the first frame.
        late: Whether files before the first one may be missing, since nothing that
            they could show is visible yet.
        partial: Whether any file may be missing.

    Raises:
        ArchiveError: A file is missing, or it is not certain which frames they are.
    """
    frames = video.frames
    numbering = number_frames(frames, list(stems), video=where, is_first=is_first)
    missing = [frame for frame in numbering.missing if frame != frames[0]]
    if late:
        begun = frames.index(next(iter(numbering.stems), frames[0]))
        missing = [frame for frame in missing if frames.index(frame) > begun]
    if partial or not missing:
        return numbering
    what = f"lacks {len(missing)} of {len(frames)} masks"
    if step := _step(frames, numbering):
        shown = ", ".join(f"{frame}{suffix}" for frame in missing[: step - 1])
        raise ArchiveError(
            f"{where}: {what}: it has one frame in {step} only, as YouTube-VOS is "
            f"evaluated (every 5th), and lacks {shown} and so on; write the masks of "
            "all frames (XMem: --save_all, Cutie: save_all=True), or import them for "
            "a split that has these frames only"
        )
    raise ArchiveError(
        f"{where}: {what}, such as {missing[0]}{suffix} (submit check says what that "
        "costs)"
    )


def _step(frames: tuple[str, ...], numbering: Numbering) -> int:
    """The step of files that were written for every nth frame; 0 for other gaps."""
    there = [at for at, frame in enumerate(frames) if frame in numbering.stems]
    steps = {b - a for a, b in pairwise(there)}
    step = steps.pop() if len(steps) == 1 else 0
    return step if len(there) > 2 and step > 1 else 0
