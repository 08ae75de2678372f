"""Splits on disk or in a storage: videos, frames, sizes and objects.

Three layouts are read, all with the same two folders. MOSEv2 and MOSEv1:

    JPEGImages/<video>/00000.jpg …    Annotations/<video>/00000.png …    meta*.json

DAVIS has a folder for the resolution (`JPEGImages/480p/<video>`). A meta file is
optional; a split without JPEGImages can be scored against but not predicted. Listing a
split reads only folders; sizes and objects of a video are read when they are needed.
The files of a split in a storage are fetched when their paths are asked for
(`submit.storage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import MaskError, SplitError
from ..masks import Labels, object_ids
from ..png.palette import PackedLabels, decode_packed, read_file, read_header
from ..storage import StoredFolder, bring, bring_each
from ..system.files import read_regular
from ..system.urls import Place, StorageUrl, place
from ..system.words import counted, did_you_mean, size_text
from .images import image_size
from .listing import (
    DISK,
    FRAMES,
    MASKS,
    Doubt,
    FrameFiles,
    Listing,
    is_no_video,
    list_frames,
    list_videos,
)
from .meta import (
    VOID,
    MetaFile,
    VideoMeta,
    find_meta,
    in_folder,
    names_beside,
    read_meta,
)

__all__ = ["Split", "SplitVideo", "read_split"]


@dataclass(frozen=True)
class SplitVideo:
    """One video of a split.

    Attributes:
        name: Folder name.
        frames: Stems of all frames in natural order; without images, those of the
            annotated frames.
        images: File of each frame, by stem; empty where the split has no images.
        masks: File of each annotated frame, by stem, in order.
        meta: Its entry in the meta file, None if the file does not list the video.
        image_doubts: Why the frames cannot be read: files whose place is not certain,
            or no files.
        mask_doubts: The same for the annotations.
    """

    name: str
    frames: tuple[str, ...]
    images: Mapping[str, Path] = field(repr=False)
    masks: Mapping[str, Path] = field(repr=False)
    meta: VideoMeta | None = None
    image_doubts: tuple[Doubt, ...] = ()
    mask_doubts: tuple[Doubt, ...] = ()

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, of the first frame or else the first mask.

        Raises:
            SplitError: Neither can be opened, or it is not certain which one is the
                first.
            StorageError: It is in a storage that cannot be read.
        """
        if self.images:
            self.require_images()
            return image_size(next(iter(self.images.values())))
        if self.masks:
            self.require_masks()
            return image_size(next(iter(self.masks.values())))
        raise SplitError(f"video {self.name}: has neither frames nor masks")

    @property
    def height(self) -> int:
        """Rows of every frame."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Columns of every frame."""
        return self.size[1]

    @cached_property
    def mask_size(self) -> tuple[int, int]:
        """Height and width of the masks: from the meta file, else from the first mask.

        Raises:
            SplitError: It is not certain which mask is the first.
            MaskError: There is none, or it cannot be read.
        """
        meta = self.meta
        if meta is not None and meta.height is not None and meta.width is not None:
            return meta.height, meta.width
        frame = next(iter(self.masks), self.frames[0] if self.frames else "00000")
        header = read_header(self._mask_data(frame), name=str(self.masks[frame]))
        return header.height, header.width

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending: those of the meta file, else of all annotations.

        Raises:
            MaskError: See `read_mask`.
        """
        if self.meta is not None and self.meta.objects is not None:
            return self.meta.objects
        bring(self.masks)
        found = set(object_ids(self.first_mask()))
        frames = set(self.frames[1:])
        for frame in self.masks:
            if frame in frames:
                found.update(self.packed_mask(frame).object_ids())
        return tuple(sorted(found - {VOID}))

    @property
    def first_annotated(self) -> str | None:
        """Stem of the first frame that has an annotation; None if no frame has one."""
        return next((frame for frame in self.frames if frame in self.masks), None)

    def require_images(self) -> None:
        """Make sure that it is certain which files are the frames.

        Raises:
            SplitError: It is not, or there are none.
        """
        if self.image_doubts:
            raise SplitError(f"video {self.name}: {self.image_doubts[0].what}")
        if not self.images:
            raise SplitError(
                f"video {self.name}: has no frames; expected "
                f"{FRAMES}/{self.name}/<frame>.jpg"
            )

    def require_masks(self) -> None:
        """Make sure that it is certain which files are the annotations.

        Raises:
            SplitError: It is not.
        """
        if self.mask_doubts:
            raise SplitError(f"video {self.name}: {self.mask_doubts[0].what}")

    def packed_mask(
        self, frame: str, *, size: tuple[int, int] | None = None
    ) -> PackedLabels:
        """Read the annotation of a frame as its file stores it, void pixels included.

        Args:
            frame: Stem of the frame.
            size: Height and width that it must have; its header is checked before it is
                decoded.

        Raises:
            SplitError: It is not certain which file is the annotation.
            MaskError: It is missing, unreadable, of another size, or not a palette or
                grey image of ids.
        """
        data = self._mask_data(frame)
        name = str(self.masks[frame])
        header = read_header(data, name=name)
        found = header.height, header.width
        if size is not None and found != size:
            raise MaskError(
                f"{name}: expected the size of the video's frames, "
                f"{size_text(size)}, "
                f"found {size_text(found)}{self._turned(found)}"
            )
        return decode_packed(data, name=name, header=header)

    def read_mask(self, frame: str) -> Labels:
        """Read the annotation of a frame as an H×W map of object ids.

        Raises:
            SplitError: It is not certain which file is the annotation.
            MaskError: It is missing, unreadable, of another size than the video, or
                not a palette or grey image of ids.
        """
        labels = self.packed_mask(frame, size=self.size).unpack()
        if np.any(labels == VOID):
            raise MaskError(
                f"{self.masks[frame]}: holds the id {VOID}, which marks void pixels; "
                f"object ids go from 1 to {VOID - 1}"
            )
        return labels

    def first_mask(self) -> Labels:
        """Read the annotation of the first frame as an H×W map of object ids.

        If only later frames are annotated, the map is empty.

        Raises:
            SplitError: There are no frames, or which file is the annotation is not
                certain.
            MaskError: There is no annotation at all, or see `read_mask`.
        """
        if not self.frames:
            raise SplitError(f"video {self.name}: has no frames")
        first = self.frames[0]
        if first not in self.masks and self.first_annotated is not None:
            self.require_masks()
            return np.zeros(self.size, np.uint8)
        return self.read_mask(first)

    @property
    def fully_annotated(self) -> bool:
        """Whether every frame has a mask, so that the video can be scored."""
        return self.length > 1 and self.masks.keys() >= set(self.frames)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what defines the task: frame names and the first mask's bytes.

        A mask that cannot be read does not count; predicting the video reports it.
        """
        sha = hashlib.sha256("\n".join((self.name, *self.frames)).encode())
        if (first := self.first_annotated) is not None:
            try:
                sha.update(read_regular(self.masks[first]))
            except OSError:
                sha.update(b"\0")
        return sha.hexdigest()

    def _mask_data(self, frame: str) -> bytes:
        self.require_masks()
        path = self.masks.get(frame)
        if path is None:
            raise MaskError(self._no_annotation(frame))
        return read_file(path)

    def _no_annotation(self, frame: str) -> str:
        """The error for a frame without annotation, with a likely reason."""
        text = (
            f"video {self.name}: frame {frame} has no annotation; expected "
            f"{MASKS}/{self.name}/{frame}.png"
        )
        later = self.first_annotated
        if later is None or frame != self.frames[0]:
            return text
        return (
            f"{text}. Its first annotation is that of frame {later}: where objects may "
            "appear late (YouTube-VOS, LVOS), predict with --late-objects"
        )

    def _turned(self, found: tuple[int, int]) -> str:
        """A hint if a mask fits the frame rotated by 90°."""
        if found != self.size[::-1] or not self.images:
            return ""
        return (
            "; frames are read as they are stored, not as EXIF turns them for viewers: "
            "store them turned (jpegtran, exiftran) or turn the masks back"
        )


