"""Answers of the server, and one error message for each kind of refusal.

Refusals come as JSON objects with `detail`, `error`, `error_msg` or the names of
fields, as lists, as strings, as XML from the storage and as pages of HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    CodabenchError,
    LimitError,
    LoginError,
    NetworkError,
    ParticipationError,
    PhaseError,
    QuotaError,
    RefusedError,
    ServerError,
)
from .redaction import clean

__all__ = ["Reply", "login_advice", "reason_error", "refusal", "sentence"]

_INACTIVE = "User inactive or deleted"
_NO_LOGIN = (
    "Invalid token",
    "Authentication credentials were not provided",
    _INACTIVE,
    "CSRF Failed",
    "Invalid token header",
)
#: The environment variable that is used before every stored token.
_VARIABLE = "SUBMIT_TOKEN"
#: Keys whose value is the message itself; all others are names of fields.
_MESSAGE_KEYS = ("detail", "error", "error_msg", "message", "non_field_errors")


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: Its bytes.
        url: Where it comes from, without the query.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str

    @property
    def ok(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300

    @property
    def kind(self) -> str:
        """The type of its content, such as `application/json`."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def date(self) -> datetime | None:
        """The server's clock."""
        return _http_date(self.headers.get("date", ""))

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ServerError: It is something else.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        what = "an HTML page" if _is_html(self) else "something else"
        raise ServerError(
            f"{self.url}: expected JSON, found {what} (HTTP {self.status})",
            "check --url with submit doctor, or try again later",
        )

    def retry_after(self, now: datetime) -> float | None:
        """Seconds the server asks to wait; None if it does not."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdecimal():
            return float(text)
        moment = _http_date(text)
        return None if moment is None else max(0.0, (moment - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def sentence(reply: Reply) -> str:
    """The server's own reason for a refusal, without pages of HTML."""
    if _is_html(reply) or not reply.body.strip():
        return _without_words(reply.status)
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return _xml(reply.text) or _without_words(reply.status)
    said = list(dict.fromkeys(_messages(value)))
    return clean("; ".join(said)).rstrip(" .;") or _without_words(reply.status)


def _is_html(reply: Reply) -> bool:
    start = reply.body[:200].lstrip().lower()
    return "html" in reply.kind or start.startswith((b"<!doctype html", b"<html"))


def _without_words(status: int) -> str:
    if status >= 500:
        return "it has an internal error"
    return {403: "it forbids that", 404: "there is no such thing"}.get(
        status, "it gives no reason"
    )


def _xml(text: str) -> str:
    """The code and the message of a storage server."""
    found = [re.search(rf"<{tag}>([^<]*)</{tag}>", text) for tag in ("Code", "Message")]
    return clean(": ".join(match[1] for match in found if match))


def _messages(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the messages in objects, lists and strings, with names of fields."""
    if depth > 5 or value is None:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            field_name = "" if key in _MESSAGE_KEYS else str(key)
            yield from _messages(inner, field_name or name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _messages(inner, name, depth + 1)
    else:
        text = str(value).rstrip(". ")
        yield f"{name}: {text}" if name else text


def refusal(reply: Reply, doing: str, *, source: str = "") -> CodabenchError:
    """Make the error for an answer that refuses or fails.

    Args:
        reply: The answer.
        doing: What was being done, such as `create the submission`.
        source: Where the token comes from that was sent along; see `Token`.
    """
    said = sentence(reply)
    problem = f"cannot {doing}: {said}"
    status = reply.status
    if 300 <= status < 400:
        if "maintenance" in reply.headers.get("location", ""):
            return ServerError(
                f"cannot {doing}: Codabench is under maintenance",
                "try again later, nothing is lost",
            )
        return ServerError(
            f"cannot {doing}: {reply.url} redirects elsewhere, which is not followed",
            "check --url (Codabench is https://www.codabench.org)",
        )
    if status in (401, 403) and any(part in said for part in _NO_LOGIN):
        return _login_error(said, doing, source)
    # After such an answer the request may have been carried out nevertheless.
    if status >= 500:
        if b"maintenance" in reply.body[:20_000].lower():
            said = "Codabench is under maintenance"
        return ServerError(
            f"cannot {doing}: {said} (HTTP {status})",
            "try again later, nothing is lost",
        )
    if status == 408:
        return NetworkError(problem, "check the connection and run the command again")
    if status == 429:
        return NetworkError(f"{problem}: too many requests", "wait some minutes")
    if (kind := _kind(said)) is not None:
        error, advice = kind
        return error(problem, advice)
    if status == 403 and "xml" in reply.kind:
        # Only storage answers in XML, and a signed URL is the only permission it knows.
        return RefusedError(problem, "run the command again for a new address")
    if status == 403:
        # If the account were no participant, the server would have said so.
        return RefusedError(problem, "see whose token it is with submit whoami")
    advice = "check the number" if status == 404 else "see submit doctor"
    return RefusedError(f"{problem} (HTTP {status})", advice)


def _login_error(said: str, doing: str, source: str) -> LoginError:
    """Say which token is refused, and what to type."""
    if _INACTIVE in said:
        return LoginError(
            f"cannot {doing}: the account is not active ({said})",
            f"open the link in the mail from Codabench, then {login_advice(source)}",
        )
    which = f"the token in {_VARIABLE}" if source == _VARIABLE else "the token"
    return LoginError(
        f"cannot {doing}: the server does not accept {which} ({said})",
        login_advice(source),
    )


def login_advice(source: str) -> str:
    """What to type for a token that is accepted.

    Args:
        source: Where the present token comes from. The environment variable is used
            before any token of `submit login`, so it must be unset first.
    """
    if source == _VARIABLE:
        return (
            f"the variable is used before every kept token: unset {_VARIABLE}, then "
            "do: submit login"
        )
    return "do: submit login"


def reason_error(reason: str) -> CodabenchError | None:
    """Make the error for a reason that the server gives; None if it is unknown."""
    kind = _kind(reason)
    return None if kind is None else kind[0](f"cannot submit: {reason}", kind[1])


def _kind(said: str) -> tuple[type[CodabenchError], str] | None:
    """Classify a refusal by its words."""
    low = said.lower()
    if "maximum" in low and ("submission" in low or "allowed" in low):
        return LimitError, "see submit whoami for what is left; days begin at 00:00 UTC"
    if "insufficient space" in low or "entitytoolarge" in low:
        return QuotaError, "delete old files under Resources on the website"
    if "not approved" in low or "do not have access to this competition" in low:
        return (
            ParticipationError,
            "register on the competition's page and wait for the organisers",
        )
    if "banned" in low:
        return ParticipationError, "ask info@codabench.org"
    if "hide output" in low:
        return (
            RefusedError,
            "the organisers show no logs and no result files of this phase; scores "
            "are in submit status",
        )
    if "phase" in low and any(
        word in low
        for word in ("not active", "inactive", "ended", "not started", "not open")
    ):
        return PhaseError, "see the phases with submit doctor"
    return None
