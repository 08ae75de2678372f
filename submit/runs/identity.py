"""Identity: whether two results are the same, and whether one is up to date.

Runs, export folders and the steps of a recipe all use this module. A result is
identified by

* its *settings* that decide the masks: other options are recorded and may change, and
  files count by their content at any path;
* the *split*, by its fingerprint;
* the *source* of each video: a digest of its inputs;
* its own *digest*, computed when it was written;
* the *facts* of the worker that made it, such as the precision.

A run of other settings is refused, since it may hold days of work. In results that are
cheap to make, a video is made again if its source or bytes have changed.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..data import Split
from ..errors import OptionError, RunMismatchError
from ..predictors import file_digest, option_infos
from ..system.files import digest, read_json, write_json
from .masks import read_digests

__all__ = [
    "Identity",
    "Stamps",
    "Standing",
    "Stock",
    "fingerprint",
    "option_settings",
    "require_facts",
    "standing_of",
    "take_stock",
]

#: Most differences that a message lists.
_LISTED = 4


def fingerprint(value: Any) -> str:
    """The SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def option_settings(
    options: Any, *, digest_of: Callable[[str], str] = file_digest
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate the options of a model that decide the masks from the others.

    Args:
        options: A model's options.
        digest_of: Gives the digest of a file that an option names.

    Returns:
        The options that decide, with digests of files; and the other options, with
        paths.

    Raises:
        OptionError: A file cannot be read.
    """
    decides: dict[str, Any] = {}
    recorded: dict[str, Any] = {}
    for info in option_infos(type(options)):
        value = getattr(options, info.name)
        if info.file and value is not None:
            recorded[info.name] = str(Path(value).absolute())
            try:
                value = digest_of(value) if info.decides else None
            except OSError as error:
                raise OptionError(
                    f"option {info.name}={value}: cannot be read ({error.strerror}); "
                    "name an existing file"
                ) from error
        elif not info.decides:
            recorded[info.name] = value
        if info.decides:
            decides[info.name] = value
    return decides, recorded


@dataclass(frozen=True)
class Identity:
    """The identity of a run, before any of its videos is made.

    Attributes:
        kind: The step that makes it: `predict`, `ensemble` or `import`.
        settings: The settings that decide the masks, as JSON.
        split: `path` and `fingerprint` of the split; only the fingerprint decides.
        videos: All videos of the split; None where that is not known.
    """

    kind: str
    settings: Mapping[str, Any]
    split: Mapping[str, str]
    videos: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        # Tuples and lists are the same setting.
        settings = json.loads(json.dumps(dict(self.settings)))
        object.__setattr__(self, "settings", settings)

    @classmethod
    def of(cls, kind: str, settings: Mapping[str, Any], split: Split) -> Identity:
        """The identity of a run over a split."""
        return cls(
            kind,
            settings,
            {"path": str(split.place.resolve()), "fingerprint": split.fingerprint},
            tuple(split.whole.videos),
        )

    def differences(self, wanted: Identity) -> list[str]:
        """Describe how this identity differs from the requested one."""
        found = _differences(
            {"command": self.kind, **self.settings},
            {"command": wanted.kind, **wanted.settings},
        )
        if self.split["fingerprint"] != wanted.split["fingerprint"]:
            found.append(
                f"split: it has {self.split['path']}, asked for "
                f"{wanted.split['path']}, with other videos, frames or first masks"
            )
        return found

    def require(self, wanted: Identity, path: Path) -> None:
        """Make sure that a run in a folder is the requested one.

        Raises:
            RunMismatchError: It is another one.
        """
        if found := self.differences(wanted):
            raise RunMismatchError(
                f"{path}: this run was made with other settings ({_joined(found)}); "
                "choose another name, or delete the folder to make it again"
            )


class Standing(enum.Enum):
    """The state of an existing result compared with the request."""

    CURRENT = enum.auto()
    #: It was made from other inputs, or its inputs are not known.
    OUTDATED = enum.auto()
    #: Its files have changed since they were written.
    DAMAGED = enum.auto()
    ABSENT = enum.auto()


def standing_of(
    path: Path, digest_: str, source: str | None, wanted: str | None
) -> Standing:
    """Return whether a result exists, is unchanged, and has the same inputs.

    Args:
        path: A soft file, or a folder of masks.
        digest_: Its digest when it was written.
        source: Digest of its inputs; None if they are not known.
        wanted: Digest of the present inputs; None if they do not matter.
    """
    if not path.exists():
        return Standing.DAMAGED
    if wanted is not None and source != wanted:
        return Standing.OUTDATED
    try:
        found = read_digests(path)[0] if path.is_dir() else digest(path)
    except OSError:
        return Standing.DAMAGED
    return Standing.CURRENT if found == digest_ else Standing.DAMAGED


@dataclass(frozen=True)
class Stock:
    """The state of the requested videos.

    Attributes:
        current: Those that need no work.
        outdated: Those that were made from other inputs.
        damaged: Those whose files were changed or removed.
        absent: Those that were never made.
    """

    current: tuple[str, ...]
    outdated: tuple[str, ...]
    damaged: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def wanted(self) -> frozenset[str]:
        """The videos to make."""
        return frozenset(self.outdated + self.damaged + self.absent)

    def only(self, names: Collection[str]) -> Stock:
        """The state of some of the videos."""
        parts = (self.current, self.outdated, self.damaged, self.absent)
        return Stock(*(tuple(name for name in part if name in names) for part in parts))

    def remarks(self, because: str, gone: Sequence[str]) -> list[str]:
        """Name the videos that are made again, and those that were removed.

        Args:
            because: The reason why videos are outdated.
            gone: Videos that are not requested any more.
        """
        return [
            f"{_videos(names)} {what}"
            for names, what in (
                (self.outdated, f"made again, since {because}"),
                (self.damaged, "made again, since files were changed or removed"),
                (gone, "taken out, since there is nothing left to make them from"),
            )
            if names
        ]


def take_stock(names: Iterable[str], standing: Callable[[str], Standing]) -> Stock:
    """Sort the requested videos by their state."""
    found: dict[Standing, list[str]] = {kind: [] for kind in Standing}
    for name in names:
        found[standing(name)].append(name)
    return Stock(
        current=tuple(found[Standing.CURRENT]),
        outdated=tuple(found[Standing.OUTDATED]),
        damaged=tuple(found[Standing.DAMAGED]),
        absent=tuple(found[Standing.ABSENT]),
    )


def require_facts(
    there: Mapping[str, Any], here: Mapping[str, Any], *, run: str, remedy: str
) -> None:
    """Make sure that a worker has the same facts as those that made the rest of a run.

    Args:
        there: The recorded facts.
        here: The facts of the worker.
        run: The run's name.
        remedy: What to do when they differ.

    Raises:
        RunMismatchError: They differ.
    """
    differing = [
        key
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    if differing:
        had, has = (
            ", ".join(f"{key} {facts.get(key, 'unknown')}" for key in differing)
            for facts in (there, here)
        )
        raise RunMismatchError(
            f"run {run}: its videos were made with {had}, and this worker computes "
            f"with {has}, which gives other masks; {remedy}"
        )


class Stamps:
    """The results of a recipe's last steps for a run: `built.json` in its folder.

    Each stamp has the fingerprint of its source, and the result.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "built.json"

    def get(self, what: str, source: Any) -> Any:
        """The stored result, if it was made from this source; otherwise None."""
        entry = self._read().get(what)
        if not isinstance(entry, dict) or entry.get("source") != fingerprint(source):
            return None
        return entry.get("result")

    def set(self, what: str, source: Any, result: Any) -> None:
        """Store a result."""
        entry = {"source": fingerprint(source), "result": result}
        write_json(self._path, {**self._read(), what: entry})

    def _read(self) -> dict[str, Any]:
        try:
            content = read_json(self._path)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _videos(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"video {names[0]} is"
    return f"{len(names)} videos, such as {names[0]}, are"


def _differences(there: Any, wanted: Any, where: str = "") -> list[str]:
    """Describe which settings differ, inside lists and tables as well."""
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
    if there == wanted or json.dumps(there) == json.dumps(wanted):
        return []
    return [f"{where}: it has {_short(there)}, asked for {_short(wanted)}"]


def _joined(lines: list[str]) -> str:
    """The first few differences, joined."""
    more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "; ".join(lines[:_LISTED] + more)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"
