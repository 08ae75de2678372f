"""The local record of submissions: the zip, its runs and its scores.

A SQLite file in the state folder. The server knows which submissions there are and what
they scored; only the ledger knows the label, the runs and the hold-out score behind
them. `merge` brings the two together. Records are separate for each server and account.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import CodabenchError, StorageError
from ..system.files import write_bytes
from .clock import format_time
from .competition import Column, Competition
from .journal import JournalEntry
from .state import private_folder
from .submission import Submission
from .tokens import Token

__all__ = ["Ledger", "Record"]

SCHEMA = 2

#: Columns that hold JSON.
_JSON = ("scores", "runs")
#: The primary key; `username` is empty if the account is not known.
_KEY = ("url", "username", "id")

_CREATE = """
CREATE TABLE submissions (
    url TEXT NOT NULL,
    username TEXT NOT NULL,
    id INTEGER NOT NULL,
    competition INTEGER,
    phase INTEGER,
    phase_name TEXT,
    label TEXT,
    zip TEXT,
    sha256 TEXT,
    size INTEGER,
    file_name TEXT,
    created TEXT,
    status TEXT,
    details TEXT,
    task TEXT,
    scores TEXT,
    rank INTEGER,
    local REAL,
    runs TEXT,
    git_commit TEXT,
    PRIMARY KEY (url, username, id)
);
CREATE TABLE boards (
    url TEXT NOT NULL,
    username TEXT NOT NULL,
    competition INTEGER NOT NULL,
    columns TEXT NOT NULL,
    PRIMARY KEY (url, username, competition)
);
CREATE TABLE accounts (
    url TEXT NOT NULL,
    token TEXT NOT NULL,
    username TEXT NOT NULL,
    PRIMARY KEY (url, token)
);
"""


@dataclass(frozen=True)
class Record:
    """One remembered submission; None for what is not known.

    Attributes:
        url: Address of the server.
        id: Number of the submission.
        competition: Number of the competition.
        phase: Number of the phase.
        phase_name: Its name.
        username: Whose it is: the user name exactly as the server has it.
        label: What the user calls it.
        zip: Path of the zip when it was uploaded.
        sha256: Its digest.
        size: Its bytes.
        file_name: Its name on the server.
        created: When it was submitted, UTC.
        status: Last known state; of several tasks, also how many failed.
        details: What the server said about it.
        task: Of several tasks, the one whose scores these are.
        scores: Numbers by column key, in the server's unit and order.
        rank: Place on the leaderboard when that was last read; None when it was not
            there.
        local: Hold-out score, in percent.
        runs: What the zip was made of: the heads of the runs' manifests.
        git_commit: Commit of the working directory at the upload.
    """

    url: str
    id: int
    competition: int | None = None
    phase: int | None = None
    phase_name: str | None = None
    username: str | None = None
    label: str | None = None
    zip: str | None = None
    sha256: str | None = None
    size: int | None = None
    file_name: str | None = None
    created: str | None = None
    status: str | None = None
    details: str | None = None
    task: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    rank: int | None = None
    local: float | None = None
    runs: tuple[Mapping[str, Any], ...] = ()
    git_commit: str | None = None

    @classmethod
    def of(cls, url: str, submission: Submission, **known: Any) -> Record:
        """Make a record from the server's answer and from what else is known."""
        first = submission.scored[0]
        return cls(
            url=url,
            id=submission.id,
            **{
                "phase": submission.phase,
                "username": submission.account or None,
                "file_name": submission.file_name or None,
                "created": format_time(submission.created),
                "status": submission.state,
                "details": submission.details or None,
                "task": first.task.name if submission.parts and first.task else None,
                "scores": submission.values(),
                **known,
            },
        )

    @classmethod
    def uploaded(
        cls, entry: JournalEntry, submission: Submission, **known: Any
    ) -> Record:
        """Make the record of a submission that has just been created."""
        return cls.of(
            entry.url,
            submission,
            **{
                "competition": entry.competition,
                "phase": entry.phase,
                "username": entry.username,
                "label": entry.label,
                "zip": entry.zip,
                "sha256": entry.sha256,
                "size": entry.size,
                "file_name": submission.file_name or entry.file_name,
                "local": entry.local,
                "runs": tuple(entry.runs),
                **known,
            },
        )


_COLUMNS = tuple(each.name for each in fields(Record))
#: Columns that only the server decides: an empty value replaces a known one.
_STATE = ("status", "details", "task", "scores")


