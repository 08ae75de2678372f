from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from submit.codabench import Client, Submission, Watch, Watched, WatchOutcome
from tests.codabench.conftest import Run
from tests.codabench.world import (
    BROKER_PASSWORD,
    HTML_502,
    SCORES,
    TOKEN,
    FakeClock,
    Script,
    World,
)


def events(client: Client, number: int, patience: float | None = None) -> list[Watched]:
    watch = Watch(client, number, client.competition(), patience)
    return list(watch.events())


def outcome(client: Client, number: int) -> WatchOutcome:
    found = events(client, number)[-1].outcome
    assert found is not None
    return found


def test_finished_is_not_the_end_until_all_scores_are_there(
    client: Client, world: World
) -> None:
    number = world.add_submission().id
    seen = events(client, number)
    assert [(e.submission.status, len(e.submission.scores)) for e in seen][-3:] == [
        ("Finished", 0),
        ("Finished", 6),
        ("Finished", 8),
    ]
    assert [e.outcome is not None for e in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].outcome is not None
    assert seen[-1].outcome.scored
    assert seen[-1].outcome.submission.values() == pytest.approx(SCORES)


def test_fewer_scores_than_columns_are_complete_when_they_no_longer_change(
    client: Client, world: World, clock: FakeClock
) -> None:
    number = world.add_submission(script=[("Finished", 0), ("Finished", 6)]).id
    found = outcome(client, number)
    assert found.scored
    assert len(found.submission.scores) == 6
    assert clock.passed < 30


def test_without_scores_the_watch_ends_after_a_grace(
    client: Client, world: World, clock: FakeClock
) -> None:
    found = outcome(client, world.add_submission(script=[("Finished", 0)]).id)
    assert not found.scored
    assert found.failed == ()
    assert 120 <= clock.passed <= 130


def test_finished_may_still_turn_into_failed(client: Client, world: World) -> None:
    script: Script = [("Running", 0), ("Finished", 0), ("Finished", 0), ("Failed", 0)]
    found = outcome(client, world.add_submission(script=script).id)
    assert [part.status for part in found.failed] == ["Failed"]


def test_a_status_may_go_backwards(client: Client, world: World) -> None:
    script: Script = [
        ("Running", 0),
        ("Submitted", 0),
        ("Finished", 0),
        ("Running", 0),
        ("Finished", 8),
    ]
    number = world.add_submission(script=script).id
    seen = events(client, number)
    assert [e.submission.status for e in seen] == [status for status, _ in script]
    assert seen[-1].outcome is not None


def test_an_unknown_status_is_not_the_end(client: Client, world: World) -> None:
    number = world.add_submission(script=[("Pondering", 0), ("Finished", 8)]).id
    seen = events(client, number)
    assert seen[0].submission.meaning == "a status that this version does not know"
    assert seen[-1].outcome is not None


@pytest.mark.parametrize(
    ("status", "seconds", "said"),
    [
        ("Submitting", 600, "the website has not queued it"),
        ("Submitted", 1800, "the queue is the organisers' own (mose)"),
        ("Running", 2 * (3600 + 1200), "longer than the phase allows"),
    ],
)
def test_what_is_stuck_is_explained_once(
    status: str, seconds: int, said: str, client: Client, world: World
) -> None:
    number = world.add_submission(script=[(status, 0)]).id
    seen = events(client, number, patience=4 * seconds)
    hints = [(event.seconds, event.hint) for event in seen if event.hint]
    ((when, hint),) = hints
    assert hint is not None
    assert said in hint
    assert "that costs the attempt" in hint
    assert seconds <= when <= seconds + 400


def test_evaluations_that_are_started_by_hand_are_not_called_stuck(
    client: Client, world: World
) -> None:
    world.auto_run = False
    number = world.add_submission(script=[("Submitting", 0)]).id
    hints = [e.hint for e in events(client, number, patience=3600) if e.hint]
    assert len(hints) == 1
    assert hints[0] is not None
    assert "start each evaluation by hand" in hints[0]


