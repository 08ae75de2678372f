"""`submit import --as-prompts`: masks and boxes become prompts for `submit predict`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..archive import shown
from ..data import (
    Detection,
    FrameSelection,
    Split,
    SplitVideo,
    check_prompts,
    read_coco,
)
from ..errors import ArchiveError, MaskError, PromptError, RunError
from ..formats import (
    ForeignFiles,
    ImportHints,
    ScoreReader,
    open_foreign,
    open_video,
)
from ..masks import Labels, decode_rle, encode_rle, object_ids, quantise, to_labels
from ..png.palette import encode
from ..predictors import Box
from ..runs import HardVideo, Run
from ..system.files import atomic_folder, run_path, write_json
from ..system.outputs import OutputKind
from ..system.words import did_you_mean

__all__ = ["PROMPTS_FILE", "PROMPTS_FOLDER", "TakenPrompts", "import_prompts"]

#: The file of prompts, which may be written again.
PROMPTS_FILE = OutputKind.of_file(
    "a file of imported prompts",
    "submit import --as-prompts",
    recognises=lambda beginning: (
        beginning.startswith(b'{\n  "version": 1,\n  "videos":')
        and b'"why": "from ' in beginning
    ),
)

#: The folder of prompts, which must be new or empty.
PROMPTS_FOLDER = OutputKind(
    "an empty folder",
    "submit import --as-prompts",
    lambda folder: next(folder.iterdir(), None) if folder.is_dir() else folder,
    is_folder=True,
    forcible=False,
)


@dataclass(frozen=True)
class TakenPrompts:
    """The prompts that were written.

    Attributes:
        kinds: Numbers of masks, boxes and absences, by kind.
        videos: Number of videos with prompts.
        objects: Number of objects with prompts.
        remarks: What was left out, and how often.
    """

    kinds: Mapping[str, int]
    videos: int
    objects: int
    remarks: Mapping[str, int]


@dataclass
class _Given:
    """What a source says of a frame: masks, boxes, absences of objects."""

    frame: str
    masks: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    boxes: dict[int, Box] = field(default_factory=dict)
    absent: list[int] = field(default_factory=list)
    why: dict[int, str] = field(default_factory=dict)


def import_prompts(
    source: str,
    output: Path,
    split: Split,
    *,
    runs: Path,
    frames: FrameSelection | None = None,
    hints: ImportHints | None = None,
    absences: bool = False,
    min_score: float | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> TakenPrompts:
    """Write the prompts that masks or detections give.

    The mask of the first frame is that of the split, so that nothing is written for
    the objects that it shows.

    Args:
        source: A run's name or folder; or masks in any of `FORMATS`, of any frames; or
            a COCO JSON of boxes or masks.
        output: The file of prompts, `.json`, or the folder of palette PNGs.
        split: The split, or those of its videos to take prompts for.
        runs: Where runs are kept.
        frames: The frames to take; all that the source has by default.
        hints: What the files do not say themselves.
        absences: Whether an object without a pixel in a mask is given as absent.
        min_score: The least score of a detection; all are taken by default.
        progress: Called with a video and a number of its frames that are done.

    Raises:
        PromptError: The source says something that no prompt can say, or of an unknown
            video, frame or object; there is nothing to write.
        ArchiveError: A file cannot be read.
        MaskError: A mask cannot be read, or does not fit the split.
        RunError: There is no such run, or it has other frames than the split.
    """
    painted = output.suffix.lower() != ".json"
    if painted and absences:
        raise PromptError(
            f"{output}: a folder of PNGs cannot say that an object is absent; write "
            "the prompts to a .json file"
        )
    taken = _opened(source, split, runs=runs, hints=hints, min_score=min_score)
    taken.absences, taken.selection = absences, frames
    write = _write_folder if painted else _write_table
    counts = _Counts()
    with contextlib.closing(taken):
        write(output, split, counts.watch(taken, progress))
    return TakenPrompts(
        dict(counts.kinds), len(counts.videos), len(counts.objects), taken.remarks
    )


class _Counts:
    """Counts what is written."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.videos: set[str] = set()
        self.objects: set[tuple[str, int]] = set()

    def watch(
        self, taken: _Taken, progress: Callable[[str, int], None]
    ) -> Iterator[tuple[SplitVideo, _Given]]:
        """Pass the frames on that say anything.

        Raises:
            PromptError: None does.
        """
        for video, given in taken.frames():
            progress(video.name, 1)
            keys = {*given.masks, *given.boxes, *given.absent}
            if keys:
                self.kinds["masks"] += len(given.masks)
                self.kinds["boxes"] += len(given.boxes)
                self.kinds["absences"] += len(given.absent)
                self.videos.add(video.name)
                self.objects.update((video.name, key) for key in keys)
                yield video, given
        if not self.videos:
            chosen = "" if taken.selection is None else f" in frames {taken.selection}"
            first = " beside the first frame, whose masks are those of the split"
            raise PromptError(
                f"{taken.where}: gives no prompts{chosen or first}; choose other "
                "--frames or --videos"
            )