class Ledger:
    """The submissions that are remembered.

    Args:
        folder: The state folder; the file is `ledger.sqlite3` in it.

    Example:
        for record in Ledger(state_folder()).records():
            print(record.label, record.local, record.scores)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite3"
        self._metrics = folder / "metrics"

    def keep(self, record: Record) -> None:
        """Store a record; None leaves a known value."""
        self.merge([record])

    def merge(self, records: Iterable[Record]) -> None:
        """Store several records; None leaves a known value."""
        with self._open() as base:
            for record in records:
                _upsert(base, record, ())

    def update(self, records: Iterable[Record], *, ranked: Iterable[int] = ()) -> None:
        """Store what the server has just answered about submissions.

        Values that the server no longer has, such as a reason or a rank, are removed;
        values that only this machine knows stay.

        Args:
            records: Made by `Record.of`.
            ranked: Phases whose leaderboard was read: only there, a missing rank means
                that there is none.
        """
        phases = set(ranked)
        with self._open() as base:
            for record in records:
                stale = (*_STATE, "rank") if record.phase in phases else _STATE
                _upsert(base, record, stale)

    def records(
        self,
        *,
        url: str | None = None,
        username: str | None = None,
        competition: int | None = None,
    ) -> list[Record]:
        """The records, oldest first.

        Args:
            url: Only of one server.
            username: Only of one account, and records without a known account.
            competition: Only of one competition.
        """
        if not self.path.exists():
            return []
        where = (
            "(?1 IS NULL OR url = ?1) AND (?2 IS NULL OR username IN (?2, '')) "
            "AND (?3 IS NULL OR competition = ?3)"
        )
        with self._open() as base:
            rows = base.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM submissions WHERE {where} "
                "ORDER BY id, username",
                (url, username, competition),
            ).fetchall()
        return [_record(row) for row in rows]

    def find(self, url: str, username: str | None, number: int) -> Record | None:
        """The record of one submission; `username` None for any account."""
        found = self.records(url=url, username=username)
        return next((each for each in found if each.id == number), None)

    def competition_of(self, url: str, phase: int) -> int | None:
        """The competition that a phase is known to belong to."""
        found = {
            each.competition
            for each in self.records(url=url)
            if each.phase == phase and each.competition is not None
        }
        return found.pop() if len(found) == 1 else None

    def keep_account(self, url: str, token: Token, username: str) -> None:
        """Remember the account of a token, for commands that do not ask the server."""
        if self.account(url, token) != username:
            with self._open() as base:
                base.execute(
                    "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
                    (url, token.digest, username),
                )

    def account(self, url: str, token: Token | None) -> str | None:
        """The remembered account of a token."""
        if token is None or not self.path.exists():
            return None
        with self._open() as base:
            row = base.execute(
                "SELECT username FROM accounts WHERE url = ? AND token = ?",
                (url, token.digest),
            ).fetchone()
        return None if row is None else str(row[0])

    def keep_columns(self, url: str, username: str, competition: Competition) -> None:
        """Remember a leaderboard's columns; a hidden one leaves the known ones."""
        if not competition.columns:
            return
        content = json.dumps([dataclasses.asdict(c) for c in competition.columns])
        with self._open() as base:
            base.execute(
                "INSERT OR REPLACE INTO boards VALUES (?, ?, ?, ?)",
                (url, username, competition.id, content),
            )

    def columns(
        self, url: str, username: str | None, competition: int
    ) -> tuple[Column, ...]:
        """The remembered columns of a leaderboard, the primary one first.

        Args:
            url: Address of the server.
            username: The account that saw them; None for any.
            competition: Number of the competition.
        """
        if not self.path.exists():
            return ()
        with self._open() as base:
            row = base.execute(
                "SELECT columns FROM boards WHERE url = ?1 AND competition = ?3 "
                "AND (?2 IS NULL OR username = ?2) ORDER BY username",
                (url, username, competition),
            ).fetchone()
        try:
            return () if row is None else tuple(Column(**c) for c in json.loads(row[0]))
        except (TypeError, ValueError):  # Another version has written it.
            return ()

    def keep_metrics(self, url: str, number: int, text: str) -> Path:
        """Keep the scores of single objects; returns the file."""
        path = self._place(url, number)
        private_folder(path.parent)
        write_bytes(path, text.encode(), private=True)
        return path

    def metrics_path(self, url: str, number: int) -> Path:
        """The file with the scores of single objects; None if there is none."""
        if self.path.exists():
            with self._open():
                pass  # Files of an older version are moved to the present place.
        return self._place(url, number)

    def require_metrics(self, url: str, number: int) -> Path:
        """The file with the scores of single objects.

        Raises:
            CodabenchError: They are not there.
        """
        path = self.metrics_path(url, number)
        if not path.is_file():
            raise CodabenchError(
                f"submission {number}: the scores of its objects are not here",
                f"fetch them with submit status {number}, if the organisers give them "
                "out",
            )
        return path

    def _place(self, url: str, number: int) -> Path:
        return self._metrics / _server_name(url) / f"{number}.json"

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        private_folder(self.path.parent)
        try:
            self.path.touch(0o600)
            with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as base:
                self._prepare(base)
                with base:
                    yield base
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self.path}: cannot be used ({error}); free some space, or move the "
                "file away: a new one is made, without labels and local scores"
            ) from error

    def _prepare(self, base: sqlite3.Connection) -> None:
        """Make the tables, or upgrade those of an older version."""
        if _version(base) == SCHEMA:
            return
        with base:
            # If two commands start at once, the second finds the tables made.
            base.execute("BEGIN IMMEDIATE")
            version = _version(base)
            if version == SCHEMA:
                return
            if version > SCHEMA:
                raise StorageError(
                    f"{self.path}: has schema {version}, this version knows {SCHEMA}; "
                    "use the version that wrote it"
                )
            if version == 1:
                base.execute("ALTER TABLE submissions RENAME TO old")
            for statement in _CREATE.split(";"):
                base.execute(statement)
            if version == 1:
                self._take_over(base)
            base.execute(f"PRAGMA user_version = {SCHEMA}")

    def _take_over(self, base: sqlite3.Connection) -> None:
        """Convert the records of schema 1, whose keys were server and number only."""
        kept = ", ".join(name for name in _COLUMNS if name not in ("username", "task"))
        base.execute(
            f"INSERT INTO submissions (username, {kept}) "
            f"SELECT COALESCE(username, ''), {kept} FROM old"
        )
        servers: dict[int, set[str]] = {}
        for url, number in base.execute("SELECT url, id FROM old"):
            servers.setdefault(int(number), set()).add(str(url))
        base.execute("DROP TABLE old")
        for path in self._metrics.glob("*.json"):
            # One whose server is not certain is fetched again when it is needed.
            urls = servers.get(int(path.stem)) if path.stem.isdecimal() else None
            if urls is not None and len(urls) == 1:
                target = self._place(urls.pop(), int(path.stem))
                private_folder(target.parent)
                os.replace(path, target)


