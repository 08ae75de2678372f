"""Mending a submission: everything that follows from what is there, and no guesses.

A mask belongs to the video whose name its folder has, wherever that folder lies, and
to the frame whose number its name has. Its ids are its values, or those of its DAVIS
colours. What does not follow from that stays as it is, and `submit check` names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..archive import (
    TEAM_FILE,
    Masks,
    Packed,
    open_masks,
    read_team,
    shown,
    write_zip,
)
from ..data import Split, SplitVideo
from ..errors import ArchiveError, MaskError
from ..masks import Labels, object_ids
from ..png.palette import (
    DAVIS_PALETTE,
    GREY,
    PALETTE,
    decode,
    encode,
    read_header,
)
from ..png.pillow import decode_as_server, decode_pixels
from ..system.machine import keep_freed_memory
from ..system.names import frame_number
from ..system.pool import checkpoint, thread_pool
from .check import expected_frames

__all__ = ["Mend", "Repaired", "repair"]


@dataclass(frozen=True)
class Mend:
    """One thing that was done.

    Attributes:
        what: In words, such as `name changed to that of the frame`.
        where: The first file it was done to.
        count: How many files it was done to.
    """

    what: str
    where: str
    count: int


@dataclass(frozen=True)
class Repaired:
    """A mended submission.

    Attributes:
        packed: The zip that was written.
        mends: What was done, in the order in which it was first needed.
    """

    packed: Packed
    mends: tuple[Mend, ...]


def repair(
    source: Path | str,
    path: Path | str,
    split: Split,
    *,
    sample: Path | str | None = None,
    team: Path | str | None = None,
    fill_missing: bool = False,
    workers: int | None = None,
) -> Repaired:
    """Write a submission anew, with all that can be mended without guessing.

    Args:
        source: A zip or a folder; never written to.
        path: The zip to write.
        split: What the submission is for.
        sample: The organisers' sample submission; see `check_masks`.
        team: A `team.json` for the root; without it the one that is there is kept.
        fill_missing: Whether to put empty masks where masks are missing.
        workers: Threads; one for each core by default.

    Raises:
        ArchiveError: The source cannot be read, holds no mask of the split, or two
            different files are the mask of one frame.
        StorageError: The zip cannot be written.
    """
    keep_freed_memory()
    path = Path(path)
    expected, _ = expected_frames(split, sample)
    with open_masks(source) as masks:
        mender = _Mender(masks, split, expected, fill_missing=fill_missing)
        if not mender.sources:
            raise ArchiveError(
                f"{source}: holds no mask of {split.root}; expected files such as "
                f"{next(iter(expected))}/00000.png, in any folder"
            )
        with thread_pool(workers) as pool:
            files = mender.files(pool, None if team is None else read_team(team))
            sha256, size = write_zip(path, files)
    packed = Packed(path, sha256, size, mender.videos, mender.frames)
    return Repaired(packed, tuple(mender.mends))


@dataclass(frozen=True)
class _Mask:
    """A mended mask: the file, and what had to be done."""

    data: bytes | None
    mends: tuple[str, ...] = ()


@dataclass
class _Mender:
    """Finds the masks and mends them, video by video."""

    masks: Masks
    split: Split
    expected: Mapping[str, Sequence[str]]
    fill_missing: bool
    videos: int = 0
    frames: int = 0
    sources: dict[str, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self._done: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self.sources = self._match()

    @property
    def mends(self) -> Iterator[Mend]:
        """What was done so far."""
        for what, count in self._done.items():
            yield Mend(what, self._first[what], count)

    def files(
        self, pool: ThreadPoolExecutor, team: bytes | None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the files of the zip in order."""
        names = {entry.name for entry in self.masks.entries}
        if team is not None:
            self._note(f"{TEAM_FILE} put at the root", TEAM_FILE)
            yield TEAM_FILE, team
        elif TEAM_FILE in names:
            yield TEAM_FILE, self.masks.read_entry(TEAM_FILE)
        for name, frames in sorted(self.expected.items()):
            sources = self.sources.get(name, {})
            if not sources and not self.fill_missing:
                continue
            self.videos += 1
            video = _Video.of(self.masks, self.split.videos[name], frames, sources)
            if video.renaming is not None:
                self._note("ids changed to those of the annotation", f"{name}/")
            for frame, mask in zip(frames, pool.map(video.mend, frames), strict=True):
                target = f"{name}/{frame}.png"
                for what in mask.mends:
                    self._note(what, sources.get(frame, target))
                data = mask.data
                if data is None and self.fill_missing:
                    self._note("empty mask put where none was", target)
                    data = encode(np.zeros(video.size, np.uint8))
                if data is not None:
                    self.frames += 1
                    yield target, data

    def _match(self) -> dict[str, dict[str, str]]:
        """Find the file of each frame: names of entries by video and stem."""
        spelled = {name.lower(): name for name in self.expected}
        numbers = {
            name: {n: stem for stem in stems if (n := frame_number(stem)) is not None}
            for name, stems in self.expected.items()
        }
        sources: dict[str, dict[str, str]] = {}
        roots = set()
        files = [e for e in self.masks.entries if not e.is_folder]
        last = {entry.name: entry for entry in files}
        for entry in files:
            if entry is not last[entry.name]:
                what = "left out, since a later file has the same name"
                self._note(what, entry.written)
                continue
            if entry.name == TEAM_FILE:
                continue
            parts = [p for p in re.split(r"[/\\]", entry.name) if p not in ("", ".")]
            video = _video_of(parts, spelled)
            frame = None if video is None else _frame_of(parts[-1], numbers[video])
            if video is None or frame is None:
                self._note("left out, being no mask of a frame", entry.written)
                continue
            other = sources.setdefault(video, {}).setdefault(frame, entry.name)
            if other != entry.name:
                self._require_equal(video, frame, other, entry.name)
            roots.add("/".join(parts[:-2]))
            if entry.written != entry.name:
                self._note("name written as the server unpacks it", entry.written)
            if parts[-2] != video:
                self._note("folder changed to the name of the video", entry.name)
            if parts[-1] != f"{frame}.png":
                self._note("name changed to that of the frame", entry.name)
        for root in sorted(roots - {""}):
            self._note("videos moved to the root", f"{root}/")
        return sources

    def _require_equal(self, video: str, frame: str, one: str, other: str) -> None:
        """Accept a mask that is there twice, and never choose between two."""
        if self.masks.read_entry(one) != self.masks.read_entry(other):
            raise ArchiveError(
                f"{self.masks.path}: {one} and {other} differ, and each could be the "
                f"mask of {video}/{frame}.png; remove one of them"
            )
        self._note("left out, being there twice", other)

    def _note(self, what: str, where: str) -> None:
        self._first.setdefault(what, shown(where))
        self._done[what] += 1