class _Taken:
    """What a source says, frame by frame.

    Attributes:
        where: What to call it in messages.
        absences: Whether an object without a pixel is absent.
        selection: The frames to take; None for all.
        remarks: What was left out.
    """

    def __init__(self, where: str, split: Split) -> None:
        self.where = where
        self.split = split
        self.absences = False
        self.selection: FrameSelection | None = None
        self.remarks: Counter[str] = Counter()
        self._first: dict[str, tuple[int, ...]] = {}

    def frames(self) -> Iterator[tuple[SplitVideo, _Given]]:
        """The frames with what they say, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""

    def chosen(self, video: SplitVideo, there: Collection[str]) -> list[str]:
        """Those of a video's frames that are taken."""
        wanted = set(there)
        if self.selection is not None:
            wanted &= self.selection.select(video.frames)
        return [frame for frame in video.frames if frame in wanted]

    def given_of(self, video: SplitVideo, frame: str, labels: Labels) -> _Given:
        """What a mask says."""
        given = _Given(frame)
        seen, known = set(object_ids(labels)), self.first_of(video, frame)
        for key in video.objects:
            if key in known:
                continue
            if key in seen:
                given.masks[key] = labels == key
            elif self.absences:
                given.absent.append(key)
        given.why = dict.fromkeys(video.objects, f"from {self.where}")
        return given

    def first_of(self, video: SplitVideo, frame: str) -> Collection[int]:
        """The objects whose mask the split gives in a frame."""
        if frame != video.frames[0]:
            return ()
        if video.name not in self._first:
            self._first[video.name] = object_ids(video.first_mask())
        return self._first[video.name]


class _RunMasks(_Taken):
    """The masks of a run."""

    def __init__(self, run: Run, split: Split) -> None:
        super().__init__(f"run {run.name}", split)
        self._run = run
        if not any(name in run.videos for name in split.videos):
            raise RunError(f"{run.path}: has no video of {split.place} that was chosen")

    def frames(self) -> Iterator[tuple[SplitVideo, _Given]]:
        """See `_Taken`."""
        for name in sorted(self.split.videos.keys() & self._run.videos.keys()):
            video = self.split.videos[name]
            with contextlib.closing(self._run.read(name)) as masks:
                if masks.frames != video.frames or masks.size != video.size:
                    raise RunError(
                        f"{self.where}: {name} has other frames than the split; name "
                        "the split that the run was made from"
                    )
                for frame in self.chosen(video, video.frames):
                    index = video.frames.index(frame)
                    if isinstance(masks, HardVideo):
                        labels = masks.labels(index)
                    else:
                        codes = masks.codes(index)
                        objects = masks.objects[: len(codes)]
                        labels = to_labels(
                            codes, objects, masks.size, values=masks.values
                        )
                    yield video, self.given_of(video, frame, labels)


class _ForeignMasks(_Taken):
    """Masks that another program has written, in any layout."""

    def __init__(self, files: ForeignFiles, split: Split, hints: ImportHints) -> None:
        super().__init__(str(files.path), split)
        self._files, self._hints = files, hints
        known = {*split.videos, *split.others}
        files.require_videos(split.whole)
        if strangers := sorted(set(files.folders) - known):
            raise PromptError(
                f"{files.path}: has {shown(strangers[0])}, and {split.place} has no "
                "such video; name the split that the masks are of, or remove them"
            )

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def frames(self) -> Iterator[tuple[SplitVideo, _Given]]:
        """See `_Taken`."""
        for name in sorted(self.split.videos.keys() & self._files.videos):
            video, files = self.split.videos[name], self._files.files(name)
            with open_video(files, video, self._hints) as reader:
                for frame in self.chosen(video, reader.frames):
                    if isinstance(reader, ScoreReader):
                        found = reader.scores(frame)
                        codes = quantise(found.logits)
                        labels = to_labels(codes, found.objects, video.size)
                    else:
                        labels = reader.labels(frame)
                    yield video, self.given_of(video, frame, labels)
                self.remarks.update(reader.remarks)


