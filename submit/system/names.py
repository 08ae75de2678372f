"""Names of files that belong to frames: their numbers and their natural order."""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

__all__ = [
    "NaturalKey",
    "frame_number",
    "in_natural_order",
    "is_plain_name",
    "is_text",
    "natural_key",
    "plain_name",
    "reads_utf_8",
]

NaturalKey: TypeAlias = tuple[str | tuple[int, str], ...]

_DIGITS = re.compile(r"([0-9]+)")
_NUMBER = re.compile(r"-?[0-9]+")
#: Digits are complemented to sort numbers below zero: −12 becomes 87.
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
#: Python refuses to read longer numbers (`sys.set_int_max_str_digits`).
_MOST_DIGITS = 1000


def natural_key(name: str) -> NaturalKey:
    """Return the key of the natural order of names: f2 before f10, −1 before 0.

    Numbers inside a name count as numbers. Upper and lower case are equal, and so are
    the forms of a letter in Unicode. Names with equal keys are the same for people and
    on some disks: 1 and 00001, a and A.

    >>> sorted(["f10", "f2", "F1"], key=natural_key)
    ['F1', 'f2', 'f10']
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if name.startswith("-") and _NUMBER.fullmatch(name):
        digits = name[1:].lstrip("0")
        return "", (-len(digits), digits.translate(_COMPLEMENT)), ""
    parts: list[str | tuple[int, str]] = list(_DIGITS.split(name.casefold()))
    for place in range(1, len(parts), 2):
        # Of two numbers without leading zeros the longer one is the larger one; int()
        # would refuse what is too long.
        digits = str(parts[place]).lstrip("0")
        parts[place] = len(digits), digits
    return tuple(parts)


def is_text(name: str) -> bool:
    """Whether a name is known as text; on Linux any bytes make a name.

    In an 8-bit locale Python reads all bytes as characters of it, so that names in
    UTF-8 become others, without an error.
    """
    if not (name.isascii() or reads_utf_8()):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def reads_utf_8() -> bool:
    """Whether Python reads names of files as UTF-8 here; the locale decides it."""
    return codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"


def is_plain_name(name: object) -> bool:
    """Whether a name from a file is one of a file in a folder, and leads nowhere else.

    >>> is_plain_name("a"), is_plain_name("../a"), is_plain_name("..")
    (True, False, False)
    """
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and "/" not in name
        and "\0" not in name
        and is_text(name)
    )


def plain_name(name: object) -> str:
    """Return a name from a file if it is plain: see `is_plain_name`.

    Raises:
        ValueError: It is not.
    """
    if not is_plain_name(name):
        raise ValueError(f"{name!r:.60} is no name of a file")
    return str(name)


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Sort names in natural order; the same on every disk and machine."""
    return sorted(names, key=lambda name: (natural_key(name), name))


def frame_number(stem: str) -> int | None:
    """The number in a frame's name, such as 7 for 00007; None for other names."""
    if len(stem) > _MOST_DIGITS or not _NUMBER.fullmatch(stem):
        return None
    return int(stem)
