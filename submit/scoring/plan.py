"""Which frames the server would score, and where it would go wrong.

The official scorer lists the PNGs of a prediction's video folder, sorts them by number
and scores those from the second on, one less than the video is long; it opens the truth
by the name it found. So a missing mask shifts everything after it
(`process_video_chunk` of
https://github.com/henghuiding/MOSE-api/blob/241977a/MOSEv2/sam2_rcms/tools/score.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FATAL", "FramePlan", "plan_frames"]

#: How the server's answer to a fatal problem is described.
FATAL = "the server would fail the whole submission"

#: How many names a message lists.
_SHOWN = 3


@dataclass(frozen=True)
class FramePlan:
    """What the server would do with the masks of one video.

    Attributes:
        frames: Stems of the frames it would score; empty where it would fail.
        problem: What is wrong and what the server would do about it; None where it
            would score what it should.
        fatal: Whether it would fail the whole submission.
    """

    frames: tuple[str, ...]
    problem: str | None = None
    fatal: bool = False


def plan_frames(truth: Sequence[str], found: Sequence[str]) -> FramePlan:
    """Say which frames of a video the server would score.

    Args:
        truth: Stems of the video's frames, in order.
        found: Stems of the masks in the prediction, in any order.
    """
    wanted = tuple(truth[1:-1])
    if odd := [stem for stem in found if not _is_number(stem.split(".")[0])]:
        return FramePlan(
            (),
            f"{_list([f'{stem}.png' for stem in odd])}: expected frame numbers as "
            f"names; {FATAL} (ValueError)",
            fatal=True,
        )
    if not wanted:
        return FramePlan(())
    names = sorted((stem.split(".")[0] for stem in found), key=int)
    scored = tuple(names[1 : len(truth) - 1])
    missing = [stem for stem in truth if stem not in set(names)]
    if len(scored) < len(wanted):
        return FramePlan(
            (),
            f"{len(missing)} of {len(truth)} masks are missing "
            f"({_list([f'{stem}.png' for stem in missing])}); {FATAL} "
            "(AssertionError)",
            fatal=True,
        )
    if scored == wanted:
        return FramePlan(scored)
    if unknown := [name for name in scored if name not in set(truth)]:
        return FramePlan(
            (),
            f"{_list([f'{name}.png' for name in unknown])}: no such frame in the "
            f"truth; {FATAL} (FileNotFoundError)",
            fatal=True,
        )
    if nameless := [name for name in scored if name not in set(found)]:
        return FramePlan(
            (),
            f"{_list([f'{name}.png' for name in nameless])}: there is a file of that "
            f"number under a longer name; {FATAL} (Frame not found)",
            fatal=True,
        )
    return FramePlan(
        scored,
        f"{_list([f'{stem}.png' for stem in missing])} is missing; the server would "
        f"not notice and score {scored[0]}.png to {scored[-1]}.png without it instead "
        f"of {wanted[0]}.png to {wanted[-1]}.png",
    )


def _is_number(text: str) -> bool:
    """Whether Python's `int` takes the text, as the server asks."""
    try:
        int(text)
    except ValueError:
        return False
    return True


def _list(names: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
