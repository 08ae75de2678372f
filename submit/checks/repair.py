"""Repairing a submission where the right content is certain, without guessing.

A mask belongs to the video that its folder is named after, at any depth, and to the
frame whose number is in its name. Its ids are its values, or those of its DAVIS
colours. Everything else stays as it is, and `submit check` reports it.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..archive import (
    TEAM_FILE,
    Masks,
    PackedZip,
    open_masks,
    read_team,
    shown,
    write_zip,
)
from ..data import Split, SplitVideo
from ..errors import ArchiveError, MaskError
from ..masks import Labels
from ..png.palette import encode, read_header
from ..png.pictures import Kind, NoIdsError, decode_picture
from ..system.pool import checkpoint, thread_pool
from .check import expected_frames
from .colours import Colours, is_annotation
from .numbering import number_frames, number_in

__all__ = ["Correction", "Repaired", "repair"]


@dataclass(frozen=True)
class Correction:
    """One kind of correction.

    Attributes:
        what: The correction in words, such as `name changed to that of the frame`.
        where: The first file that was corrected.
        count: Number of corrected files.
    """

    what: str
    where: str
    count: int


@dataclass(frozen=True)
class Repaired:
    """The result of a repair.

    Attributes:
        packed: The zip that was written.
        corrections: The corrections, in the order of their first use.
    """

    packed: PackedZip
    corrections: tuple[Correction, ...]


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
    """Write a repaired copy of a submission, without guessing.

    Args:
        source: A zip or a folder; never written to.
        path: The zip to write.
        split: What the submission is for.
        sample: The organisers' sample submission; see `check_masks`.
        team: A `team.json` for the root; None keeps the one that exists.
        fill_missing: Whether to put empty masks where masks are missing.
        workers: Threads; one for each core by default.

    Raises:
        ArchiveError: The source cannot be read, holds no mask of the split, two
            different files are the mask of one frame, or it is not certain which
            frames or objects masks belong to.
        StorageError: The zip cannot be written.
    """
    path = Path(path)
    expected, _ = expected_frames(split, sample)
    with open_masks(source) as masks:
        repairer = _Repairer(masks, split, expected, fill_missing=fill_missing)
        if not repairer.sources:
            raise ArchiveError(
                f"{source}: holds no mask of {split.place}; expected files such as "
                f"{next(iter(expected))}/00000.png, in any folder (submit import takes "
                "one folder for each object as well)"
            )
        with thread_pool(workers) as pool:
            files = repairer.files(pool, None if team is None else read_team(team))
            sha256, size = write_zip(path, files)
    packed = PackedZip(path, sha256, size, repairer.videos, repairer.frames)
    return Repaired(packed, tuple(repairer.corrections))


@dataclass(frozen=True)
class _Mask:
    """A repaired mask: the file, and what was changed."""

    data: bytes | None
    corrections: tuple[str, ...] = ()


@dataclass
class _Repairer:
    """Finds the masks and repairs them, video by video."""

    masks: Masks
    split: Split
    expected: Mapping[str, Sequence[str]]
    fill_missing: bool
    videos: int = 0
    frames: int = 0
    sources: dict[str, dict[str, str]] = field(init=False)
    _frames_by_number: dict[str, dict[int | None, str]] = field(
        init=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        self._done: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self.sources = self._match()

    @property
    def corrections(self) -> Iterator[Correction]:
        """The corrections so far."""
        for what, count in self._done.items():
            yield Correction(what, self._first[what], count)

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
            if video.colours.renamed:
                self._note("ids changed to those of the annotation", f"{name}/")
            for frame, mask in zip(frames, pool.map(video.repair, frames), strict=True):
                target = f"{name}/{frame}.png"
                for what in mask.corrections:
                    self._note(what, sources.get(frame, target))
                data = mask.data
                if data is None and self.fill_missing:
                    self._note("missing mask replaced by an empty one", target)
                    data = encode(np.zeros(video.size, np.uint8))
                if data is not None:
                    self.frames += 1
                    yield target, data

    def _match(self) -> dict[str, dict[str, str]]:
        """Find the file of each frame: names of entries by video and stem."""
        spelled = {name.lower(): name for name in self.expected}
        found: dict[str, dict[str, str]] = {}
        roots: dict[str, set[str]] = {}
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
            stem, dot, suffix = parts[-1].rpartition(".") if parts else ("", "", "")
            if video is None or not dot or suffix.lower() != "png":
                self._note("left out: not a mask of a frame", entry.written)
                continue
            stem = self._key(video, stem)
            other = found.setdefault(video, {}).setdefault(stem, entry.name)
            if other != entry.name:
                self._require_equal(video, stem, other, entry.name)
            roots.setdefault("/".join(parts[:-2]), set()).add(entry.name)
            if entry.written != entry.name:
                self._note("name written as the server unpacks it", entry.written)
        sources = {
            video: matched
            for video, stems in found.items()
            if (matched := self._number(video, stems))
        }
        kept = {name for names in sources.values() for name in names.values()}
        for root in sorted(roots.keys() - {""}):
            if roots[root] & kept:
                self._note("videos moved to the root", f"{root}/")
        return sources

    def _key(self, video: str, stem: str) -> str:
        """The key that is equal for two files that could be the mask of one frame."""
        frames = self._frames_by_number.setdefault(
            video, {number_in(frame): frame for frame in self.expected[video]}
        )
        number = number_in(stem)
        if stem in self.expected[video] or number is None:
            return stem
        return frames.get(number, stem)

    def _number(self, video: str, found: Mapping[str, str]) -> dict[str, str]:
        """Find the frame of each file of a video.

        Args:
            video: The video.
            found: Names of entries by stem, or by the frame that has its number.

        Returns:
            Names of entries by frame.

        Raises:
            ArchiveError: It is not certain.
        """
        split = self.split.videos[video]

        def is_first(stem: str) -> bool:
            try:
                return is_annotation(self.masks.read_entry(found[stem]), split)
            except ArchiveError:
                return False

        numbering = number_frames(
            self.expected[video],
            list(found),
            video=f"{self.masks.path}: {video}",
            is_first=is_first,
        )
        for stem in numbering.surplus:
            self._note("left out: not a mask of a frame", found[stem])
        sources = {frame: found[stem] for frame, stem in numbering.stems.items()}
        for frame, name in sources.items():
            parts = re.split(r"[/\\]", name)
            if parts[-2] != video:
                self._note("folder changed to the name of the video", name)
            if numbering.shifted:
                self._note("number changed to that of the frame, by the order", name)
            elif parts[-1] != f"{frame}.png":
                self._note("name changed to that of the frame", name)
        return sources

    def _require_equal(self, video: str, frame: str, one: str, other: str) -> None:
        """Accept two equal masks of a frame, and refuse two different ones."""
        if self.masks.read_entry(one) != self.masks.read_entry(other):
            raise ArchiveError(
                f"{self.masks.path}: {one} and {other} differ, and each could be the "
                f"mask of {video}/{frame}.png; remove one of them"
            )
        self._note("left out: a duplicate", other)

    def _note(self, what: str, where: str) -> None:
        self._first.setdefault(what, shown(where))
        self._done[what] += 1


@dataclass(frozen=True)
class _Video:
    """One video's masks.

    Attributes:
        masks: The submission.
        sources: Name of the entry of each frame, by stem.
        first: Stem and labels of the annotation of the first frame, if there is one.
        size: Height and width of an empty mask.
        colours: What values and colours stand for.
    """

    masks: Masks
    sources: Mapping[str, str]
    first: tuple[str, Labels] | None
    size: tuple[int, int]
    colours: Colours

    @classmethod
    def of(
        cls,
        masks: Masks,
        video: SplitVideo,
        frames: Sequence[str],
        sources: Mapping[str, str],
    ) -> _Video:
        """Read the annotation and the mask of the first annotated frame."""
        first = None
        if frames and frames[0] in video.masks:
            first = frames[0], video.read_mask(frames[0])
        size = video.size if first is None else first[1].shape
        found = cls(masks, sources, first, (size[0], size[1]), Colours.of(video))
        evidence = video.first_annotated
        if evidence in sources and evidence is not None:
            with contextlib.suppress(ArchiveError, MaskError):
                picture = decode_picture(
                    masks.read_entry(sources[evidence]), size=found.size
                )
                found.colours.learn(picture, video.read_mask(evidence))
        return found

    def repair(self, frame: str) -> _Mask:
        """Repair one mask."""
        checkpoint()
        if self.first is not None and frame == self.first[0]:
            return self._first_mask(frame)
        if frame not in self.sources:
            return _Mask(None)
        try:
            data = self.masks.read_entry(self.sources[frame])
        except ArchiveError:
            return _Mask(None, ("left out: unreadable",))
        if _has_other_size(data, self.size):
            return _Mask(data)
        labels, corrections = self._labels(frame, data)
        return _Mask(None if labels is None else encode(labels), corrections)

    def _labels(self, frame: str, data: bytes) -> tuple[Labels | None, tuple[str, ...]]:
        """Read a mask as ids, and say how; None if that is not possible.

        Raises:
            ArchiveError: Values and colours disagree, and it is not certain which of
                them are right. Writing either would hide that.
        """
        try:
            picture = decode_picture(data, size=self.size)
        except NoIdsError:
            return None, ("left out: values or colours without an id",)
        except MaskError:
            return None, ("left out: unreadable",)
        corrections: tuple[str, ...] = ()
        if picture.damaged:
            corrections = ("damaged PNG written again",)
        if picture.kind is Kind.GREY:
            corrections = (*corrections, "grey PNG written with a palette")
        try:
            meaning = self.colours.meaning(picture)
        except NoIdsError:
            if picture.kind is Kind.COLOUR:
                return None, ("left out: values or colours without an id",)
            return picture.values, corrections
        if meaning.doubt is not None:
            raise ArchiveError(
                f"{self.masks.path}: {self.sources[frame]}: {meaning.doubt}; put the "
                "annotation, as the same program writes it, in the place of the "
                "video's first mask, or write object ids as values"
            )
        if picture.kind is Kind.COLOUR:
            corrections = ("colours converted to ids",)
        elif meaning.by_colour:
            corrections = (*corrections, "ids corrected by the colours of the palette")
        return meaning.labels(picture.values), corrections

    def _first_mask(self, frame: str) -> _Mask:
        assert self.first is not None
        truth = self.first[1]
        if frame not in self.sources:
            return _Mask(encode(truth), ("annotation put in as the first mask",))
        labels: Labels | None = None
        corrections: tuple[str, ...] = ()
        with contextlib.suppress(ArchiveError):
            data = self.masks.read_entry(self.sources[frame])
            if not _has_other_size(data, self.size):
                labels, corrections = self._labels(frame, data)
        if labels is None or not np.array_equal(labels, truth):
            corrections = ("first mask replaced by the annotation",)
        return _Mask(encode(truth), corrections)


def _has_other_size(data: bytes, size: tuple[int, int]) -> bool:
    """Whether the header of a PNG has another size; False for broken files."""
    try:
        header = read_header(data)
    except MaskError:
        return False
    return (header.height, header.width) != size


def _video_of(parts: Sequence[str], spelled: Mapping[str, str]) -> str | None:
    """The video that a path belongs to: the one that its folder is named after."""
    if len(parts) < 2 or ".." in parts:
        return None
    if "__MACOSX" in parts or any(part.startswith(".") for part in parts):
        return None
    return spelled.get(parts[-2].lower())
