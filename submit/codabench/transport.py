"""HTTP requests, with the rules that protect the token.

* Only `https`; plain `http` is for a server on this machine, without any proxy.
* The token is sent to the API's own host only; signed URLs get no headers of ours.
  Cookies are neither kept nor sent, redirects never followed, `~/.netrc` not read: with
  a cookie the server ignores the token, a redirect turns PUT into GET.
* Proxies and certificates are taken from the environment, as every program does.
* Requests that are safe to repeat are repeated when the connection or the server fails.
"""

from __future__ import annotations

import logging
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from ..errors import CodabenchError, NetworkError
from .addresses import DEFAULT_URL, check_signed, check_url
from .answers import Reply, refusal
from .clock import Clock, SystemClock, utc
from .redaction import RedactingFilter, clean, redact
from .tokens import Token

if TYPE_CHECKING:
    import requests

__all__ = ["Body", "Observer", "Transport"]

#: Seconds to connect, and between two packets of an answer. Details of a large
#: competition take the server a while.
CONNECT, READ = 10.0, 90.0
#: Seconds for a whole answer, so that a very slow answer ends.
WHOLE = 300.0
#: Seconds without progress after which an upload counts as stalled.
STALL = 60.0
#: Longest answer of the API, in bytes.
LARGEST = 1 << 26
#: Seconds before the second, third… try.
WAITS = (2.0, 5.0, 10.0)
#: Seconds before the only retry of an optional request.
BRIEF_WAITS = (1.0,)
#: Longest wait for a retry, in seconds; after a longer one the user decides.
LONGEST_RETRY = 60.0
#: Longest wait that a server may ask for with Retry-After, in seconds.
LONGEST_WAIT = 900.0
RETRIED = frozenset({408, 429, 500, 502, 503, 504})

_BLOCK = 1 << 16


