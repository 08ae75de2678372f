"""Frames by a short text: `30,60`, `10-50`, `every:30`, `last`, `all`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from ..system.names import frame_number

__all__ = ["FrameSelection"]

_EXPECTED = (
    "expected frames such as 42 or 00042, ranges such as 10-50, every:30 (the first "
    "frame and every 30th after it), first, last or all, joined by commas"
)


@dataclass(frozen=True)
class FrameSelection:
    """Some frames of every video.

    Attributes:
        parts: What was given, part by part.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> FrameSelection:
        """Read a selection.

        Raises:
            SettingsError: It is malformed.
        """
        parts = tuple(part.strip() for part in text.split(","))
        for part in parts:
            _check(part, text)
        return cls(parts)

    def select(self, frames: Sequence[str]) -> set[str]:
        """The selected ones of a video's frames; empty if it has none of them.

        Args:
            frames: The frames of the video, in order.
        """
        found: set[str] = set()
        numbers = {frame: frame_number(frame) for frame in frames}
        for part in self.parts:
            if part == "all":
                found.update(frames)
            elif part in ("first", "last"):
                found.update(frames[:1] if part == "first" else frames[-1:])
            elif step := re.fullmatch(r"every:(\d+)", part):
                found.update(frames[:: int(step[1])])
            elif part in numbers:
                found.add(part)
            elif ends := _range(part):
                low, high = ends
                found.update(
                    frame
                    for frame, number in numbers.items()
                    if number is not None and low <= number <= high
                )
            else:
                wanted = frame_number(part)
                found.update(
                    frame
                    for frame, number in numbers.items()
                    if number is not None and number == wanted
                )
        return found

    def __str__(self) -> str:
        return ",".join(self.parts)


def _range(part: str) -> tuple[int, int] | None:
    ends = re.fullmatch(r"(\d{1,15})-(\d{1,15})", part)
    return None if ends is None else (int(ends[1]), int(ends[2]))


def _check(part: str, text: str) -> None:
    if not part:
        raise SettingsError(f"frames {text!r}: a part is empty; {_EXPECTED}")
    if ends := _range(part):
        if ends[0] > ends[1]:
            raise SettingsError(
                f"frames {text!r}: the range {part} is empty; {_EXPECTED}"
            )
    elif part.startswith("every") and not re.fullmatch(r"every:[1-9]\d{0,6}", part):
        raise SettingsError(f"frames {text!r}: found {part!r}; {_EXPECTED}")
