"""The run folder and its manifest: what made a run, and what of it is complete."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import RunError, RunMismatchError
from ..system.files import digest, locked, read_json, remove_partial, write_json
from ..system.machine import git_commit
from .masks import HardVideo
from .soft import SoftVideo, VideoMasks

__all__ = ["SCHEMA", "Run", "VideoRecord"]

#: Version of the folder's format; a reader refuses what it does not know.
SCHEMA = 1

_PACKAGES = ("mose-submit", "torch", "numpy", "scikit-image", "pillow", "numba")


@dataclass(frozen=True)
class VideoRecord:
    """What the manifest keeps of a complete video.

    Attributes:
        frames: Number of frames.
        objects: Object ids.
        size: Height and width in pixels.
        seconds: Wall-clock time it took.
        digest: SHA-256 of the soft file, or of the folder of masks.
        soft: Whether it is a soft file.
        details: What the step wants remembered, such as how far members disagreed.
    """

    frames: int
    objects: tuple[int, ...]
    size: tuple[int, int]
    seconds: float
    digest: str
    soft: bool = True
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Run:
    """A run folder.

    Use `Run.open` to read one and `Run.create` to make one or to continue one.

    Attributes:
        path: The folder; its name is the run's name.
        kind: The step that made it: `predict`, `ensemble` or `import`.
        settings: Everything that decides the masks. Two runs with equal settings on an
            equal split have equal masks.
        split: Path and fingerprint of the split.
        environment: What else may be worth knowing; does not decide identity.
        videos: Complete videos by name, sorted.
        failures: Reason by video for those that could not be made.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.kind: str = manifest["kind"]
        self.settings: dict[str, Any] = dict(manifest["settings"])
        self.split: dict[str, str] = dict(manifest["split"])
        self.environment: dict[str, Any] = dict(manifest["environment"])
        self.videos: dict[str, VideoRecord] = {
            name: VideoRecord(
                **{
                    **entry,
                    "objects": tuple(entry["objects"]),
                    "size": tuple(entry["size"]),
                }
            )
            for name, entry in sorted(manifest["videos"].items())
        }
        self.failures = _read_failures(path / "failed.json")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def masks_folder(self) -> Path:
        """Where the palette masks are, if there are any."""
        return self.path / "masks"

    @property
    def is_soft(self) -> bool:
        """Whether the run keeps soft masks."""
        return not self.videos or any(record.soft for record in self.videos.values())

    @property
    def identity(self) -> str:
        """Digest of what the run holds: changes when any video does."""
        text = json.dumps({name: r.digest for name, r in self.videos.items()})
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Whether `path` is a run folder."""
        return (path / "manifest.json").is_file()

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open a run to read it.

        Raises:
            RunError: It is not there, or of a format this version does not know.
        """
        manifest_path = path / "manifest.json"
        try:
            manifest = read_json(manifest_path)
        except FileNotFoundError:
            near = sorted(p.parent.name for p in path.parent.glob("*/manifest.json"))
            there = f"; {path.parent} has {', '.join(near)}" if near else ""
            raise RunError(
                f"{path}: no such run{there} (make one with submit predict or submit "
                "import)"
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(f"{manifest_path}: cannot be read ({error})") from error
        try:
            if manifest["schema"] != SCHEMA:
                raise RunError(
                    f"{manifest_path}: has schema {manifest['schema']}, this version "
                    f"reads {SCHEMA}; use the version that wrote it or make it again"
                )
            return cls(path, manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise RunError(
                f"{manifest_path}: is not a run's manifest ({what}); delete the "
                "folder and make the run again"
            ) from error

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        kind: str,
        settings: Mapping[str, Any],
        split: Mapping[str, str],
        environment: Mapping[str, Any] | None = None,
    ) -> Run:
        """Make a run folder, or open the one that is there to continue it.

        Raises:
            RunMismatchError: The one that is there was made with other settings or
                from another split.
            RunError: There is a file, or a folder of another kind, in the way.
        """
        wanted = json.loads(json.dumps(dict(settings)))
        if cls.exists(path):
            run = cls.open(path)
            differences = _differences(
                {"command": run.kind, **run.settings}, {"command": kind, **wanted}
            )
            if run.split["fingerprint"] != split["fingerprint"]:
                differences.append(
                    f"split: it has {run.split['path']}, asked for {split['path']}, "
                    "with other videos, frames or first masks"
                )
            if differences:
                raise RunMismatchError(
                    f"{path}: this run was made with other settings "
                    f"({_joined(differences)}); choose another --name, or delete the "
                    "folder to make it anew"
                )
            return run
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; choose another --name")
        # Hidden files are locks, and manifests that a killed command did not finish.
        if path.exists() and any(child.name[0] != "." for child in path.iterdir()):
            raise RunError(
                f"{path}: is a folder with files and no manifest.json, so not a run; "
                "choose another --name"
            )
        run = cls(
            path,
            {
                "kind": kind,
                "settings": wanted,
                "split": dict(split),
                "environment": {**_environment(), **(environment or {})},
                "videos": {},
            },
        )
        run._save()
        return run

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run for writing, and clear away what a killed command left.

        What another command has added since the run was opened is read again, so that
        it is not written over.

        Raises:
            StorageError: Another command is writing it.
        """
        with locked(self.path / ".lock"):
            current = Run.open(self.path)
            self.videos, self.failures = current.videos, current.failures
            for folder in (self.path, self.path / "soft", self.masks_folder):
                remove_partial(folder)
            yield

    def soft_path(self, video: str) -> Path:
        """Where the soft masks of a video are."""
        return self.path / "soft" / f"{video}.npz"

    def is_complete(self, video: str) -> bool:
        """Whether a video is there and is what the manifest says it is."""
        record = self.videos.get(video)
        if record is None:
            return False
        path = self.soft_path(video) if record.soft else self.masks_folder / video
        return path.exists() and digest(path) == record.digest

    def add(self, video: str, record: VideoRecord) -> None:
        """Enter a complete video into the manifest."""
        self.videos = dict(sorted({**self.videos, video: record}.items()))
        self._save()
        if video in self.failures:
            del self.failures[video]
            self._save_failures()

    def fail(self, video: str, reason: str) -> None:
        """Note why a video is not there; what was there before no longer counts."""
        self.forget(video)
        self.failures[video] = reason
        self._save_failures()

    def forget(self, video: str) -> None:
        """Take out a video that is to be made again."""
        if self.videos.pop(video, None) is not None:
            self._save()

    def read(self, video: str) -> VideoMasks:
        """Open the masks of a complete video.

        Raises:
            RunError: The video is not in the run, or its file is damaged.
        """
        record = self.videos.get(video)
        if record is None:
            reason = self.failures.get(video, "it was not asked for")
            raise RunError(f"run {self.name} has no video {video}: {reason}")
        if record.soft:
            return SoftVideo(self.soft_path(video))
        folder = self.masks_folder / video
        paths = sorted(folder.glob("*.png"), key=_number)
        if len(paths) != record.frames:
            raise RunError(
                f"{folder}: expected {record.frames} masks, found {len(paths)}; run "
                "the command that made the run again"
            )
        return HardVideo(
            {path.stem: path for path in paths},
            objects=record.objects,
            size=record.size,
        )

    def _save(self) -> None:
        write_json(
            self.path / "manifest.json",
            {
                "schema": SCHEMA,
                "kind": self.kind,
                "settings": self.settings,
                "split": self.split,
                "environment": self.environment,
                "videos": {
                    name: dataclasses.asdict(record)
                    for name, record in self.videos.items()
                },
            },
        )

    def _save_failures(self) -> None:
        path = self.path / "failed.json"
        if self.failures:
            write_json(path, dict(sorted(self.failures.items())))
        else:
            path.unlink(missing_ok=True)


def _number(path: Path) -> tuple[int, str]:
    return int(path.stem) if path.stem.isdecimal() else -1, path.stem


def _read_failures(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return {str(video): str(reason) for video, reason in read_json(path).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); delete it, the reasons come back when "
            "the videos fail again"
        ) from error


def _differences(there: Any, wanted: Any, where: str = "") -> list[str]:
    """Say in words which settings differ, down to the last list and table."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        prefix = f"{where}." if where else ""
        return [
            line
            for key in sorted(there.keys() | wanted.keys())
            for line in _differences(there.get(key), wanted.get(key), prefix + key)
        ]
    if isinstance(there, list) and isinstance(wanted, list):
        return [
            line
            for index, (old, new) in enumerate(zip_longest(there, wanted), start=1)
            for line in _differences(old, new, f"{where} {index}")
        ]
    if there == wanted:
        return []
    return [f"{where}: it has {_short(there)}, asked for {_short(wanted)}"]


def _joined(lines: list[str]) -> str:
    """The first few of many differences, which tell enough."""
    more = [f"and {len(lines) - 4} more"] if len(lines) > 4 else []
    return "; ".join(lines[:4] + more)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"


def _environment() -> dict[str, Any]:
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "git_commit": git_commit(),
    }