def test_a_part_that_failed_fails_the_whole(client: Client, world: World) -> None:
    parent = world.add_submission(script=[("Running", 0), ("Finished", 8)])
    good = world.add_submission(parent=parent.id, script=[("Finished", 8)])
    bad = world.add_submission(
        parent=parent.id, script=[("Running", 0), ("Running", 0), ("Failed", 0)]
    )
    bad.details = "Bad or empty zip file"
    parent.children = [good.id, bad.id]
    seen = events(client, parent.id)
    assert seen[1].submission.status == "Running"  # Though the parent is finished.
    found = seen[-1].outcome
    assert found is not None
    assert [(part.id, part.details) for part in found.failed] == [
        (bad.id, "Bad or empty zip file")
    ]


def test_the_scores_of_all_parts_are_waited_for(client: Client, world: World) -> None:
    parent = world.add_submission(script=[("Finished", 8), ("Finished", 8)])
    parent.children = [
        world.add_submission(parent=parent.id, script=[("Finished", 8)]).id
        for _ in range(2)
    ]
    assert outcome(client, parent.id).scored


def test_trouble_on_the_way_does_not_end_the_watch(
    client: Client, world: World
) -> None:
    number = world.add_submission(script=[("Running", 0), ("Finished", 8)]).id
    path = f"GET /api/submissions/{number}/"
    watch = Watch(client, number, client.competition())
    seen = []
    for event in watch.events():
        seen.append(event)
        if len(seen) == 1:
            world.answers[path] = [HTML_502] * 30
    hints = [event.hint for event in seen if event.hint]
    assert len(hints) == 1
    assert hints[0] is not None
    assert hints[0].endswith("(HTTP 502); watching continues")
    assert seen[-1].outcome is not None


def test_a_server_that_is_away_at_first_is_waited_for(
    client: Client, world: World
) -> None:
    number = world.add_submission(script=[("Finished", 8)]).id
    watch = Watch(client, number, client.competition())
    world.answers[f"GET /api/submissions/{number}/"] = [HTML_502] * 6
    seen = list(watch.events())
    assert [event.submission.status for event in seen] == ["Unreachable", "Finished"]
    assert seen[0].submission.meaning == "the server does not answer"


def test_parts_that_are_kept_from_participants_do_not_end_the_watch(
    client: Client, world: World
) -> None:
    parent = world.add_submission(script=[("Running", 0), ("Finished", 8)])
    parent.children = [777]
    assert outcome(client, parent.id).scored


@pytest.mark.slow
def test_a_day_of_watching_stays_far_below_the_limits_of_the_server(
    client: Client, world: World
) -> None:
    number = world.add_submission(script=[("Submitted", 0)]).id
    before = len(world.requests)
    events(client, number, patience=86400)
    assert len(world.requests) - before < 450


def test_looks_are_not_in_step_with_others(
    client: Client, world: World, clock: FakeClock
) -> None:
    events(client, world.add_submission(script=[("Running", 0)]).id, patience=60)
    assert len(set(clock.slept)) > 5
    assert all(3.9 < each < 6.1 for each in clock.slept[:-1])


# The command.


def test_watching_prints_the_scores_under_their_official_names(
    run: Run, world: World
) -> None:
    world.add_submission(script=[("Finished", 8)], scores={**SCORES, "J_F_dot": 49.5})
    world.add_submission()
    result = run("watch", "9002")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:3] == [
        ["measure", "score", "best", "before", "(9001)", "change"],
        ["J&Ḟ", "50.12", "49.50", "+0.62"],
        ["J", "48.20", "48.20", "+0.00"],
    ]
    assert ["rank", "1", "on", "the", "leaderboard"] in lines
    assert "9002: Submitted, it waits in the queue for a worker" in result.stderr
    assert result.stderr.index("9002: 6 scores") < result.stderr.index("9002: 8 scores")


def test_without_a_number_the_newest_is_watched(run: Run, world: World) -> None:
    world.add_submission(script=[("Failed", 0)])
    world.add_submission()
    world.add_submission(owner="bob", script=[("Failed", 0)])
    world.organisers.add("alice")
    result = run("watch")
    assert result.exit_code == 0
    assert "9002: Finished" in result.stderr


