"""Reading text: UTF-8, with or without a byte-order mark, and JSON."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from typing import Any

__all__ = ["decode_text", "parse_json"]

#: The longer marks first: that of UTF-32 begins as that of UTF-16 does.
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
#: Where UTF-16 without a mark shows: every other byte of plain letters is zero.
_START = 256


def decode_text(data: bytes) -> str:
    """Decode UTF-8; a byte-order mark in front, as Windows writes it, is left out.

    Raises:
        ValueError: It is in another encoding; the message says which one and what to
            do.
    """
    for mark, name in _OTHER_MARKS:
        if data.startswith(mark):
            raise ValueError(f"is {name} text; save it as UTF-8")
    if b"\0" in data[:_START]:
        raise ValueError(
            "holds zero bytes, as UTF-16 text and binary files do; save it as UTF-8"
        )
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); "
            "save it as UTF-8"
        ) from error


def parse_json(data: bytes | str, *, unique: bool = False) -> Any:
    """Parse JSON.

    Args:
        data: The text.
        unique: Whether a table that has a key twice is refused; else its last value
            counts.

    Raises:
        ValueError: It is not JSON, nested too deeply, or has a key twice.
    """
    text = decode_text(data) if isinstance(data, bytes) else data
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError as error:
        raise ValueError("is nested too deeply to be read") from error
    except _TwiceError:
        raise
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from error


class _TwiceError(ValueError):
    """A key is given twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table in which no key is given twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _TwiceError(f"the key {twice!r} is given twice in a table")
    return table
