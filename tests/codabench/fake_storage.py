"""The storage behind signed URLs, as strict as the real one."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlsplit

from tests.codabench.fake_handler import Handler
from tests.codabench.world import Reply, World

ALLOWED_PUT_HEADERS = {
    "host",
    "user-agent",
    "accept-encoding",
    "connection",
    "content-type",
    "content-length",
}


def _xml(status: int, code: str, message: str) -> Reply:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>"
    )
    return Reply(status, f"{body}</Error>", kind="application/xml")


class Storage(Handler):
    def do_PUT(self) -> None:
        world = self.world
        parts = urlsplit(self.path)
        self.hook("before", "UPLOAD")
        fault = world.put.pop(0) if world.put else None
        with world.lock:
            world.requests.append(("UPLOAD", parts.path))
        if isinstance(fault, int):
            self.rfile.read(fault)
            self.hang_up()
            return
        if fault == "stall":
            world.hooks["stall"]()
            self.hang_up()
            return
        problem = self._problem("PUT", "application/zip")
        if fault == "expired":
            problem = _xml(403, "AccessDenied", "Request has expired")
        if isinstance(fault, Reply):
            problem = fault
        left = int(self.headers.get("Content-Length") or 0)
        size, md5 = left, hashlib.md5()
        while left and (block := self.rfile.read(min(left, 1 << 20))):
            md5.update(block)
            left -= len(block)
        if left:
            return
        if problem is not None:
            self.answer(problem)
            return
        tag = "0" * 32 if fault == "damage" else md5.hexdigest()
        with world.lock:
            world.objects[parts.path] = (size, tag)
        self.hook("after", "UPLOAD")
        self.answer(Reply(200, headers={"ETag": f'"{tag}"'}))

    def do_GET(self) -> None:
        world, path = self.world, urlsplit(self.path).path
        world.requests.append(("DOWNLOAD", path))
        if problem := self._problem("GET", ""):
            self.answer(problem)
        elif path.startswith("/bucket/results/"):
            data = world.result(int(path.rpartition("/")[2].removesuffix(".zip")))
            self.answer(Reply(200, data, kind="application/zip"))
        else:
            number, place = path.split("/")[-2:]
            text = world.log(int(number), int(place))
            self.answer(
                Reply(200, text.encode("utf-8", "surrogateescape"), kind="text/plain")
            )

    def _problem(self, method: str, kind: str) -> Reply | None:
        """The problem that the real storage would report, or a leaked secret."""
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        names = {name.lower() for name in self.headers}
        forbidden = {"authorization", "cookie", "content-md5", "transfer-encoding"}
        if wrong := (names & forbidden) | {n for n in names if n.startswith("x-amz")}:
            self.world.violations.append(f"{sorted(wrong)} was sent to the storage")
            return _xml(403, "SignatureDoesNotMatch", "wrong headers")
        if method == "PUT" and names - ALLOWED_PUT_HEADERS:
            self.world.violations.append(f"{sorted(names)} was sent to the storage")
        if method == "PUT" and "content-length" not in names:
            return _xml(411, "MissingContentLength", "length")
        if float(query["Expires"]) < self.world.now():
            return _xml(403, "AccessDenied", "Request has expired")
        sent = self.headers.get("Content-Type", "")
        wanted = World.signature(method, sent, int(query["Expires"]), parts.path)
        if query["Signature"] != wanted or sent != kind:
            return _xml(403, "SignatureDoesNotMatch", "the signature does not match")
        return None
