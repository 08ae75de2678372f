"""A fake Codabench on two ports: the API, and the storage that signed URLs lead to.

Written from observed behaviour of v1.25 and of its successors. The storage is as strict
as the real one about headers and signatures.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.codabench.world import (
    HTML_500,
    MAINTENANCE,
    FakeClock,
    FakeSubmission,
    Reply,
    World,
    iso,
)

ALLOWED_PUT_HEADERS = {
    "host",
    "user-agent",
    "accept-encoding",
    "connection",
    "content-type",
    "content-length",
}


class FakeServer:
    """Both ports, running in threads of this process."""

    def __init__(
        self, clock: FakeClock | None = None, *, version: str = "v125"
    ) -> None:
        self.clock = clock or FakeClock()
        self.world = World(self.clock, version=version)
        self._servers = [
            _Server(("127.0.0.1", 0), handler) for handler in (_Api, _Storage)
        ]
        for server in self._servers:
            server.world = self.world
            threading.Thread(
                target=server.serve_forever, args=(0.01,), daemon=True
            ).start()
        self.url, self.world.storage_url = (
            f"http://127.0.0.1:{server.server_port}" for server in self._servers
        )

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    world: World
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # A client that was killed is what some tests are about.


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Otherwise each answer waits for the acknowledgement of its own headers.
    disable_nagle_algorithm = True

    @property
    def world(self) -> World:
        return self.server.world

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.world.now(), usegmt=True)

    def answer(self, reply: Reply) -> None:
        if reply.lose:
            self.hang_up()
            return
        body = reply.body
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        # With nothing to linger for, closing resets the connection.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def hook(self, when: str, what: str) -> None:
        for name, action in list(self.world.hooks.items()):
            if f"{when} {what}".startswith(name):
                action()


class _Api(_Handler):
    routes: ClassVar[list[tuple[str, str, Callable[..., Reply]]]] = []

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length)
        parts = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.hook("before", f"{method} {parts.path}")
        with self.world.lock:
            self.world.requests.append((method, parts.path))
            reply = self._reply(method, parts.path)
        self.hook("after", f"{method} {parts.path}")
        self.answer(reply)

    def _reply(self, method: str, path: str) -> Reply:
        world = self.world
        if world.maintenance:
            return MAINTENANCE
        if not path.endswith("/"):
            return Reply(301, headers={"Location": f"{path}/"})
        for start, replies in world.answers.items():
            if replies and f"{method} {path}".startswith(start):
                return replies.pop(0)
        if "Cookie" in self.headers:
            world.violations.append("a cookie was sent")
        given = self.headers.get("Authorization")
        if given is not None and given != f"Token {world.token}":
            return Reply(403, {"detail": "Invalid token."})
        self.user = None if given is None else "alice"
        for verb, pattern, action in self.routes:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                if self.user is None and "login" not in action.__name__:
                    public = ("_competition", "_leaderboard")
                    if action.__name__ not in public:
                        text = "Authentication credentials were not provided."
                        return Reply(403, {"detail": text})
                return action(self, *match.groups())
        return Reply(404, "<html>Not Found</html>", kind="text/html")

    @property
    def posted(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.sent or b"{}")
        return value

    def _login(self) -> Reply:
        if self.posted == {"username": "alice", "password": "correct horse"}:
            return Reply(200, {"token": self.world.token})
        text = "Unable to log in with provided credentials."
        return Reply(400, {"non_field_errors": [text]})

    def _profile(self) -> Reply:
        return Reply(200, {"username": "alice", "name": "Alice", "email": "a@x.org"})

    def _competition(self, number: str) -> Reply:
        if number != "10062":
            return Reply(404, {"detail": "No Competition matches the given query."})
        value = self.world.competition()
        if self.user is None:
            del value["participant_status"]
        return Reply(200, value)

    def _refusal(self) -> str | None:
        """Why no submission may be made; phases are not looked at in v1.25."""
        world = self.world
        if world.participant != "approved":
            return "User not approved to participate in this competition"
        if world.has_limits:
            used = world.used()
            if world.day_limit and used - world.used_before >= world.day_limit:
                return "Reached maximum allowed submissions for today for this phase"
            if world.total_limit and used >= world.total_limit:
                return "Reached maximum allowed submissions for this phase"
        return None

    def _can(self, phase: str) -> Reply:
        reason = self._refusal()
        return Reply(200, {"can": reason is None, "reason": reason})

    def _quota(self) -> Reply:
        world = self.world
        return Reply(200, {"quota": world.quota_gb, "storage_used": world.storage_used})

    def _new_dataset(self) -> Reply:
        world, posted = self.world, self.posted
        name = posted["request_sassy_file_name"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,35}\.zip", name)
        assert posted["competition"] == 10062
        assert "name" not in posted
        if world.storage_used + posted["file_size"] > world.quota_gb * 1e9:
            text = "Insufficient space. Your available space is 0.0 GB."
            return Reply(400, {"data_file": [text]})
        made = world.new_dataset(name)
        return Reply(201, {"key": made.key, "sassy_url": world.signed(made.path)})

    def _completed(self, key: str) -> Reply:
        made = self.world.datasets.get(key)
        if made is None:
            return Reply(404, "<html>Not Found</html>", kind="text/html")
        made.size = float(self.world.objects.get(made.path, (0, ""))[0])
        return Reply(200, {"key": key})

    def _datasets(self) -> Reply:
        found = [d for d in self.world.datasets.values() if d.key == self.query["key"]]
        rows: list[dict[str, Any]] = [
            {"id": d.id, "key": d.key, "file_size": d.size} for d in found
        ]
        for row in rows:
            if not self.world.forget_size:
                row["submission_file_size"] = row["file_size"]
            else:
                row["file_size"] = None
        return Reply(200, self._page(rows))

    def _delete_dataset(self, number: str) -> Reply:
        for key, made in list(self.world.datasets.items()):
            if made.id == int(number):
                if made.in_use:
                    return Reply(400, {"error": "Cannot delete submission: in use."})
                del self.world.datasets[key]
                return Reply(204)
        return Reply(404, {"detail": "Not found."})

    def _create(self) -> Reply:
        world, posted = self.world, self.posted
        fault = world.create.pop(0) if world.create else ""
        if fault == "fail":
            return HTML_500
        if fault == "busy":
            text = {"detail": "Request was throttled."}
            return Reply(429, text, headers={"Retry-After": "90"})
        if fault == "hang up":
            return Reply(lose=True)
        if fault.startswith("{"):
            return Reply(400, json.loads(fault))
        data = world.datasets.get(posted.get("data") or "")
        if data is None:
            return HTML_500
        if (reason := self._refusal()) is not None:
            if world.version == "v125":
                return HTML_500
            return Reply(400, {"non_field_errors": [reason]})
        over = world.end is not None and world.now() > world.end
        if over and world.version != "v125":
            return Reply(400, {"non_field_errors": ["This phase is not active."]})
        made = world.add_submission(data.key, data.file_name, phase=posted["phase"])
        data.in_use = True
        assert posted["tasks"] == [task["id"] for task in world.tasks]
        for _ in range(len(world.tasks) if len(world.tasks) > 1 else 0):
            child = world.add_submission(data.key, data.file_name, parent=made.id)
            made.children.append(child.id)
        if fault == "lose":
            return Reply(lose=True)
        if fault == "fail after":
            return HTML_500
        if fault in ("late", "very late"):
            world.hidden_for = 2 if fault == "late" else 3
            return Reply(lose=True)
        if fault == "nonsense":
            return Reply(201, "<html>", kind="text/html")
        shown = self._shown(made)
        # Only here, the time has this form.
        shown["created_when"] = iso(made.created)[:16].replace("T", " ")
        shown["filename"] = ""
        return Reply(201, shown)

    def _shown(self, made: FakeSubmission) -> dict[str, Any]:
        return {
            "id": made.id,
            "pk": made.id,
            "phase": made.phase,
            "status": made.status,
            "status_details": made.details,
            "filename": made.file_name,
            "owner": made.owner,
            "created_when": iso(made.created),
            "parent": made.parent,
            "children": made.children,
            "has_children": bool(made.children),
            "scores": made.shown_scores,
            "on_leaderboard": made.status == "Finished",
            "auto_run": self.world.auto_run,
        }

    def _submission(self, number: str) -> Reply:
        made = self.world.submissions.get(int(number))
        if made is None:
            return Reply(404, {"detail": "No Submission matches the given query."})
        shown = self._shown(made)
        made.place += 1
        return Reply(200, shown)

    def _submissions(self) -> Reply:
        world = self.world
        found = list(world.submissions.values())
        if world.hidden_for:
            world.hidden_for -= 1
            found = found[:-1]
        if "phase" in self.query:
            found = [s for s in found if s.phase == int(self.query["phase"])]
        if "search" in self.query:
            found = [s for s in found if self.query["search"] in s.file_name]
        rows = [self._shown(s) for s in sorted(found, key=lambda s: -s.id)]
        return Reply(200, rows if world.version == "v125" else self._page(rows))

    def _page(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        size = int(self.query.get("page_size", 50))
        size = size if size in (50, 100, 500) else 50
        page = int(self.query.get("page", 1))
        host = self.headers["Host"]
        more = page * size < len(rows)
        return {
            "count": len(rows),
            "next": f"http://{host}{self.path}&page={page + 1}" if more else None,
            "previous": None,
            "page_size": size,
            "results": rows[(page - 1) * size : page * size],
        }

    def _details(self, number: str) -> Reply:
        world = self.world
        if world.hide_output:
            text = "Cannot access submission details while phase marked to hide output."
            return Reply(403, {"detail": text})
        logs: list[dict[str, str]] = []
        for name, text in world.logs.items():
            path = f"/bucket/logs/{number}/{len(logs)}"
            world.objects[path] = (len(text), text)
            logs.append({"name": name, "data_file": world.signed(path, "GET", "")})
        result = f"/bucket/results/{number}.zip"
        value = {
            "logs": logs,
            "scoring_result": world.signed(result, "GET", ""),
            "prediction_result": None,
        }
        return Reply(200, value)

    def _cancel(self, number: str) -> Reply:
        made = self.world.submissions.get(int(number))
        if made is None:
            return Reply(404, {"detail": "No Submission matches the given query."})
        if made.status in ("Finished", "Failed", "Cancelled"):
            return Reply(200, {"canceled": False})
        made.script = [("Cancelled", 0)]
        return Reply(200, {"canceled": True})

    def _leaderboard(self, phase: str) -> Reply:
        world = self.world
        rows = world.board
        if rows is None:
            finished = [s for s in world.created if s.status == "Finished"]
            rows = [
                {
                    "id": s.id,
                    "owner": s.owner,
                    "scores": s.shown_scores,
                    "created_when": iso(s.created),
                }
                for s in finished
            ]
        if world.version == "v125":
            return Reply(200, {"title": "Results", "id": 1, "submissions": rows})
        return Reply(200, {"title": "Results", **self._page(rows)})


_Api.routes = [
    ("POST", r"/api/api-token-auth/", _Api._login),
    ("GET", r"/api/my_profile/", _Api._profile),
    ("GET", r"/api/competitions/(\d+)/", _Api._competition),
    ("GET", r"/api/can_make_submission/(\d+)/", _Api._can),
    ("GET", r"/api/user_quota/", _Api._quota),
    ("POST", r"/api/datasets/", _Api._new_dataset),
    ("GET", r"/api/datasets/", _Api._datasets),
    ("PUT", r"/api/datasets/completed/([\w-]+)/", _Api._completed),
    ("DELETE", r"/api/datasets/(\d+)/", _Api._delete_dataset),
    ("POST", r"/api/submissions/", _Api._create),
    ("GET", r"/api/submissions/", _Api._submissions),
    ("GET", r"/api/submissions/(\d+)/", _Api._submission),
    ("GET", r"/api/submissions/(\d+)/get_details/", _Api._details),
    ("GET", r"/api/submissions/(\d+)/cancel_submission/", _Api._cancel),
    ("GET", r"/api/phases/(\d+)/get_leaderboard/", _Api._leaderboard),
]


def _xml(status: int, code: str, message: str) -> Reply:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>"
    )
    return Reply(status, f"{body}</Error>", kind="application/xml")


class _Storage(_Handler):
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
            self.answer(Reply(200, world.result_archive(), kind="application/zip"))
        else:
            text = world.objects[path][1]
            self.answer(
                Reply(200, text.encode("utf-8", "surrogateescape"), kind="text/plain")
            )

    def _problem(self, method: str, kind: str) -> Reply | None:
        """What the real storage would refuse, and what must never be sent to it."""
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
