"""Text from the server made safe to show: without secrets and terminal escapes."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["RedactingFilter", "clean", "redact"]

#: Replaces a secret.
HIDDEN = "[hidden]"

#: Longest text of a server that is kept.
LONGEST = 400

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Signed URLs: Amazon's old and new signatures, Google's and Azure's.
    (
        re.compile(
            r"\?[^\s\"'<>]*(?:signature|awsaccesskeyid|x-amz-|x-goog-|[?&]sig=)"
            r"[^\s\"'<>]*",
            re.IGNORECASE,
        ),
        f"?{HIDDEN}",
    ),
    # user:password@ in any URL, such as the queue's broker or a proxy.
    (
        re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.IGNORECASE),
        rf"\1{HIDDEN}@",
    ),
    (
        re.compile(r"\b(token|bearer|basic)(:?\s+)[\w.~+/=-]{16,}", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    # The server's tokens are 40 hexadecimal digits.
    (re.compile(r"\b[0-9a-f]{40}\b", re.IGNORECASE), HIDDEN),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide tokens, signatures and passwords in a text.

    Args:
        text: Any text.
        secrets: Strings to hide.

    >>> redact("amqp://me:pw@host/x, Token 0123456789abcdef0123456789abcdef01234567")
    'amqp://[hidden]@host/x, Token [hidden]'
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def clean(value: object, *, longest: int = LONGEST) -> str:
    """Make one line of anything that a server says: no secrets, controls or breaks."""
    # Only the part that can be shown is searched; the rest of a long text is cut.
    text = redact(str(value)[: 20 * longest])
    text = "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text
        if unicodedata.category(character) not in ("Cf", "Cs")
    )
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


class RedactingFilter(logging.Filter):
    """Removes signed URLs from the log of the HTTP library."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's text by its redacted form."""
        record.msg = redact(record.getMessage())
        record.args = ()
        return True
