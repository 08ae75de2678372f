"""The API of the fake Codabench: v1.25, and what newer versions do differently."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.codabench.fake_handler import Handler
from tests.codabench.world import HTML_500, MAINTENANCE, FakeSubmission, Reply, iso


class Api(Handler):
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
        name = f"{data.key[:8]}.zip" if world.renames else data.file_name
        made = world.add_submission(data.key, name, phase=posted["phase"])
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
            world.hidden_for = 2 if fault == "late" else 4
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


Api.routes = [
    ("POST", r"/api/api-token-auth/", Api._login),
    ("GET", r"/api/my_profile/", Api._profile),
    ("GET", r"/api/competitions/(\d+)/", Api._competition),
    ("GET", r"/api/can_make_submission/(\d+)/", Api._can),
    ("GET", r"/api/user_quota/", Api._quota),
    ("POST", r"/api/datasets/", Api._new_dataset),
    ("GET", r"/api/datasets/", Api._datasets),
    ("PUT", r"/api/datasets/completed/([\w-]+)/", Api._completed),
    ("DELETE", r"/api/datasets/(\d+)/", Api._delete_dataset),
    ("POST", r"/api/submissions/", Api._create),
    ("GET", r"/api/submissions/", Api._submissions),
    ("GET", r"/api/submissions/(\d+)/", Api._submission),
    ("GET", r"/api/submissions/(\d+)/get_details/", Api._details),
    ("GET", r"/api/submissions/(\d+)/cancel_submission/", Api._cancel),
    ("GET", r"/api/phases/(\d+)/get_leaderboard/", Api._leaderboard),
]