def _version(base: sqlite3.Connection) -> int:
    return int(base.execute("PRAGMA user_version").fetchone()[0])


def _server_name(url: str) -> str:
    """A folder's name for a server.

    >>> _server_name("https://www.codabench.org"), _server_name("http://localhost:8000")
    ('www.codabench.org', 'http_localhost_8000')
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", url.removeprefix("https://"))


def _upsert(base: sqlite3.Connection, record: Record, stale: Sequence[str]) -> None:
    """Update a record; None leaves the known value, except for `stale` columns."""
    if record.username:
        _adopt(base, record)

    def merged(name: str) -> str:
        if name in stale:
            return f"excluded.{name}"
        return f"COALESCE(excluded.{name}, {name})"

    _insert(base, record, merged)


def _adopt(base: sqlite3.Connection, record: Record) -> None:
    """Move the record of a submission without a known account to its account."""
    where = "WHERE url = ? AND username = '' AND id = ?"
    key = (record.url, record.id)
    row = base.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM submissions {where}", key
    ).fetchone()
    if row is not None:
        base.execute(f"DELETE FROM submissions {where}", key)
        found = dataclasses.replace(_record(row), username=record.username)
        _insert(base, found, lambda name: f"COALESCE({name}, excluded.{name})")


def _insert(
    base: sqlite3.Connection, record: Record, merged: Callable[[str], str]
) -> None:
    """Insert a record; if it exists, set each column to the value of `merged`."""
    updates = ", ".join(
        f"{name} = {merged(name)}" for name in _COLUMNS if name not in _KEY
    )
    marks = ", ".join("?" * len(_COLUMNS))
    base.execute(
        f"INSERT INTO submissions ({', '.join(_COLUMNS)}) VALUES ({marks}) "
        f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {updates}",
        [_stored(record, name) for name in _COLUMNS],
    )


def _stored(record: Record, name: str) -> Any:
    value = getattr(record, name)
    if name in _JSON:
        # Empty scores leave the known ones, as None does for other columns. The order
        # of scores is the leaderboard's.
        return json.dumps(value) if value else None
    return value or "" if name == "username" else value


def _record(row: tuple[Any, ...]) -> Record:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["scores"] = json.loads(values["scores"] or "{}")
    values["runs"] = tuple(json.loads(values["runs"] or "[]"))
    values["username"] = values["username"] or None
    return Record(**values)
