"""Prompts from a file or a folder: what is known of objects beside their first masks.

A folder holds palette PNGs, `<video>/<frame>.png`; the ids in a mask are objects that
are given there, and of other objects it says nothing. A JSON file can say more:

    {"version": 1, "videos": {VIDEO: {FRAME: {OBJECT: PROMPT}}}}

where PROMPT is one of

    {"box": [left, top, right, bottom]}     edges in pixels; column c is c to c + 1
    {"points": [[x, y, 1 or 0], …]}         1 inside, 0 outside; whole numbers are the
                                            centres of pixels, the first is 0
    {"mask": {"size": [height, width], "counts": …}}     COCO RLE
    {"absent": true}

Beside it, `"why": "a text"` may say where it comes from; the text is not read.

A detector, a language model, a person or another run may have made them. All of it is
checked against the split when it is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError, PromptError, SplitError
from ..masks import decode_rle, object_ids
from ..png.palette import decode, read_file
from ..predictors import Absent, Box, Mask, Point, Points, Prompt
from ..system.files import read_json
from .meta import VOID
from .split import Split, SplitVideo

__all__ = [
    "GivenPrompts",
    "PackedMask",
    "StoredPrompt",
    "check_prompts",
    "read_prompts",
]

_KINDS = ("box", "points", "mask", "absent")


@dataclass(frozen=True)
class PackedMask:
    """A mask that waits for its frame, compressed.

    Attributes:
        size: Height and width.
        data: Its bits, row by row, deflated.
    """

    kind: ClassVar[str] = Mask.kind

    size: tuple[int, int]
    data: bytes

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> PackedMask:
        """Pack an H×W mask."""
        height, width = pixels.shape
        return cls((height, width), zlib.compress(np.packbits(pixels).tobytes(), 1))

    @property
    def bits(self) -> bytes:
        """The bits, row by row, the last byte filled up with zeros."""
        return zlib.decompress(self.data)

    def unpack(self) -> Mask:
        """The mask."""
        count = self.size[0] * self.size[1]
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count)
        return Mask(bits.reshape(self.size).astype(bool))


#: A prompt as it is kept until its frame comes.
StoredPrompt: TypeAlias = "PackedMask | Box | Points | Absent"


@dataclass(frozen=True, eq=False)
class GivenPrompts:
    """All prompts of a file or folder.

    Attributes:
        path: Where they are from.
        videos: By video, frame and object; frames in order.
    """

    path: Path
    videos: Mapping[str, Mapping[str, Mapping[int, StoredPrompt]]]

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of the prompts; equal for a file and a folder."""
        sha = hashlib.sha256()
        for video in sorted(self.videos):
            for frame, given in self.videos[video].items():
                for key in sorted(given):
                    sha.update(json.dumps([video, frame, key]).encode())
                    sha.update(_canonical(given[key]))
        return sha.hexdigest()


def _canonical(prompt: StoredPrompt) -> bytes:
    if isinstance(prompt, PackedMask):
        return json.dumps(["mask", prompt.size]).encode() + prompt.bits
    return json.dumps([prompt.kind, *dataclasses.astuple(prompt)]).encode()


def read_prompts(path: Path, split: Split) -> GivenPrompts:
    """Read a file or folder of prompts, and check it against a split.

    Args:
        path: A JSON file, or a folder of palette PNGs.
        split: The split; prompts may also be for its videos that were not asked for.

    Raises:
        PromptError: It cannot be read, or a prompt is not legal, for an unknown video,
            frame or object, or outside of its frame.
    """
    whole = split.whole
    if path.is_dir():
        return _given(path, whole, _painted(path, whole))
    return _given(path, whole, _written(_load(path), path, whole))


def check_prompts(content: Any, split: Split, *, path: Path) -> GivenPrompts:
    """Check what is to be written as a JSON file of prompts, as `read_prompts` does.

    Args:
        content: The content of the file.
        split: See `read_prompts`.
        path: What to call the file in messages.

    Raises:
        PromptError: See `read_prompts`.
    """
    return _given(path, split.whole, _written(content, path, split.whole))


def _given(
    path: Path, whole: Split, source: Iterable[tuple[_Place, StoredPrompt]]
) -> GivenPrompts:
    """Collect prompts, frames in order."""
    given: dict[str, dict[str, dict[int, StoredPrompt]]] = {}
    for place, prompt in source:
        frames = given.setdefault(place.video.name, {})
        frames.setdefault(place.frame, {})[place.key] = prompt
    if not given:
        raise PromptError(
            f"{path}: holds no prompts; expected a JSON file, or a folder of palette "
            "PNGs, <video>/<frame>.png"
        )
    return GivenPrompts(
        path,
        {
            name: {
                frame: frames[frame]
                for frame in whole.videos[name].frames
                if frame in frames
            }
            for name, frames in sorted(given.items())
        },
    )


@dataclass(frozen=True)
class _Place:
    """Which object a prompt is for, and in which frame."""

    video: SplitVideo
    frame: str
    key: int


