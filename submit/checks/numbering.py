"""Which mask file belongs to which frame, by the numbers in their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..archive import shown
from ..errors import ArchiveError
from ..system.names import frame_number
from ..system.words import counted

__all__ = ["Numbering", "number_frames", "number_in"]

#: Most digits that the number of a frame has.
_MOST_DIGITS = 99


@dataclass(frozen=True)
class Numbering:
    """The masks of a video by frame.

    Attributes:
        stems: The mask of each frame that has one, in the order of the frames.
        missing: Frames without a mask.
        surplus: Masks of no frame.
        shifted: Whether the numbers differ from those of the frames, so that the order
            decided.
    """

    stems: Mapping[str, str]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    shifted: bool = False


def number_in(stem: str) -> int | None:
    """The only number in a name, such as 7 in `mask_00007`; None for none or several.

    >>> number_in("mask_00007"), number_in("-0001"), number_in("7_8"), number_in("mask")
    (7, -1, None, None)
    """
    if (whole := frame_number(stem)) is not None:
        return whole
    found = re.findall(r"[0-9]+", stem)
    if len(found) != 1 or len(found[0]) > _MOST_DIGITS:
        return None
    return int(found[0])


def number_frames(
    frames: Sequence[str],
    stems: Sequence[str],
    *,
    video: str,
    is_first: Callable[[str], bool],
) -> Numbering:
    """Match masks and frames.

    A mask belongs to the frame of the same name, or else of the same number. If the
    masks are numbered from another start or in other steps, their order decides. Then
    there must be as many masks as frames, and the first one must be the annotation.

    Args:
        frames: Stems of the frames, in order.
        stems: Stems of the masks.
        video: What to call the video in messages.
        is_first: Whether the mask of this stem is the annotation of the first frame.

    Raises:
        ArchiveError: The masks are numbered in another way than the frames, and it is
            not certain how; or two masks belong to one frame.
    """
    own = set(frames)
    numbers = {
        number: frame for frame in frames if (number := number_in(frame)) is not None
    }
    if len(numbers) < len(frames):
        numbers = {}
    direct: dict[str, str] = {}
    surplus: list[str] = []
    for stem in stems:
        number = number_in(stem)
        frame = stem if stem in own else None
        if frame is None and number is not None:
            frame = numbers.get(number)
        if frame is None:
            surplus.append(stem)
            continue
        other = direct.setdefault(frame, stem)
        if other != stem:
            raise ArchiveError(
                f"{video}: {shown(other)}.png and {shown(stem)}.png could both be the "
                f"mask of frame {frame}; remove one of them"
            )
    missing = tuple(frame for frame in frames if frame not in direct)
    plain = Numbering(
        {frame: direct[frame] for frame in frames if frame in direct},
        missing,
        tuple(surplus),
    )
    numbered = {n: stem for stem in stems if (n := number_in(stem)) is not None}
    if not missing or not any(number_in(stem) is not None for stem in surplus):
        return plain
    there = sorted(numbered)
    even = _is_even(there, sorted(numbers))
    if not even and frames[0] in direct:
        # The first mask matches, so that masks without a frame are unknown files.
        return plain
    ordered = [numbered[number] for number in there]
    same = len(ordered) == len(frames) == len(numbers)
    if even and same and is_first(ordered[0]):
        rest = tuple(stem for stem in stems if stem not in set(ordered))
        pairs = dict(zip(frames, ordered, strict=True))
        return Numbering(pairs, (), rest, shifted=True)
    if not same:
        masks, wanted = counted(len(ordered), "mask"), counted(len(frames), "frame")
        why = f"there are {masks} for {wanted}"
    elif not even:
        why = "the steps between their numbers are others"
    else:
        why = f"{shown(ordered[0])}.png is not the annotation of frame {frames[0]}"
    raise ArchiveError(
        f"{video}: the masks are {_range(ordered)}, the frames {_range(frames)}, and "
        f"which mask belongs to which frame is not certain, since {why}; name each "
        "mask as its frame is named"
    )


def _is_even(numbers: Sequence[int], frames: Sequence[int]) -> bool:
    """Whether masks are numbered as frames are, except for the start and the step."""
    if len(numbers) < 2:
        return True
    if len(numbers) != len(frames):
        frames = range(len(numbers))
    wide, far = numbers[-1] - numbers[0], frames[-1] - frames[0]
    return all(
        (number - numbers[0]) * far == wide * (frame - frames[0])
        for number, frame in zip(numbers, frames, strict=True)
    )


def _range(stems: Sequence[str]) -> str:
    """The first and the last name."""
    if len(stems) < 2:
        return ", ".join(map(shown, stems)) or "none"
    return f"{shown(stems[0])} to {shown(stems[-1])}"
