"""Results of parts of a split, kept video by video, so that they can be joined.

A command with `--part I/N` writes one file into the folder of its part: what was asked
of it, and what it found in each of its videos. `submit merge-parts` reads those of all
parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import SubmitError
from .files import read_json, write_bytes
from .parts import Part

__all__ = ["JoinedResults", "PartialResults", "Request"]

Result = TypeVar("Result")

#: What a file that cannot be read raises, or one of another form.
_MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True)
class Request:
    """What was asked of a command that reads masks, apart from the part.

    Attributes:
        source: The masks, as they were named.
        runs: Where runs are kept.
        split: The split's folder.
        fingerprint: The split's fingerprint.
        meta: The meta file that was named.
        videos: All videos that are asked for, in all parts.
        settings: What else decides the results, in types that JSON has.
    """

    source: str
    runs: str
    split: str
    fingerprint: str
    meta: str | None
    videos: tuple[str, ...]
    settings: Mapping[str, Any]

    def differences(self, other: Request) -> list[str]:
        """The names of what differs."""
        one, two = ({**vars(each), **each.settings} for each in (self, other))
        return [
            name.replace("_", " ")
            for name, value in one.items()
            if name != "settings" and json.dumps(value) != json.dumps(two.get(name))
        ]


@dataclass(frozen=True)
class JoinedResults(Generic[Result]):
    """What all parts have found in masks.

    Attributes:
        request: What was asked.
        videos: The result of each video that has one.
        masks: A digest of the masks of each video; None where there were none.
    """

    request: Request
    videos: Mapping[str, Result]
    masks: Mapping[str, str | None]


@dataclass(frozen=True)
class PartialResults:
    """The results of one command.

    Attributes:
        file: The file in the folder of a part.
        verb: What the command does, for messages, such as `score`.
        done: What it has done, such as `scored`.
        error: The error of parts that cannot be joined.
        settings: The types of the settings in its requests, by name.
    """

    file: str
    verb: str
    done: str
    error: type[SubmitError]
    settings: Mapping[str, type | tuple[type, ...]]

    def folders(self, whole: Path) -> tuple[Path, ...]:
        """The folders of the parts of a folder, in the order of the parts."""
        return tuple(Part.places(whole, self.file).values())

    def write(
        self, folder: Path, request: Request, videos: Mapping[str, object]
    ) -> None:
        """Write the results of a part.

        Args:
            folder: The folder of the part.
            request: What was asked of all parts.
            videos: The result of each video of this part, in types that JSON has.

        Raises:
            StorageError: The disk refuses.
        """
        content = {"request": asdict(request), "videos": videos}
        # In ASCII, names that are not Unicode are kept.
        write_bytes(folder / self.file, (json.dumps(content) + "\n").encode())

    def read(
        self, whole: Path, decode: Callable[[Path, str, Any], Result]
    ) -> tuple[Request, dict[str, Result]]:
        """Read the results of all parts.

        Args:
            whole: The folder that they are parts of.
            decode: Makes the result of a video from the folder of its part, its name
                and its entry; it may raise a ValueError, KeyError or TypeError.

        Returns:
            What was asked, and the result of each video.

        Raises:
            SubmitError: A part is missing, damaged, or belongs to another request.
        """
        places = Part.places(whole, self.file)
        counts = sorted({part.count for part in places})
        if len(counts) > 1:
            raise self.error(
                f"{whole}: has parts of different divisions, of {counts[0]} and of "
                f"{counts[1]}; delete those that are not meant"
            )
        found = {part: self._read(folder, decode) for part, folder in places.items()}
        (first, (request, _)), *others = found.items()
        for part, (other, _) in others:
            if differing := request.differences(other):
                raise self.error(
                    f"{places[part]}: was {self.done} with other "
                    f"{', '.join(differing)} than {places[first]}; {self.verb} it again"
                )
        results: dict[str, Result] = {}
        for part, (_, videos) in found.items():
            for name, one in videos:
                if name in results or name not in request.videos:
                    raise self.error(
                        f"{places[part]}: has {name!r:.60}, which is not a video of "
                        f"this part; {self.verb} it again"
                    )
                results[name] = one
        if lacking := [name for name in request.videos if name not in results]:
            absent = [str(part.index) for part in Part.missing(places)]
            raise self.error(
                f"{whole}: {len(lacking)} of {len(request.videos)} videos are not "
                f"{self.done}, such as {lacking[0]}; {self.verb} part "
                f"{', '.join(absent)} of {counts[0]}"
            )
        return request, results

    def join(
        self, whole: Path, decode: Callable[[str, Any], Result | None]
    ) -> JoinedResults[Result]:
        """Read the results of all parts, whose entries have a digest of the masks.

        Args:
            whole: See `read`.
            decode: Makes the result of a video from its name and its entry, None where
                it has none; see `read`.

        Raises:
            SubmitError: See `read`.
        """
        request, found = self.read(
            whole, lambda folder, video, entry: (entry["masks"], decode(video, entry))
        )
        return JoinedResults(
            request,
            videos={name: one for name, (_, one) in found.items() if one is not None},
            masks={name: masks for name, (masks, _) in found.items()},
        )

    def _read(
        self, folder: Path, decode: Callable[[Path, str, Any], Result]
    ) -> tuple[Request, list[tuple[str, Result]]]:
        try:
            content = read_json(folder / self.file)
            request = self._request(content["request"])
            videos = [
                (name, decode(folder, name, entry))
                for name, entry in content["videos"].items()
            ]
        except _MALFORMED as error:
            raise self.error(
                f"{folder}: cannot be read ({error}); {self.verb} this part again"
            ) from error
        return request, videos

    def _request(self, entry: Mapping[str, Any]) -> Request:
        """Read a request.

        Raises:
            ValueError: The command does not write such a one.
            TypeError: The same.
            KeyError: The same.
        """
        videos, settings = tuple(entry["videos"]), dict(entry["settings"])
        request = Request(**{**entry, "videos": videos, "settings": settings})
        text, maybe = str, (str, type(None))
        types = {
            **dict.fromkeys(("source", "runs", "split", "fingerprint"), text),
            "meta": maybe,
            **self.settings,
        }
        values = {**vars(request), **settings}
        if (
            settings.keys() != self.settings.keys()
            or not all(isinstance(values[name], kind) for name, kind in types.items())
            or not all(isinstance(name, str) for name in videos)
        ):
            raise ValueError("it asks for something else")
        return request
