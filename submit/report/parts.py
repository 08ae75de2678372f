"""Parts of a report: what was drawn and counted of some videos, to be joined.

    part-1-of-2/report/pieces.json    what was asked for, and the videos
    part-1-of-2/report/0.json         the numbers of the first video
    part-1-of-2/report/videos/0/      its strips

All of it is JSON and pictures. The digest of each file is in the file above it, and
what is read from JSON is compared with the split before it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Split, SplitVideo
from ..errors import RunError
from ..runs.identity import fingerprint
from ..system.files import atomic_folder, digest, read_regular
from ..system.machine import release
from ..system.outputs import OutputKind
from ..system.partial import PartialResults, Request
from ..system.pool import run_in_threads
from ..system.texts import parse_json
from .drawing import shown_videos, shows_truth
from .pieces import (
    MALFORMED,
    ReportedRun,
    ReportPiece,
    entry_of_piece,
    piece_of_entry,
    require_texts,
    require_whole,
)
from .strips import strip_names

__all__ = [
    "REPORT_PART",
    "REPORT_PARTS",
    "PlacedPiece",
    "read_report_parts",
    "report_settings",
    "take_pieces",
    "write_report_part",
]

_HEAD = "pieces.json"
#: The first bytes of the file, by which it is recognised.
_MARK = b'{"request": {"source": '
_MAYBE = (str, type(None))

#: What `submit report --part` writes: the list of the pieces.
REPORT_PARTS = PartialResults(
    file=_HEAD,
    verb="draw",
    done="drawn",
    error=RunError,
    settings={
        "expected": _MAYBE,
        "expected_digest": _MAYBE,
        "frames": int,
        "side": int,
        "members": bool,
        "release": str,
    },
)
#: The folder of a part, as an output of a command.
REPORT_PART = OutputKind(
    "a part of a report",
    "submit report",
    lambda folder: _find_foreign(folder),
    is_folder=True,
    forcible=False,
)


def _find_foreign(folder: Path) -> Path | None:
    """Find a file in a folder that does not belong to a part."""
    head = folder / _HEAD
    if head.is_file() and read_regular(head, most=len(_MARK)) == _MARK:
        return None
    return next(iter(sorted(folder.iterdir())), None)


def report_settings(
    *, expected: Path | None, frames: int, side: int, members: bool
) -> dict[str, Any]:
    """What decides a report beside its runs and videos.

    Args:
        expected: The model of the score.
        frames: Largest number of frames of each video in the viewer.
        side: Longer side of these frames in pixels.
        members: Whether to measure what members of ensembles bring.

    Raises:
        OSError: The model cannot be read.
    """
    return {
        "expected": None if expected is None else str(expected),
        "expected_digest": None if expected is None else digest(expected),
        "frames": frames,
        "side": side,
        "members": members,
        # Others may draw other pictures.
        "release": release(),
    }


def write_report_part(
    folder: Path,
    request: Request,
    split: Split,
    sources: Sequence[ReportedRun],
    make: Callable[[Path], Mapping[str, ReportPiece]],
) -> list[str]:
    """Write a part into a folder, which is replaced.

    Args:
        folder: The folder of the part.
        request: What was asked of all parts.
        split: The videos of the part.
        sources: The runs, or their parts.
        make: Puts the strips of all videos into a folder, which exists, and returns the
            pieces by name; see `make_pieces`.

    Returns:
        The videos that are shown: those that some run has.

    Raises:
        SubmitError: See `make`.
        StorageError: The disk refuses.
    """
    shown = shown_videos(split, {one.name: one.masks for one in sources})
    # First: of masks that change meanwhile, nothing must count.
    states = {name: _states(sources, name) for name in shown}
    with atomic_folder(folder) as made:
        (made / "videos").mkdir()
        pieces = make(made / "videos")
        # Of some videos no run may have masks.
        places: dict[str, Any] = dict.fromkeys(split.videos)
        for number, name in enumerate(shown):
            strips = made / "videos" / str(number)
            entry = {
                "sources": states[name],
                "files": {path.name: digest(path) for path in sorted(strips.iterdir())},
                **entry_of_piece(pieces[name]),
            }
            path = made / f"{number}.json"
            path.write_text(
                json.dumps(entry, separators=(",", ":"), allow_nan=False), "ascii"
            )
            places[name] = {"number": number, "digest": digest(path)}
        REPORT_PARTS.write(made, request, places)
    return list(shown)


def read_report_parts(whole: Path) -> tuple[Request, dict[str, PlacedPiece]]:
    """Read what all parts of a report were asked for, and where their pieces are.

    Args:
        whole: The folder of the whole report.

    Returns:
        What was asked, and the piece of each video that some run had.

    Raises:
        RunError: A part is missing, damaged, or was asked for something else.
    """
    request, pieces = REPORT_PARTS.read(whole, PlacedPiece.of_entry)
    if (other := request.settings["release"]) != release():
        raise RunError(
            f"{whole}: its parts were drawn by {other}, and this is {release()}; draw "
            "them again"
        )
    return request, {name: one for name, one in pieces.items() if one is not None}


@dataclass(frozen=True)
class PlacedPiece:
    """Where the piece of a video is.

    Attributes:
        folder: The folder of its part.
        number: Its number there.
        digest: The digest of its numbers.
    """

    folder: Path
    number: int
    digest: str

    @classmethod
    def of_entry(
        cls, folder: Path, video: str, entry: Mapping[str, Any] | None
    ) -> PlacedPiece | None:
        """Read the entry of a video; None where no run had it.

        Raises:
            ValueError: It is of another form.
            KeyError: The same.
            TypeError: The same.
        """
        if entry is None:
            return None
        (digest,) = require_texts([entry["digest"]])
        return cls(folder, require_whole(entry["number"]), digest)

    def take(
        self,
        video: SplitVideo,
        sources: Sequence[ReportedRun],
        target: Path,
        *,
        truth: bool,
    ) -> ReportPiece:
        """Read the piece, and copy its strips into a new folder.

        Args:
            video: The video.
            sources: The whole runs.
            target: The new folder.
            truth: Whether there is truth.

        Raises:
            RunError: It is missing or damaged, or the masks have changed since.
            OSError: The disk refuses.
        """
        path = self.folder / f"{self.number}.json"
        try:
            entry = parse_json(_read(path, self.digest))
            then, files = dict(entry["sources"]), dict(entry["files"])
            runs = [one.name for one in sources]
            piece = piece_of_entry(entry, video, runs, truth=truth)
            if files.keys() != strip_names(len(runs), truth=truth):
                raise ValueError("it has other strips")
        except (OSError, *MALFORMED) as error:
            raise _damaged(path, error) from error
        now = _states(sources, video.name)
        for name in sorted(now.keys() | then.keys()):
            if now.get(name) != then.get(name):
                raise RunError(
                    f"{path}: the masks of {name} have changed in {video.name} since "
                    "this part was drawn; draw it again"
                )
        target.mkdir()
        for name, known in files.items():
            path = self.folder / "videos" / str(self.number) / name
            try:
                data = _read(path, known)
            except (OSError, ValueError) as error:
                raise _damaged(path, error) from error
            (target / name).write_bytes(data)
        return piece


def take_pieces(
    pieces: Mapping[str, PlacedPiece],
    split: Split,
    sources: Sequence[ReportedRun],
    folder: Path,
) -> dict[str, ReportPiece]:
    """Read the pieces of all videos that some run has, and copy their strips.

    Args:
        pieces: Where the pieces are.
        split: The chosen videos.
        sources: The whole runs.
        folder: Where the strips go, into the folders `0`, `1` … in the order of the
            split; it exists.

    Raises:
        RunError: A piece is missing or damaged, or the masks have changed since.
        StorageError: The disk refuses.
    """
    shown = shown_videos(split, {one.name: one.masks for one in sources})
    truth = shows_truth(split)
    for name in shown:
        if name not in pieces:
            raise RunError(
                f"{split.place}: no run had masks of {name} when the parts were drawn; "
                "draw them again"
            )

    def take(numbered: tuple[int, SplitVideo]) -> ReportPiece:
        number, video = numbered
        place = folder / str(number)
        return pieces[video.name].take(video, sources, place, truth=truth)

    found = run_in_threads(take, list(enumerate(shown.values())))
    return dict(zip(shown, found, strict=True))


def _states(sources: Sequence[ReportedRun], video: str) -> dict[str, str]:
    """A digest of a video in each run that has it: of its masks, and of its logits."""
    found = {}
    for one in sources:
        if (masks := one.masks.digest_of(video)) is not None:
            record = one.run and one.run.videos.get(video)
            found[one.name] = fingerprint([masks, record and record.digest])
    return found


def _read(path: Path, known: str) -> bytes:
    """Read a file that was written with this digest.

    Raises:
        ValueError: It is another one.
        OSError: It cannot be read.
    """
    data = read_regular(path)
    if hashlib.sha256(data).hexdigest() != known:
        raise ValueError("it is not the file that was written there")
    return data


def _damaged(path: Path, error: Exception) -> RunError:
    reason = error.strerror if isinstance(error, OSError) else None
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return RunError(f"{path}: cannot be read ({reason or what}); draw this part again")
