"""Words that depend on a number: counts and sizes."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["counted", "did_you_mean", "format_bytes", "format_seconds", "size_text"]


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


def did_you_mean(name: str, known: Iterable[str], rest: str = "") -> str:
    """Ask for the known name that is most like another one, at the end of a message.

    >>> did_you_mean("plian", ["both", "plain"], "known are both, plain")
    "; did you mean 'plain'? Known are both, plain"
    >>> did_you_mean("x", ["both", "plain"], "known are both, plain")
    '; known are both, plain'

    Args:
        name: What was typed.
        known: What would have been right.
        rest: What the message says after that, also where no name is like it.
    """
    # Most commands never fail.
    import difflib

    by_form = {one.casefold(): one for one in known}
    typed = name.casefold()
    near = difflib.get_close_matches(typed, by_form, 1)
    if not near and typed:
        begun = [one for one in by_form if one.startswith(typed)]
        near = begun if len(begun) == 1 else []
    if not near:
        return rest and f"; {rest}"
    return f"; did you mean {by_form[near[0]]!r}? {rest[:1].upper()}{rest[1:]}".rstrip()


def format_bytes(value: int) -> str:
    """Write a size in decimal units, as file managers and upload limits do.

    >>> format_bytes(33_600_000)
    '33.6 MB'
    """
    if value < 1000:
        return f"{value} B"
    size = float(value)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def format_seconds(value: float) -> str:
    """Write a duration with two units at most.

    >>> format_seconds(123.4), format_seconds(3720), format_seconds(8.25)
    ('2 min 03 s', '1 h 02 min', '8.2 s')
    """
    if value < 59.95:
        return f"{value:.1f} s"
    seconds = round(value)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = round(value / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(value / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"
