"""One video of another program, read frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from ..archive import MaskFolder
from ..checks.numbering import number_in
from ..data import SplitVideo
from ..errors import ArchiveError
from ..runs import hard_codes
from ..system.words import counted
from .foreign import open_foreign
from .format import (
    ImportFormat,
    ImportHints,
    ScoreReader,
    SoftFrame,
    VideoFiles,
    VideoReader,
    annotation_scores,
    appearance_order,
    find_format,
)

__all__ = ["open_video", "read_results", "require_package", "soft_frames"]


def require_package(layout: ImportFormat, where: str) -> None:
    """Check that the optional package of a layout is installed.

    Args:
        layout: The layout.
        where: What has it, for messages.

    Raises:
        ArchiveError: It is not.
    """
    if layout.package is not None and find_spec(layout.package) is None:
        raise ArchiveError(
            f"{where}: has {layout.layout}, which needs {layout.package}; install it: "
            "pip install 'mose-submit[volumes]'"
        )


@contextlib.contextmanager
def open_video(
    files: VideoFiles, video: SplitVideo, hints: ImportHints
) -> Iterator[VideoReader]:
    """Open the files of a video in the layout that they have.

    Raises:
        ArchiveError: They have none, or are not complete.
        MaskError: A file or the annotation cannot be read.
    """
    reader = find_format(files, hints).open(files, video, hints)
    try:
        yield reader
    finally:
        reader.close()


def soft_frames(reader: VideoReader, video: SplitVideo) -> Iterator[SoftFrame]:
    """Read all frames of a video, in order, as scores; masks as codes of hard ones.

    Raises:
        ArchiveError: A file cannot be read.
        MaskError: It does not belong to the video.
    """
    if isinstance(reader, ScoreReader):
        yield from map(reader.scores, video.frames)
        return
    order = tuple(appearance_order(video))
    yield annotation_scores(video, order)
    for frame in video.frames[1:]:
        yield SoftFrame(order, hard_codes(reader.labels(frame), order))


def read_results(
    folder: Path,
    name: str,
    hints: ImportHints,
    *,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
) -> Iterator[SoftFrame]:
    """Read the results of a program for one video of a split.

    Args:
        folder: The results, directly or in a folder with the name of the video.
        name: The video.
        hints: Information that cannot be detected from the files.
        images: File of each frame, by stem, in order.
        masks: File of each mask that was given to the program, by stem, in order.

    Yields:
        The scores of each frame, in order.

    Raises:
        ArchiveError: They are missing or not complete, or there are more files than
            frames.
        MaskError: A file does not belong to the video.
    """
    video = SplitVideo(name, tuple(images), images, masks)
    with open_foreign(folder, [name], hints) as foreign:
        files = foreign.files(name)
        if not files.names:
            direct = MaskFolder(folder)
            paths = [entry.name for entry in direct.entries if not entry.is_folder]
            files = VideoFiles(direct, name, {path: path for path in paths})
        require_package(find_format(files, hints), files.where)
        _require_no_surplus(files, video)
        with open_video(files, video, hints) as reader:
            yield from soft_frames(reader, video)


def _require_no_surplus(files: VideoFiles, video: SplitVideo) -> None:
    """Make sure that no folder has more numbered files than there are frames.

    Raises:
        ArchiveError: One has: they may be of another video or an earlier try.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for path in sorted(files.names):
        one = PurePosixPath(path)
        if number_in(one.stem) is not None and one.stem != video.name:
            groups.setdefault((str(one.parent), one.suffix), []).append(path)
    numbers = {number_in(frame) for frame in video.frames}
    for paths in groups.values():
        if len(paths) > video.length:
            more = [p for p in paths if number_in(PurePosixPath(p).stem) not in numbers]
            raise ArchiveError(
                f"{files.where}: has {len(paths)} files such as "
                f"{(more or paths)[-1]}, and the video has "
                f"{counted(video.length, 'frame')}, {video.frames[0]} to "
                f"{video.frames[-1]}; expected one file for each"
            )