class Body(Protocol):
    """The body of an upload: of known length, read block by block."""

    def __len__(self) -> int:
        """Number of bytes."""
        ...

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Walk through the blocks."""
        ...


class Observer(Protocol):
    """Gets an event when a request begins, ends or is retried."""

    def begin(self, doing: str) -> None:
        """A request is sent: to `doing`, such as `read competition 10062`."""
        ...

    def end(self) -> None:
        """It was answered, or it failed."""
        ...

    def retry(self, problem: str, seconds: float) -> None:
        """It failed and is sent again in so many seconds."""
        ...


class _Unobserved:
    """An observer that ignores all events."""

    def begin(self, doing: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def retry(self, problem: str, seconds: float) -> None:
        """Nothing."""


class Transport:
    """Sends requests to one server, and to the storage it names.

    Args:
        url: Address of the server.
        token: The account's token; None for requests without one.
        clock: Tells the time and waits.
        stall: Seconds without progress after which an upload counts as stalled.
        observer: Gets an event when a request begins, ends or is retried.
        waits: Seconds before each further try of a request that failed.

    Attributes:
        url: Address of the server.
        skew: Seconds by which the server's clock is ahead of this machine's.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: Token | None = None,
        *,
        clock: Clock | None = None,
        stall: float = STALL,
        observer: Observer | None = None,
        waits: tuple[float, ...] = WAITS,
    ) -> None:
        self.url = check_url(url)
        self.clock = clock or SystemClock()
        self.skew = 0.0
        self._server_time: tuple[float, float] | None = None
        self._token = token
        self._stall = stall
        self._observer = observer or _Unobserved()
        self._waits = waits
        self._random = random.Random()
        self._api = self._session()
        self._storage = self._session()
        self._proxies = self._environment_proxies()

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    @property
    def token(self) -> Token | None:
        """The token that is sent along; None without."""
        return self._token

    def fork(self) -> Transport:
        """Make another to the same server, for use in another thread.

        It has no observer, and gives up soon.
        """
        return Transport(
            self.url,
            self._token,
            clock=self.clock,
            stall=self._stall,
            waits=BRIEF_WAITS,
        )

    @property
    def server_now(self) -> datetime:
        """The time by the server's clock, also if this machine's is set meanwhile."""
        if self._server_time is None:
            return utc(self.clock.now())
        then, at = self._server_time
        return utc(then + self.clock.monotonic() - at)

    @property
    def proxy(self) -> str | None:
        """The proxy in use, without its password."""
        proxies = self._proxies(self.url)
        found = proxies.get(urlsplit(self.url).scheme) or proxies.get("all")
        return redact(found) if found else None

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._storage.close()

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
        with_token: bool = True,
        accept: tuple[int, ...] = (),
    ) -> Reply:
        """Send a request to the API.

        Args:
            method: GET, POST, PUT or DELETE.
            path: Below `/api/`, with a slash at its end.
            doing: What it is for, as in "cannot …".
            params: Query.
            json: Body.
            headers: More headers.
            repeat: Whether it may be sent again when no answer comes.
            with_token: Whether the token is sent along, if there is one.
            accept: Statuses, other than 2xx, that are an answer and no refusal.

        Raises:
            CodabenchError: The server refuses or cannot be reached.
        """
        assert path.endswith("/"), "without it, the server redirects"
        sent = {"Accept": "application/json", **(headers or {})}
        if with_token and self._token is not None:
            sent["Authorization"] = f"Token {self._token.value}"
        source = self._token.source if with_token and self._token else ""
        url = f"{self.url}/api/{quote(path)}"

        def send() -> Reply:
            reply = self._observed(
                self._api,
                method,
                url,
                doing,
                headers=sent,
                params=params,
                json=json,
                timeout=(CONNECT, READ),
            )
            self._note_clock(reply)
            return reply

        waits = self._waits if repeat else ()
        return self._repeated(send, doing, waits, accept=accept, source=source)

    def _repeated(
        self,
        send: Callable[[], Reply],
        doing: str,
        waits: tuple[float, ...],
        *,
        accept: tuple[int, ...] = (),
        source: str = "",
    ) -> Reply:
        """Send a request until there is an answer, or a failure that stays.

        Raises:
            CodabenchError: The server refuses or cannot be reached.
        """
        left = iter(waits)
        while True:
            failure: CodabenchError
            try:
                reply = send()
            except NetworkError as error:
                failure = error
            else:
                if reply.ok or reply.status in accept:
                    return reply
                failure = refusal(reply, doing, source=source)
                if reply.status not in RETRIED:
                    raise failure
                failure.retry_after = reply.retry_after(self.server_now)
            self.before_retry(
                failure, left, self._observer.retry, doing=doing, longest=LONGEST_RETRY
            )

    def before_retry(
        self,
        failure: CodabenchError,
        waits: Iterator[float],
        tell: Callable[[str, float], None],
        *,
        doing: str,
        longest: float = math.inf,
    ) -> None:
        """Wait before another try, at least as long as the server asks.

        Args:
            failure: Why the last try failed.
            waits: Seconds before each try that is left.
            tell: Called with the problem and the seconds until the next try.
            doing: What is tried, as in "cannot …".
            longest: The longest wait that the server may ask for.

        Raises:
            CodabenchError: No try is left, or the server asks for a longer wait.
        """
        wait = next(waits, None)
        if wait is None:
            raise failure
        asked = failure.retry_after or 0.0
        if asked > longest:
            raise NetworkError(
                f"cannot {doing}: the server asks to wait for {asked:.0f} seconds",
                "run the command again then",
            )
        tell(failure.problem, max(wait, asked))
        self.wait(wait, failure.retry_after)

    def wait(self, seconds: float, asked: float | None = None) -> None:
        """Wait, longer if the server asks for it, with some randomness against bursts.

        Args:
            seconds: Shortest wait.
            asked: What Retry-After says.
        """
        longer = max(seconds, min(asked or 0.0, LONGEST_WAIT))
        self.clock.sleep(longer * self._random.uniform(1.0, 1.2))

    def put(self, url: str, body: Body, content_type: str) -> Reply:
        """Send bytes to a signed URL, once.

        The signature holds for this Content-Type, without Content-MD5 and with a
        Content-Length, so nothing else is sent.

        Raises:
            NetworkError: The connection broke, or nothing moved for a while.
        """
        host = check_signed(url, self.url)
        headers = {"Content-Type": content_type}
        if host.endswith(".blob.core.windows.net"):
            headers["x-ms-blob-type"] = "BlockBlob"
        # While sending, the HTTP library applies the connection's timeout to each
        # block; that ends a stalled upload.
        return self._send(
            self._storage,
            "PUT",
            url,
            "upload the zip",
            headers=headers,
            data=body,
            timeout=(self._stall, max(self._stall, READ)),
        )

    def download(self, url: str, doing: str, *, largest: int = LARGEST) -> bytes:
        """Fetch a file from a signed URL.

        Raises:
            CodabenchError: It is not there, too large, or the connection broke.
        """
        check_signed(url, self.url)

        def send() -> Reply:
            return self._observed(
                self._storage,
                "GET",
                url,
                doing,
                timeout=(CONNECT, READ),
                largest=largest,
            )

        return self._repeated(send, doing, self._waits).body

    def _observed(
        self,
        session: requests.Session,
        method: str,
        url: str,
        doing: str,
        **options: Any,
    ) -> Reply:
        """Send one request, with the observer's events around it."""
        self._observer.begin(doing)
        try:
            return self._send(session, method, url, doing, **options)
        finally:
            self._observer.end()

    def _send(
        self,
        session: requests.Session,
        method: str,
        url: str,
        doing: str,
        *,
        largest: int = LARGEST,
        **options: Any,
    ) -> Reply:
        """Send one request and read the whole answer."""
        import requests

        shown = url.partition("?")[0]
        deadline = self.clock.monotonic() + WHOLE
        reason = ""
        # The library's errors hold URLs with signatures. Our error is raised outside of
        # the handler, so that it does not refer to them.
        try:
            with session.request(
                method,
                url,
                allow_redirects=False,
                stream=True,
                proxies=self._proxies(url),
                verify=self._certificates(),
                **options,
            ) as response:
                body = bytearray()
                for block in response.iter_content(_BLOCK):
                    body += block
                    if len(body) > largest:
                        reason = f"the answer has more than {largest:,} bytes"
                        break
                    if method == "GET" and self.clock.monotonic() > deadline:
                        reason = f"the answer is not there after {WHOLE:.0f} seconds"
                        break
                status = response.status_code
                headers = {k.lower(): v for k, v in response.headers.items()}
        except (requests.RequestException, OSError, UnicodeError) as error:
            reason = _reason(error)
        if reason:
            host = clean(urlsplit(url).hostname)
            raise NetworkError(
                f"cannot {doing}: {host}: {reason}",
                "check the connection and run the same command again",
            )
        return Reply(status, headers, bytes(body), shown)

    def _note_clock(self, reply: Reply) -> None:
        if reply.date is not None:
            server = reply.date.timestamp()
            self.skew = server - self.clock.now()
            self._server_time = server, self.clock.monotonic()

    def _session(self) -> requests.Session:
        from http.cookiejar import DefaultCookiePolicy

        import requests

        session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.clear()
        session.headers["User-Agent"] = _user_agent()
        _quieten()
        return session

    def _environment_proxies(self) -> Callable[[str], dict[str, str]]:
        from requests.utils import get_environ_proxies

        def proxies(url: str) -> dict[str, str]:
            # Requests without encryption stay on this machine.
            if urlsplit(url).scheme != "https":
                return {}
            return dict(get_environ_proxies(url))

        return proxies

    @staticmethod
    def _certificates() -> bool | str:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if path := os.environ.get(name):
                return os.path.expanduser(path)
        return True


