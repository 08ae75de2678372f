"""Find the files of each video in the output of another program, in any layout."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from ..archive import Entry, MaskFolder, Masks, open_masks, shown
from ..data import Coco, Split, read_coco
from ..errors import ArchiveError
from ..system.files import Closing
from .format import FORMATS, ImportHints, VideoFiles

__all__ = ["ForeignFiles", "open_foreign"]

#: Kinds of files that layouts have.
_SUFFIXES = frozenset({".png", ".hkl", ".npy", ".npz", ".json"})
#: Suffixes of a single file that may be the whole source.
_SINGLE = (".hkl", ".npy", ".npz")
#: The folders of Cutie and XMem, beside each other.
_SCORES, _MASKS = "Scores", "Annotations"


class ForeignFiles(Closing):
    """The files of each video.

    Video folders are at the root, or inside other folders that contain all of them. A
    file with the name of a video, such as `<video>.npz`, belongs to this video. In the
    output of Cutie and XMem with scores, the folder `Scores` has the videos; their
    masks are listed below `Annotations/` of each video.

    Args:
        masks: The folder or zip.
        names: Names of the possible videos.
    """

    def __init__(self, masks: Masks, names: Collection[str]) -> None:
        self._masks = masks
        self._names = frozenset(names)

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """Names of entries, by video and by path below the video's folder."""
        paths = {}
        for entry in self._masks.entries:
            parts = entry.name.split("/")
            hidden = any(part.startswith(".") for part in parts)
            if not (entry.is_folder or hidden or parts[0] in ("", "__MACOSX")):
                paths[entry.name] = parts
        while len({parts[0] for parts in paths.values()}) == 1 and all(
            len(parts) > 1 and parts[0] not in self._names for parts in paths.values()
        ):
            paths = {name: parts[1:] for name, parts in paths.items()}
        tops = {parts[0] for parts in paths.values()}
        if {_SCORES, _MASKS} <= tops and not {_SCORES, _MASKS} & self._names:
            paths = {
                name: parts[1:] if parts[0] == _SCORES else _beside(parts[1:])
                for name, parts in paths.items()
                if parts[0] in (_SCORES, _MASKS)
            }
        files: dict[str, dict[str, str]] = {}
        for name, parts in paths.items():
            if len(parts) > 1:
                files.setdefault(parts[0], {})["/".join(parts[1:])] = name
            elif parts:
                path = PurePosixPath(parts[0])
                if path.stem in self._names and path.suffix.lower() in _SUFFIXES:
                    files.setdefault(path.stem, {})[path.name] = name
        return files

    @property
    def path(self) -> Path:
        """The folder or file."""
        return self._masks.path

    @property
    def folders(self) -> list[str]:
        """Names of all folders and files that could be a video's, sorted."""
        return sorted(self._files)

    @property
    def videos(self) -> set[str]:
        """The videos with at least one file of masks."""
        return {
            video
            for video in self._names & self._files.keys()
            if any(
                PurePosixPath(path).suffix.lower() in _SUFFIXES - {".json"}
                for path in self._files[video]
            )
            or any(layout.holds(self.files(video)) for layout in FORMATS.values())
        }

    def files(self, video: str) -> VideoFiles:
        """The files of a video."""
        return VideoFiles(self._masks, video, self._files.get(video, {}))

    def fingerprint(self, video: str) -> str:
        """A digest of all files of a video: the same in a folder and in a zip of it.

        Raises:
            ArchiveError: A file cannot be read.
        """
        return self._masks.fingerprint(self._files.get(video, {}))

    def close(self) -> None:
        """Close the file."""
        self._masks.close()

    def require_videos(self, split: Split) -> None:
        """Make sure that there is a video of a split.

        Raises:
            ArchiveError: There is none.
        """
        if not split.videos.keys() & self.videos:
            raise ArchiveError(
                f"{self.path}: holds no video of {split.place}; expected folders such "
                f"as {next(iter(split.videos))}/ at its root, found "
                f"{', '.join(map(shown, self.folders[:3])) or 'none'}"
            )


def open_foreign(
    path: Path, names: Collection[str], hints: ImportHints
) -> ForeignFiles:
    """Open a folder, a zip, or a file with the masks of some videos.

    Args:
        path: The folder or file.
        names: Names of the possible videos.
        hints: Has the field of object ids in a JSON file.

    Raises:
        ArchiveError: There is nothing at `path`, or it cannot be read.
    """
    suffix = path.suffix.lower()
    if path.is_file() and suffix == ".json":
        return ForeignFiles(_CocoMasks(path, hints.object_key), names)
    if path.is_file() and suffix in _SINGLE:
        return ForeignFiles(_OneFile(path), names)
    return ForeignFiles(open_masks(path), names)


def _beside(parts: Sequence[str]) -> list[str]:
    """Put a mask below the folder of its video: `<video>/Annotations/<frame>.png`."""
    return [*parts[:1], _MASKS, *parts[1:]]


class _OneFile(MaskFolder):
    """A folder of which only one file is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._name = path.name

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """The file."""
        size = (self.path / self._name).stat().st_size
        return (Entry(self._name, size=size, stored=size, written=self._name),)


class _CocoMasks(Masks):
    """A JSON file of masks, presented as one file `<video>.json` for each video.

    Each of these has the form {frame: {object: RLE}}.
    """

    def __init__(self, path: Path, object_key: str | None) -> None:
        super().__init__(path)
        self._object_key = object_key

    @cached_property
    def _coco(self) -> Coco:
        return read_coco(self.path, object_key=self._object_key)

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """A file for each video."""
        return tuple(Entry(f"{video}.json") for video in self._coco.frames)

    def read_entry(self, name: str) -> bytes:
        """The masks of a video as JSON.

        Raises:
            ArchiveError: An object has a box and no mask.
        """
        video = name.removesuffix(".json")
        found = self._coco.found.get(video, {})
        frames: dict[str, dict[str, object]] = {}
        for frame in self._coco.frames[video]:
            frames[frame] = {}
            for key, one in found.get(frame, {}).items():
                if one.mask is None and not one.absent:
                    raise ArchiveError(
                        f"{one.where}: has a box and no segmentation; expected masks "
                        "(boxes can be prompts: submit import --as-prompts)"
                    )
                frames[frame][str(key)] = one.mask
        return json.dumps(frames).encode()

    def open_entry(self, name: str) -> IO[bytes]:
        """The masks of a video as JSON, as a stream."""
        import io

        return io.BytesIO(self.read_entry(name))