def test_a_failure_shows_the_end_of_the_log_and_has_its_own_status(
    run: Run, world: World
) -> None:
    world.status_details = "program_rc=1"
    world.logs["scoring_stderr"] = "\n".join(f"line {i}" for i in range(100)) + "\n"
    world.add_submission(script=[("Running", 0), ("Failed", 0)])
    result = run("watch", "9001")
    assert result.exit_code == 20
    lines = result.stderr.splitlines()
    assert "The end of scoring_stderr:" in lines
    assert "  line 99" in lines
    assert "  line 79" not in lines
    assert lines[-1] == (
        "Error: submission 9001 is Failed (program_rc=1), which costs no attempt; for "
        "all logs: submit logs 9001 --all"
    )


def test_logs_that_are_hidden_do_not_hide_the_failure(run: Run, world: World) -> None:
    world.hide_output = True
    world.add_submission(script=[("Failed", 0)])
    assert run("watch", "9001").exit_code == 20


def test_finished_without_scores_is_no_success(run: Run, world: World) -> None:
    world.add_submission(script=[("Finished", 0)])
    result = run("watch", "9001")
    assert result.exit_code == 20
    assert "is finished, and no scores came" in result.stderr


def test_when_the_time_is_over_the_status_says_so(run: Run, world: World) -> None:
    world.add_submission(script=[("Submitted", 0)])
    result = run("watch", "9001", "--timeout", "60")
    assert result.exit_code == 21
    assert "Your zip is not the reason" in result.stderr
    assert "is Submitted after 60 minutes" in result.stderr


def test_interrupting_a_watch_says_how_to_take_it_up(
    run: Run, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupt)
    world.add_submission()
    result = run("watch", "9001")
    assert result.exit_code == 130
    assert "to watch it again: submit watch 9001" in result.stderr


EVIL = "\x1b]0;owned\x07\x1b[2Jgone\u202e <script> " + TOKEN


def test_texts_of_the_server_cannot_drive_the_terminal(run: Run, world: World) -> None:
    world.organisers.add("alice")
    world.status_details = EVIL + f" amqp://u:{BROKER_PASSWORD}@h/v"
    world.logs["scoring_stderr"] = EVIL.replace(TOKEN, "") + "\nsecond\x9b31m line\r"
    world.add_submission(
        script=[("Run\x1b[2Jning", 0), ("Failed", 0)], file_name=EVIL, owner=EVIL
    )
    result = run("watch", "9001")  # The fixture looks for escapes and secrets.
    assert result.exit_code == 20
    assert "[hidden]" in result.stderr
    for command in (["status"], ["status", "9001"], ["logs", "9001"], ["history"]):
        shown = run(*command)
        assert shown.exit_code == 0
        assert "\x07" not in shown.output
        assert "\u202e" not in shown.output
        assert "\x9b" not in shown.output


def test_json_has_everything_that_scripts_want(run: Run, world: World) -> None:
    import json

    world.add_submission(script=[("Finished", 8)])
    data = json.loads(run("watch", "9001", "--json").stdout)
    assert data["status"] == "Finished"
    assert data["scores"]["J_F_dot"] == 50.1234
    assert data["names"]["J_F_dot"] == "J&Ḟ"
    assert data["rank"] == 1
    assert Path(data["metrics"]).is_file()


def test_the_state_of_one_submission_is_shown_without_waiting(
    run: Run, world: World, clock: FakeClock, make_zip: Callable[..., Path]
) -> None:
    world.script = [("Submitted", 0)]
    run("upload", make_zip(), "--skip-check", "--yes", "--no-watch", "--label", "mine")
    before = clock.passed
    one = run("status", "9001")
    assert "Submitted: it waits in the queue for a worker" in one.stdout
    assert run("status").stdout.splitlines()[1].split()[:2] == ["9001", "mine"]
    assert clock.passed == before


def test_a_submission_knows_whether_it_is_over() -> None:
    assert Submission(1, "Finished").is_final
    assert not Submission(1, "Unknown").is_final
    assert not Submission(1, "Finished").has_failed
