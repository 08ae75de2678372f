"""The API of the fake Codabench, as in v1.25 and in newer versions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.codabench.fake_handler import Handler
from tests.codabench.world import (
    FINAL,
    HTML_500,
    MAINTENANCE,
    NO_SUBMISSION,
    Dataset,
    FakeSubmission,
    Reply,
    iso,
)


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
        self.user = world.tokens.get((given or "").removeprefix("Token "))
        if given is not None and self.user is None:
            return Reply(403, {"detail": "Invalid token."})
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
    def me(self) -> str:
        """The account of the token in the request, for routes that need one."""
        assert self.user is not None
        return self.user

    @property
    def is_organiser(self) -> bool:
        return self.user in self.world.organisers

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
        name = self.me
        mail = f"{name[:1]}@x.org"
        return Reply(200, {"username": name, "name": name.title(), "email": mail})

    def _competition(self, number: str) -> Reply:
        if number == "10062":
            return Reply(200, self.world.competition(self.user))
        if (value := self.world.competitions.get(int(number))) is not None:
            return Reply(200, value)
        return Reply(404, {"detail": "No Competition matches the given query."})

    def _competitions(self) -> Reply:
        """The competitions that the account takes part in, without their phases."""
        assert self.query["participating_in"] == "true"
        rows: list[dict[str, Any]] = [{"id": 10062, "title": "MOSEv2"}]
        rows += [{"id": number} for number in self.world.competitions]
        return self._listed(rows)

    def _refusal(self) -> str | None:
        """The reason why no submission is allowed; v1.25 does not check phases."""
        world = self.world
        if world.participant != "approved":
            return "User not approved to participate in this competition"
        if world.has_limits:
            today, used = world.used_today(self.me), world.used(self.me)
            if world.day_limit and today >= world.day_limit:
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
        made = world.new_dataset(name, self.me)
        return Reply(201, {"key": made.key, "sassy_url": world.signed(made.path)})

    def _completed(self, key: str) -> Reply:
        made = self.world.datasets.get(key)
        if made is None or made.owner != self.me:
            return Reply(404, "<html>Not Found</html>", kind="text/html")
        # A size that is known is not looked at again.
        if not made.size:
            made.size = float(self.world.objects.get(made.path, (0, ""))[0])
        return Reply(200, {"key": key})

    def _datasets(self) -> Reply:
        found = [
            d
            for d in self.world.datasets.values()
            if d.key == self.query["key"] and d.owner == self.me
        ]
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
                # The address still takes bytes, which nothing refers to any more.
                self.world.objects.pop(made.path, None)
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
        answers = posted["fact_sheet_answers"]
        if answers and (wrong := _wrong_answers(world.fact_sheet or {}, answers)):
            return wrong
        if world.participant != "approved":
            said = "You do not have access to this competition to make a submission"
            return Reply(403, {"detail": said})
        if (reason := self._refusal()) is not None:
            if world.version == "v125":
                return HTML_500
            return Reply(400, {"non_field_errors": [reason]})
        over = world.end is not None and world.now() > world.end
        if over and world.version != "v125":
            return Reply(400, {"non_field_errors": ["This phase is not active."]})
        made = self._made(data)
        world.answered = answers
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

    def _made(self, data: Dataset) -> FakeSubmission:
        """The submission, and its parts where there are several tasks."""
        world, posted = self.world, self.posted
        name = f"{data.key[:8]}.zip" if world.renames else data.file_name
        data.in_use = True
        assert posted["tasks"] == [task["id"] for task in world.tasks]
        values: dict[str, Any] = {"phase": posted["phase"], "owner": self.me}
        if len(world.tasks) > 1:
            scripts = [list(world.script) for _ in world.tasks]
            return world.add_parts(data.key, name, *scripts, **values)
        task = world.tasks[0]["id"]
        return world.add_submission(data.key, name, task=task, **values)

    def _shown(self, made: FakeSubmission) -> dict[str, Any]:
        world = self.world
        task = next((t for t in world.tasks if t["id"] == made.task), None)
        whole = world.submissions.get(made.parent or made.id, made)
        return {
            "id": made.id,
            "pk": made.id,
            "phase": made.phase,
            "status": world.status(made),
            "status_details": world.shown_details(made),
            "filename": made.file_name,
            "owner": made.owner,
            "created_when": iso(made.created),
            "parent": made.parent,
            "children": made.children,
            "has_children": bool(made.children),
            "scores": world.shown_scores(made),
            "on_leaderboard": whole in world.on_board(made.phase),
            "task": task and {"id": task["id"], "name": task["name"]},
            "auto_run": world.auto_run,
        }

    def _visible(self, number: str | int) -> FakeSubmission | None:
        """A submission, if this account may see it."""
        made = self.world.submissions.get(int(number))
        if made is None or (made.owner != self.user and not self.is_organiser):
            return None
        return made

    def _submission(self, number: str) -> Reply:
        made = self._visible(number)
        if made is None:
            return NO_SUBMISSION
        shown = self._shown(made)
        self.world.advance(made)
        return Reply(200, shown)

    def _submissions(self) -> Reply:
        world = self.world
        found = [s for s in world.submissions.values() if self._visible(s.id)]
        if world.hidden_for:
            world.hidden_for -= 1
            found = found[:-1]
        if "phase" in self.query:
            found = [s for s in found if s.phase == int(self.query["phase"])]
        if "phase__competition" in self.query:
            number = int(self.query["phase__competition"])
            found = [s for s in found if world.competition_of(s.phase) == number]
        if "search" in self.query:
            found = [s for s in found if self.query["search"] in s.file_name]
        return self._listed(
            [self._shown(s) for s in sorted(found, key=lambda s: -s.id)]
        )

    def _listed(self, rows: list[dict[str, Any]]) -> Reply:
        """A list as this version sends it: whole, or in pages."""
        return Reply(200, rows if self.world.version == "v125" else self._page(rows))

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
        world, made = self.world, self._visible(number)
        if made is None:
            return NO_SUBMISSION
        if world.hide_output and not self.is_organiser:
            text = "Cannot access submission details while phase marked to hide output."
            return Reply(403, {"detail": text})
        value: dict[str, Any] = {
            "logs": [],
            "scoring_result": None,
            "prediction_result": None,
        }
        if made.script:  # A parent has no files of its own.
            for place, name in enumerate(world.logs):
                path = f"/bucket/logs/{number}/{place}"
                url = world.signed(path, "GET", "")
                value["logs"].append({"name": name, "data_file": url})
            if not world.hide_scores or self.is_organiser:
                result = f"/bucket/results/{number}.zip"
                value["scoring_result"] = world.signed(result, "GET", "")
        return Reply(200, value)

    def _cancel(self, number: str) -> Reply:
        made = self._visible(number)
        if made is None:
            return NO_SUBMISSION
        if self.world.status(made) in FINAL:
            return Reply(200, {"canceled": False})
        for each in (made, *self.world.parts(made)):
            if self.world.status(each) not in FINAL:
                each.script = [("Cancelled", 0)]
        return Reply(200, {"canceled": True})

    def _leaderboard(self, phase: str) -> Reply:
        """The best submission of each participant, also if the board is hidden."""
        world = self.world
        rows = world.board
        if rows is None:
            there = world.on_board(int(phase))
            # Every row links to its owner's page, whose address takes no other names.
            if not all(re.fullmatch(r"[-a-zA-Z0-9_]+", s.owner) for s in there):
                return HTML_500
            rows = [self._row(s) for s in there]
        board = {
            "title": "Results",
            "id": int(phase),
            "tasks": [{**task, "columns": []} for task in world.tasks],
        }
        if world.version == "v125":
            return Reply(200, {**board, "submissions": rows})
        return Reply(200, {**board, **self._page(rows)})

    def _row(self, made: FakeSubmission) -> dict[str, Any]:
        """One row: a submission, or all parts of one."""
        world = self.world
        parts = world.parts(made) or [made]
        return {
            "id": parts[0].id,
            "owner": world.display_names.get(made.owner, made.owner),
            "scores": [
                {**row, "score": str(round(float(row["score"]), 2)), "task_id": s.task}
                for s in parts
                for row in world.shown_scores(s)
            ],
            "detailed_results": [{"task": s.task, "id": s.id} for s in parts],
            "created_when": iso(made.created),
        }


def _wrong_answers(sheet: dict[str, Any], answers: dict[str, Any]) -> Reply | None:
    """The server's objections to answers of the fact sheet, in its order."""

    def refused(text: str) -> Reply:
        return Reply(400, {"non_field_errors": [text]})

    if answers.keys() != sheet.keys():
        return refused("Fact Sheet keys do not match Answer keys")
    for key, value in answers.items():
        selection = sheet[key].get("selection", "")
        if isinstance(selection, str) and not isinstance(value, str):
            return HTML_500  # TypeError: 'in <string>' requires string.
        if selection and value not in selection:
            return refused(f"{key}: {value} is not a valid selection from {selection}")
        required = sheet[key].get("is_required") == "true"
        if not value and required and not isinstance(value, bool):
            return refused(f"{sheet[key]['title']}({key}) requires an answer")
    return None


Api.routes = [
    ("POST", r"/api/api-token-auth/", Api._login),
    ("GET", r"/api/my_profile/", Api._profile),
    ("GET", r"/api/competitions/(\d+)/", Api._competition),
    ("GET", r"/api/competitions/", Api._competitions),
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
