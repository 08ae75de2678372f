"""The local history: separate for each server and account, and up to date."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from submit.codabench import Column, Ledger, Record, Token
from submit.codabench.competition import Board, Competition
from tests.codabench.conftest import Run
from tests.codabench.fake_server import FakeServer
from tests.codabench.world import (
    COLUMNS,
    HTML_500,
    OTHER_TOKEN,
    SCORES,
    TOKEN,
    Script,
    World,
)

URL = "https://www.codabench.org"
DONE: Script = [("Finished", 8)]

#: The table as version 1 of the file had it.
SCHEMA_1 = """
CREATE TABLE submissions (
    url TEXT NOT NULL, id INTEGER NOT NULL, competition INTEGER, phase INTEGER,
    phase_name TEXT, username TEXT, label TEXT, zip TEXT, sha256 TEXT, size INTEGER,
    file_name TEXT, created TEXT, status TEXT, details TEXT, scores TEXT, rank INTEGER,
    local REAL, runs TEXT, git_commit TEXT, PRIMARY KEY (url, id)
)
"""


def write_schema_1(folder: Path, *rows: dict[str, object]) -> Ledger:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "ledger.sqlite3"
    with sqlite3.connect(path) as base:
        base.execute(SCHEMA_1)
        base.execute("PRAGMA user_version = 1")
        for row in rows:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            sql = f"INSERT INTO submissions ({names}) VALUES ({marks})"
            base.execute(sql, list(row.values()))
    base.close()
    path.chmod(0o600)
    return Ledger(folder)


def scored(world: World, value: float, **values: Any) -> int:
    """A submission that is over; returns its number."""
    made = world.add_submission(
        script=DONE, scores={**SCORES, "J_F_dot": value}, **values
    )
    return made.id


def history(run: Run, *arguments: str, token: str = TOKEN) -> list[dict[str, str]]:
    result = run("history", "--csv", *arguments, token=token)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


# Each account apart.


def test_two_accounts_in_one_folder_do_not_mix(run: Run, world: World) -> None:
    mine, theirs = scored(world, 50.0), scored(world, 60.0, owner="bob")
    assert [row["id"] for row in history(run)] == [str(mine)]
    assert [row["id"] for row in history(run, token=OTHER_TOKEN)] == [str(theirs)]
    assert [row["id"] for row in history(run)] == [str(mine)]
    for token, number in ((TOKEN, mine), (OTHER_TOKEN, theirs)):
        rows = history(run, "--offline", token=token)
        assert [row["id"] for row in rows] == [str(number)]


def test_names_that_only_look_alike_are_two_accounts(run: Run, world: World) -> None:
    world.tokens[OTHER_TOKEN] = "alice\u200b"
    world.organisers.add("alice")
    mine = scored(world, 50.0)
    scored(world, 60.0, owner="alice\u200b")
    scored(world, 70.0, owner="Alice")
    assert [row["id"] for row in history(run)] == [str(mine)]
    assert run("status").stdout.count("Finished") == 1


def test_without_a_known_account_the_rows_say_whose_they_are(
    run: Run, world: World
) -> None:
    scored(world, 50.0)
    scored(world, 60.0, owner="bob")
    history(run)
    assert "account" not in run("history", "--offline", token="").stdout
    history(run, token=OTHER_TOKEN)
    lines = run("history", "--offline", token="").stdout.splitlines()
    assert lines[0].split()[:2] == ["submission", "account"]
    assert [line.split()[1] for line in lines[1:]] == ["alice", "bob"]


def test_what_an_organiser_looks_at_is_not_remembered_as_anybodys(
    run: Run, world: World, state: Path
) -> None:
    world.organisers.add("alice")
    number = scored(world, 60.0, owner="bob")
    shown = run("status", str(number))
    assert "owner            bob" in shown.stdout
    assert Ledger(state).records() == []
    assert history(run) == []


# Never stale.


def test_a_rank_that_was_lost_is_forgotten(run: Run, world: World) -> None:
    first = scored(world, 50.0)
    assert history(run)[0]["rank"] == "1"
    second = scored(world, 51.0)
    rows = {row["id"]: row["rank"] for row in history(run)}
    assert rows == {str(first): "", str(second): "1"}
    assert {r["id"]: r["rank"] for r in history(run, "--offline")} == rows


def test_a_rank_stays_when_the_leaderboard_cannot_be_read(
    run: Run, world: World
) -> None:
    scored(world, 50.0)
    history(run)
    world.answers["GET /api/phases/"] = [HTML_500] * 9
    result = run("history")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[-1] == "1"
    assert "ranks may be old" in result.stderr


def test_scores_and_reasons_that_the_server_no_longer_has_are_forgotten(
    run: Run, world: World, state: Path
) -> None:
    number = scored(world, 50.0)
    history(run)
    made = world.submissions[number]
    made.script, made.details = [("Failed", 0)], "program_rc=1"
    run("status", str(number))
    (record,) = Ledger(state).records()
    assert (record.status, record.scores, record.details) == (
        "Failed",
        {},
        "program_rc=1",
    )
    made.script, made.details = DONE, ""
    run("status", str(number))
    (record,) = Ledger(state).records()
    assert (record.details, record.scores["J_F_dot"]) == (None, 50.0)


def test_the_worker_s_host_name_is_no_reason(run: Run, world: World) -> None:
    number = world.add_submission(script=[("Running", 0), *DONE]).id
    shown = [run("status", str(number)).stdout for _ in range(2)]
    for text in (*shown, *(str(row) for row in history(run))):
        assert "hostname" not in text
    assert "server says      –" in shown[0]


# Without the server.


def test_offline_the_columns_are_the_leaderboards(run: Run, world: World) -> None:
    for local, value in ((0.47, 48.0), (0.48, 49.0), (0.49, 51.0)):
        number = scored(world, value)
        path = Path("scores.json").resolve()
        with path.open("w") as stream:
            json.dump({"totals": {"jf_dot": local}}, stream)
        run("history", "--local-scores", str(number), path)
        path.unlink()
    online = run("history").stdout
    world.answers["GET /"] = [HTML_500] * 9
    assert run("history", "--offline").stdout == online
    assert online.split("\n", 1)[0].split()[-9:-1] == list(COLUMNS.values())
    assert "server minus local  +1.33" in online


def test_offline_without_remembered_columns_no_measure_ranks(
    run: Run, state: Path, server: FakeServer
) -> None:
    rows = [
        {
            "url": server.url,
            "id": number,
            "competition": 10062,
            "username": "alice",
            "scores": json.dumps({"F": 1.0, "J_F_dot": 50.0 + number}),
            "local": 47.0 + number,
        }
        for number in range(3)
    ]
    write_schema_1(state, *rows)
    shown = run("history", "--offline").stdout
    assert "correlation" not in shown
    assert "J_F_dot" in shown


# Each competition apart.


def other_competition(world: World) -> int:
    """A second competition, and a submission of alice's in it."""
    board = {"score": "Score", "J": "Jaccard"}
    world.competitions[555] = {
        "id": 555,
        "title": "Other",
        "participant_status": "approved",
        "phases": [{"id": 77, "name": "Only", "tasks": [{"id": 1, "name": "t"}]}],
        "leaderboards": [world.leaderboard(board)],
    }
    made = world.add_submission(
        phase=77, script=[("Finished", 2)], scores={"score": 3.25, "J": 4.5}
    )
    return made.id


