"""Sources of videos: DAVIS-shaped folders, and JSON files of YouTube-VIS and BURST.

A JSON file is recognised by its content. YouTube-VIS and OVIS have `videos` and
`annotations`, with a list `segmentations` for each object; BURST has `sequences`, with
masks for each frame (https://github.com/Ali2500/BURST-benchmark, ANNOTATION_FORMAT.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..data import read_split
from ..data.listing import list_frames
from ..errors import TrainingError
from ..scoring.holdout import read_list
from ..system.files import read_json
from ..system.homes import user_path
from ..system.words import counted
from .tables import DataTable
from .videos import FolderVideo, RleVideo, TrainingVideo

__all__ = ["list_source"]


def list_source(
    table: DataTable, *, held_out: frozenset[str] = frozenset()
) -> tuple[list[TrainingVideo], list[str]]:
    """List the videos of a source, without reading pixels.

    Args:
        table: The source.
        held_out: Names of videos that must not be trained on.

    Returns:
        The videos by name, and remarks about those that are left out.

    Raises:
        TrainingError: There is nothing to train on, or the file is malformed.
        SplitError: The folder is no split.
    """
    if table.annotations is not None:
        found, notes = _read_json_source(table, table.annotations)
    else:
        found, notes = _read_folder(table)
    chosen = [
        video
        for video in found
        if not table.videos or any(fnmatchcase(video.name, p) for p in table.videos)
    ]
    for pattern in table.videos:
        if not any(fnmatchcase(video.name, pattern) for video in found):
            raise TrainingError(
                f"{table.path}: no video matches {pattern!r} (videos of [[data]] "
                f"{table.label}); it has {_some([video.name for video in found])}"
            )
    excluded = _excluded(table)
    kept = [
        video
        for video in chosen
        if not any(fnmatchcase(video.name, pattern) for pattern in excluded)
    ]
    if left := len(chosen) - len(kept):
        notes.append(f"{table.label}: {counted(left, 'video')} left out (exclude)")
    held = [video for video in kept if video.name in held_out]
    if held:
        kept = [video for video in kept if video.name not in held_out]
        notes.append(
            f"{table.label}: {counted(len(held), 'video')} of the hold-out left out"
        )
    if not kept:
        raise TrainingError(
            f"{table.path}: has no video to train on; expected frames with masks, "
            f"found {counted(len(found), 'video')} of which all are left out "
            "(videos, exclude, hold-out)"
        )
    return sorted(kept, key=lambda video: video.name), notes


def _excluded(table: DataTable) -> tuple[str, ...]:
    """The patterns of videos to leave out; a file stands for the names in it."""
    patterns: list[str] = []
    for text in table.exclude:
        path = user_path(text)
        patterns += read_list(path) if path.is_file() else [text]
    return tuple(patterns)


def _read_folder(table: DataTable) -> tuple[list[TrainingVideo], list[str]]:
    split = read_split(table.path)
    videos: list[TrainingVideo] = []
    doubtful: list[str] = []
    without = 0
    for video in split.videos.values():
        masks = video.masks
        doubts = video.image_doubts
        if table.masks is not None:
            files = list_frames(table.masks / video.name, masks=True)
            masks, doubts = files.files, (*doubts, *files.doubts)
        else:
            doubts = (*doubts, *video.mask_doubts)
        if doubts:
            doubtful.append(f"{video.name}: {doubts[0].what}")
            continue
        frames = tuple(f for f in video.frames if f in masks and f in video.images)
        if not frames:
            without += 1
            continue
        videos.append(
            FolderVideo(
                name=video.name,
                frames=frames,
                images=str(video.images[frames[0]].parent),
                image_names=tuple(video.images[frame].name for frame in frames),
                masks=str(masks[frames[0]].parent),
                mask_names=tuple(masks[frame].name for frame in frames),
            )
        )
    notes = [f"{table.label}: left out: {text}" for text in doubtful]
    if without:
        notes.append(
            f"{table.label}: {counted(without, 'video has', 'videos have')} no frame "
            "with a mask"
        )
    if not videos:
        raise TrainingError(
            f"{table.masks or table.path}: no video has frames with masks; expected "
            f"{table.masks or 'Annotations'}/<video>/<frame>.png for the frames of "
            f"{table.path}"
        )
    return videos, notes


def _read_json_source(
    table: DataTable, path: Path
) -> tuple[list[TrainingVideo], list[str]]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        if isinstance(content, dict) and "sequences" in content:
            videos = _burst(content, table)
        elif isinstance(content, dict) and {"videos", "annotations"} <= content.keys():
            videos = _youtube_vis(content, table, path)
        else:
            raise TrainingError(
                f"{path}: expected a JSON file of YouTube-VIS or OVIS (videos, "
                "annotations) or of BURST (sequences), found "
                f"{_some(list(content)) if isinstance(content, dict) else 'a list'}"
            )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise TrainingError(
            f"{path}: is not as YouTube-VIS, OVIS and BURST write it "
            f"({type(error).__name__}: {error})"
        ) from error
    missing = [
        video.name for video in videos if not os.path.exists(video.image_path(0))
    ]
    if len(missing) == len(videos):
        raise TrainingError(
            f"{table.path}: expected the images that {path.name} names, such as "
            f"{videos[0].image_path(0) if videos else 'none'}; found none of them"
        )
    notes = []
    if missing:
        notes.append(
            f"{table.label}: {counted(len(missing), 'video has', 'videos have')} no "
            f"images, such as {missing[0]}"
        )
        videos = [video for video in videos if video.name not in set(missing)]
    return list(videos), notes


def _youtube_vis(
    content: Mapping[str, Any], table: DataTable, path: Path
) -> list[RleVideo]:
    tracks: dict[Any, list[dict[int, Any]]] = {}
    for annotation in content["annotations"]:
        masks = {
            place: mask
            for place, mask in enumerate(annotation["segmentations"])
            if mask
        }
        for mask in masks.values():
            if not isinstance(mask, dict):
                raise TrainingError(
                    f"{path}: annotation {annotation.get('id')}: expected masks as "
                    "COCO RLE, found polygons; convert them with pycocotools"
                )
        if masks:
            tracks.setdefault(annotation["video_id"], []).append(masks)
    videos = []
    for video in content["videos"]:
        names = video["file_names"]
        found = tracks.get(video["id"], [])
        if not found or not names:
            continue
        # Frames of one video lie in one folder, whose name is the video's.
        name = os.path.dirname(names[0]) or str(video["id"])
        videos.append(_rle_video(name, [table.path / each for each in names], found))
    return videos


def _burst(content: Mapping[str, Any], table: DataTable) -> list[RleVideo]:
    videos = []
    for sequence in content["sequences"]:
        names = sequence["annotated_image_paths"]
        tracks: dict[str, dict[int, Any]] = {}
        size = [sequence["height"], sequence["width"]]
        for place, masks in enumerate(sequence["segmentations"]):
            for key, mask in masks.items():
                runs = mask["rle"]
                if isinstance(runs, str):
                    runs = {"size": size, "counts": runs}
                tracks.setdefault(key, {})[place] = runs
        if not tracks or not names:
            continue
        folder = Path(sequence["dataset"]) / sequence["seq_name"]
        paths = [table.path / folder / each for each in names]
        ordered = [tracks[key] for key in sorted(tracks, key=_number)]
        videos.append(_rle_video(str(folder), paths, ordered))
    return videos


def _number(key: str) -> tuple[int, str]:
    return (int(key) if key.isdecimal() else 0, key)


def _rle_video(
    name: str, paths: Sequence[Path], tracks: Sequence[Mapping[int, Any]]
) -> RleVideo:
    # More objects than a label map has ids do not occur; the last would be left out.
    return RleVideo(
        name=name,
        frames=tuple(path.stem for path in paths),
        paths=tuple(map(str, paths)),
        tracks=tuple(tracks[:254]),
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more:,} more" if more > 0 else "")
