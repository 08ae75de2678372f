"""What was found in the masks of parts of a split, so that it can be joined."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import ArchiveError
from ..system.files import write_bytes
from ..system.outputs import OutputKind
from ..system.partial import JoinedResults, PartialResults, Request
from .findings import CheckResult, Finding
from .pixels import VideoCheck
from .rules import RULES, Severity

__all__ = [
    "CHECKED_PARTS",
    "CHECK_FOLDER",
    "check_json",
    "finding_of_entry",
    "read_checked_parts",
    "write_check",
    "write_checked_part",
]

#: What `submit check --part` writes.
CHECKED_PARTS = PartialResults(
    file="checked.json",
    verb="check",
    done="checked",
    error=ArchiveError,
    settings={
        "sample": (str, type(None)),
        "sample_digest": (str, type(None)),
        "team": bool,
    },
)

_CHECK = "check.json"


def check_json(found: CheckResult) -> str:
    """The result of a check as `submit check --json` prints it."""
    return json.dumps(dataclasses.asdict(found), indent=2) + "\n"


def write_check(found: CheckResult, folder: Path) -> Path:
    """Write the result of a check into a folder; returns the file.

    Raises:
        StorageError: The disk refuses.
    """
    path = folder / _CHECK
    write_bytes(path, check_json(found).encode())
    return path


def write_checked_part(
    folder: Path,
    request: Request,
    videos: Mapping[str, VideoCheck],
    masks: Mapping[str, str | None],
) -> None:
    """Keep what was found in the masks of a part in its folder.

    Args:
        folder: The folder of the part.
        request: What was asked of all parts.
        videos: What was found in each video of this part that has masks.
        masks: A digest of the masks of each video of this part; None where there are
            none.

    Raises:
        StorageError: The disk refuses.
    """
    entries = {
        name: {
            "masks": digest,
            "found": dataclasses.asdict(videos[name]) if name in videos else None,
        }
        for name, digest in masks.items()
    }
    CHECKED_PARTS.write(folder, request, entries)


def read_checked_parts(whole: Path) -> JoinedResults[VideoCheck]:
    """Read what was found in the masks of all parts of a folder.

    Args:
        whole: The folder that they are parts of.

    Raises:
        ArchiveError: A part is missing, damaged, or belongs to another request.
    """
    return CHECKED_PARTS.join(
        whole, lambda video, entry: _checked(video, entry["found"])
    )


def _checked(video: str, entry: Mapping[str, Any] | None) -> VideoCheck | None:
    """Read what was found in a video.

    Raises:
        ValueError: The check does not write such a thing.
        KeyError: The same.
        TypeError: The same.
    """
    if entry is None:
        return None
    frames = entry["frames"]
    if type(frames) is not int:
        raise ValueError(f"{video} has {frames!r:.40} masks")
    return VideoCheck(frames, [finding_of_entry(one) for one in entry["findings"]])


def finding_of_entry(entry: Mapping[str, Any]) -> Finding:
    """A finding from what `dataclasses.asdict` made of it.

    Raises:
        ValueError: The check does not make such a one.
        KeyError: The same.
        TypeError: The same.
    """
    values = {
        **entry,
        "severity": Severity(entry["severity"]),
        "objects": tuple(entry["objects"]),
    }
    found = Finding(**values)
    hints = get_type_hints(Finding)
    wrong = [
        name
        for name, value in vars(found).items()
        if hints[name] in (str, int) and type(value) is not hints[name]
    ]
    if wrong or found.code not in RULES or set(map(type, found.objects)) - {int}:
        raise ValueError(f"a finding has another form: {entry!r:.80}")
    return found


def _find_foreign(folder: Path) -> Path | None:
    """A file that would be replaced although `write_check` did not write it."""
    path = folder / _CHECK
    if not path.exists():
        return None
    with path.open("rb") as stream:
        return None if stream.read(len(_BEGINNING)) == _BEGINNING else path


_BEGINNING = b'{\n  "path": '

#: A folder with the result of a check; it may hold other files.
CHECK_FOLDER = OutputKind(
    "the result of a check", "submit check", _find_foreign, is_folder=True
)