def test_a_submission_of_another_competition_stays_there(
    run: Run, world: World, state: Path
) -> None:
    number = other_competition(world)
    for command in ("status", "watch"):
        shown = run(command, str(number))
        assert shown.exit_code == 0, shown.output
        table = [line.split() for line in shown.stdout.splitlines()]
        assert ["Score", "3.25"] in table
        assert ["Jaccard", "4.50"] in table
    assert "competition      555 Other" in run("status", str(number)).stdout
    (record,) = Ledger(state).records()
    assert (record.competition, record.phase_name) == (555, "Only")
    assert history(run) == []
    rows = history(run, "--competition", "555")
    assert [row["id"] for row in rows] == [str(number)]


def test_a_local_score_does_not_move_a_submission(
    run: Run, world: World, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scores.json"
    path.write_text('{"totals": {"jf_dot": 0.5}}')
    number = other_competition(world)
    run("history", "--local-scores", str(number), path)
    (record,) = Ledger(state).records(url=None)
    assert (record.competition, record.local) == (555, 50.0)
    world.organisers.add("alice")
    theirs = scored(world, 50.0, owner="bob")
    refused = run("history", "--local-scores", str(theirs), path)
    assert refused.exit_code == 15
    assert f"submission {theirs} is of bob" in refused.stderr


def test_a_submission_of_an_unknown_competition_is_shown_by_its_keys(
    run: Run, world: World, state: Path
) -> None:
    number = other_competition(world)
    del world.competitions[555]
    shown = run("status", str(number))
    assert shown.exit_code == 0
    assert ["score", "3.25"] in [line.split() for line in shown.stdout.splitlines()]
    (record,) = Ledger(state).records()
    assert record.competition is None


# Files of the version before.


def test_a_ledger_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    ledger = write_schema_1(
        tmp_path,
        {"url": URL, "id": 1, "username": "alice", "label": "a", "competition": 5},
        {"url": URL, "id": 2, "username": "bob", "scores": '{"J": 1.5}'},
        {"url": URL, "id": 3, "local": 47.0, "competition": 5},
        {"url": "http://localhost:8", "id": 2, "username": "alice"},
        {"url": "http://localhost:8", "id": 4, "username": "alice"},
    )
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    for name in ("1.json", "2.json", "4.json", "99.json", "x.json"):
        (metrics / name).write_text(f'{{"from": "{name}"}}')
    assert ledger.find(URL, "alice", 1) == Record(
        URL, 1, username="alice", label="a", competition=5
    )
    bobs = ledger.find(URL, "bob", 2)
    assert bobs is not None
    assert bobs.scores == {"J": 1.5}
    assert ledger.find(URL, "alice", 2) is None
    # A local score that was given before anything else was known is its account's.
    ledger.update([Record(URL, 3, username="alice", status="Finished")])
    assert ledger.find(URL, "alice", 3) == Record(
        URL, 3, username="alice", competition=5, local=47.0, status="Finished"
    )
    assert ledger.find(URL, "bob", 3) is None
    assert ledger.require_metrics(URL, 1) == metrics / "www.codabench.org" / "1.json"
    assert ledger.metrics_path("http://localhost:8", 4).is_file()
    # Two servers have a submission of this number: it is fetched again.
    for url in (URL, "http://localhost:8"):
        assert not ledger.metrics_path(url, 2).is_file()


def test_taking_over_is_done_wholly_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = write_schema_1(
        tmp_path, {"url": URL, "id": 1, "username": "alice", "label": "kept"}
    )
    with monkeypatch.context() as patch:

        def interrupt(self: Ledger, base: sqlite3.Connection) -> None:
            raise KeyboardInterrupt

        patch.setattr(Ledger, "_take_over", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.records()
    (record,) = ledger.records()
    assert record.label == "kept"


def test_scores_of_objects_are_kept_for_each_server_apart(
    run: Run, world: World, state: Path, server: FakeServer
) -> None:
    number = scored(world, 50.0)
    Ledger(state).keep_metrics(URL, number, '{"other": "server"}')
    shown = run("status", str(number))
    path = Ledger(state).metrics_path(server.url, number)
    assert f"objects  {path}" in shown.stdout
    assert "aa_1" in json.loads(path.read_text())


def test_columns_are_remembered_for_each_account(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    columns = (Column("b", "B", descending=False), Column("a", "A"))

    def seen(*columns: Column) -> Competition:
        return Competition(5, "C", None, True, (), (Board("", "", columns),), ())

    ledger.keep_columns(URL, "alice", seen(*columns))
    ledger.keep_columns(URL, "bob", seen(columns[1]))
    ledger.keep_columns(URL, "alice", seen())  # They are hidden now.
    assert ledger.columns(URL, "alice", 5) == columns
    assert ledger.columns(URL, "bob", 5) == columns[1:]
    assert ledger.columns(URL, "carol", 5) == ()
    assert ledger.columns(URL, None, 6) == ()


def test_a_token_is_remembered_by_a_digest_only(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.keep_account(URL, Token(TOKEN, "a test"), "alice")
    assert ledger.account(URL, Token(TOKEN, "elsewhere")) == "alice"
    assert ledger.account(URL, Token(OTHER_TOKEN, "a test")) is None
    assert ledger.account("https://x.org", Token(TOKEN, "a test")) is None
    assert TOKEN.encode() not in ledger.path.read_bytes()