@dataclass(frozen=True)
class Split:
    """A split on disk or in a storage, or some of its videos.

    Attributes:
        root: The folder that was given, or that of the copy of its files.
        videos: The videos by name, sorted.
        meta_path: The meta file, None where there is none.
        absent: Videos that the meta file lists and that have no folder.
        others: Names of the videos that were not selected.
        notes: Remarks about the folder, each a sentence: folders that are not videos,
            meta files that are not read.
        url: Its URL; None for a folder.
    """

    root: Path
    videos: Mapping[str, SplitVideo]
    meta_path: Path | None = None
    absent: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    url: StorageUrl | None = None

    @property
    def place(self) -> Place:
        """Its name for people and records: what was given."""
        return self.root if self.url is None else self.url

    @property
    def recorded_meta(self) -> str | None:
        """The meta file for records; None where the same is chosen again.

        That is one of a storage, whose copy is at another path on another machine.
        """
        meta = self.meta_path
        ours = self.url is not None and meta is not None
        if meta is None or (ours and meta.is_relative_to(self.root.parent)):
            return None
        return str(meta)

    @property
    def needs(self) -> tuple[Path, ...]:
        """Folders that other machines must have to read it; of a storage, none."""
        return (self.root,) if self.url is None else ()

    @cached_property
    def whole(self) -> Split:
        """The same split with all of its videos."""
        return self if not self.others else read_split(self.place, meta=self.meta_path)

    @cached_property
    def fingerprint(self) -> str:
        """Digest over all videos of the folder, also those that were not selected.

        It is recorded in the manifest of every run.
        """
        sha = hashlib.sha256()
        for video in self.whole.videos.values():
            sha.update(video.fingerprint.encode())
        return sha.hexdigest()

    def only(self, names: Iterable[str]) -> Split:
        """The same split with some of its chosen videos."""
        kept = set(names)
        some = replace(
            self,
            videos={n: video for n, video in self.videos.items() if n in kept},
            others=tuple(sorted({*self.others, *(self.videos.keys() - kept)})),
        )
        if some.others:
            # It would be read from disk again.
            vars(some)["whole"] = self.whole
        return some

    @property
    def subset_note(self) -> str | None:
        """The remark that these are only some of the videos; None if all."""
        if not self.others:
            return None
        total = len(self.videos) + len(self.others)
        videos = counted(total, "video")
        return f"{len(self.videos):,} of {videos} of {self.place} only (--videos)"

    @property
    def absent_note(self) -> str | None:
        """The remark that the meta file lists videos without a folder; None if not."""
        if not self.absent:
            return None
        listed = counted(len(self.absent), "video that has", "videos that have")
        return f"{self.meta_path}: lists {listed} no folder, such as {self.absent[0]}"

    def select(self, patterns: Sequence[str] = ()) -> tuple[SplitVideo, ...]:
        """The videos whose names match any of the shell patterns; all without one.

        Raises:
            SplitError: A pattern matches nothing.
        """
        names = _matching(self.place, self.videos, patterns)
        return tuple(self.videos[name] for name in names)


