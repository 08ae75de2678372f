"""Words that depend on a number: counts and sizes."""

from __future__ import annotations

__all__ = ["counted", "size_text"]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many there are of something.

    >>> counted(1, "video"), counted(3666, "video"), counted(2, "mask is", "masks are")
    ('1 video', '3,666 videos', '2 masks are')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {plural or noun + 's'}"


def size_text(size: tuple[int, ...]) -> str:
    """Say a size, height first as in arrays, in the order of screens: width×height.

    >>> size_text((480, 854))
    '854×480'
    """
    height, width = size
    return f"{width}×{height}"