def _video(split: Split, name: str, where: str) -> SplitVideo:
    if name not in split.videos:
        raise PromptError(
            f"{where}: {split.place} has no such video; remove the prompts, or name "
            "the split that they were made for"
        )
    return split.videos[name]


def _require_frame(video: SplitVideo, frame: str, where: str) -> None:
    if frame not in video.frames:
        raise PromptError(
            f"{where}: the video has no such frame; its frames are {video.frames[0]} "
            f"to {video.frames[-1]}"
        )


def _require_object(video: SplitVideo, key: int, where: str) -> None:
    try:
        known = video.objects
    except (MaskError, SplitError) as error:
        raise PromptError(f"{where}: cannot be checked: {error}") from error
    if key not in known:
        raise PromptError(
            f"{where}: the video has no such object; it has "
            f"{', '.join(map(str, known)) or 'none'}. An object's id is its pixel "
            "value in the split's masks"
        )


def _painted(path: Path, split: Split) -> Iterator[tuple[_Place, StoredPrompt]]:
    """Read a folder of palette PNGs."""
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        video = _video(split, folder.name, f"{folder}")
        for file in sorted(folder.glob("*.png")):
            _require_frame(video, file.stem, f"{file}")
            try:
                labels = decode(read_file(file), name=str(file), size=video.size)
            except (MaskError, SplitError) as error:
                raise PromptError(str(error)) from error
            for key in object_ids(labels):
                if key == VOID:
                    raise PromptError(
                        f"{file}: holds the id {VOID}, which marks void pixels; "
                        f"object ids go from 1 to {VOID - 1}"
                    )
                _require_object(video, key, f"{file}: object {key}")
                place = _Place(video, file.stem, key)
                yield place, PackedMask.of(labels == key)


def _written(
    loaded: Any, path: Path, split: Split
) -> Iterator[tuple[_Place, StoredPrompt]]:
    """Read the content of a JSON file."""
    content = _table(loaded, f"{path}")
    if content.keys() != {"version", "videos"} or content["version"] != 1:
        raise PromptError(
            f'{path}: expected {{"version": 1, "videos": …}}, found the keys '
            f"{', '.join(content) or 'none'}"
            + (f" and version {content['version']!r}" if "version" in content else "")
        )
    for name, frames in _table(content["videos"], f"{path}: videos").items():
        in_video = f"{path}: video {name}"
        video = _video(split, name, in_video)
        for frame, given in _table(frames, in_video).items():
            in_frame = f"{in_video}: frame {frame}"
            _require_frame(video, frame, in_frame)
            for text, entry in _table(given, in_frame).items():
                where = f"{in_frame}: object {text}"
                if not re.fullmatch("[1-9][0-9]{0,2}", text):
                    raise PromptError(
                        f'{where}: expected an object id such as "1" as the key'
                    )
                _require_object(video, int(text), where)
                place = _Place(video, frame, int(text))
                yield place, _prompt(entry, video, where)


def _load(path: Path) -> Any:
    """Read JSON in which no key is given twice."""
    try:
        return read_json(path, unique=True)
    except ValueError as error:
        raise PromptError(str(error)) from error
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror})") from error


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PromptError(f"{where}: expected a table {{…}}, found {value!r:.60}")
    return value


def _prompt(entry: Any, video: SplitVideo, where: str) -> StoredPrompt:
    """Read one prompt."""
    table = _table(entry, where)
    table = {key: value for key, value in table.items() if key != "why"}
    if len(table) != 1 or not table.keys() <= set(_KINDS):
        raise PromptError(
            f"{where}: expected one of the keys {', '.join(_KINDS)}, found "
            f"{', '.join(map(repr, table)) or 'none'}"
        )
    ((kind, value),) = table.items()
    try:
        height, width = video.size
        prompt = _value(kind, value, (height, width))
    except (MaskError, SplitError, PromptError) as error:
        raise PromptError(f"{where}: {error}") from error
    if problem := prompt.problem(height, width):
        raise PromptError(f"{where}: {problem}")
    return PackedMask.of(prompt.pixels) if isinstance(prompt, Mask) else prompt


def _value(kind: str, value: Any, size: tuple[int, int]) -> Prompt:
    if kind == "mask":
        return Mask(decode_rle(value, size))
    if kind == "box":
        if not _numbers(value, 4):
            raise PromptError(
                f"expected a box [left, top, right, bottom], found {value!r:.60}"
            )
        return Box(*value)
    if kind == "points":
        if not (
            isinstance(value, list)
            and all(_numbers(one, 3) and one[2] in (0, 1) for one in value)
        ):
            raise PromptError(
                "expected points [[x, y, 1 (inside) or 0 (outside)], …], found "
                f"{value!r:.60}"
            )
        return Points(tuple(Point(x, y, inside == 1) for x, y, inside in value))
    if value is not True:
        raise PromptError(f'expected {{"absent": true}}, found {value!r:.60}')
    return Absent()


def _numbers(value: Any, count: int) -> bool:
    """Whether a value of JSON is a list of so many numbers."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(type(number) in (int, float) for number in value)
    )
