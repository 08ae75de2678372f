"""A real server of files on this machine, which can fail in many ways."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Request", "Served", "Site", "serving"]


@dataclass
class Served:
    """A file, and how it is sent.

    Attributes:
        content: Its bytes.
        cuts: After how many bytes of the body the connection is closed, in turn.
        ranges: Whether parts can be asked for.
        etag: What changes with the content.
        status: Of the answer, if not that of success; the next one is the last for all.
        location: Where the answer leads to.
        headers: Further ones.
        length: Whether the size is said.
        before: Is called before the answer.
    """

    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    status: list[int] = field(default_factory=list)
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    path: str
    range: str | None
    token: str | None


@dataclass
class Site:
    """The files by path, what was asked for, and the address."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Site]:
    """Serve files while the block runs."""
    site = Site("")

    class Handler(_Handler):
        pass

    Handler.site = site
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Answer as the file says."""
        asked = self.headers.get("Range")
        request = Request(self.path, asked, self.headers.get("Authorization"))
        self.site.requests.append(request)
        file = self.site.files.get(self.path, Served(status=[404]))
        file.before()
        if file.location is not None:
            return self._head(302, file, {"Location": file.location})
        if file.status:
            status = file.status[0] if len(file.status) == 1 else file.status.pop(0)
            if status != 200:
                return self._head(status, file, {"Content-Length": "0"})
        return self._send(file, asked)

    def _send(self, file: Served, asked: str | None) -> None:
        size, start = len(file.content), 0
        headers = {} if file.etag is None else {"ETag": file.etag}
        found = re.fullmatch(r"bytes=(\d+)-", asked or "")
        if found and file.ranges:
            start = int(found[1])
            if start >= size:
                return self._head(416, file, {"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if file.length:
            headers["Content-Length"] = str(size - start)
        self._head(206 if start else 200, file, headers)
        body = file.content[start:]
        cut = file.cuts.pop(0) if file.cuts else len(body)
        self.wfile.write(body[:cut])
        return None

    def _head(self, status: int, file: Served, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**file.headers, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
