"""What the fake Codabench knows, and every way in which it can be made to misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import threading
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

#: When the tests take place: the middle of a day.
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc).timestamp()

TOKEN = "0123456789abcdef0123456789abcdef01234567"
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
    """Time that passes only when somebody sleeps."""

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
MAINTENANCE = Reply(302, headers={"Location": "/maintenance.html"})


@dataclass
class Dataset:
    id: int
    key: str
    file_name: str
    path: str
    size: float = 0.0
    in_use: bool = False


@dataclass
class FakeSubmission:
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
    scores: dict[str, float] = field(default_factory=lambda: dict(SCORES))

    @property
    def status(self) -> str:
        return self.script[min(self.place, len(self.script) - 1)][0]

    @property
    def shown_scores(self) -> list[dict[str, Any]]:
        count = self.script[min(self.place, len(self.script) - 1)][1]
        return [
            {"id": i, "index": i, "score": f"{value:.10f}", "column_key": key}
            for i, (key, value) in enumerate(list(self.scores.items())[:count])
        ]


class World:
    """The state behind the two ports, with a switch for every fault.

    Attributes:
        version: `v125`, or `new` for pages, 400 on limits and closed phases.
        create: What becomes of the next creations: `lose` their answer after creating,
            `fail` with 500 before, `fail after`, `late` or `very late` (as `lose`, but
            lists show it after two or four looks), `busy` (429), `hang up` before
            creating, `nonsense`, or the JSON of a refusal.
        put: What becomes of the next uploads; a number drops the connection after so
            many bytes, a `Reply` is answered, `expired`, `damage` and `stall` speak
            for themselves.
        answers: Replies that come first, by the start of `METHOD path`.
        hooks: Called before and after a request is handled, by its name.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.version = "v125"
        self.lock = threading.RLock()
        self.skew = 0.0
        self.storage_url = ""
        self.token = TOKEN
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
        self.tasks = [{"id": 456, "name": "valid"}]
        self.more_phases: list[dict[str, Any]] = []
        self.script: Script = GOOD
        self.status_details = ""
        self.hide_output = False
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
        """Requests that could change something."""
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

    def used(self) -> int:
        alive = sum(s.status != "Failed" for s in self.created)
        return self.used_before + alive

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
                details=self.status_details,
                **values,
            )
            self.submissions[number] = made
            return made

    def competition(self) -> dict[str, Any]:
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
            "used_submissions_per_day": self.used() - self.used_before,
            "used_submissions_per_person": self.used(),
            "hide_output": self.hide_output,
        }
        return {
            "id": 10062,
            "title": "MOSEv2",
            "participant_status": self.participant,
            "auto_run_submissions": self.auto_run,
            "queue": {"name": "mose", "broker_url": BROKER},
            "fact_sheet": self.fact_sheet,
            "phases": [first, *self.more_phases],
            "leaderboards": [
                {
                    "id": 1,
                    "title": "Results",
                    "primary_index": 0,
                    "submission_rule": self.rule,
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
                        for index, (key, title) in enumerate(COLUMNS.items())
                    ],
                }
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

    def new_dataset(self, file_name: str) -> Dataset:
        key = str(uuid.uuid4())
        path = f"/bucket/dataset/{key[:12]}/{file_name}"
        made = Dataset(len(self.datasets) + 31, key, file_name, path)
        self.datasets[key] = made
        return made

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
