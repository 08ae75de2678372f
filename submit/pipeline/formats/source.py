"""A folder or zip of masks as the files of its videos, in any layout."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from types import TracebackType

from ...archive import Masks
from .base import VideoFiles

__all__ = ["Source"]


class Source:
    """The files of each video.

    Video folders are at the root, or inside folders around all of them.

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
        files: dict[str, dict[str, str]] = {}
        for name, parts in paths.items():
            if len(parts) > 1:
                files.setdefault(parts[0], {})["/".join(parts[1:])] = name
        return files

    @property
    def folders(self) -> list[str]:
        """Names of all folders that could be a video's, sorted."""
        return sorted(self._files)

    @property
    def videos(self) -> set[str]:
        """The videos with at least one PNG."""
        return {
            video
            for video in self._names & self._files.keys()
            if any(path.lower().endswith(".png") for path in self._files[video])
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

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._masks.close()