def read_split(
    root: Place | str, *, meta: Path | str | None = None, videos: Sequence[str] = ()
) -> Split:
    """List a split.

    Args:
        root: Folder with JPEGImages and Annotations, in any of the known layouts, or
            its URL in a storage.
        meta: The meta file; None to choose as `find_meta` does.
        videos: Shell patterns of the videos to list; all without one. The folders of
            others are not read.

    Raises:
        SplitError: There is no split at `root`, its meta file is malformed, or a
            pattern matches no video.
        StorageError: The storage cannot be read.
    """
    try:
        where = place(root)
    except ValueError as error:
        raise SplitError(str(error)) from None
    if isinstance(where, Path):
        return _read_split(where, where, DISK, meta, videos)
    stored = StoredFolder(where)
    folder = stored.path
    stored.ahead([folder / FRAMES, folder / MASKS])
    stored.bring_small(".json")
    if meta is None and not in_folder(folder):
        stored.bring_beside(names_beside(folder.name))
    split = _read_split(where, folder, stored, meta, videos)
    split = replace(split, url=where)
    # Nearly every command reads them; the fingerprint is made of them.
    bring_each(
        (video.masks, first)
        for video in split.videos.values()
        if (first := video.first_annotated) is not None
    )
    return split


def _read_split(
    root: Place,
    folder: Path,
    listing: Listing,
    meta: Path | str | None,
    videos: Sequence[str],
) -> Split:
    """List a split.

    Args:
        root: Its name for people.
        folder: Its folder on this machine, or that of its copy.
        listing: Lists its folders.
        meta: See `read_split`.
        videos: See `read_split`.
    """
    if isinstance(root, Path) and not root.is_dir():
        raise SplitError(
            f"{root}: no such folder; expected a split with {FRAMES}/ and {MASKS}/ (to "
            "try the toolkit without data: submit sample DIR)"
        )
    frames, masks = list_videos(folder, listing)
    names = sorted(frames.keys() | masks.keys())
    if not names:
        raise _no_videos(root, folder, listing)
    known = [name for name in names if not is_no_video(name)]
    meta_file = find_meta(folder, known) if meta is None else _named_meta(meta, known)
    entries = {} if meta_file is None else meta_file.videos
    # A folder with a name that programs give is a video if the meta file lists it.
    there = [name for name in names if name in entries or not is_no_video(name)]
    chosen = _matching(root, there, videos)
    empty: list[str] = [name for name in names if name not in there]
    listed: dict[str, SplitVideo] = {}
    listing.ahead(
        tree[name] for name in chosen for tree in (frames, masks) if name in tree
    )
    for name in chosen:
        images = list_frames(frames.get(name), listing=listing)
        annotations = list_frames(masks.get(name), masks=True, listing=listing)
        video = _video(name, images, annotations, entries.get(name), bool(frames))
        expected = name in entries or (images.exists and annotations.exists)
        if video.images or video.masks or expected or _is_broken(images, annotations):
            listed[name] = video
        else:
            empty.append(name)
    if not listed:
        raise _no_videos(root, folder, listing)
    notes = () if meta_file is None else meta_file.notes
    if empty:
        notes = (*notes, _about_empty(root, sorted(empty)))
    own = {} if meta_file is None or meta_file.is_shared else entries
    return Split(
        root=folder,
        videos=listed,
        meta_path=None if meta_file is None else meta_file.path,
        absent=_absent(own, there, videos),
        others=tuple(name for name in there if name not in set(chosen)),
        notes=notes,
    )


