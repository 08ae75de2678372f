"""The whole check: names first, then every mask of every video on all cores."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..archive import Masks, MaskZip, open_masks
from ..data import Split, SplitVideo
from ..executors import Executor, Job, map_jobs
from ..system.names import frame_number
from ..system.words import counted
from .findings import CheckResult, Finding
from .layout import Found, check_layout, listed
from .pixels import VideoCheck, check_video

__all__ = ["check_masks", "check_videos", "expected_frames", "masks_to_check"]


def check_masks(
    source: Path | str | Masks,
    split: Split,
    *,
    sample: Path | str | None = None,
    team: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    known: Mapping[str, VideoCheck] | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> CheckResult:
    """Find everything that the server would reject, or silently score lower.

    The zip is read in place.

    Args:
        source: A zip, or a folder of `<video>/<frame>.png`; masks that are open stay
            open.
        split: What the submission is for.
        sample: The organisers' sample submission, which then decides which videos and
            frames are expected.
        team: Whether a `team.json` is required, as in test phases.
        workers: Threads; one for each core by default.
        executor: Checks the masks elsewhere; None for threads.
        known: Videos whose masks were checked already; see `check_videos`.
        progress: Called with a video and a number of masks that are done, from any
            thread; see `map_jobs`.

    Raises:
        ArchiveError: There is nothing at the path, or no zip that can be listed.
    """
    with contextlib.ExitStack() as stack:
        masks = (
            source
            if isinstance(source, Masks)
            else stack.enter_context(open_masks(source))
        )
        expected, findings = expected_frames(split, sample)
        layout = check_layout(masks, expected, others=split.others, team=team)
        result = CheckResult(
            path=str(masks.path),
            split=str(split.place),
            videos=len(layout.videos),
            expected_videos=len(expected),
            subset=split.subset_note,
            size=_size(masks),
        )
        result.add([*findings, *layout.findings])
        checks = dict(known or {})
        checks |= _check_videos(
            masks,
            split,
            [found for found in layout.videos if found.name not in checks],
            workers=workers,
            executor=executor,
            progress=progress,
        )
        seen: list[Finding] = []
        for found in layout.videos:
            result.frames += checks[found.name].frames
            seen += checks[found.name].findings
        if isinstance(masks, MaskZip):
            read = {
                f"{found.folder}{stem}.png"
                for found in layout.videos
                for stem in found.frames
            }
            read |= _of_videos(masks, set(split.others))
            seen += [
                Finding.of("damaged", name, problem)
                for name, problem in masks.damaged(read)
            ]
        result.add(seen)
    return result


def check_videos(
    masks: Masks,
    split: Split,
    videos: Collection[str] | None = None,
    *,
    sample: Path | str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> dict[str, VideoCheck]:
    """Check the masks of some videos only, for `check_masks` of all of them.

    See `check_masks` for the other arguments.

    Args:
        masks: The submission.
        split: What it is for.
        videos: Names of the videos; None for all.
        sample: See `check_masks`.
        workers: See `check_masks`.
        executor: See `check_masks`.
        progress: See `check_masks`.

    Returns:
        What was found in each of them that has masks, by name.
    """
    expected, _ = expected_frames(split, sample)
    layout = check_layout(masks, expected, others=split.others)
    return _check_videos(
        masks,
        split,
        [found for found in layout.videos if videos is None or found.name in videos],
        workers=workers,
        executor=executor,
        progress=progress,
    )


def _check_videos(
    masks: Masks,
    split: Split,
    videos: Sequence[Found],
    *,
    workers: int | None,
    executor: Executor | None,
    progress: Callable[[str, int], None],
) -> dict[str, VideoCheck]:
    """Check videos of a layout."""
    # Long videos first, so that no worker has a long one left at the end.
    ordered = sorted(videos, key=lambda found: -len(found.frames))
    checks: list[VideoCheck] = map_jobs(
        _Checker(masks, {found.name: split.videos[found.name] for found in ordered}),
        [Job(found.name, len(found.frames), found) for found in ordered],
        executor=executor,
        workers=workers,
        needs=(masks.path, *split.needs),
        progress=progress,
    )
    return {found.name: one for found, one in zip(ordered, checks, strict=True)}


@dataclass(frozen=True)
class _Checker:
    """Checks videos; it can be sent to another process."""

    masks: Masks
    videos: Mapping[str, SplitVideo]

    def __call__(self, found: Found, progress: Callable[[int], None]) -> VideoCheck:
        """Check the masks of one video."""
        video = self.videos[found.name]
        return check_video(self.masks, found, video, progress=progress)


def _of_videos(masks: Masks, videos: set[str]) -> set[str]:
    """The files in the folders of some videos."""
    if not videos:
        return set()
    return {
        entry.name
        for entry in masks.entries
        if not entry.is_folder and videos & set(entry.name.split("/")[:-1])
    }


def masks_to_check(split: Split) -> int:
    """Number of masks in a complete submission: the total of the progress."""
    return sum(map(len, expected_frames(split)[0].values()))


def expected_frames(
    split: Split, sample: Path | str | None = None
) -> tuple[dict[str, tuple[str, ...]], list[Finding]]:
    """List the frames that are expected of each video.

    Args:
        split: The split.
        sample: The organisers' sample submission, which decides if it is given.

    Returns:
        Stems by video, and findings where split and sample disagree.
    """
    frames = {name: _frames(video) for name, video in split.videos.items()}
    if sample is None:
        return frames, []
    with open_masks(sample) as masks:
        wanted = {name: tuple(masks.frames(name)) for name in masks.videos()}
        for name in wanted.keys() & set(split.others):
            del wanted[name]
    return {
        name: stems for name, stems in wanted.items() if name in frames
    }, _disagreements(frames, wanted, str(sample))


def _disagreements(
    frames: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]], where: str
) -> list[Finding]:
    found = []
    if unknown := sorted(wanted.keys() - frames.keys()):
        what = f"has videos that the split lacks: {listed(unknown)}"
        found.append(Finding.of("sample", where, what, count=len(unknown)))
    if lacking := sorted(frames.keys() - wanted.keys()):
        what = f"lacks videos of the split: {listed(lacking)}"
        found.append(Finding.of("sample", where, what, count=len(lacking)))
    for name in sorted(frames.keys() & wanted.keys()):
        if set(frames[name]) != set(wanted[name]):
            here = counted(len(wanted[name]), "frame")
            what = f"has {here}, the split {len(frames[name])}"
            found.append(Finding.of("sample", f"{where}: {name}/", what))
    return found


def _frames(video: SplitVideo) -> tuple[str, ...]:
    """Stems of a video's frames; numbered from 0 if the split has no images."""
    length = None if video.meta is None else video.meta.length
    if video.images or length is None or length <= video.length:
        return video.frames
    first = video.frames[0] if video.frames else "00000"
    number = frame_number(first)
    if number is None or number < 0:
        return video.frames
    # All videos have frames of the same names.
    return tuple(sys.intern(f"{number + i:0{len(first)}}") for i in range(length))


def _size(masks: Masks) -> int:
    if masks.path.is_file():
        return masks.path.stat().st_size
    return sum(entry.size for entry in masks.entries)
