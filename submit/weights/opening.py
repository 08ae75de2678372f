"""Open an address for reading from a byte on.

* Redirects are followed by this module: the token goes to the first host only, and none
  leads from https to http.
* Proxies and certificates are taken from the environment; `~/.netrc` is not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ..errors import WeightsError
from ..system.homes import user_path
from ..system.machine import release
from .catalogue import Weights
from .places import hub_home

if TYPE_CHECKING:
    import requests

__all__ = ["Interrupted", "Opened", "hub_token", "open_from"]

#: Seconds to connect, and between two packets.
_CONNECT, _READ = 10.0, 60.0
_REDIRECTS = 10
#: What is lost of a block that was cut is fetched again.
_BLOCK = 1 << 16
#: What is tried again.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Interrupted(Exception):
    """The connection or the server failed in a way that may pass."""


@dataclass
class Opened:
    """An answer whose body can be read.

    Attributes:
        start: The file's byte with which the body begins.
        size: Bytes of the whole file; None if the server does not say.
        etag: What changes with the file's content; None if the server does not say.
        sha256: Of the file, as Hugging Face says it; None elsewhere.
    """

    start: int
    size: int | None
    etag: str | None
    sha256: str | None
    _answer: requests.Response

    def blocks(self) -> Iterator[bytes]:
        """The body.

        Raises:
            Interrupted: The connection ended before the body.
        """
        import requests

        try:
            yield from self._answer.iter_content(_BLOCK)
        except requests.RequestException as error:
            raise Interrupted(f"the connection broke ({_reason(error)})") from error

    def close(self) -> None:
        """End the connection."""
        self._answer.close()


def open_from(weights: Weights, start: int) -> Opened:
    """Ask for a file from a byte on; the server may send the whole file.

    Raises:
        Interrupted: It may work later.
        WeightsError: It will not work later.
    """
    import requests

    url, first, sha256 = weights.url, weights.url, None
    headers = {"User-Agent": release().replace(" ", "/"), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    token = hub_token() if weights.gate else None
    for _ in range(_REDIRECTS):
        mine = token if urlsplit(url)[:2] == urlsplit(first)[:2] else None
        try:
            answer = requests.get(
                url,
                headers=headers,
                auth=_Bearer(mine),
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT, _READ),
            )
        except requests.RequestException as error:
            raise Interrupted(f"{url}: cannot be reached ({_reason(error)})") from error
        # Hugging Face says it where it sends one to its storage.
        sha256 = sha256 or _linked_digest(answer)
        if not answer.is_redirect:
            return _opened(weights, answer, start, sha256)
        target = urljoin(url, answer.headers["location"])
        answer.close()
        if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
            raise WeightsError(
                f"{url}: leads to an address without encryption ({target}); that is "
                "not followed. Download the file with a browser"
            )
        url = target
    raise WeightsError(f"{first}: leads from address to address and never to a file")


def hub_token() -> str | None:
    """The user's token of Hugging Face, by its own variables; None if there is none."""
    if token := os.environ.get("HF_TOKEN", "").strip():
        return token
    path = os.environ.get("HF_TOKEN_PATH") or hub_home() / "token"
    try:
        return user_path(path).read_text("utf-8").strip() or None
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class _Bearer:
    """Sends a token, or nothing; requests then reads no ~/.netrc."""

    token: str | None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _opened(
    weights: Weights, answer: requests.Response, start: int, sha256: str | None
) -> Opened:
    """Look at the status of an answer that is no redirect."""
    status, headers = answer.status_code, answer.headers
    etag = headers.get("ETag")
    if status == 206:
        part = headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", part)
        if found is not None and int(found[1]) == start:
            size = None if found[2] == "*" else int(found[2])
            return Opened(start, size, etag, sha256, answer)
    elif status == 200:
        length = headers.get("Content-Length")
        size = None if length is None else int(length)
        return Opened(0, size, etag, sha256, answer)
    answer.close()
    if status in (206, 416) and start:  # Another part than was asked for, or none.
        return open_from(weights, 0)
    problem = f"{weights.url}: the server answers {status} {answer.reason}"
    if status in _PASSING:
        raise Interrupted(problem)
    raise WeightsError(f"{problem}; {_advice(weights, status)}")


def _advice(weights: Weights, status: int) -> str:
    """What to do after an answer that says no."""
    if status in (401, 403) and weights.gate:
        had = "no token was found" if hub_token() is None else "the token is refused"
        return (
            f"access is given to those who ask for it, and {had}: {weights.gate}. Or "
            f"download {weights.file} with a browser and name it with -o "
            "checkpoint=FILE"
        )
    return (
        f"the file may have moved: download {weights.file} with a browser and name it "
        "with -o checkpoint=FILE"
    )


def _linked_digest(answer: requests.Response) -> str | None:
    """The SHA-256 of a large file that Hugging Face names beside its address."""
    found = re.fullmatch('"([0-9a-f]{64})"', answer.headers.get("X-Linked-Etag", ""))
    return None if found is None else found[1]


def _reason(error: Any) -> str:
    """The innermost reason of a failed request, in a few words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error).partition("\n")[0] or type(error).__name__