def _named_meta(path: Path | str, names: Sequence[str]) -> MetaFile:
    meta = read_meta(Path(path))
    if not meta.videos.keys() & set(names):
        raise SplitError(
            f"{path}: lists no video of the split, which has {names[0]}; is it the "
            "meta file of another one?"
        )
    return meta


def _matching(
    root: Place, names: Iterable[str], patterns: Sequence[str]
) -> tuple[str, ...]:
    """Choose names by shell patterns; a name matches itself.

    Raises:
        SplitError: A pattern matches nothing.
    """
    names = tuple(names)
    if not patterns:
        return names
    for pattern in patterns:
        if pattern not in names and not any(fnmatchcase(n, pattern) for n in names):
            raise SplitError(
                f"{root}: no video matches {pattern!r}"
                + did_you_mean(
                    pattern,
                    names,
                    f"it has {counted(len(names), 'video')}, such as {names[0]}",
                )
            )
    return tuple(
        name
        for name in names
        if name in patterns or any(fnmatchcase(name, p) for p in patterns)
    )


def _video(
    name: str,
    images: FrameFiles,
    annotations: FrameFiles,
    meta: VideoMeta | None,
    has_frames: bool,
) -> SplitVideo:
    """Make a video from the content of the two folders.

    Args:
        name: The video.
        images: Its frames.
        annotations: Its masks.
        meta: What the meta file says.
        has_frames: Whether the split has frames at all.
    """
    image_doubts = (*images.doubts, *images.strays)
    if has_frames and not images.files and not image_doubts:
        image_doubts = (Doubt("no-frames", _why_no_frames(name, images)),)
    mask_doubts = annotations.doubts
    if not images.files:
        mask_doubts += annotations.strays
    if not annotations.files and annotations.others and not mask_doubts:
        mask_doubts = (Doubt("first-mask", _why_no_masks(name, annotations)),)
    return SplitVideo(
        name=name,
        frames=tuple(images.files or annotations.files),
        images=images.files,
        masks=annotations.files,
        meta=meta,
        image_doubts=image_doubts,
        mask_doubts=mask_doubts,
    )


def _why_no_frames(name: str, images: FrameFiles) -> str:
    """Say why a video of a split with frames has none."""
    if not images.exists:
        return f"has no folder {FRAMES}/{name}; extract the split again"
    if not images.others:
        return f"{FRAMES}/{name} is empty; extract the split again"
    count = counted(len(images.others), "file")
    return (
        f"{FRAMES}/{name} holds {count} and no frame, such as {images.others[0]}; "
        "frames are .jpg, .png, .bmp, .webp or .tif files"
    )


def _why_no_masks(name: str, annotations: FrameFiles) -> str:
    """Say why a folder with files has no masks."""
    return (
        f"{MASKS}/{name} holds no PNG, but {annotations.others[0]}; masks are palette "
        "PNGs, so convert it without a loss"
    )


def _is_broken(*trees: FrameFiles) -> bool:
    """Whether a folder could not be listed, so that its content is not known."""
    return any(tree.doubts for tree in trees)


def _absent(
    entries: Iterable[str], there: Sequence[str], patterns: Sequence[str]
) -> tuple[str, ...]:
    """Selected videos that the meta file lists and that have no folder."""
    return tuple(
        sorted(
            name
            for name in set(entries) - set(there)
            if not patterns or any(fnmatchcase(name, p) for p in patterns)
        )
    )


def _about_empty(root: Place, names: Sequence[str]) -> str:
    folders = counted(len(names), "folder is not a video", "folders are not videos")
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{root}: {folders} and not counted: {', '.join(names[:3])}{more}"


def _no_videos(root: Place, folder: Path, listing: Listing) -> SplitError:
    nested = [
        name
        for name in listing.folders(folder)
        if FRAMES in listing.folders(folder / name)
    ]
    hint = f"; did you mean {root}/{min(nested)}?" if nested else ""
    if root.name in (FRAMES, MASKS):
        hint = f"; did you mean {str(root).rpartition('/')[0] or '.'}?"
    return SplitError(
        f"{root}: holds no videos; expected {FRAMES}/<video>/<frame>.jpg and "
        f"{MASKS}/<video>/<frame>.png{hint}"
    )
