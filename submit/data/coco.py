"""COCO JSON of videos: boxes and masks of objects, by video, frame and object.

Three forms are read:

    {"images": [{"id", "file_name": "<video>/<frame>.jpg"}],
     "annotations": [{"image_id", OBJECT, "bbox": [x, y, width, height],
                      "segmentation": RLE, "score"}]}

    {"videos": [{"id", "file_names": ["<video>/<frame>.jpg", …]}],
     "annotations": [{"video_id", OBJECT, "bboxes": […], "segmentations": [RLE, null]}]}

    {VIDEO: {FRAME: {OBJECT: RLE or null}}}

The first is that of COCO, also with `videos` and `video_id` in the images as in TAO; a
list of results alone is read where `image_id` is the text `<video>/<frame>`. The second
is that of YouTube-VIS and OVIS, where null is an absent object. OBJECT is the field
with the id of the object in the split: `object_id`, or another one that is named.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ArchiveError
from ..system.files import read_regular
from ..system.texts import decode_text

__all__ = ["OBJECT_KEY", "Coco", "Detection", "read_coco"]

#: The field of the object's id, if no other one is named.
OBJECT_KEY = "object_id"
#: Fields that may hold it, for a message.
_CANDIDATES = ("object_id", "track_id", "instance_id", "category_id", "id")


@dataclass(frozen=True)
class Detection:
    """What a file says of an object in a frame.

    Attributes:
        where: The entry, for messages.
        box: `[x, y, width, height]` as the file has it, or None.
        mask: COCO RLE as the file has it, or None.
        score: How certain it is; None where the file does not say.
        absent: Whether the file says that the object is not visible.
    """

    where: str
    box: Any = None
    mask: Any = None
    score: float | None = None
    absent: bool = False


@dataclass(frozen=True)
class Coco:
    """The content of a file.

    Attributes:
        path: The file.
        frames: The frames that the file lists, by video, in its order; a frame without
            detections has no object.
        found: The detections by video, frame and object id.
    """

    path: Path
    frames: Mapping[str, list[str]]
    found: Mapping[str, Mapping[str, Mapping[int, Detection]]]


def read_coco(path: Path, *, object_key: str | None = None) -> Coco:
    """Read a file.

    Args:
        path: The file.
        object_key: The field of an annotation that holds the id of its object.
            Default: `object_id`.

    Raises:
        ArchiveError: It cannot be read, is no such JSON, or does not say which video,
            frame or object an entry is of; the message says what is needed.
    """
    try:
        content = json.loads(decode_text(read_regular(path)))
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path}: is not JSON: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read ({error.strerror})") from error
    reader = _CocoReader(path, object_key or OBJECT_KEY)
    if isinstance(content, list):
        reader.read_results(content)
    elif isinstance(content, dict) and "annotations" in content:
        reader.read_dataset(content)
    elif isinstance(content, dict):
        reader.read_tables(content)
    else:
        raise ArchiveError(f"{path}: {_EXPECTED}, found {content!r:.60}")
    frames = {video: list(listed) for video, listed in reader.frames.items()}
    return Coco(path, frames, reader.found)


_EXPECTED = (
    'expected {"images": […], "annotations": […]}, {"videos": […], "annotations": […]} '
    "or {video: {frame: {object: RLE}}}"
)


class _CocoReader:
    """Collects the detections of a file."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self.frames: dict[str, dict[str, None]] = {}
        self.found: dict[str, dict[str, dict[int, Detection]]] = {}

    def read_tables(self, content: Mapping[str, Any]) -> None:
        """Read `{video: {frame: {object: RLE}}}`."""
        for video, frames in content.items():
            where = f"{self._path}: video {video}"
            for frame, entries in _table(frames, where).items():
                self._list(video, frame)
                in_frame = f"{where}: frame {frame}"
                for text, rle in _table(entries, in_frame).items():
                    at = f"{in_frame}: object {text}"
                    if not (text.isascii() and text.isdecimal()):
                        raise ArchiveError(
                            f'{at}: expected an object id such as "1" as the key '
                            f"({_EXPECTED})"
                        )
                    found = Detection(at, mask=rle, absent=rle is None)
                    self._add(video, frame, int(text), found)

    def read_results(self, content: list[Any]) -> None:
        """Read results without images, whose `image_id` is a path."""
        for number, entry in enumerate(content):
            where = f"{self._path}: entry {number}"
            image = _table(entry, where).get("image_id")
            if not isinstance(image, str):
                raise ArchiveError(
                    f"{where}: has the image_id {image!r}, and a list of results does "
                    'not say which frame that is; write {"images": [{"id": '
                    f'{image!r}, "file_name": "<video>/<frame>.jpg"}}, …], '
                    '"annotations": [the list]}'
                )
            video, frame = self._place(image, where)
            self._take(entry, video, frame, where)

    def read_dataset(self, content: Mapping[str, Any]) -> None:
        """Read tables of images or videos, and annotations."""
        videos = self._by_id(content, "videos")
        if any("file_names" in video for video in videos.values()):
            self._read_tracks(content, videos)
            return
        places: dict[Any, tuple[str, str]] = {}
        for number, image in self._by_id(content, "images").items():
            where = f"{self._path}: image {number!r}"
            name = _text(image.get("file_name"), f"{where}: file_name")
            folder = videos.get(image.get("video_id"), {}).get("name")
            places[number] = self._place(name, where, folder)
            self._list(*places[number])
        for where, entry in self._annotations(content):
            named = entry.get("image_id")
            if not isinstance(named, int | str) or named not in places:
                raise ArchiveError(
                    f"{where}: has the image_id {named!r}, and images has none of it"
                )
            self._take(entry, *places[named], where)

    def _read_tracks(
        self, content: Mapping[str, Any], videos: Mapping[Any, Mapping[str, Any]]
    ) -> None:
        """Read annotations of whole videos, as YouTube-VIS has them."""
        places: dict[Any, list[tuple[str, str]]] = {}
        for number, entry in videos.items():
            where = f"{self._path}: video {number!r}"
            names = entry.get("file_names")
            if not isinstance(names, list):
                raise ArchiveError(f"{where}: file_names: expected a list of paths")
            places[number] = [
                self._place(_text(name, where), where, entry.get("name"))
                for name in names
            ]
            for place in places[number]:
                self._list(*place)
        for where, entry in self._annotations(content):
            number = entry.get("video_id")
            if not isinstance(number, int | str) or number not in places:
                raise ArchiveError(
                    f"{where}: has the video_id {number!r}, and videos has none of it"
                )
            frames = places[number]
            masks, boxes = (
                self._column(entry, name, len(frames), where)
                for name in ("segmentations", "bboxes")
            )
            for at, (name, frame) in enumerate(frames):
                one = {**entry, "segmentation": masks[at], "bbox": boxes[at]}
                self._take(one, name, frame, f"{where}: frame {frame}")

    def _column(
        self, entry: Mapping[str, Any], name: str, length: int, where: str
    ) -> list[Any]:
        values = entry.get(name)
        if values is None:
            return [None] * length
        if not isinstance(values, list) or len(values) != length:
            found = len(values) if isinstance(values, list) else repr(values)[:60]
            raise ArchiveError(
                f"{where}: {name}: expected one for each of the {length} file_names "
                f"of its video, found {found}"
            )
        return values

    def _take(
        self, entry: Mapping[str, Any], video: str, frame: str, where: str
    ) -> None:
        """Add an annotation."""
        key = entry.get(self._key)
        if type(key) is not int:
            there = [name for name in _CANDIDATES if type(entry.get(name)) is int]
            if key is not None:
                problem = f"{self._key}: expected an integer, found {key!r:.40}"
            else:
                problem = f"has no field {self._key}, which says its object"
            raise ArchiveError(
                f"{where}: {problem}; name the field that holds the id of the object "
                "in the split, such as --object-key "
                f"{next((name for name in there if name != self._key), 'track_id')}"
            )
        mask, box, score = (
            entry.get(name) for name in ("segmentation", "bbox", "score")
        )
        if isinstance(mask, list):
            if mask:
                raise ArchiveError(
                    f"{where}: segmentation: is a polygon; expected COCO RLE "
                    "(pycocotools: coco.annToRLE)"
                )
            mask = None
        if score is not None and type(score) not in (int, float):
            raise ArchiveError(
                f"{where}: score: expected a number, found {score!r:.40}"
            )
        absent = mask is None and box is None
        found = Detection(where, box=box, mask=mask, score=score, absent=absent)
        self._add(video, frame, key, found)

    def _add(self, video: str, frame: str, key: int, found: Detection) -> None:
        self._list(video, frame)
        there = self.found.setdefault(video, {}).setdefault(frame, {})
        other = there.get(key)
        if other is not None and (other.score is None or found.score is None):
            raise ArchiveError(
                f"{found.where}: video {video}, frame {frame}, object {key} is also "
                f"in {other.where.removeprefix(f'{self._path}: ')}; leave one, or "
                "write scores, of which the highest is taken"
            )
        if other is None or (found.score or 0) > (other.score or 0):
            there[key] = found

    def _list(self, video: str, frame: str) -> None:
        # A table in place of a list, since a video may have thousands of frames.
        self.frames.setdefault(video, {})[frame] = None

    def _place(self, name: str, where: str, video: Any = None) -> tuple[str, str]:
        """The video and the frame of a path."""
        path = PurePosixPath(name)
        stem = path.name.removesuffix(path.suffix) if _is_file(path) else path.name
        folder = video if isinstance(video, str) else path.parent.name
        if not folder or not stem:
            raise ArchiveError(
                f"{where}: expected a path <video>/<frame>.jpg, found {name!r:.60}"
            )
        return PurePosixPath(folder).name, stem

    def _by_id(
        self, content: Mapping[str, Any], name: str
    ) -> dict[Any, Mapping[str, Any]]:
        """A table of images or videos by their id."""
        entries = content.get(name, [])
        if not isinstance(entries, list):
            raise ArchiveError(f"{self._path}: {name}: expected a list")
        found: dict[Any, Mapping[str, Any]] = {}
        for at, entry in enumerate(entries):
            where = f"{self._path}: {name}: entry {at}"
            number = _table(entry, where).get("id")
            if not isinstance(number, int | str) or number in found:
                raise ArchiveError(f"{where}: expected an id that no other entry has")
            found[number] = entry
        return found

    def _annotations(
        self, content: Mapping[str, Any]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        entries: Collection[Any] = content["annotations"]
        if not isinstance(entries, list):
            raise ArchiveError(f"{self._path}: annotations: expected a list")
        for at, entry in enumerate(entries):
            where = f"{self._path}: annotation {at}"
            yield where, _table(entry, where)


def _is_file(path: PurePosixPath) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArchiveError(
            f"{where}: expected a table {{…}}, found {value!r:.60} ({_EXPECTED})"
        )
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ArchiveError(f"{where}: expected a text, found {value!r:.60}")
    return value
