"""Output in the encoding of the terminal: characters that it lacks are spelled out.

Latin-1, cp1252 and ASCII lack characters that the field uses, such as Ḟ. An output
stream that meets one spells it (`F.`), and a name in another script becomes escapes
(`\\u4e2d`), so that no result is lost to an encoding after hours of work.
"""

from __future__ import annotations

import codecs
import sys
from typing import Any

__all__ = ["prepare_streams", "spell"]

#: How the toolkit's own typography is written in ASCII.
_SPELLINGS = str.maketrans(
    {
        "Ḟ": "F.",
        "×": "x",
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "·": "*",
        "±": "+/-",
        "σ": "sigma",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "∞": "inf",
        "“": '"',
        "”": '"',
        "’": "'",
        "•": "*",
        "━": "-",
        "╸": "-",
        "╺": " ",
        # The frames of a spinner.
        **dict.fromkeys(map(chr, range(0x2800, 0x2900)), "*"),
    }
)

#: The handler of encoding errors, as streams know it.
_HANDLER = "submit.spell"
#: ASCII by a name that Click does not know: Click considers streams with the encoding
#: `ascii` misconfigured and writes UTF-8 to them.
_ASCII = "submit_ascii"


def spell(text: str, encoding: str | None = None) -> str:
    """Write text with the characters that an encoding has.

    >>> spell("J&Ḟ 70.0 … 80.0, 中.png", "latin-1")
    'J&F. 70.0 ... 80.0, \\\\u4e2d.png'

    Args:
        text: Any text.
        encoding: Name of the encoding; None for that of stdout.
    """
    if text.isascii():
        return text
    if encoding is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, _HANDLER).decode(encoding)


def prepare_streams() -> None:
    """Let stdout and stderr write every character in every encoding."""
    for stream in (sys.stdout, sys.stderr):
        # A closed stream is None; another program may put an object of any type here.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        encoding = stream.encoding
        if codecs.lookup(encoding).name == "ascii":
            encoding = _ASCII
        reconfigure(encoding=encoding, errors=_HANDLER)


def _handle(error: UnicodeError) -> tuple[str, int]:
    """Spell what cannot be encoded; called by Python's encoders."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    spelled = lacking.translate(_SPELLINGS)
    return spelled.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _ASCII:
        return None
    plain: Any = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=_ASCII,
        encode=plain.encode,
        decode=plain.decode,
        incrementalencoder=plain.incrementalencoder,
        incrementaldecoder=plain.incrementaldecoder,
        streamreader=plain.streamreader,
        streamwriter=plain.streamwriter,
    )


codecs.register_error(_HANDLER, _handle)
codecs.register(_find_codec)
