from __future__ import annotations

import csv
import io
import json
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from submit.codabench import (
    Ledger,
    Record,
    ScoreLine,
    Submission,
    correlate,
    previous_best,
)
from submit.codabench.client import Client
from submit.codabench.results import score_lines
from submit.codabench.submission import Score
from submit.errors import CodabenchError, StorageError
from tests.codabench.conftest import Run
from tests.codabench.fake_server import FakeServer
from tests.codabench.world import HTML_500, SCORES, World

URL = "https://www.codabench.org"


def test_what_is_not_known_leaves_what_is_remembered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    runs = ({"name": "plain"},)
    alice = partial(Record, URL, 1, username="alice")
    ledger.keep(alice(competition=5, label="mine", local=48.1, runs=runs))
    ledger.merge([alice(status="Finished", scores={"J": 1.5}, rank=3)])
    ledger.merge([alice(status="Running")])
    assert ledger.find(URL, "alice", 1) == alice(
        competition=5,
        label="mine",
        local=48.1,
        runs=runs,
        status="Running",
        scores={"J": 1.5},
        rank=3,
    )
    assert ledger.find("https://other.org", "alice", 1) is None
    assert ledger.find(URL, "bob", 1) is None
    assert ledger.find(URL, "alice", 2) is None
    assert ledger.records(competition=6) == []
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_is_not_there_is_empty_and_not_made(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "state").records() == []
    assert not (tmp_path / "state").exists()


def test_a_ledger_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match="move the file away"):
        Ledger(tmp_path).records()


def test_a_ledger_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as base:
        base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(StorageError, match="has schema 9, this version knows 2"):
        Ledger(tmp_path).records()


def test_local_and_server_scores_are_correlated() -> None:
    found = correlate([(47.0, 50.0), (48.0, 51.0), (49.0, 53.0), (50.0, 52.0)])
    assert found is not None
    assert found.count == 4
    assert found.pearson == pytest.approx(0.8)
    assert found.spearman == pytest.approx(0.8)
    assert found.offset == pytest.approx(3.0)
    ties = correlate([(1, 1), (1, 2), (2, 3)])
    assert ties is not None
    assert ties.spearman == pytest.approx(0.866025)


def test_what_cannot_be_correlated_is_not() -> None:
    assert correlate([(1, 2), (2, 3)]) is None
    assert correlate([(1, 2), (2, 3), (float("nan"), 1)]) is None
    flat = correlate([(1, 2), (1, 3), (1, 4)])
    assert flat is not None
    assert flat.pearson is None


def submission(number: int, value: float, status: str = "Finished") -> Submission:
    return Submission(number, status, scores=(Score("J_F_dot", value),))


def test_the_previous_best_is_an_earlier_one(client: Client) -> None:
    competition = client.competition()
    others = [
        submission(1, 50.0),
        submission(2, 51.0),
        submission(3, 99.0, "Failed"),
        Submission(4, "Finished"),
        submission(5, 49.0),
        submission(6, 80.0),
    ]
    best = previous_best(competition, others, others[4])
    assert best is not None
    assert best.id == 2
    assert previous_best(competition, others, others[0]) is None


def test_better_is_as_the_column_is_sorted(client: Client) -> None:
    lines = score_lines(
        client.competition().columns, {"J": 2.0, "time": 2.0}, {"J": 1.0, "time": 1.0}
    )
    by_key = {line.key: line for line in lines}
    assert by_key["J"] == ScoreLine("J", "J", 2.0, "2.00", 1.0, 1.0, True)
    assert by_key["time"].is_better is False
    assert by_key["F"].shown is None


# The commands.


@pytest.fixture
def history(world: World) -> World:
    for value, name in ((48.0, "a"), (49.0, "b"), (51.0, "c")):
        world.add_submission(
            file_name=f"{name}.zip",
            script=[("Finished", 8)],
            scores={**SCORES, "J_F_dot": value},
        )
    world.add_submission(file_name="d.zip", script=[("Running", 0)])
    world.add_submission(file_name="x.zip", owner="another")
    return world


def write_scores(path: Path, value: float) -> Path:
    path.write_text(json.dumps({"totals": {"jf_dot": value}}))
    return path


def test_the_history_has_the_servers_list_and_the_local_scores(
    run: Run, history: World, tmp_path: Path
) -> None:
    for number, value in ((9001, 0.47), (9002, 0.472), (9003, 0.49)):
        path = write_scores(tmp_path / "scores.json", value)
        result = run("history", "--local-scores", str(number), path)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1][:6] == ["9001", "2026-11-22", "12:00", "a.zip", "Finished", "47.00"]
    assert lines[4][:5] == ["9004", "2026-11-22", "12:00", "d.zip", "Running"]
    assert "another" not in result.stdout
    assert "x.zip" not in result.stdout
    assert ["local", "and", "server", "3", "submissions", "have", "both"] in lines
    assert ["of", "the", "ranks", "1.000"] in lines


def test_the_history_is_there_without_the_server(
    run: Run, history: World, server: FakeServer
) -> None:
    before = run("history").stdout.splitlines()
    history.answers["GET /"] = [HTML_500] * 9
    offline = run("history", "--offline")
    assert offline.exit_code == 0
    assert [line.split()[0] for line in offline.stdout.splitlines()] == [
        line.split()[0] for line in before
    ]
    assert run("history").exit_code == 18


