"""A local split with ground truth: representative videos of the train set.

The videos are chosen so that the shares of short and long videos, of small and large
objects, of single and many objects, and of objects that stay, disappear and reappear
are those of the whole set. Folders are linked if the disk allows it. The list of videos
is a small text file, with which the rest of the team can make the same hold-out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import VOID, Split, SplitVideo
from ..errors import MaskError, SplitError
from ..masks import object_ids
from ..metrics.frames import FrameScorer
from ..system.files import atomic_folder, read_text
from ..system.links import Linker, Linking
from ..system.outputs import OutputKind, claim
from ..system.pool import checkpoint, run_in_threads
from ..system.words import counted

__all__ = [
    "HOLDOUT_FOLDER",
    "LIST_NAME",
    "Holdout",
    "Share",
    "VideoTraits",
    "choose_videos",
    "describe_videos",
    "make_holdout",
    "read_list",
]

#: The list of videos in a hold-out's folder.
LIST_NAME = "videos.txt"


@dataclass(frozen=True)
class VideoTraits:
    """The traits of a video that make it easy or hard.

    Attributes:
        frames: Number of frames.
        objects: Object ids in the first mask, ascending; only these can be tracked.
        size: Height and width in pixels.
        area: Median share of the frame that an object covers where it is visible.
        absence: `stays`; `leaves` if an object is absent in some frame; `returns` if
            one reappears.
    """

    frames: int
    objects: tuple[int, ...]
    size: tuple[int, int]
    area: float
    absence: str


@dataclass(frozen=True)
class Share:
    """The share of one kind of video in the hold-out and in the whole set.

    Attributes:
        trait: The trait, such as `length`.
        kind: The kind, such as `long`.
        whole: Share of these videos in the whole set.
        holdout: Share of them in the hold-out.
    """

    trait: str
    kind: str
    whole: float
    holdout: float


@dataclass(frozen=True)
class Holdout:
    """A hold-out on disk.

    Attributes:
        path: Its folder, a split.
        videos: Names of its videos, sorted.
        frames: Their number of frames.
        shares: The shares of the kinds of videos; empty if the videos were given.
        skipped: Reason by name for videos that cannot be in a hold-out.
        existed: Whether it existed before.
        linking: How its files refer to those of the train set; None if it existed
            before.
        copied: Bytes that were copied, since the disk has no links.
    """

    path: Path
    videos: tuple[str, ...]
    frames: int
    shares: tuple[Share, ...]
    skipped: Mapping[str, str]
    existed: bool = False
    linking: Linking | None = None
    copied: int = 0


def make_holdout(
    split: Split,
    folder: Path,
    *,
    videos: int = 50,
    seed: int = 0,
    names: Sequence[str] = (),
    force: bool = False,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> Holdout:
    """Choose videos of a fully annotated split and link them as a split of their own.

    Args:
        split: The train set.
        folder: Where to put the hold-out.
        videos: How many videos to choose.
        seed: Another seed chooses other videos.
        names: The videos, if they are chosen already; see `read_list`.
        force: Replace a hold-out of other videos.
        workers: Threads; one for each core by default.
        progress: Called with each video that was read and its number of frames.

    Raises:
        SplitError: The split has too few videos with complete ground truth or lacks
            one of `names`, or the folder exists and is another hold-out.
        OutputError: The folder holds something else.
        StorageError: Nothing can be written there.
    """
    claim(folder, HOLDOUT_FOLDER, inputs=(split.root,))
    if unknown := sorted(set(names) - split.videos.keys()):
        raise SplitError(
            f"{split.place}: lacks {len(unknown)} of {len(names)} videos of the list, "
            f"such as {unknown[0]}; is this the train set that the list was made from?"
        )
    wanted = [split.videos[name] for name in names] or list(split.videos.values())
    traits, skipped = describe_videos(wanted, workers=workers, progress=progress)
    if names and skipped:
        name, reason = next(iter(sorted(skipped.items())))
        raise SplitError(f"video {name} of the list cannot be held out: {reason}")
    if len(traits) < (1 if names else videos):
        example = "".join(f"; {k}: {v}" for k, v in sorted(skipped.items())[:1])
        raise SplitError(
            f"{split.place}: expected {counted(videos, 'video')} with complete ground "
            f"truth, found {len(traits)}{example} (the train set has them, valid has "
            "not)"
        )
    chosen = tuple(sorted(names or choose_videos(traits, videos, seed=seed)))
    existed = _is_same(folder, chosen, force=force)
    linker = Linker()
    if not existed:
        held = {name: traits[name] for name in chosen}
        _write(split, held, folder, linker, seed=seed, candidates=len(traits))
    return Holdout(
        path=folder,
        videos=chosen,
        frames=sum(traits[name].frames for name in chosen),
        shares=() if names else _shares(traits, chosen),
        skipped=skipped,
        existed=existed,
        linking=None if existed else linker.linking,
        copied=linker.copied,
    )


def read_list(path: Path) -> tuple[str, ...]:
    """Read names of videos, one a line; lines that begin with # are remarks.

    Raises:
        SplitError: It cannot be read, or names no video.
    """
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise SplitError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SplitError(str(error)) from error
    names = [line.strip() for line in lines if not line.lstrip().startswith("#")]
    found = tuple(dict.fromkeys(name for name in names if name))
    if not found:
        raise SplitError(f"{path}: names no video; expected one name per line")
    return found


def describe_videos(
    videos: Iterable[SplitVideo],
    *,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> tuple[dict[str, VideoTraits], dict[str, str]]:
    """Read all masks of videos.

    Returns:
        The traits by name, and the reason by name for videos that cannot be scored.
    """
    chosen = {video.name: video for video in videos}
    traits: dict[str, VideoTraits] = {}
    skipped: dict[str, str] = {}

    def done(video: SplitVideo, found: VideoTraits | str) -> None:
        if isinstance(found, str):
            skipped[video.name] = found
        else:
            traits[video.name] = found
        progress(video.name, video.length)

    longest_first = sorted(chosen.values(), key=lambda video: -video.length)
    run_in_threads(_describe, longest_first, workers=workers, done=done)
    return {name: traits[name] for name in chosen if name in traits}, skipped


def _describe(video: SplitVideo) -> VideoTraits | str:
    """Read the masks of a video; returns a reason if it cannot be scored."""
    missing = sum(frame not in video.masks for frame in video.frames)
    if missing:
        return f"{missing} of {video.length} frames have no mask"
    if video.length < 3:
        length = counted(video.length, "frame")
        return f"has {length}, and the first and the last never count"
    if video.image_doubts:
        return video.image_doubts[0].what
    try:
        first = video.packed_mask(video.frames[0])
        ids = object_ids(first.unpack())
        objects = tuple(key for key in ids if key != VOID)
        if not objects:
            return "its first mask is empty"
        height, width = first.shape
        scorer = FrameScorer(height, width, objects)
        rows = []
        for frame in video.frames:
            checkpoint()
            rows.append(scorer.areas(video.packed_mask(frame, size=first.shape)))
        areas = np.array(rows)
    except (SplitError, MaskError, ValueError) as error:
        return str(error)
    return VideoTraits(
        frames=video.length,
        objects=objects,
        size=(height, width),
        area=float(np.median(areas[areas > 0])) / (height * width),
        absence=_absence(areas > 0),
    )


def _absence(visible: NDArray[np.bool_]) -> str:
    """Whether objects disappear or reappear; T×N visibility, all visible at first."""
    if np.any(visible[1:] & ~visible[:-1]):
        return "returns"
    return "stays" if visible.all() else "leaves"


def choose_videos(
    traits: Mapping[str, VideoTraits], count: int, *, seed: int = 0
) -> tuple[str, ...]:
    """Choose videos whose kinds have the same shares as in the whole set.

    Each time a video of the most under-represented kinds is added. Which video of a
    kind it is depends only on the seed and on names, not on a library.

    Args:
        traits: The videos to choose from.
        count: How many to choose.
        seed: Another seed chooses other videos.
    """
    kinds = _kinds(traits)
    waiting: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(traits, key=lambda name: _random_key(seed, name), reverse=True):
        waiting[kinds[name]].append(name)
    whole = Counter(part for kind in kinds.values() for part in enumerate(kind))
    taken: Counter[tuple[int, str]] = Counter()
    chosen: list[str] = []
    while len(chosen) < count and waiting:
        due = (len(chosen) + 1) / len(kinds)

        def ahead(kind: tuple[str, ...], due: float = due) -> tuple[float, str]:
            surplus = sum(taken[part] - due * whole[part] for part in enumerate(kind))
            return surplus, _random_key(seed, waiting[kind][-1])

        kind = min(waiting, key=ahead)
        chosen.append(waiting[kind].pop())
        taken.update(enumerate(kind))
        if not waiting[kind]:
            del waiting[kind]
    return tuple(chosen)


def _random_key(seed: int, name: str) -> str:
    """A sort key for a random order that depends only on the seed and the name."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


