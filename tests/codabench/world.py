"""The state of the fake Codabench, with a switch for every fault."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import threading
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

#: When the tests take place: the middle of a day.
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc).timestamp()

TOKEN = "0123456789abcdef0123456789abcdef01234567"
#: The token of another account, of bob.
OTHER_TOKEN = "76543210fedcba9876543210fedcba9876543210"
BROKER_PASSWORD = "hunter2-of-the-broker"
BROKER = f"pyamqp://organisers:{BROKER_PASSWORD}@queue.example.org:5671/vhost"
STORAGE_SECRET = b"secret of the storage"
STORAGE_ID = "STORAGEACCESSID"

#: The leaderboard's columns: key, official name.
COLUMNS = {
    "J_F_dot": "J&Ḟ",
    "J": "J",
    "F_dot": "Ḟ",
    "J_F_d": "J&Ḟ_d",
    "J_F_r": "J&Ḟ_r",
    "F": "F",
    "J_F": "J&F",
    "time": "time",
}
FINAL = ("Finished", "Failed", "Cancelled")
SCORES = dict(zip(COLUMNS, (50.1234, 48.2, 52.1, 61, 33.3, 55.5, 51.8, 1), strict=True))

#: A status and how many scores are there, one entry for each look.
Script = list[tuple[str, int]]
GOOD: Script = [
    ("Submitting", 0),
    ("Submitted", 0),
    ("Running", 0),
    ("Preparing", 0),
    ("Scoring", 0),
    ("Running", 0),
    ("Finished", 0),
    ("Finished", 6),
    ("Finished", 8),
]


class FakeClock:
    """A clock that advances only during `sleep`."""

    def __init__(self, now: float = NOON) -> None:
        self.start = now
        self.passed = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.start + self.passed

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.passed += seconds


@dataclass
class Reply:
    """What a handler answers; `lose` breaks the connection instead."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    lose: bool = False

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        if self.kind != "application/json":
            return str(self.content or "").encode()
        return b"" if self.content is None else json.dumps(self.content).encode()


HTML_500 = Reply(
    500, "<!DOCTYPE html><title>Server Error (500)</title>", kind="text/html"
)
HTML_502 = Reply(502, "<html><h1>502 Bad Gateway</h1></html>", kind="text/html")
NO_SUBMISSION = Reply(404, {"detail": "No Submission matches the given query."})
MAINTENANCE = Reply(302, headers={"Location": "/maintenance.html"})


@dataclass
class Dataset:
    id: int
    key: str
    file_name: str
    path: str
    owner: str = "alice"
    size: float = 0.0
    in_use: bool = False


@dataclass
class FakeSubmission:
    """One submission; without a script, a parent that its parts decide about.

    Attributes:
        details: What the server says about it; the worker's host name when empty.
        finished: Since when its status is final; None before.
        chosen: Whether its owner put it on a leaderboard that is filled by hand.
    """

    id: int
    phase: int
    key: str
    file_name: str
    created: float
    script: Script
    place: int = 0
    parent: int | None = None
    children: list[int] = field(default_factory=list)
    details: str = ""
    owner: str = "alice"
    task: int | None = None
    finished: float | None = None
    chosen: bool = False
    scores: dict[str, float] = field(default_factory=lambda: dict(SCORES))

    @property
    def step(self) -> tuple[str, int]:
        """The status, and the number of scores that have arrived."""
        return self.script[min(self.place, len(self.script) - 1)]


