"""Rows of the commands that talk to Codabench, here to the fake one."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from tests.codabench.world import Script
from tests.commands.rows import Done, Row, Stage, read

__all__ = ["ROWS"]

_DONE: Script = [("Finished", 8)]
_UPLOAD = "upload one.zip --skip-check --yes"
#: What is said of a phase or competition that is not there.
_NO_PHASE = "expected one of 123 Validation"
_NO_COMPETITION = "competition 99"


class _Ring:
    """A keyring, which is there in no other test."""

    kept: str | None = None

    def get_password(self, service: str, name: str) -> str | None:
        del service, name
        return self.kept

    def set_password(self, service: str, name: str, secret: str) -> None:
        del service, name
        self.kept = secret

    def delete_password(self, service: str, name: str) -> None:
        del service, name
        self.kept = None


def _ring(stage: Stage) -> None:
    ring = _Ring()
    stage.patch.setattr("submit.cli._codabench.keyring", lambda: ring)


def _one_done(stage: Stage) -> None:
    stage.world.add_submission(file_name="one.zip", script=_DONE)


def _more_logs(stage: Stage) -> None:
    _one_done(stage)
    stage.world.logs["ingestion_stdout"] = "unzipped\n"


def _two_done(stage: Stage) -> None:
    _one_done(stage)
    scores = {"J_F_dot": 60.0, "J": 50.0}
    stage.world.add_submission(file_name="two.zip", script=_DONE, scores=scores)


def _others(stage: Stage) -> None:
    for owner, score in (("bob", 60.0), ("carol", 50.0)):
        scores = {"J_F_dot": score}
        stage.world.add_submission(script=_DONE, scores=scores, owner=owner)


def _running(stage: Stage) -> None:
    stage.world.add_submission(script=[("Running", 0)])


def _second_phase(stage: Stage) -> None:
    stage.world.more_phases = [
        {"id": 7, "name": "Test", "start": None, "end": None, "tasks": [{"id": 456}]}
    ]


def _fact_sheet(stage: Stage) -> None:
    asked = {"key": "net", "type": "text", "title": "Net", "is_required": "true"}
    stage.world.fact_sheet = {"net": asked}


def _refused(stage: Stage) -> None:
    stage.world.create = ['{"phase": ["No"]}']


def _rows(done: Done) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(done.stdout)))


def _lines(file: str) -> int:
    return Path(file).read_text().count("\n")


def _writes(done: Done) -> int:
    assert done.world is not None
    return len(done.world.writes)


def _created(done: Done) -> list[int]:
    """The phases of what was submitted."""
    assert done.world is not None
    return [made.phase for made in done.world.created]


ROWS = (
    Row(
        "login --username alice --url URL --no-keyring",
        prepare=_ring,
        input="correct horse\n",
        stderr=["as alice; the token is in state/tokens.json"],
        check=lambda done: len(read("state/tokens.json")) == 1,
        environment={"SUBMIT_TOKEN": ""},
    ),
    Row(
        "login --token-stdin",
        prepare=_ring,
        input=f"{'f' * 40}\n",
        code=10,
        stderr=["Error: "],
        absent=["Password"],
        environment={"SUBMIT_TOKEN": ""},
    ),
    Row("logout --url https://other.org", stderr=["no token for https://other.org"]),
    Row(
        "whoami --url URL --json",
        data={"username": "alice", "left_today": 5, "participation": "approved"},
    ),
    Row(
        "whoami --phase Test",
        prepare=_second_phase,
        stdout=["phase        Test, "],
    ),
    Row("whoami --competition 99", code=15, stderr=[_NO_COMPETITION]),
    Row("doctor --url URL --json", data={"1.name": "server", "1.level": "fine"}),
    Row("doctor --phase Final", code=13, stdout=[_NO_PHASE]),
    Row("doctor --competition 99", code=15, stdout=[_NO_COMPETITION]),
    Row(
        "upload one.zip --split valid --meta few.json --workers 1 --label new"
        " --run one --local-scores scores.json --yes --no-watch --url URL --json",
        data={"label": "new", "id": 9001, "phase": 123},
        stderr=["precheck          3 notes", "few.json: lists 1 video"],
        workers=1,
        check=lambda done: _created(done) == [123],
    ),
    Row("upload one.zip --split valid --team", code=1, stderr=["fatal team-missing"]),
    Row(
        "upload one.zip --skip-check --dry-run",
        stdout=["precheck          skipped"],
        check=lambda done: _writes(done) == 0,
    ),
    Row(
        f"{_UPLOAD} --watch --phase Test",
        prepare=_second_phase,
        stdout=["J&Ḟ      50.12", "rank"],
        check=lambda done: _created(done) == [7],
    ),
    Row(f"{_UPLOAD} --timeout 0", code=21, stderr=["submit watch 9001"]),
    Row(
        f"{_UPLOAD} --force --no-watch",
        before=[f"{_UPLOAD} --watch"],
        check=lambda done: _created(done) == [123, 123],
    ),
    Row(
        f"{_UPLOAD} --fact net=SAM2 --no-watch",
        prepare=_fact_sheet,
        stderr=["fact sheet        1 of 1 answered"],
    ),
    Row(
        f"{_UPLOAD} --keep-upload",
        prepare=_refused,
        code=15,
        check=lambda done: done.world is not None and len(done.world.datasets) == 1,
        stderr=["Error: "],
    ),
    Row(f"{_UPLOAD} --run two --runs mine", code=1, stderr=["mine/two: no such run"]),
    Row(f"{_UPLOAD} --competition 99", code=15, stderr=[_NO_COMPETITION]),
    Row(
        "status 9001 --url URL --json",
        prepare=_one_done,
        data={"status": "Finished", "scores.J": 48.2, "rank": 1},
    ),
    Row("status --phase Test", prepare=_second_phase, stdout=["phase     7 Test"]),
    Row("status --competition 99", code=15, stderr=[_NO_COMPETITION]),
    Row(
        "watch --url URL --json",
        prepare=_one_done,
        data={"id": 9001, "names.J_F_dot": "J&Ḟ"},
    ),
    Row("watch --timeout 1", prepare=_running, code=21, stderr=["submit watch 9001"]),
    Row(
        "watch --phase Test",
        prepare=_second_phase,
        code=1,
        stderr=["phase Test has no submission of yours"],
    ),
    Row("watch --competition 99", code=15, stderr=[_NO_COMPETITION]),
    Row(
        "logs 9001 --lines 1 --url URL --json",
        prepare=_one_done,
        data={"scoring_stderr": ["KeyError: 'ab12'"]},
    ),
    Row(
        "logs 9001 --all",
        prepare=_more_logs,
        stdout=["ingestion_stdout\n  unzipped"],
    ),
    Row(
        "logs 9001 -o logs",
        prepare=_one_done,
        check=lambda done: _lines("logs/scoring_stderr.txt") == 3 and not done.stdout,
    ),
    Row(
        "logs 9001 --output logs",
        prepare=_one_done,
        stderr=["2 logs are in logs"],
    ),
    Row(
        "cancel 9001 --yes --url URL",
        prepare=_running,
        stderr=["submission 9001 is cancelled"],
        check=lambda done: _writes(done) == 1,
    ),
    Row(
        "history --csv --url URL",
        prepare=_two_done,
        check=lambda done: [row["rank"] for row in _rows(done)] == ["", "1"],
    ),
    Row(
        "history --offline --json",
        before=["history"],
        prepare=_one_done,
        data={"0.id": 9001, "0.scores.J": 48.2},
    ),
    Row(
        "history --compare 9001 9002",
        prepare=_two_done,
        before=["status 9001", "status 9002"],
        stdout=["measure", "9001", "9002"],
    ),
    Row(
        "history --local-scores 9001 scores.json",
        prepare=_one_done,
        stdout=["5.50"],
    ),
    Row("history --phase Test", prepare=_one_done, absent=["9001"]),
    Row("history --competition 99", code=15, stderr=[_NO_COMPETITION]),
    Row(
        "leaderboard --url URL --json",
        prepare=_two_done,
        data={"0.id": 9002, "0.own": True, "0.rank": 1},
    ),
    Row(
        "leaderboard --top 1",
        prepare=_others,
        stdout=["bob"],
        absent=["carol"],
    ),
    Row("leaderboard --phase Final", code=13, stderr=[_NO_PHASE]),
    Row("leaderboard --competition 99", code=15, stderr=[_NO_COMPETITION]),
)