@dataclass(frozen=True)
class _Video:
    """One video's masks.

    Attributes:
        masks: The submission.
        sources: Name of the entry of each frame, by stem.
        objects: Ids of the video's objects; empty where the split does not say.
        first: Stem and labels of the annotation of the first frame, if there is one.
        size: Height and width of an empty mask.
        renaming: 256 ids: what each id of the submission is called in the annotation;
            None where they agree.
    """

    masks: Masks
    sources: Mapping[str, str]
    objects: tuple[int, ...]
    first: tuple[str, Labels] | None
    size: tuple[int, int]
    renaming: NDArray[np.uint8] | None

    @classmethod
    def of(
        cls,
        masks: Masks,
        video: SplitVideo,
        frames: Sequence[str],
        sources: Mapping[str, str],
    ) -> _Video:
        """Look at the split, and at the first mask."""
        first = None
        if frames and frames[0] in video.masks:
            first = frames[0], video.read_mask(frames[0])
        size = video.size if first is None else first[1].shape
        plain = cls(masks, sources, video.objects, first, (size[0], size[1]), None)
        if first is None or first[0] not in sources:
            return plain
        labels = plain.labels(first[0])[0]
        renaming = None if labels is None else _renaming(labels, first[1])
        return cls(masks, sources, video.objects, first, plain.size, renaming)

    def mend(self, frame: str) -> _Mask:
        """Mend one mask."""
        checkpoint()
        if self.first is not None and frame == self.first[0]:
            return self._first_mask(frame)
        if frame not in self.sources:
            return _Mask(None)
        labels, mends = self.labels(frame)
        if labels is None:
            return _Mask(None, tuple(mends))
        if labels.shape != self.size:
            return _Mask(self.masks.read_entry(self.sources[frame]))
        if self.renaming is not None:
            labels = self.renaming[labels]
        return _Mask(encode(labels), tuple(mends))

    def labels(self, frame: str) -> tuple[Labels | None, list[str]]:
        """Read a mask as ids, and say how; None where there is no way."""
        try:
            data = self.masks.read_entry(self.sources[frame])
        except ArchiveError:
            return None, ["left out, being unreadable"]
        return _to_labels(data, self.objects)

    def _first_mask(self, frame: str) -> _Mask:
        assert self.first is not None
        mends: tuple[str, ...] = ()
        if frame not in self.sources:
            mends = ("annotation put in as the first mask",)
        elif self.renaming is None:
            labels, _ = self.labels(frame)
            if labels is None or not np.array_equal(labels, self.first[1]):
                mends = ("first mask replaced by the annotation",)
        return _Mask(encode(self.first[1]), mends)