#: The traits by which videos are grouped, in the order of `_kinds`.
_TRAITS = ("length", "area", "objects", "absence", "area and absence")


def _kinds(traits: Mapping[str, VideoTraits]) -> dict[str, tuple[str, ...]]:
    """The kind of each video with regard to each trait."""
    short, long = _thirds(each.frames for each in traits.values())
    small, large = _thirds(each.area for each in traits.values())
    kinds: dict[str, tuple[str, ...]] = {}
    for name, each in traits.items():
        length = ("short", "medium", "long")[
            (each.frames > short) + (each.frames > long)
        ]
        area = ("small", "medium", "large")[(each.area > small) + (each.area > large)]
        kinds[name] = (
            length,
            area,
            f"{len(each.objects)}" if len(each.objects) < 3 else "3 or more",
            each.absence,
            # The joint shares of the two most important traits have to agree as well.
            f"{area}, {each.absence}",
        )
    return kinds


def _thirds(values: Iterable[float]) -> tuple[float, float]:
    """The values that end the first and the second third."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 3], ordered[2 * (len(ordered) - 1) // 3]


def _shares(
    traits: Mapping[str, VideoTraits], chosen: Sequence[str]
) -> tuple[Share, ...]:
    """Compare the kinds of the chosen videos with those of all."""
    kinds = _kinds(traits)
    whole = Counter(part for kind in kinds.values() for part in enumerate(kind))
    taken = Counter(part for name in chosen for part in enumerate(kinds[name]))
    return tuple(
        Share(
            _TRAITS[trait], kind, number / len(traits), taken[trait, kind] / len(chosen)
        )
        for (trait, kind), number in sorted(whole.items())
    )


def _is_same(folder: Path, videos: Sequence[str], *, force: bool) -> bool:
    """Whether a folder already holds this hold-out.

    Raises:
        SplitError: It is another one, and must not be replaced.
    """
    path = folder / LIST_NAME
    if not path.is_file():
        return False
    if sorted(read_list(path)) == sorted(videos):
        return True
    if force:
        return False
    raise SplitError(
        f"{folder}: is a hold-out of other videos, on which runs may depend; choose "
        "another folder, or replace it with --force"
    )


def _find_foreign(folder: Path) -> Path | None:
    """A file in a folder that does not belong to a hold-out."""
    there = sorted(child for child in folder.iterdir() if child.name[0] != ".")
    known = {"JPEGImages", "Annotations", "meta.json", LIST_NAME}
    if not (folder / LIST_NAME).is_file():
        known = set()
    return next((child for child in there if child.name not in known), None)


#: A folder that is replaced as a whole.
HOLDOUT_FOLDER = OutputKind(
    "a part of a hold-out",
    "submit holdout",
    _find_foreign,
    is_folder=True,
    forcible=False,
)


def _write(
    split: Split,
    traits: Mapping[str, VideoTraits],
    folder: Path,
    linker: Linker,
    *,
    seed: int,
    candidates: int,
) -> None:
    """Write a hold-out: links, the meta file and the list."""
    with atomic_folder(folder) as partial:
        for name in traits:
            video = split.videos[name]
            for kind, files in (
                ("JPEGImages", video.images),
                ("Annotations", video.masks),
            ):
                if files:
                    (partial / kind).mkdir(exist_ok=True)
                    linker.show(files.values(), partial / kind / name)
        entries = {
            name: {
                "length": each.frames,
                "height": each.size[0],
                "width": each.size[1],
                "objects": [str(key) for key in each.objects],
            }
            for name, each in traits.items()
        }
        # Not atomically: the whole folder is, and an error names the folder.
        text = json.dumps({"videos": entries}, indent=2, ensure_ascii=False)
        (partial / "meta.json").write_text(text + "\n", encoding="utf-8")
        remark = f"# submit holdout --videos {len(traits)} --seed {seed}"
        lines = [f"{remark}, of {candidates} videos", *traits]
        (partial / LIST_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