def _quieten() -> None:
    # A filter is only applied to records of its own logger.
    for name in ("connection", "connectionpool", "util.retry"):
        log = logging.getLogger(f"urllib3.{name}")
        if not any(isinstance(each, RedactingFilter) for each in log.filters):
            log.addFilter(RedactingFilter())


def _user_agent() -> str:
    try:
        number = version("mose-submit")
    except PackageNotFoundError:
        number = "unknown"
    return f"mose-submit/{number}"


def _reason(error: BaseException) -> str:
    """Say in words what went wrong, without the text of the error: it names URLs."""
    import requests

    if "not yet valid" in (text := str(error)) or "certificate has expired" in text:
        return "its certificate is not valid now; is this machine's clock right?"
    reasons: tuple[tuple[type[BaseException], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy does not answer"),
        (requests.exceptions.SSLError, "its certificate cannot be trusted"),
        (requests.exceptions.ConnectTimeout, "it does not answer"),
        (requests.exceptions.Timeout, "nothing moved for too long"),
        (requests.exceptions.ChunkedEncodingError, "the connection broke"),
        (requests.exceptions.ContentDecodingError, "the answer is damaged"),
        (requests.exceptions.InvalidURL, "this is not an address"),
    )
    for kind, reason in reasons:
        if isinstance(error, kind):
            return reason
    text = repr(error)
    if "NameResolution" in text:
        return "this name is unknown"
    if "Connection refused" in text:
        return "it refuses connections"
    if "timed out" in text:
        return "nothing moved for too long"
    return "the connection broke"