def _video_of(parts: Sequence[str], spelled: Mapping[str, str]) -> str | None:
    """The video that a path belongs to: the one that its folder is called after."""
    if len(parts) < 2 or ".." in parts:
        return None
    if "__MACOSX" in parts or any(part.startswith(".") for part in parts):
        return None
    return spelled.get(parts[-2].lower())


def _frame_of(name: str, numbers: Mapping[int, str]) -> str | None:
    """The frame that a file name means: the one with the only number in it."""
    stem, dot, suffix = name.rpartition(".")
    found = re.findall(r"[0-9]+", stem)
    if not dot or suffix.lower() != "png" or len(found) != 1 or len(found[0]) > 99:
        return None
    return numbers.get(int(found[0]))


def _to_labels(data: bytes, objects: Sequence[int]) -> tuple[Labels | None, list[str]]:
    """Read any PNG as ids.

    Args:
        data: The file.
        objects: The ids that there can be.

    Returns:
        Labels, or None, and what was done to get there.
    """
    try:
        header = read_header(data)
        if header.colour_type == PALETTE:
            return decode(data), []
    except MaskError:
        try:
            return decode_as_server(data), ["damaged PNG written anew"]
        except MaskError:
            return None, ["left out, being unreadable"]
    try:
        image = decode_pixels(data)
    except MaskError:
        return None, ["left out, being unreadable"]
    if image.ndim == 3 and image.shape[2] >= 3:
        labels = _from_colours(image[:, :, :3])
        if labels is None:
            return None, ["left out, having colours that no id has"]
        return labels, ["colours turned into ids"]
    grey = image[:, :, 0] if image.ndim == 3 else image
    if header.colour_type == GREY and header.bit_depth < 8:
        grey = grey.astype(np.uint8)
        if header.bit_depth > 1:  # Pillow has stretched the values to 0 … 255.
            grey = grey // (255 // ((1 << header.bit_depth) - 1))
    values = set(np.unique(grey).tolist())
    if len(objects) == 1 and values <= {0, 255} and 255 not in objects:
        return (grey > 0).astype(np.uint8) * objects[0], ["white turned into the id"]
    if max(values) > 255:
        return None, ["left out, having values above 255"]
    return grey.astype(np.uint8), ["grey PNG written with a palette"]


def _from_colours(image: NDArray[np.uint8]) -> Labels | None:
    """Look up H×W×3 colours in the DAVIS palette; None where one is not in it."""
    codes, palette = _codes(image), _codes(DAVIS_PALETTE)
    order = np.argsort(palette)
    places = np.searchsorted(palette[order], codes).clip(max=255)
    labels: Labels = order[places].astype(np.uint8)
    if not np.array_equal(palette[labels], codes):
        return None
    return labels


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """One number for each colour in the last axis."""
    codes: NDArray[np.int64] = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    return codes


def _renaming(labels: Labels, truth: Labels) -> NDArray[np.uint8] | None:
    """How ids must be renamed so that a mask becomes the annotation.

    Returns:
        256 ids, or None where nothing must or renaming is not enough.
    """
    if labels.shape != truth.shape or np.array_equal(labels, truth):
        return None
    table = np.arange(256, dtype=np.uint8)
    ids = object_ids(labels)
    for key in ids:
        table[key] = truth[labels == key][0]
    targets = table[list(ids)].tolist()
    if 0 in targets or len(set(targets)) < len(ids):
        return None
    return table if np.array_equal(table[labels], truth) else None