class World:
    """The state behind the two ports, with a switch for every fault.

    Attributes:
        version: `v125`, or `new` for pages, 400 on limits and closed phases.
        create: What becomes of the next creations: `lose` their answer after creating,
            `fail` with 500 before, `fail after`, `late` or `very late` (as `lose`, but
            lists show it after two or four looks), `busy` (429), `hang up` before
            creating, `nonsense`, or the JSON of a refusal.
        put: What becomes of the next uploads; a number drops the connection after so
            many bytes, a `Reply` is answered; `expired`, `damage` and `stall` are
            faults of the storage.
        answers: Replies that are sent first, by the start of `METHOD path`.
        hooks: Called before and after a request is handled, by its name. A hook that
            waits delays only its own request.
        tokens: The account of each token.
        organisers: Accounts that may see all submissions.
        display_names: Names that the leaderboard shows instead of account names.
        archive_delay: Seconds from the end of an evaluation until the worker has
            uploaded the archive with its results; until then it has 0 bytes.
        hidden_board: Whether participants are told of no leaderboard.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.version = "v125"
        self.lock = threading.RLock()
        self.skew = 0.0
        self.storage_url = ""
        self.tokens = {TOKEN: "alice", OTHER_TOKEN: "bob"}
        self.organisers: set[str] = set()
        self.display_names: dict[str, str] = {}
        self.participant: str | None = "approved"
        self.maintenance = False
        self.quota_gb = 15.0
        self.storage_used = 1e9
        self.start = NOON - 86400 * 10
        self.end: float | None = NOON + 86400 * 3
        self.has_limits = True
        self.day_limit: int | None = 5
        self.total_limit: int | None = 50
        self.used_before = 7
        self.rule = "Force_Best"
        self.auto_run = True
        self.fact_sheet: dict[str, Any] | None = None
        self.tasks: list[dict[str, Any]] = [{"id": 456, "name": "valid"}]
        self.more_phases: list[dict[str, Any]] = []
        self.script: Script = GOOD
        self.status_details = ""
        self.hide_output = False
        self.hide_scores = False
        self.hidden_board = False
        self.archive_delay = 20.0
        self.logs = {
            "scoring_stdout": "reading\n",
            "scoring_stderr": "line 1\nline 2\nKeyError: 'ab12'\n",
        }
        self.metrics: dict[str, Any] | None = {
            "aa_1": dict.fromkeys(("J&F_new", "J", "F_new", "F", "J&F"), 50.0)
            | {"disappear_J&F_new": None, "reappear_J&F_new": None},
            "total_time": 1.0,
        }
        self.forget_size = False
        self.create: list[str] = []
        self.put: list[Any] = []
        self.answers: dict[str, list[Reply]] = {}
        self.hooks: dict[str, Callable[[], object]] = {}
        self.hidden_for = 0
        self.renames = False
        self.board: list[dict[str, Any]] | None = None
        self.competitions: dict[int, dict[str, Any]] = {}

        self.answered: dict[str, Any] | None = None
        self.datasets: dict[str, Dataset] = {}
        self.objects: dict[str, tuple[int, str]] = {}
        self.submissions: dict[int, FakeSubmission] = {}
        self.requests: list[tuple[str, str]] = []
        self.signed_urls: list[str] = []
        self.violations: list[str] = []

    def now(self) -> float:
        return self.clock.now() + self.skew

    @property
    def writes(self) -> list[str]:
        """Requests that can change the state."""
        harmless = ("GET", "DOWNLOAD")
        return [
            f"{method} {path}"
            for method, path in self.requests
            if method not in harmless or "cancel" in path
        ]

    @property
    def created(self) -> list[FakeSubmission]:
        """Submissions that count."""
        return [s for s in self.submissions.values() if s.parent is None]

    @property
    def token(self) -> str:
        """Alice's token."""
        return next(token for token, name in self.tokens.items() if name == "alice")

    @token.setter
    def token(self, value: str) -> None:
        self.tokens = {value: "alice", OTHER_TOKEN: "bob"}

    def used(self, owner: str = "alice") -> int:
        mine = [s for s in self.created if s.owner == owner]
        before = self.used_before if owner == "alice" else 0
        return before + sum(self.status(s) != "Failed" for s in mine)

    def used_today(self, owner: str = "alice") -> int:
        return self.used(owner) - (self.used_before if owner == "alice" else 0)

    def add_submission(
        self, key: str = "", file_name: str = "", **values: Any
    ) -> FakeSubmission:
        """Make a submission as the website would."""
        with self.lock:
            number = 9001 + len(self.submissions)
            made = FakeSubmission(
                number,
                values.pop("phase", 123),
                key,
                file_name,
                self.now(),
                values.pop("script", list(self.script)),
                **{"details": self.status_details, **values},
            )
            if made.script and made.script[0][0] in FINAL:
                made.finished = self.now() - days(1)
            self.submissions[number] = made
            return made

    def add_parts(
        self, key: str = "", file_name: str = "", *scripts: Script, **values: Any
    ) -> FakeSubmission:
        """Make a submission to several tasks: a parent, and a part for each."""
        parent = self.add_submission(key, file_name, script=[], **values)
        for task, script in zip(self.tasks, scripts, strict=True):
            part = self.add_submission(
                key,
                file_name,
                parent=parent.id,
                task=task["id"],
                script=script,
                **values,
            )
            parent.children.append(part.id)
        return parent

    def status(self, made: FakeSubmission) -> str:
        """What the server says: of a parent, only whether all parts are over."""
        if made.script:
            return made.step[0]
        over = all(s.step[0] in FINAL for s in self.parts(made))
        return "Finished" if over else "Running"

    def parts(self, made: FakeSubmission) -> list[FakeSubmission]:
        return [self.submissions[number] for number in made.children]

    def shown_scores(self, made: FakeSubmission) -> list[dict[str, Any]]:
        """The scores; those of a parent are those of all parts, one after the other."""
        if not made.script:
            return [row for part in self.parts(made) for row in self.shown_scores(part)]
        return [
            {
                "id": 100 * made.id + i,
                "index": i,
                "score": f"{value:.10f}",
                "column_key": key,
            }
            for i, (key, value) in enumerate(list(made.scores.items())[: made.step[1]])
        ]

    def advance(self, made: FakeSubmission) -> None:
        """Go on with a submission, after a look at it."""
        made.place += 1
        if made.script and made.finished is None and made.step[0] in FINAL:
            made.finished = self.now()

    def shown_details(self, made: FakeSubmission) -> str | None:
        """The reason, if there is one; else the host name that the worker left."""
        if made.details or not made.script:
            return made.details or None
        status = made.step[0]
        if status in ("Submitting", "Submitted"):
            return None
        scoring = status in FINAL or any(s == "Scoring" for s, _ in made.script)
        kind = "scoring" if scoring else "ingestion"
        return f"{kind}_hostname-compute-worker-7"

    def on_board(self, phase: int) -> list[FakeSubmission]:
        """Submissions that stand on a phase's leaderboard, by its rule, best first."""
        there = [
            s
            for s in self.created
            if s.phase == phase
            and self.status(s) == "Finished"
            and self.shown_scores(s)
        ]
        kept = []
        for owner in {s.owner for s in there}:
            mine = sorted((s for s in there if s.owner == owner), key=lambda s: s.id)
            if self.rule == "Force_Best":
                kept.append(max(mine, key=lambda s: (self.primary(s), -s.id)))
            elif self.rule == "Force_Last":
                kept.append(mine[-1])
            elif self.rule == "Force_Latest_Multiple":
                kept += mine
            else:
                kept += [s for s in mine if s.chosen]
        return sorted(kept, key=lambda s: (-self.primary(s), s.created))

    def primary(self, made: FakeSubmission) -> float:
        """What ranks: over several tasks, the sum."""
        rows = self.shown_scores(made)
        return sum(float(r["score"]) for r in rows if r["column_key"] == "J_F_dot")

    def competition(self, user: str | None = "alice") -> dict[str, Any]:
        first = {
            "id": 123,
            "index": 0,
            "name": "Validation",
            "status": "Current",
            "start": iso(self.start),
            "end": None if self.end is None else iso(self.end),
            "execution_time_limit": 3600,
            "tasks": self.tasks,
            "has_max_submissions": self.has_limits,
            "max_submissions_per_day": self.day_limit,
            "max_submissions_per_person": self.total_limit,
            "used_submissions_per_day": self.used_today(user) if user else 0,
            "used_submissions_per_person": self.used(user) if user else 0,
            "hide_output": self.hide_output,
            "hide_score_output": self.hide_scores,
        }
        hidden = self.hidden_board and user not in self.organisers
        value = {
            "id": 10062,
            "title": "MOSEv2",
            "participant_status": self.participant,
            "auto_run_submissions": self.auto_run,
            "queue": {"name": "mose", "broker_url": BROKER},
            "fact_sheet": self.fact_sheet,
            "phases": [first, *self.more_phases],
            "leaderboards": [] if hidden else [self.leaderboard()],
        }
        if user is None:
            del value["participant_status"]
        return value

    def competition_of(self, phase: int) -> int:
        for number, value in self.competitions.items():
            if phase in [each["id"] for each in value["phases"]]:
                return number
        return 10062

    def leaderboard(self, columns: Mapping[str, str] = COLUMNS) -> dict[str, Any]:
        return {
            "id": 1,
            "title": "Results",
            "primary_index": 0,
            "submission_rule": self.rule,
            "hidden": self.hidden_board,
            "columns": [
                {
                    "key": key,
                    "title": title,
                    "index": index,
                    "sorting": "asc" if key == "time" else "desc",
                    "precision": 2,
                    "hidden": False,
                    "computation": None,
                }
                for index, (key, title) in enumerate(columns.items())
            ],
        }

    def signed(
        self, path: str, method: str = "PUT", kind: str = "application/zip"
    ) -> str:
        """Make a signed URL with the old signature of Amazon's storage."""
        expires = int(self.now() + 5 * 86400)
        signature = self.signature(method, kind, expires, path)
        url = (
            f"{self.storage_url}{path}?AWSAccessKeyId={STORAGE_ID}"
            f"&Signature={signature}&content-type=application%2Fzip&Expires={expires}"
        )
        self.signed_urls.append(url)
        return url

    @staticmethod
    def signature(method: str, kind: str, expires: int, path: str) -> str:
        text = f"{method}\n\n{kind}\n{expires}\n{path}".encode()
        mac = hmac.new(STORAGE_SECRET, text, hashlib.sha1).digest()
        return base64.urlsafe_b64encode(mac).decode()

    def new_dataset(self, file_name: str, owner: str = "alice") -> Dataset:
        key = str(uuid.uuid4())
        path = f"/bucket/dataset/{key[:12]}/{file_name}"
        made = Dataset(len(self.datasets) + 31, key, file_name, path, owner)
        self.datasets[key] = made
        # The server itself puts an empty file there.
        self.objects[path] = (0, hashlib.md5(b"").hexdigest())
        return made

    def log(self, number: int, place: int) -> str:
        """A log; it is empty until the worker has written it."""
        made, name = self.submissions[number], list(self.logs)[place]
        scored = made.step[0] in FINAL
        begun = scored or made.step[0] == "Scoring"
        there = scored if name.startswith("scoring") else begun
        return self.logs[name] if there else ""

    def result(self, number: int) -> bytes:
        """The archive with the results; it is empty until it is made."""
        made = self.submissions[number]
        done = made.finished is not None and made.step[0] == "Finished"
        if not done or self.now() < (made.finished or 0) + self.archive_delay:
            return b""
        return self.result_archive()

    def result_archive(self) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("scores.json", json.dumps(SCORES))
            archive.writestr("metadata", "exitCode: 0")
            if self.metrics is not None:
                archive.writestr("metrics.json", json.dumps(self.metrics))
        return stream.getvalue()


def iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


def days(count: float) -> float:
    return timedelta(days=count).total_seconds()