def test_the_history_as_csv_and_json(run: Run, history: World) -> None:
    rows = list(csv.DictReader(io.StringIO(run("history", "--csv").stdout)))
    assert [row["id"] for row in rows] == ["9001", "9002", "9003", "9004"]
    assert rows[0]["J_F_dot"] == "48.0"
    assert rows[3]["J_F_dot"] == ""
    data = json.loads(run("history", "--json", "--phase", "123").stdout)
    assert [row["scores"].get("J_F_dot") for row in data] == [48.0, 49.0, 51.0, None]
    assert json.loads(run("history", "--json", "--phase", "9").stdout) == []


def test_a_label_in_the_csv_is_no_formula(run: Run, history: World) -> None:
    history.submissions[9001].file_name = "=cmd|x"
    rows = list(csv.DictReader(io.StringIO(run("history", "--csv").stdout)))
    assert rows[0]["file_name"] == "'=cmd|x"


def test_two_submissions_are_compared_object_by_object(
    run: Run, history: World, state: Path
) -> None:
    names = (
        "J&F_new",
        "J",
        "F_new",
        "disappear_J&F_new",
        "reappear_J&F_new",
        "F",
        "J&F",
    )
    for number, value in ((9001, 50.0), (9002, 60.0)):
        history.metrics = {
            f"{video}_1": dict.fromkeys(names, value + place)
            for place, video in enumerate(("aa", "bb", "cc"))
        } | {"total_time": 1.0}
        assert run("status", str(number)).exit_code == 0
    result = run("history", "--compare", "9001", "9002")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[:4] == [
        "J&Ḟ",
        "51.00",
        "61.00",
        "+10.00",
    ]
    missing = run("history", "--compare", "9001", "9003")
    assert missing.exit_code == 1
    assert "fetch them with submit status 9003" in missing.stderr


@pytest.mark.parametrize("kept_back", ["no metrics", "hidden", "broken"])
def test_scores_of_objects_that_are_kept_back_are_no_failure(
    kept_back: str, run: Run, history: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept_back == "no metrics":
        history.metrics = None
    elif kept_back == "hidden":
        history.hide_output = True
    else:
        monkeypatch.setattr(World, "result_archive", lambda self: b"no zip")
    result = run("status", "9001")
    assert result.exit_code == 0
    assert "50.12" not in result.stdout
    assert "48.00" in result.stdout
    assert "objects  –" in result.stdout


def test_metrics_that_are_asked_for_and_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(CodabenchError, match="submit status 5"):
        Ledger(tmp_path).require_metrics(URL, 5)


def test_the_leaderboard_marks_what_is_yours(run: Run, history: World) -> None:
    history.board = [
        {
            "id": number,
            "owner": owner,
            "scores": [{"column_key": "J_F_dot", "score": f"{value:.4f}"}],
        }
        for number, owner, value in (
            (1, "first", 60.0),
            (2, "alice", 55.0),  # A name that is not unique.
            (9003, "Team A", 51.0),
        )
    ]
    lines = run("leaderboard", "--top", "2").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["1", "first", "60.00"],
        ["2", "alice", "55.00"],
        ["3", "Team", "A"],
    ]
    assert "(you)" in lines[3]
    data = json.loads(run("leaderboard", "--json").stdout)
    assert [row["own"] for row in data] == [False, False, True]


def test_parts_on_the_leaderboard_stand_for_their_whole(
    run: Run, history: World
) -> None:
    history.submissions[9003].children = [9101, 9102]
    for part in (9101, 9102):
        history.submissions[part] = history.submissions[9001]
    score = {"column_key": "J_F_dot", "score": "51.0"}
    history.board = [
        {"id": 1, "owner": "first", "scores": []},
        {
            "id": 9101,
            "owner": "alice",
            "scores": [score],
            "detailed_results": [{"task": 1, "id": 9101}, {"task": 2, "id": 9102}],
        },
    ]
    assert "(you)" in run("leaderboard").stdout.splitlines()[2]
    assert "rank     2 on the leaderboard" in run("status", "9003").stdout
    data = json.loads(run("history", "--json").stdout)
    assert {row["id"]: row["rank"] for row in data}[9003] == 2


def test_the_leaderboard_can_be_seen_without_a_token(run: Run, history: World) -> None:
    result = run("leaderboard", token="")
    assert result.exit_code == 0
    assert "(you)" not in result.stdout


def test_logs_are_printed_or_written(run: Run, history: World, tmp_path: Path) -> None:
    history.logs["../evil"] = "x"
    assert run("logs", "9001", "--lines", "1").stdout.splitlines() == [
        "scoring_stdout",
        "  reading",
        "",
        "scoring_stderr",
        "  KeyError: 'ab12'",
    ]
    result = run("logs", "9001", "-o", tmp_path / "logs")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "___evil.txt",
        "scoring_stderr.txt",
        "scoring_stdout.txt",
    ]
    assert "../evil" in json.loads(run("logs", "9001", "--all", "--json").stdout)
    history.logs = {}
    assert run("logs", "9001").exit_code == 20


def test_cancelling_asks_first_and_says_what_it_costs(run: Run, history: World) -> None:
    refused = run("cancel", "9004", input="n\n")
    assert refused.exit_code == 1
    assert "Its attempt stays used" in refused.stderr
    assert history.writes == []
    assert run("cancel", "9004", "--yes").exit_code == 0
    assert history.status(history.submissions[9004]) == "Cancelled"
    again = run("cancel", "9004", "--yes")
    assert again.exit_code == 1
    assert "there is nothing to cancel" in again.stderr
    assert run("cancel", "1", "--yes").exit_code == 15
