"""The local memory of submissions: what was sent, what it was made of, what it scored.

A SQLite file in the state folder. The server knows which submissions there are and what
they scored; only the ledger knows the label, the runs and the hold-out score behind
them. `merge` brings the two together.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import CodabenchError, StorageError
from ..system.files import write_bytes
from .clock import format_time
from .journal import Entry
from .state import private_folder
from .submission import Submission

__all__ = ["Ledger", "Record"]

SCHEMA = 1

#: Columns that hold JSON.
_JSON = ("scores", "runs")

_CREATE = """
CREATE TABLE IF NOT EXISTS submissions (
    url TEXT NOT NULL,
    id INTEGER NOT NULL,
    competition INTEGER,
    phase INTEGER,
    phase_name TEXT,
    username TEXT,
    label TEXT,
    zip TEXT,
    sha256 TEXT,
    size INTEGER,
    file_name TEXT,
    created TEXT,
    status TEXT,
    details TEXT,
    scores TEXT,
    rank INTEGER,
    local REAL,
    runs TEXT,
    git_commit TEXT,
    PRIMARY KEY (url, id)
)
"""


@dataclass(frozen=True)
class Record:
    """One submission as it is remembered; None where nothing is known.

    Attributes:
        url: Address of the server.
        id: Number of the submission.
        competition: Number of the competition.
        phase: Number of the phase.
        phase_name: Its name.
        username: Whose it is.
        label: What the user calls it.
        zip: Path of the zip when it was uploaded.
        sha256: Its digest.
        size: Its bytes.
        file_name: Its name on the server.
        created: When it was submitted, UTC.
        status: Last known state.
        details: What the server said about it.
        scores: Numbers by column key, in the server's unit.
        rank: Place on the leaderboard when it was last looked at.
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
    scores: Mapping[str, float] = field(default_factory=dict)
    rank: int | None = None
    local: float | None = None
    runs: tuple[Mapping[str, Any], ...] = ()
    git_commit: str | None = None

    @classmethod
    def of(cls, url: str, submission: Submission, **known: Any) -> Record:
        """What the server tells about a submission, and what else is known."""
        return cls(
            url=url,
            id=submission.id,
            **{
                "phase": submission.phase,
                "username": submission.owner or None,
                "file_name": submission.file_name or None,
                "created": format_time(submission.created),
                "status": submission.status,
                "details": submission.details or None,
                "scores": submission.values(),
                **known,
            },
        )

    @classmethod
    def uploaded(cls, entry: Entry, submission: Submission, **known: Any) -> Record:
        """What is known of a submission that has just been made."""
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
                **known,
            },
        )


_COLUMNS = tuple(each.name for each in fields(Record))


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
        """Remember what is known of a submission; None leaves what is there."""
        with self._open() as base:
            _upsert(base, record)

    def merge(self, records: Iterable[Record]) -> None:
        """Remember many at once."""
        with self._open() as base:
            for record in records:
                _upsert(base, record)

    def records(
        self, *, url: str | None = None, competition: int | None = None
    ) -> list[Record]:
        """What is remembered, oldest first.

        Args:
            url: Only of one server.
            competition: Only of one competition.
        """
        if not self.path.exists():
            return []
        where = "(?1 IS NULL OR url = ?1) AND (?2 IS NULL OR competition = ?2)"
        with self._open() as base:
            rows = base.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM submissions WHERE {where} "
                "ORDER BY id",
                (url, competition),
            ).fetchall()
        return [_record(row) for row in rows]

    def find(self, url: str, number: int) -> Record | None:
        """What is remembered of one submission."""
        found = [each for each in self.records(url=url) if each.id == number]
        return found[0] if found else None

    def keep_metrics(self, number: int, text: str) -> Path:
        """Keep the scores of single objects; returns the file."""
        path = self.metrics_path(number)
        private_folder(self._metrics)
        write_bytes(path, text.encode(), private=True)
        return path

    def metrics_path(self, number: int) -> Path:
        """Where the scores of single objects are, if they are."""
        return self._metrics / f"{number}.json"

    def require_metrics(self, number: int) -> Path:
        """Where the scores of single objects are.

        Raises:
            CodabenchError: They are not there.
        """
        path = self.metrics_path(number)
        if not path.is_file():
            raise CodabenchError(
                f"submission {number}: the scores of its objects are not here; fetch "
                f"them with submit status {number}, if the organisers give them out"
            )
        return path

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one piece of work, which is done wholly or not at all."""
        private_folder(self.path.parent)
        try:
            self.path.touch(0o600)
            with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as base:
                self._prepare(base)
                with base:
                    yield base
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self.path}: cannot be used ({error}); make room, or move the file "
                "away: it is made anew, without labels and local scores"
            ) from error

    def _prepare(self, base: sqlite3.Connection) -> None:
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA:
            return
        if version != 0:
            raise StorageError(
                f"{self.path}: has schema {version}, this version knows {SCHEMA}; use "
                "the version that wrote it"
            )
        with base:
            base.execute(_CREATE)
            base.execute(f"PRAGMA user_version = {SCHEMA}")


def _upsert(base: sqlite3.Connection, record: Record) -> None:
    values = []
    for name in _COLUMNS:
        value = getattr(record, name)
        if name in _JSON:
            # Nothing known leaves what is there, as None does elsewhere.
            value = json.dumps(value, sort_keys=True) if value else None
        values.append(value)
    updates = ", ".join(
        f"{name} = COALESCE(excluded.{name}, {name})"
        for name in _COLUMNS
        if name not in ("url", "id")
    )
    marks = ", ".join("?" * len(_COLUMNS))
    base.execute(
        f"INSERT INTO submissions ({', '.join(_COLUMNS)}) VALUES ({marks}) "
        f"ON CONFLICT (url, id) DO UPDATE SET {updates}",
        values,
    )


def _record(row: tuple[Any, ...]) -> Record:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["scores"] = json.loads(values["scores"] or "{}")
    values["runs"] = tuple(json.loads(values["runs"] or "[]"))
    return Record(**values)
