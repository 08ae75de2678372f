"""The meta file of a split: finding it, and its entries for videos.

Of several, the one that lists most of the split's videos is read. If several list as
many: `meta_<folder>.json`, then `meta.json`, then the first by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import SplitError
from ..png.palette import MOST_PIXELS
from ..system.files import read_json
from ..system.names import in_natural_order
from ..system.words import counted, size_text

__all__ = [
    "VOID",
    "MetaFile",
    "VideoMeta",
    "find_meta",
    "in_folder",
    "names_beside",
    "read_meta",
]

#: 255 marks void pixels in DAVIS-like data; it is never an object id.
VOID = 255

#: Limits: no video is longer, and no image format has wider frames.
_LONGEST, _WIDEST = 10_000_000, 65_535

_FORM = (
    '{"videos": {<video>: {"length": 40, "height": 1080, "width": 1920, "objects": '
    '["1", "2"]}}}'
)


@dataclass(frozen=True)
class VideoMeta:
    """The entry of one video; None for values that are missing."""

    length: int | None = None
    height: int | None = None
    width: int | None = None
    objects: tuple[int, ...] | None = None


@dataclass(frozen=True)
class MetaFile:
    """A meta file.

    Attributes:
        path: The file.
        videos: Its entry for each video.
        notes: Remarks for the user, each a sentence.
        is_shared: Whether it is in the parent folder, so that it may describe other
            splits, too.
    """

    path: Path
    videos: Mapping[str, VideoMeta]
    notes: tuple[str, ...] = ()
    is_shared: bool = False


def find_meta(root: Path, names: Sequence[str]) -> MetaFile | None:
    """Choose the meta file of a split; None if there is none.

    Args:
        root: The split's folder, in which `meta*.json` and `*_meta.json` are looked
            for; then, beside it, `meta_<folder>.json`, `<folder>_meta.json`, and a
            `meta.json` that lists videos of the split.
        names: The split's videos.

    Raises:
        SplitError: There is only one, and it cannot be read.
    """
    if found := in_folder(root):
        return _chosen(root, found, names)
    folder = root.resolve()
    *own, common = names_beside(folder.name)
    for name in own:
        path = root.parent / name
        if path.is_file():
            return read_meta(path)
    shared = root.parent / common
    if shared.is_file() and (videos := _listed(shared)) and set(videos) & set(names):
        ours = {name: videos[name] for name in videos if name in set(names)}
        return _meta_file(shared, ours, is_shared=True)
    return None


def names_beside(folder: str) -> tuple[str, ...]:
    """Names of meta files beside the folder of a split; the last may be of several."""
    return f"meta_{folder}.json", f"{folder}_meta.json", "meta.json"


def read_meta(path: Path) -> MetaFile:
    """Read a meta file.

    Raises:
        SplitError: It cannot be read, is not a meta file, or has an impossible value.
    """
    return _meta_file(path, _videos(path))


def in_folder(root: Path) -> list[Path]:
    """Files in the split's folder with the name of a meta file."""
    names = {
        path.name
        for pattern in ("meta*.json", "*_meta.json")
        for path in root.glob(pattern)
        # Data hubs add a metadata.json of their own.
        if path.name[0] != "." and not path.name.startswith("metadata")
    }
    return [root / name for name in in_natural_order(names)]


def _listed(path: Path) -> Mapping[str, Any] | None:
    """The videos of a file; None if it is not a meta file."""
    try:
        return _videos(path)
    except SplitError:
        return None


def _chosen(root: Path, found: Sequence[Path], names: Sequence[str]) -> MetaFile:
    """Choose among the files in the split's folder."""
    if len(found) == 1:
        return read_meta(found[0])
    usable: list[MetaFile] = []
    notes: list[str] = []
    problems: list[SplitError] = []
    for path in found:
        try:
            meta = read_meta(path)
        except SplitError as error:
            problems.append(error)
            notes.append(f"{error}; it is not read")
            continue
        if meta.videos.keys() & set(names):
            usable.append(meta)
        else:
            notes.append(f"{path}: lists no video of the split; it is not read")
    if not usable:
        if problems:
            raise problems[0]
        return read_meta(found[0])
    wanted = set(names)
    folder = root.resolve().name
    ranks = [f"meta_{folder}.json", f"{folder}_meta.json", "meta.json"]

    def place(meta: MetaFile) -> tuple[int, int]:
        name = meta.path.name
        rank = ranks.index(name) if name in ranks else len(ranks)
        return -len(meta.videos.keys() & wanted), rank

    best = min(usable, key=place)
    for meta in usable:
        if meta is not best and (difference := _difference(best, meta, wanted)):
            notes.append(
                f"{best.path}: is read, and {meta.path.name} is not; they differ in "
                f"{difference} (--meta names the right one)"
            )
    return MetaFile(best.path, best.videos, (*best.notes, *notes))