class _Detections(_Taken):
    """Boxes and masks in a COCO JSON."""

    def __init__(
        self, path: Path, split: Split, hints: ImportHints, min_score: float | None
    ) -> None:
        super().__init__(str(path), split)
        self._coco = read_coco(path, object_key=hints.object_key)
        self._min_score = min_score
        for name in self._coco.frames:
            if name not in split.videos and name not in split.others:
                raise PromptError(
                    f"{path}: video {name}: {split.place} has no such video; name the "
                    "split that the file was made for, or remove its entries"
                )

    def frames(self) -> Iterator[tuple[SplitVideo, _Given]]:
        """See `_Taken`."""
        for name, found in sorted(self._coco.found.items()):
            if name not in self.split.videos:
                continue
            video = self.split.videos[name]
            if unknown := found.keys() - set(video.frames):
                raise PromptError(
                    f"{self.where}: video {name}: it has no frame {min(unknown)}; its "
                    f"frames are {video.frames[0]} to {video.frames[-1]}"
                )
            for frame in self.chosen(video, found):
                yield video, self._frame(video, frame, found[frame])

    def _frame(
        self, video: SplitVideo, frame: str, found: Mapping[int, Detection]
    ) -> _Given:
        given = _Given(frame)
        known, first = video.objects, self.first_of(video, frame)
        for key, one in sorted(found.items()):
            if key not in known:
                raise PromptError(
                    f"{one.where}: object {key}: the video {video.name} has "
                    f"{', '.join(map(str, known))}; an object's id is its pixel value "
                    "in the split's masks"
                )
            if self._min_score is not None and (one.score or 0) < self._min_score:
                self.remarks[f"left out, score below {self._min_score:g}"] += 1
                continue
            if key in first:
                self.remarks["left out, in the first frame the split has a mask"] += 1
                continue
            score = "" if one.score is None else f", score {one.score:.3g}"
            given.why[key] = f"from {one.where}{score}"
            try:
                self._add(given, key, one, video.size)
            except (MaskError, PromptError) as error:
                raise PromptError(f"{one.where}: object {key}: {error}") from error
        return given

    def _add(
        self, given: _Given, key: int, one: Detection, size: tuple[int, int]
    ) -> None:
        if one.mask is not None:
            mask = decode_rle(one.mask, size)
            if mask.any():
                given.masks[key] = mask
                return
        if one.mask is not None or one.absent:
            given.absent.append(key)
        else:
            given.boxes[key] = _box(one.box, size)


def _opened(
    source: str,
    split: Split,
    *,
    runs: Path,
    hints: ImportHints | None,
    min_score: float | None,
) -> _Taken:
    """Open what is named."""
    hints = dataclasses.replace(hints or ImportHints(), partial=True)
    path = Path(source)
    if Run.exists(run_path(runs, source)):
        return _RunMasks(Run.open(run_path(runs, source)), split)
    if not path.exists():
        raise ArchiveError(
            f"{source}: no such run, file or folder"
            + did_you_mean(source, Run.names(runs), f"runs are looked for in {runs}")
        )
    if path.is_file() and path.suffix.lower() == ".json":
        return _Detections(path, split, hints, min_score)
    names = (*split.videos, *split.others)
    return _ForeignMasks(open_foreign(path, names, hints), split, hints)


def _box(value: Any, size: tuple[int, int]) -> Box:
    """Convert a box of COCO, `[x, y, width, height]`, and cut it at the frame.

    Raises:
        PromptError: It is no box, or lies outside of the frame.
    """
    if (
        not isinstance(value, list)
        or len(value) != 4
        or not all(type(number) in (int, float) for number in value)
    ):
        raise PromptError(
            f"expected bbox as [x, y, width, height], found {value!r:.60}"
        )
    x, y, wide, high = map(float, value)
    height, width = size
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + wide, float(width)), min(y + high, float(height))
    if not (left < right and top < bottom):
        raise PromptError(
            f"bbox: expected [x, y, width, height] that overlaps the frame of "
            f"{width}×{height} (width × height), found {value}"
        )
    return Box(left, top, right, bottom)


def _write_table(
    output: Path, split: Split, frames: Iterator[tuple[SplitVideo, _Given]]
) -> None:
    """Write a JSON file."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for video, given in frames:
        entries: dict[int, dict[str, Any]] = {}
        entries.update((key, {"mask": encode_rle(m)}) for key, m in given.masks.items())
        entries.update((key, {"box": _edges(box)}) for key, box in given.boxes.items())
        entries.update((key, {"absent": True}) for key in given.absent)
        table.setdefault(video.name, {})[given.frame] = {
            str(key): {**entry, "why": given.why[key]}
            for key, entry in sorted(entries.items())
        }
    content = {"version": 1, "videos": table}
    check_prompts(content, split, path=output)
    write_json(output, content)


def _edges(box: Box) -> list[float]:
    numbers = (box.left, box.top, box.right, box.bottom)
    return [int(number) if number == int(number) else number for number in numbers]


def _write_folder(
    output: Path, split: Split, frames: Iterator[tuple[SplitVideo, _Given]]
) -> None:
    """Write a folder of palette PNGs; of masks that overlap the lowest id wins."""
    del split
    with atomic_folder(output) as folder:
        for video, given in frames:
            if given.boxes or given.absent:
                kind = "a box" if given.boxes else "an absence"
                key = next(iter(given.boxes), next(iter(given.absent), 0))
                raise PromptError(
                    f"{given.why[key].removeprefix('from ')}: is {kind}, which a "
                    f"folder of PNGs cannot hold; write the prompts to a .json file"
                )
            labels = np.zeros(video.size, np.uint8)
            for key in sorted(given.masks, reverse=True):
                labels[given.masks[key]] = key
            (folder / video.name).mkdir(exist_ok=True)
            (folder / video.name / f"{given.frame}.png").write_bytes(encode(labels))
