"""Phases with several tasks: each has its own scores, logs and end."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.codabench.conftest import Run
from tests.codabench.test_results import rows
from tests.codabench.world import SCORES, FakeSubmission, Script, World

DONE: Script = [("Finished", 8)]
FAILED: Script = [("Failed", 0)]


@pytest.fixture
def tasks(world: World) -> World:
    """A phase of two tasks."""
    world.tasks = [{"id": 456, "name": "valid"}, {"id": 457, "name": "hard"}]
    return world


def submitted(
    world: World, first: Script = DONE, second: Script = DONE, value: float = 50.0
) -> FakeSubmission:
    """A submission whose second task scores 10 less than its first."""
    parent = world.add_parts("k", "both.zip", list(first), list(second))
    for place, part in enumerate(world.parts(parent)):
        part.scores = {**SCORES, "J_F_dot": value - 10 * place}
    return parent


def test_each_task_has_a_table_that_says_which_it_is(run: Run, tasks: World) -> None:
    submitted(tasks, value=40.0)
    parent = submitted(tasks)
    for command in ("status", "watch"):
        shown = rows(run(command, str(parent.id)).stdout)
        first = shown.index(["task", "valid:", "9005,", "Finished"])
        second = shown.index(["task", "hard:", "9006,", "Finished"])
        assert shown[first + 2] == ["J&Ḟ", "50.00", "40.00", "+10.00"]
        assert shown[second + 2] == ["J&Ḟ", "40.00", "30.00", "+10.00"]
    data = json.loads(run("status", str(parent.id), "--json").stdout)
    assert [task["task"] for task in data["tasks"]] == ["valid", "hard"]
    assert [task["scores"]["J_F_dot"] for task in data["tasks"]] == [50.0, 40.0]


def test_lists_show_the_first_task_and_say_so(run: Run, tasks: World) -> None:
    # The parts finish in another order, and so their scores are mixed in the whole.
    parent = submitted(tasks)
    parent.children.reverse()
    heads, first = run("status").stdout.splitlines()[:2]
    assert heads.endswith("J&Ḟ, task valid")
    assert first.split()[-1] == "50.00"
    (row,) = csv.DictReader(io.StringIO(run("history", "--csv").stdout))
    assert row["J_F_dot"] == "50.0"
    shown = rows(run("history").stdout)
    assert shown[1][shown[0].index("task") - len(shown[0])] == "valid"


def test_the_leaderboard_has_columns_for_each_task(run: Run, tasks: World) -> None:
    submitted(tasks)
    heads, row = run("leaderboard").stdout.splitlines()[:2]
    assert "J&Ḟ, valid" in heads
    assert "J&Ḟ, hard" in heads
    assert row.split()[:4] == ["1", "alice", "(you)", "50.00"]
    assert "40.00" in row
    (data,) = json.loads(run("leaderboard", "--json").stdout)
    assert data["tasks"]["hard"]["J_F_dot"] == 40.0


def test_a_task_that_failed_counts_an_attempt_and_hides_no_scores(
    run: Run, tasks: World
) -> None:
    parent = submitted(tasks, second=[("Running", 0), *FAILED])
    tasks.parts(parent)[1].details = "program_rc=1"
    before = tasks.used()
    result = run("watch", str(parent.id))
    assert result.exit_code == 20
    assert result.stderr.splitlines()[-1] == (
        "Error: submission 9001, task hard is Failed (program_rc=1), which costs an "
        "attempt; for all logs: submit logs 9003 --all"
    )
    assert "9001: Finished, 1 of 2 tasks failed, this costs an attempt" in result.stderr
    assert "The end of scoring_stderr:" in result.stderr
    assert ["J&Ḟ", "50.00"] in rows(result.stdout)
    assert tasks.used() == before
    for command in ("status", "history"):
        assert "Finished, 1 of 2 tasks failed" in run(command).stdout
    assert "Finished, 1 of 2 tasks failed" in run("status", "9001").stdout


def test_a_whole_that_failed_costs_no_attempt(run: Run, tasks: World) -> None:
    parent = submitted(tasks, FAILED, FAILED)
    parent.script = [("Failed", 0)]
    assert "which costs no attempt" in run("watch", "9001").stderr


def test_when_all_tasks_failed_there_is_nothing_to_wait_for(
    run: Run, tasks: World
) -> None:
    submitted(tasks, FAILED, FAILED)
    result = run("watch", "9001")
    assert result.exit_code == 20
    assert tasks.clock.passed < 10


def test_a_whole_names_the_parts_that_have_the_logs(run: Run, tasks: World) -> None:
    submitted(tasks, DONE, FAILED)
    result = run("logs", "9001")
    assert result.exit_code == 20
    assert result.stderr.splitlines()[-1] == (
        "Error: submission 9001 has a part for each of its 2 tasks, and no logs of its "
        "own; do: submit logs 9002 (valid, Finished), submit logs 9003 (hard, Failed)"
    )
    assert "reading" in run("logs", "9002").stdout


def test_the_scores_of_objects_are_kept_for_each_task(run: Run, tasks: World) -> None:
    (scores,) = [v for v in (tasks.metrics or {}).values() if isinstance(v, dict)]
    tasks.metrics = {f"{video}_1": scores for video in ("aa", "bb", "cc")}
    tasks.metrics["total_time"] = 1.0
    for _ in range(2):
        submitted(tasks)
    shown = [run("status", number).stdout for number in ("9001", "9004")]
    for name in ("9002.json", "9003.json"):
        assert name in shown[0]
    # Wholes are compared by their first tasks.
    assert run("history", "--compare", "9001", "9004").exit_code == 0


def test_an_upload_to_several_tasks_is_watched_to_the_end_of_all(
    run: Run, tasks: World, make_zip: object
) -> None:
    assert callable(make_zip)
    result = run("upload", make_zip(), "--skip-check", "--yes")
    assert result.exit_code == 0, result.output
    assert [s.parent for s in tasks.submissions.values()] == [None, 9001, 9001]
    assert "task valid: 9002, Finished" in result.stdout
    assert "task hard: 9003, Finished" in result.stdout
