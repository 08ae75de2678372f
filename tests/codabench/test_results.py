"""Output of a submission: scores first, other data when they arrive."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from submit.cli import _watching
from submit.codabench import Aside
from submit.errors import NetworkError, RefusedError
from tests.codabench.conftest import Run
from tests.codabench.world import (
    HTML_500,
    NOON,
    SCORES,
    FakeClock,
    Script,
    World,
    days,
)

DONE: Script = [("Finished", 8)]


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# The leaderboard is hidden.


@pytest.mark.parametrize("command", ["status", "watch"])
def test_where_the_leaderboard_is_hidden_the_scores_are_shown_by_their_keys(
    command: str, run: Run, world: World
) -> None:
    world.hidden_board = True
    world.add_submission(script=DONE)
    result = run(command, "9001")
    assert result.exit_code == 0, result.output
    shown = rows(result.stdout)
    assert shown.index(["J_F_dot", "50.12"]) < shown.index(["J", "48.20"])
    assert ["time", "1.00"] in shown
    data = json.loads(run(command, "9001", "--json").stdout)
    assert data["scores"] == SCORES
    assert data["names"]["J_F_dot"] == "J_F_dot"


def test_where_the_leaderboard_is_hidden_lists_show_the_scores(
    run: Run, world: World
) -> None:
    world.hidden_board = True
    world.add_submission(script=DONE)
    assert rows(run("status").stdout)[:2][1][-1] == "50.12"
    heads, first = rows(run("history").stdout)[:2]
    assert first[heads.index("J_F_dot") - len(heads)] == "50.12"


def test_names_that_were_seen_before_the_leaderboard_was_hidden_are_used(
    run: Run, world: World
) -> None:
    world.add_submission(script=DONE)
    run("history")
    world.hidden_board = True
    assert ["J&Ḟ", "50.12"] in rows(run("status", "9001").stdout)


def test_organisers_see_the_leaderboard_that_they_hide(run: Run, world: World) -> None:
    world.hidden_board = True
    world.organisers.add("alice")
    world.add_submission(script=DONE)
    assert ["J&Ḟ", "50.12"] in rows(run("status", "9001").stdout)


# Files that exist and are empty.


def test_the_archive_is_waited_for_when_the_scores_are_there(
    run: Run, world: World, clock: FakeClock
) -> None:
    world.add_submission(script=[("Running", 0), *DONE])
    result = run("watch", "9001")
    assert result.exit_code == 0
    (line,) = [row for row in rows(result.stdout) if row[:1] == ["objects"]]
    assert "aa_1" in json.loads(Path(line[1]).read_text())
    assert 20 <= clock.passed <= 60


def test_an_archive_that_stays_empty_is_left_for_later_and_then_fetched(
    run: Run, world: World, clock: FakeClock
) -> None:
    world.archive_delay = 1e9
    world.add_submission(script=[("Running", 0), *DONE])
    first = run("watch", "9001")
    assert first.exit_code == 0
    assert ["objects", "–"] in rows(first.stdout)
    assert "is not there yet; run submit status 9001 again later" in first.stderr
    assert clock.passed <= 140
    before = clock.passed
    again = run("status", "9001")
    assert ["objects", "–"] in rows(again.stdout)
    assert clock.passed == before
    world.archive_delay = 0.0
    assert ["objects", "–"] not in rows(run("status", "9001").stdout)


def test_waiting_for_the_archive_can_be_left_with_the_scores_on_the_screen(
    run: Run, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_submission(script=DONE)
    world.archive_delay = 1e9

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupt)
    result = run("watch", "9001")
    assert result.exit_code == 0
    assert ["J&Ḟ", "50.12"] in rows(result.stdout)
    assert "later they are in submit status 9001" in result.stderr


def test_logs_that_are_empty_are_not_written_yet(run: Run, world: World) -> None:
    world.logs = {
        "prediction_stdout": "predicting\n",
        "scoring_stdout": "scoring\n",
        "scoring_stderr": "",
    }
    made = world.add_submission(script=[("Running", 0), ("Scoring", 0), *DONE])
    running = run("logs", "9001")
    assert running.exit_code == 20
    assert "its logs are still empty; follow it with submit watch" in running.stderr
    made.place = 1
    some = run("logs", "9001", "--all")
    assert some.stdout.splitlines() == ["prediction_stdout", "  predicting"]
    assert "empty so far: scoring_stderr, scoring_stdout" in some.stderr
    made.place = 2
    assert "scoring" in run("logs", "9001").stdout


def test_empty_logs_are_not_written_to_files(
    run: Run, world: World, tmp_path: Path
) -> None:
    world.logs["prediction_stderr"] = ""
    world.add_submission(script=DONE)
    run("logs", "9001", "-o", tmp_path / "logs")
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["scoring_stderr.txt", "scoring_stdout.txt"]


def test_a_failure_without_any_log_says_so(run: Run, world: World) -> None:
    world.logs = dict.fromkeys(world.logs, "")
    world.add_submission(script=[("Failed", 0)], details="Bad or empty zip file")
    result = run("logs", "9001")
    assert result.exit_code == 20
    assert (
        "submission 9001 is Failed (Bad or empty zip file), and the worker has written "
        "no logs"
    ) in result.stderr
    assert "The end of" not in run("watch", "9001").stderr


def test_scores_that_are_not_there_yet_are_said_to_come(run: Run, world: World) -> None:
    world.add_submission(script=[("Finished", 0)])
    result = run("status", "9001")
    assert "the scores are not there yet; run submit status 9001" in result.stderr


# Hidden output.


@pytest.mark.parametrize("every", [[], ["--all"]])
def test_hidden_logs_are_not_taken_for_a_lack_of_approval(
    every: list[str], run: Run, world: World
) -> None:
    world.hide_output = True
    world.add_submission(script=DONE)
    result = run("logs", "9001", *every)
    assert result.exit_code == RefusedError.exit_code
    assert "the organisers show no logs and no result files" in result.stderr
    assert run("doctor").exit_code == 0


def test_hidden_results_hide_no_scores(run: Run, world: World) -> None:
    world.hide_scores = True
    world.add_submission(script=DONE)
    result = run("watch", "9001")
    assert result.exit_code == 0
    assert ["J&Ḟ", "50.12"] in rows(result.stdout)
    assert ["objects", "–"] in rows(result.stdout)


# The rank.


def test_a_submission_that_a_better_one_keeps_off_the_board_says_so(
    run: Run, world: World
) -> None:
    world.add_submission(script=DONE, scores={**SCORES, "J_F_dot": 51.3})
    world.add_submission(owner="bob", script=DONE, scores={**SCORES, "J_F_dot": 99.0})
    world.add_submission()
    assert (
        "rank     not on the leaderboard: your submission 9001 (J&Ḟ 51.30, rank 2) is "
        "better"
    ) in run("watch", "9003").stdout


def test_the_newest_of_force_last_keeps_a_better_one_off_the_board(
    run: Run, world: World
) -> None:
    world.rule = "Force_Last"
    for value in (60.0, 50.0):
        world.add_submission(script=DONE, scores={**SCORES, "J_F_dot": value})
    assert (
        "not on the leaderboard: your submission 9002 (J&Ḟ 50.00, rank 1) is newer"
    ) in run("status", "9001").stdout


def test_a_board_that_is_filled_by_hand_is_named(run: Run, world: World) -> None:
    world.rule = "Add_And_Delete"
    made = world.add_submission(script=DONE)
    assert "put it there on the website" in run("status", "9001").stdout
    made.chosen = True
    assert "1 on the leaderboard" in run("status", "9001").stdout


def test_a_name_that_breaks_the_servers_leaderboard_costs_only_the_rank(
    run: Run, world: World, clock: FakeClock
) -> None:
    world.add_submission(owner="é", script=DONE)
    world.add_submission(script=DONE, scores={**SCORES, "J_F_dot": 49.0})
    world.add_submission(script=[("Running", 0), *DONE])
    result = run("watch", "9003")
    assert result.exit_code == 0
    assert ["J&Ḟ", "50.12", "49.00", "+1.12"] in rows(result.stdout)
    assert ["rank", "–"] in rows(result.stdout)
    assert "cannot read the leaderboard: it has an internal error" in result.stderr
    assert run("history").exit_code == 0


def test_the_best_before_is_of_the_same_account(run: Run, world: World) -> None:
    world.organisers.add("alice")
    world.add_submission(owner="bob", script=DONE, scores={**SCORES, "J_F_dot": 99.0})
    world.add_submission(script=DONE, scores={**SCORES, "J_F_dot": 49.0})
    world.add_submission(script=DONE)
    assert "best before (9002)" in run("status", "9003").stdout


def test_organisers_have_no_submission_of_others_marked_or_followed(
    run: Run, world: World
) -> None:
    world.organisers.add("alice")
    world.display_names["bob"] = "alice"
    world.add_submission(owner="bob", script=DONE)
    assert "(you)" not in run("leaderboard").stdout
    none = run("watch")
    assert none.exit_code == 1
    assert "has no submission of yours" in none.stderr
    assert "9001" not in run("status").stdout
    mine = world.add_submission(script=DONE)
    board = run("leaderboard").stdout
    assert board.count("(you)") == 1
    assert f"9002: {mine.step[0]}" in run("watch").stderr


def test_an_organiser_sees_whose_submission_is_to_be_cancelled(
    run: Run, world: World
) -> None:
    world.organisers.add("alice")
    world.add_submission(owner="bob", script=[("Running", 0)])
    result = run("cancel", "9001", input="n\n")
    assert "Cancel 9001 of bob (Running)?" in result.stderr


# Nothing holds results up.


@pytest.fixture
def held(world: World) -> Iterator[Callable[[str], None]]:
    """Delay the answers to a request until the end of the test."""
    released = threading.Event()

    def hold(request: str) -> None:
        world.hooks[f"before {request}"] = lambda: released.wait(60)

    yield hold
    released.set()


@pytest.mark.parametrize(
    "request_held",
    [
        "GET /api/phases/123/get_leaderboard",
        "GET /api/competitions/",
        "GET /api/submissions/$",
        "GET /api/my_profile/",
    ],
)
@pytest.mark.parametrize("command", ["status", "watch"])
def test_a_request_that_is_not_answered_holds_up_no_scores(
    command: str,
    request_held: str,
    run: Run,
    world: World,
    held: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_watching, "NAMES", 0.2)
    monkeypatch.setattr(_watching, "RANK", 0.2)
    world.add_submission(script=DONE)
    held(request_held)
    result = run(command, "9001")
    assert result.exit_code == 0, result.output
    assert "50.12" in result.stdout
    assert "no answer within 0.2 seconds" in result.stderr


def test_the_scores_are_printed_before_the_leaderboard_is_asked(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    world.add_submission(script=DONE)
    show = _watching.SubmissionView.show

    def noting(self: _watching.SubmissionView, *arguments: object) -> None:
        asked = [path for _, path in world.requests if "get_leaderboard" in path]
        show(self, *arguments)  # type: ignore[arg-type]
        printed.extend(asked or ["first"])

    monkeypatch.setattr(_watching.SubmissionView, "show", noting)
    run("watch", "9001")
    assert printed == ["first"]


def test_the_leaderboard_does_not_wait_for_which_rows_are_ones_own(
    run: Run,
    world: World,
    held: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("submit.cli.leaderboard.OWN", 0.2)
    world.add_submission(script=DONE)
    held("GET /api/my_profile/")
    result = run("leaderboard")
    assert result.exit_code == 0
    assert "50.12" in result.stdout
    assert "see which submissions are yours: no answer within" in result.stderr


def test_the_history_does_not_wait_for_the_leaderboards(
    run: Run,
    world: World,
    held: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("submit.cli.history.BOARDS", 0.2)
    world.add_submission(script=DONE)
    held("GET /api/phases/")
    result = run("history")
    assert result.exit_code == 0
    assert "50.12" in result.stdout
    assert "no answer within 0.2 seconds" in result.stderr


def test_work_aside_gives_its_result_or_its_error() -> None:
    def refuse() -> None:
        raise RefusedError("no", "do this")

    assert Aside("count", lambda: 5).get(10.0) == 5
    with pytest.raises(RefusedError, match="no; do this"):
        Aside("ask", refuse).get(10.0)
    with pytest.raises(ZeroDivisionError):
        Aside("divide", lambda: 1 // 0).get(10.0)
    never = threading.Event()
    with pytest.raises(NetworkError, match="cannot wait: no answer within 0 seconds"):
        Aside("wait", never.wait).get(0.0)
    never.set()


def test_a_phase_that_has_not_begun_has_no_leaderboard_to_wait_for(
    run: Run, world: World
) -> None:
    world.more_phases = [
        {"id": 7, "name": "Test", "start": "2027-01-01T00:00:00Z", "end": None}
    ]
    assert days(30) + NOON < 1_798_761_600
    world.answers["GET /api/phases/7/"] = [HTML_500] * 9
    assert "Warning" not in run("history").stderr