def _difference(one: MetaFile, other: MetaFile, names: set[str]) -> str | None:
    """A contradiction between two meta files about videos of the split."""
    differing = [
        (name, what)
        for name in in_natural_order(names & one.videos.keys() & other.videos.keys())
        if (what := _contradiction(one.videos[name], other.videos[name]))
    ]
    if not differing:
        return None
    name, what = differing[0]
    return f"{counted(len(differing), 'video')}, such as {name}: {what}"


def _contradiction(one: VideoMeta, other: VideoMeta) -> str | None:
    for field in fields(VideoMeta):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if ours is not None and theirs is not None and ours != theirs:
            return f"{field.name} {_in_words(ours)} and {_in_words(theirs)}"
    return None


def _in_words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _videos(path: Path) -> Mapping[str, Any]:
    """The entries of a meta file, as JSON has them."""
    try:
        content = read_json(path)
    except OSError as error:
        raise SplitError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SplitError(str(error)) from error
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise SplitError(f"{path}: is not a meta file; expected {_FORM}")
    return videos


def _meta_file(
    path: Path, entries: Mapping[str, Any], *, is_shared: bool = False
) -> MetaFile:
    """Read the entries, and note values that are not object ids."""
    videos: dict[str, VideoMeta] = {}
    dropped: list[tuple[str, int]] = []
    for name, entry in entries.items():
        try:
            meta, none = _video_meta(entry)
        except ValueError as error:
            raise SplitError(f"{path}: video {name}: {error}") from None
        videos[name] = meta
        dropped += [(name, key) for key in none]
    if (frames := sum(meta.length or 0 for meta in videos.values())) > _LONGEST:
        raise SplitError(
            f"{path}: the lengths of its videos come to {frames:,} frames, expected at "
            f"most {_LONGEST:,}"
        )
    return MetaFile(path, videos, tuple(_about_ids(path, dropped)), is_shared)


def _about_ids(path: Path, dropped: Sequence[tuple[str, int]]) -> Iterator[str]:
    for key, what in ((0, "the background"), (VOID, "void pixels")):
        names = [name for name, found in dropped if found == key]
        if names:
            videos = counted(len(names), "video")
            yield (
                f"{path}: lists the object {key} in {videos}, such as {names[0]}; it "
                f"is left out, since {key} marks {what}"
            )


def _video_meta(entry: Any) -> tuple[VideoMeta, list[int]]:
    """Read one entry; `objects` is a list of ids or a dict whose keys are ids.

    Returns:
        The entry, and the values in it that are not object ids.

    Raises:
        ValueError: A value is impossible.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"expected an object such as {_FORM}, found {_short(entry)}")
    height = _number(entry, "height", _WIDEST)
    width = _number(entry, "width", _WIDEST)
    if height is not None and width is not None and height * width > MOST_PIXELS:
        raise ValueError(
            f"{size_text((height, width))} pixels are more than any reader opens"
        )
    objects = entry.get("objects")
    ids: set[int] = set()
    if objects is not None:
        if not isinstance(objects, (list, dict)):
            raise ValueError(
                f"objects: expected a list of ids, found {_short(objects)}"
            )
        ids = {_whole(key, "object id", 0, VOID) for key in objects}
    kept = None if objects is None else tuple(sorted(ids - {0, VOID}))
    length = _number(entry, "length", _LONGEST)
    return VideoMeta(length, height, width, kept), sorted(ids & {0, VOID})


def _number(entry: Mapping[str, Any], key: str, most: int) -> int | None:
    value = entry.get(key)
    return None if value is None else _whole(value, key, 1, most)


def _whole(value: Any, what: str, least: int, most: int) -> int:
    """Read a whole number, which may be written as text.

    Raises:
        ValueError: It is not a number, or out of range.
    """
    number: int | None = None
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdecimal() and len(text) < 20:
            number = int(text)
    elif isinstance(value, float):
        number = int(value) if math.isfinite(value) and value.is_integer() else None
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None or not least <= number <= most:
        shown = f"{max(least, 1)} to {most if most != VOID else VOID - 1:,}"
        raise ValueError(f"{what}: expected {shown}, found {_short(value)}")
    return number


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "…"
