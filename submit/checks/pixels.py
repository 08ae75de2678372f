"""The masks of one video: readable, of the right kind and size, with the right ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..archive import Masks
from ..data import SplitVideo
from ..errors import ArchiveError, MaskError, SplitError
from ..masks import Labels
from ..png.palette import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    PackedLabels,
    PngHeader,
    decode_packed,
    read_header,
)
from ..png.pictures import Kind, Picture, decode_picture, read_palette
from ..png.pillow import decode_as_server, size_of_image
from ..system.pool import checkpoint
from ..system.words import counted, size_text
from .colours import Colours
from .findings import Finding
from .layout import Found
from .rules import Severity
from .sanity import Tracks, as_packed, pixels_by_ids

__all__ = ["VideoCheck", "check_video"]

_UNSCORED = "The server does not score this frame and never opens it."


@dataclass
class VideoCheck:
    """The result of checking the masks of one video.

    Attributes:
        frames: Masks that were read.
        findings: What is wrong with them.
    """

    frames: int = 0
    findings: list[Finding] = field(default_factory=list)


def check_video(
    masks: Masks,
    found: Found,
    video: SplitVideo,
    *,
    progress: Callable[[int], None] = lambda frames: None,
) -> VideoCheck:
    """Read each mask of a video once and check it.

    Args:
        masks: The submission.
        found: The video in the submission.
        video: The video in the split.
        progress: Called with a number of masks that are done.
    """
    checker = _Checker(found, video, masks)
    for count, frame in enumerate(found.frames, 1):
        checkpoint()
        checker.look(frame, masks, f"{found.folder}{frame}.png")
        if count % 64 == 0 or count == len(found.frames):
            progress((count - 1) % 64 + 1)
    findings = [replace(one, video=video.name) for one in checker.findings()]
    return VideoCheck(len(found.frames), findings)


@dataclass
class _Case:
    """Masks of a video with the same defect: the first of them, and their number."""

    where: str
    what: str
    count: int = 0


class _Checker:
    """Checks the masks of a video in order."""

    def __init__(self, found: Found, video: SplitVideo, masks: Masks) -> None:
        self._name = found.name
        self._scored = frozenset(found.scored)
        self._cases: dict[tuple[str, Severity | None, str | None], _Case] = {}
        self._first: Labels | None = None
        self._truth: Labels | None = None
        first = video.frames[0] if video.frames else ""
        self._first_frame = first
        try:
            if first in video.masks:
                self._first = video.first_mask()
            self._size: tuple[int, int] | None = _size(video, self._first)
            self._objects: tuple[int, ...] | None = video.objects
        except (MaskError, SplitError) as error:
            self._add("unchecked", found.folder, str(error))
            self._size = None if self._first is None else _shape(self._first)
            self._objects = None
        self._tracks = Tracks(self._objects or ())
        self._colours = Colours.of(video, self._objects or ())
        self._evidence = video.first_annotated
        if self._evidence in found.frames and self._objects is not None:
            self._learn(masks, video, f"{found.folder}{self._evidence}.png")

    def look(self, frame: str, masks: Masks, name: str) -> None:
        """Check one mask."""
        scored = frame in self._scored
        try:
            data = masks.read_entry(name)
        except ArchiveError as error:
            self._add("damaged", name, str(error))
            self._tracks.skip()
            return
        labels = self._labels(data, name, scored)
        if labels is None:
            self._tracks.skip()
            return
        labels = self._by_colours(data, labels, name, scored)
        counts = self._tracks.follow(frame, labels)
        if frame == self._evidence and self._colours.renamed:
            self._add_renamed(name, labels)
        elif frame == self._first_frame and self._first is not None:
            self._compare_first(self._first, labels, name)
        self._check_ids(counts, name, scored)

    def findings(self) -> list[Finding]:
        """Everything that was found, one finding for each kind of defect."""
        found = [
            Finding.of(
                code,
                case.where,
                case.what + (f" (and {case.count - 1} more)" if case.count > 1 else ""),
                severity=severity,
                consequence=consequence,
                count=case.count,
                frame=PurePosixPath(case.where).stem
                if case.where.endswith(".png")
                else "",
            )
            for (code, severity, consequence), case in self._cases.items()
        ]
        return found + self._tracks.findings(self._name)

    def _learn(self, masks: Masks, video: SplitVideo, name: str) -> None:
        """Compare the mask of the first annotated frame with the annotation."""
        assert self._evidence is not None
        try:
            truth = video.read_mask(self._evidence)
            size = truth.shape[0], truth.shape[1]
            self._truth = truth
            picture = decode_picture(masks.read_entry(name), name=name, size=size)
        except (ArchiveError, MaskError, SplitError):
            return  # Its problems are reported when it is checked itself.
        self._colours.learn(picture, truth)

    def _by_colours(
        self, data: bytes, labels: PackedLabels, name: str, scored: bool
    ) -> PackedLabels:
        """Find values that have the colours of other ids, and correct them.

        Later checks then see the masks with the ids that were meant.
        """
        palette = read_palette(data)
        if not palette or self._objects is None or self._colours.is_plain(palette):
            return labels
        picture = Picture(Kind.PALETTE, labels.unpack(), palette)
        meaning = self._colours.meaning(picture)
        if meaning.doubt is not None:
            self._add("unclear-ids", name, meaning.doubt, scored)
        if meaning.table is None or not meaning.by_colour:
            return labels
        pairs = ", ".join(
            f"value {value} has the colour of id {meaning.table[value]}"
            for value in picture.used
            if meaning.table[value] != value
        )
        self._add("relabelled", name, pairs, scored)
        return as_packed(meaning.labels(picture.values))

    def _labels(self, data: bytes, name: str, scored: bool) -> PackedLabels | None:
        """Decode a mask as the server does; None where the server cannot.

        The size is checked first: a wrong size could take any amount of memory.
        """
        header, problem = None, ""
        try:
            header = read_header(data, name=name)
            if not self._has_size((header.height, header.width), name, scored):
                return None
            labels = decode_packed(data, name=name)
        except MaskError as error:
            problem = str(error).removeprefix(f"{name}: ")
            try:
                if not self._has_size(size_of_image(data), name, scored):
                    return None
                labels = as_packed(decode_as_server(data))
            except MaskError:
                self._add("unreadable", name, problem, scored)
                return None
        if header is None:
            self._add("damaged-png", name, problem)
        else:
            self._check_kind(header, labels, name, problem, scored)
        return labels

    def _check_kind(
        self,
        header: PngHeader,
        labels: PackedLabels,
        name: str,
        problem: str,
        scored: bool,
    ) -> None:
        if header.colour_type == PALETTE:
            if problem:
                self._add("damaged-png", name, problem)
            return
        what = f"is {header.kind} PNG"
        if header.colour_type != GREY:
            # Pillow keeps the values of grey with alpha.
            kept = (header.colour_type, header.bit_depth) == (GREY_ALPHA, 8)
            code = "grey" if kept else "colour"
        elif header.bit_depth == 16:
            code = "grey-16"
        elif header.bit_depth < 8:
            code = "stretched-grey"
        else:
            code = "grey"
        if code != "grey":
            ids = [str(i) for i in np.unique(labels.unpack())[:8]]
            what += f"; the server would see the ids {', '.join(ids)}"
        self._add(code, name, what, scored)

    def _has_size(self, size: tuple[int, int], name: str, scored: bool) -> bool:
        if self._size is None or size == self._size:
            return True
        height, width = size
        what = f"has {size_text(size)} pixels instead of {size_text(self._size)}"
        if scored and height in (1, self._size[0]) and width in (1, self._size[1]):
            self._add(
                "size",
                name,
                what,
                severity=Severity.COSTLY,
                consequence="The server repeats the one row or column over the frame.",
            )
        else:
            self._add("size", name, what, scored)
        return False

    def _check_ids(self, counts: NDArray[np.int64], name: str, scored: bool) -> None:
        """Find ids that are not objects of the video."""
        if self._objects is None:
            return
        known = {0, *self._objects}
        unknown = [i for i in np.flatnonzero(counts).tolist() if i not in known]
        if unknown:
            ids = ", ".join(map(str, unknown[:8]))
            pixels = int(counts[unknown].sum())
            what = (
                f"has the ids {ids} in {counted(pixels, 'pixel')}; the video has "
                f"{', '.join(map(str, self._objects))}"
            )
            self._add("unknown-ids", name, what, scored)

    def _compare_first(self, truth: Labels, labels: PackedLabels, name: str) -> None:
        """Compare the first mask with the annotation."""
        if labels.shape != truth.shape:
            return
        counts = pixels_by_ids(as_packed(truth), labels)
        pixels = int(counts.sum() - np.trace(counts))
        if not pixels:
            return
        self._add(
            "first-mask",
            name,
            f"differs from the annotation in {counted(pixels, 'pixel')}",
        )

    def _add_renamed(self, name: str, labels: PackedLabels) -> None:
        """Report that the first mask has other ids for the objects."""
        renamed = self._colours.renamed
        restored = labels.unpack()
        table = np.arange(256, dtype=np.uint8)
        for key, value in renamed:
            table[value] = key
        exact = self._truth is not None and np.array_equal(table[restored], self._truth)
        pairs = ", ".join(f"{key} is called {value}" for key, value in renamed[:4])
        what = f"{'is' if exact else 'fits'} the annotation, but {pairs}"
        self._add("renumbered", name, what)

    def _add(
        self,
        code: str,
        where: str,
        what: str,
        scored: bool = True,
        *,
        severity: Severity | None = None,
        consequence: str | None = None,
    ) -> None:
        """Count a defect; in a frame that is not scored it is only a note."""
        if not scored:
            severity, consequence = Severity.NOTE, _UNSCORED
        key = code, severity, consequence
        self._cases.setdefault(key, _Case(where, what)).count += 1


def _size(video: SplitVideo, first: Labels | None) -> tuple[int, int] | None:
    """Height and width of a video's masks, as the server knows them."""
    meta = video.meta
    if meta is not None and meta.height is not None and meta.width is not None:
        return meta.height, meta.width
    return video.size if first is None else _shape(first)


def _shape(labels: Labels) -> tuple[int, int]:
    return labels.shape[0], labels.shape[1]
