"""Words that depend on a number."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many there are of something.

    >>> counted(1, "video"), counted(3666, "video"), counted(2, "mask is", "masks are")
    ('1 video', '3,666 videos', '2 masks are')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {plural or noun + 's'}"
