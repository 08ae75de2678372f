"""`submit upload`: the precheck, the plan, the question and the history."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import submit.errors
from submit.archive import pack
from submit.codabench import Client, Ledger, Package, Upload, make_plan
from submit.codabench.plan import Level
from submit.errors import QuotaError, RefusedError
from tests import submissions
from tests.codabench.conftest import Notes, Run
from tests.codabench.world import HTML_500, FakeClock, Reply, World, days

MakeZip = Callable[..., Path]


def test_each_exit_status_is_on_the_page_for_users(repository: Path) -> None:
    page = (repository / "docs" / "codabench.md").read_text("utf-8")
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    kinds = [getattr(submit.errors, name) for name in submit.errors.__all__]
    used = {kind.exit_code for kind in kinds}
    assert listed == sorted(used | {0, 2, 130})
    own = [kind.exit_code for kind in kinds if kind.exit_code != 1]
    assert len(own) == len(set(own))


def test_interrupted_while_uploading_it_says_that_nothing_is_lost(
    run: Run, make_zip: MakeZip, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Upload) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Upload, "run", interrupt)
    result = run("upload", make_zip(), "--skip-check", "--yes")
    assert result.exit_code == 130
    assert "the same command continues from here" in result.stderr


def test_a_large_zip_is_read_with_a_bar(
    run: Run, make_zip: MakeZip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.cli.upload._LARGE", 1)
    result = run("upload", make_zip(), "--skip-check", "--dry-run")
    assert "read: 10.1 kB in" in result.stderr


def test_json_names_what_was_submitted(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    path = make_zip()
    result = run("upload", path, "--skip-check", "--yes", "--json", "--no-watch")
    data = json.loads(result.stdout)
    assert (data["id"], data["label"], data["zip"]) == (9001, "entry", str(path))
    again = json.loads(run("upload", path, "--skip-check", "--json").stdout)
    assert again["sha256"] == data["sha256"]
    assert again["scores"]["J_F_dot"] == 50.1234


def test_without_a_split_the_precheck_must_be_skipped_by_name(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    result = run("upload", make_zip())
    assert result.exit_code == 2
    assert "--skip-check" in result.stderr
    assert world.requests == []


def test_a_zip_that_the_precheck_faults_is_not_uploaded(
    run: Run, make_zip: MakeZip, world: World, tmp_path: Path
) -> None:
    split = submissions.write_split(tmp_path / "split")
    result = run("upload", make_zip(), "--split", split, "--yes")
    assert result.exit_code == 1
    assert "the precheck has findings; correct them (submit repair" in result.stderr
    assert "findings" in result.stderr
    assert world.writes == []


def test_a_good_zip_goes_from_the_precheck_to_the_scores(
    run: Run, world: World, tmp_path: Path, state: Path
) -> None:
    split = submissions.write_split(tmp_path / "split")
    masks = submissions.write_masks(tmp_path / "masks")
    path = pack(masks, tmp_path / "both.zip").path
    result = run(
        "upload", path, "--split", split, "--label", "both, flipped", input="y\n"
    )
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert f"precheck          no findings against {split}" in lines
    assert "competition       MOSEv2; you are approved" in lines
    assert "phase             Validation, open for 3 d 0 h more" in lines
    assert "storage           14.00 GB of 15 GB left, 0.0 MB needed" in lines
    assert "Upload and submit to MOSEv2, Validation, which uses one attempt?" in (
        result.stderr
    )
    assert "9001: 8 scores are there" in lines[-1]
    # The runner of a click before 8.4 prints the answer here too.
    assert ["J&Ḟ", "50.12"] in [line.split() for line in result.stdout.splitlines()]
    (made,) = world.created
    assert made.file_name == f"both-flipped-{Package.read(path).mark}.zip"
    (record,) = Ledger(state).records()
    assert record.label == "both, flipped"
    assert record.sha256 == Package.read(path).sha256
    assert record.scores["J_F_dot"] == 50.1234
    assert record.rank == 1
    assert record.phase_name == "Validation"


def test_no_is_an_answer(run: Run, make_zip: MakeZip, world: World) -> None:
    result = run("upload", make_zip(), "--skip-check", input="n\n")
    assert result.exit_code == 1
    assert "nothing was uploaded" in result.stderr
    assert world.writes == []


def test_where_nobody_can_answer_yes_must_be_given(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    result = run("upload", make_zip(), "--skip-check")
    assert result.exit_code == 1
    assert "add --yes" in result.stderr
    assert world.writes == []


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    run: Run, make_zip: MakeZip, world: World, state: Path
) -> None:
    path = make_zip()
    result = run("upload", path, "--skip-check", "--dry-run")
    assert result.exit_code == 0
    assert "attempts          5 of 5 left today" in result.stdout
    assert "submitted before  no" in result.stdout
    assert world.writes == []
    assert not state.exists()
    data = json.loads(run("upload", path, "--skip-check", "--dry-run", "--json").stdout)
    assert data["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {check["level"] for check in data["checks"]} == {"fine", "warning"}


def test_a_dry_run_ends_with_the_status_of_the_first_obstacle(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.participant = "pending"
    world.storage_used = 15e9
    result = run("upload", make_zip(), "--skip-check", "--dry-run")
    assert result.exit_code == 11
    assert "your registration for MOSEv2 waits for the organisers" in result.stdout
    assert "of storage left" in result.stdout


def test_a_phase_can_be_named(run: Run, make_zip: MakeZip, world: World) -> None:
    world.more_phases = [
        {"id": 7, "name": "Test", "start": None, "end": None, "tasks": [{"id": 456}]}
    ]
    for phase in ("7", "Test", "test"):
        path = make_zip(f"{phase}.zip", phase)
        arguments = ["upload", path, "--skip-check", "--yes", "--no-watch"]
        assert run(*arguments, "--phase", phase).exit_code == 0
    assert {made.phase for made in world.created} == {7}
    wrong = run("upload", make_zip(), "--skip-check", "--phase", "Final")
    assert wrong.exit_code == 13
    assert "expected one of 123 Validation" in wrong.stderr


SHEET = {
    "method": {
        "key": "method",
        "type": "text",
        "title": "Method",
        "is_required": "true",
    },
    "extra": {
        "key": "extra",
        "type": "checkbox",
        "title": "Extra data",
        "selection": [True, False],
    },
    "net": {
        "key": "net",
        "type": "select",
        "title": "Network",
        "selection": ["SAM2", "other"],
        "is_required": "false",
    },
}


def test_the_fact_sheet_must_be_filled_in(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = SHEET
    path = make_zip()
    base = ["upload", path, "--skip-check", "--yes", "--no-watch"]
    missing = run(*base)
    assert missing.exit_code == 15
    assert missing.stderr.splitlines()[-1] == (
        "Error: the fact sheet asks for method (Method), net (Network); answer with "
        "--fact method=TEXT --fact 'net=SAM2|other'"
    )
    wrong = run(*base, "--fact", "method=m", "--fact", "net=x")
    assert "expected one of SAM2, other" in wrong.stderr
    assert "has no such question" in run(*base, "--fact", "typo=1").stderr
    assert "expected KEY=VALUE" in run(*base, "--fact", "typo").stderr
    assert world.writes == []
    given = ("--fact", "method=m=1", "--fact", "extra=yes", "--fact", "net=SAM2")
    good = run(*base, *given)
    assert good.exit_code == 0
    assert "fact sheet        3 of 3 answered" in good.stderr


def test_an_upload_that_is_refused_is_removed_unless_it_is_to_stay(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.create = ['{"phase": ["No"]}'] * 2
    base = ["upload", make_zip(), "--skip-check", "--yes"]
    assert run(*base, "--keep-upload").exit_code == 15
    assert len(world.datasets) == 1
    assert run(*base).exit_code == 15
    assert len(world.datasets) == 0


def test_an_upload_is_kept_when_only_the_attempts_are_used_up(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.hooks["before UPLOAD"] = lambda: setattr(world, "total_limit", 7)
    base = ["upload", make_zip(), "--skip-check", "--yes", "--no-watch"]
    assert run(*base).exit_code == 12
    world.total_limit = 50
    again = run(*base)
    assert again.exit_code == 0
    assert "an interrupted upload continues (uploaded, not submitted)" in again.stderr
    assert [method for method, _ in world.requests].count("UPLOAD") == 1


@pytest.mark.parametrize("version", ["v125", "new"])
def test_a_limit_that_only_the_creation_knows_of_costs_nothing(
    version: str, run: Run, make_zip: MakeZip, world: World
) -> None:
    world.version = version
    world.hooks["before POST /api/submissions"] = lambda: setattr(
        world, "total_limit", 7
    )
    result = run("upload", make_zip(), "--skip-check", "--yes")
    assert result.exit_code == 12, result.output
    assert world.created == []


def test_the_runs_that_a_zip_was_made_of_are_remembered(
    run: Run, make_zip: MakeZip, tmp_path: Path, state: Path
) -> None:
    from submit.runs import Identity
    from submit.runs import Run as RunFolder

    path = make_zip()
    for name in ("named", "built", "other"):
        split = {"path": "x", "fingerprint": "y"}
        identity = Identity("import", {"source": name}, split)
        with RunFolder.making(tmp_path / "runs" / name, identity) as made:
            made.fail("a", "no masks")
        packed = Package.read(path).sha256 if name == "built" else "0" * 64
        stamp = {"packed": {"source": {}, "result": packed}}
        (made.path / "built.json").write_text(json.dumps(stamp))
    local = tmp_path / "scores.json"
    local.write_text(json.dumps({"totals": {"jf_dot": 0.481}}))
    result = run(
        "upload",
        path,
        "--skip-check",
        "--yes",
        "--no-watch",
        "--runs",
        tmp_path / "runs",
        "--run",
        "named",
        "--local-scores",
        local,
    )
    assert result.exit_code == 0, result.output
    (record,) = Ledger(state).records()
    assert [each["name"] for each in record.runs] == ["named", "built"]
    assert record.runs[0]["settings"] == {"source": "named"}
    assert record.local == pytest.approx(48.1)
    shown = run("status", "9001").stdout.splitlines()
    assert "made of          named, built" in shown
    assert "hold-out         48.10" in shown


def test_scores_that_are_none_are_refused_before_anything(
    run: Run, make_zip: MakeZip, tmp_path: Path, world: World
) -> None:
    (tmp_path / "scores.json").write_text("{}")
    result = run("upload", make_zip(), "--skip-check", "--local-scores", tmp_path)
    assert result.exit_code == 1
    assert "holds no MOSEv2 totals" in result.stderr
    assert world.requests == []


def test_room_for_the_zip_but_not_for_its_copy_is_a_warning(
    client: Client, world: World, make_zip: MakeZip, state: Path
) -> None:
    package = Package.read(make_zip())
    world.storage_used = 15e9 - 1.5 * package.size
    plan = make_plan(client, package, state, competition=10062)
    (warning,) = (check for check in plan.checks if check.level is Level.WARNING)
    assert "which may not fit" in warning.text
    world.storage_used = 15e9 - 0.5 * package.size
    with pytest.raises(QuotaError):
        make_plan(client, package, state, competition=10062).require()


def test_a_plan_without_a_fact_sheet_sends_none(
    client: Client, world: World, make_zip: MakeZip, state: Path
) -> None:
    plan = make_plan(client, Package.read(make_zip()), state, competition=10062)
    assert plan.answers is None
    assert plan.label == "entry"


def test_a_competition_that_is_not_there_is_said(run: Run, make_zip: MakeZip) -> None:
    result = run("upload", make_zip(), "--skip-check", "--competition", "99")
    assert result.exit_code == 15
    assert "cannot read competition 99: No Competition matches" in result.stderr


def test_the_record_of_an_expired_address_is_removed(
    client: Client, world: World, make_zip: MakeZip, state: Path, notes: Notes
) -> None:
    world.put = ["expired"]
    plan = make_plan(client, Package.read(make_zip()), state, competition=10062)
    Upload(client, plan, state, listener=notes).run()
    assert len(world.datasets) == 1


def test_an_address_that_expires_during_the_retries_is_replaced(
    client: Client, world: World, make_zip: MakeZip, state: Path, notes: Notes
) -> None:
    world.put = [0, 0]
    world.hooks["before UPLOAD"] = lambda: setattr(
        world.clock, "passed", world.clock.passed + days(4.9999)
    )
    world.end = None
    plan = make_plan(client, Package.read(make_zip()), state, competition=10062)
    Upload(client, plan, state, listener=notes).run()
    assert any("has expired; taking a new one" in note for note in notes.notes)
    assert len(world.created) == 1


def test_an_upload_whose_record_was_deleted_meanwhile_begins_anew(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    world.answers["POST /api/submissions/"] = [HTML_500] * 2
    base = ["upload", make_zip(), "--skip-check", "--yes", "--no-watch"]
    assert run(*base).exit_code == 18
    world.datasets.clear()
    assert run(*base).exit_code == 0
    assert len(world.created) == 1


def test_facts_of_a_competition_without_a_sheet_are_refused(client: Client) -> None:
    with pytest.raises(RefusedError, match="it has none"):
        client.competition().answers({"a": "b"})


# As the real server behaves.


@pytest.mark.parametrize("where", ["before UPLOAD", "after UPLOAD"])
def test_a_record_that_is_deleted_meanwhile_is_replaced_at_once(
    where: str, run: Run, make_zip: MakeZip, world: World, clock: FakeClock
) -> None:
    def delete() -> None:
        world.hooks.clear()
        world.datasets.clear()

    world.hooks[where] = delete
    result = run("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 0, result.output
    assert "the upload was deleted on the server; sending it again" in result.stderr
    assert [method for method, _ in world.requests].count("UPLOAD") == 2
    assert clock.slept == []
    assert len(world.created) == 1


def test_a_server_that_deletes_every_record_is_given_up(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.hooks["after UPLOAD"] = world.datasets.clear
    result = run("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 18
    assert "its record was deleted on the server" in result.stderr.splitlines()[-1]
    assert [method for method, _ in world.requests].count("UPLOAD") == 4


def test_an_upload_that_never_began_is_not_looked_at_twice(
    run: Run, make_zip: MakeZip, world: World, clock: FakeClock
) -> None:
    base = ["upload", make_zip(), "--skip-check", "--yes", "--no-watch"]
    world.put = [0] * 20
    assert run(*base).exit_code == 19
    world.put = []
    before = clock.passed
    assert run(*base).exit_code == 0
    assert clock.passed == before


@pytest.mark.parametrize("status", ["pending", "denied"])
def test_approval_that_is_withdrawn_is_no_lack_of_attempts(
    status: str, run: Run, make_zip: MakeZip, world: World
) -> None:
    world.hooks["before UPLOAD"] = lambda: setattr(world, "participant", status)
    result = run("upload", make_zip(), "--skip-check", "--yes")
    assert result.exit_code == 11
    assert (
        "User not approved to participate in this competition; register on"
    ) in result.stderr.splitlines()[-1]
    assert world.created == []


def test_a_reason_that_is_not_known_is_passed_on(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    no = Reply(200, {"can": False, "reason": "The competition is being moved"})
    world.answers["GET /api/can_make_submission/"] = [no]
    result = run("upload", make_zip(), "--skip-check", "--yes")
    assert result.exit_code == 15
    assert "phase Validation: The competition is being moved" in result.stderr


def test_who_is_exempt_from_the_limit_may_submit(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.day_limit = 1
    world.add_submission(script=[("Finished", 8)])
    yes = Reply(200, {"can": True, "reason": None})
    world.answers["GET /api/can_make_submission/"] = [yes]
    result = run("upload", make_zip(), "--skip-check", "--dry-run")
    assert result.exit_code == 0
    assert "0 of 1 left today" in result.stdout
    assert "the server accepts one nevertheless" in result.stdout


def test_a_resumed_upload_keeps_what_it_was_given(
    run: Run, make_zip: MakeZip, world: World, tmp_path: Path, state: Path
) -> None:
    world.fact_sheet = SHEET
    local = tmp_path / "scores.json"
    local.write_text(json.dumps({"totals": {"jf_dot": 0.481}}))
    base = ["upload", make_zip(), "--skip-check", "--yes", "--no-watch"]
    world.put = [0] * 20
    facts = ("--fact", "method=m", "--fact", "net=other")
    given = ("--label", "mine", "--local-scores", local, *facts)
    assert run(*base, *given).exit_code == 19
    world.put = []
    result = run(*base, "--fact", "net=SAM2")
    assert result.exit_code == 0, result.output
    assert "submission 9001 of mine is in" in result.stderr
    (record,) = Ledger(state).records()
    assert record.label == "mine"
    assert record.local == pytest.approx(48.1)
    assert world.answered == {"method": "m", "extra": False, "net": "SAM2"}
    # Its watch does not rename it either.
    assert run("upload", base[1], "--skip-check").exit_code == 0
    (record,) = Ledger(state).records()
    assert record.label == "mine"


def test_a_resumed_upload_can_be_given_another_label(
    run: Run, make_zip: MakeZip, world: World, state: Path
) -> None:
    base = ["upload", make_zip(), "--skip-check", "--yes", "--no-watch"]
    world.put = [0] * 20
    assert run(*base, "--label", "mine").exit_code == 19
    world.put = []
    assert run(*base, "--label", "better").exit_code == 0
    (record,) = Ledger(state).records()
    assert record.label == "better"


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        *[(word, True) for word in ("yes", "true", "1", "ON", " y ")],
        *[(word, False) for word in ("no", "False", "0", "off", "n", "")],
        *[(word, None) for word in ("maybe", "ja", "2")],
    ],
)
def test_a_checkbox_is_yes_or_no(
    typed: str, sent: bool | None, run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = {"extra": {"type": "checkbox", "selection": [True, False]}}
    result = run(
        *("upload", make_zip(), "--skip-check", "--yes", "--no-watch"),
        *("--fact", f"extra={typed}"),
    )
    if sent is None:
        assert result.exit_code == 15
        assert f"--fact extra={typed}: expected yes or no" in result.stderr
        assert world.writes == []
    else:
        assert result.exit_code == 0, result.output
        assert world.answered == {"extra": sent}


def test_a_checkbox_without_choices_does_not_break_the_server(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = {
        "yes": {"type": "checkbox", "selection": "", "is_required": "true"},
        "no": {"type": "checkbox", "selection": ""},
        "text": {"type": "text", "selection": ""},
    }
    base = ("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert run(*base, "--fact", "yes=yes").exit_code == 0
    assert world.answered == {"yes": "true", "no": "", "text": ""}


def test_choices_are_sent_as_the_server_has_them(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = {
        "count": {"type": "select", "selection": [1, 2]},
        "net": {"type": "select", "selection": ["SAM  2", "other"]},
    }
    base = ("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    given = ("--fact", "count=2", "--fact", "net=SAM 2")
    assert run(*base, *given).exit_code == 0
    assert world.answered == {"count": 2, "net": "SAM  2"}


def test_all_that_is_wrong_with_the_facts_is_named_at_once(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = {
        **SHEET,
        "code": {"type": "text", "title": "Link", "is_required": "true"},
    }
    given = ("--fact", "extra=maybe", "--fact", "net=x", "--fact", "typo=1")
    result = run("upload", make_zip(), "--skip-check", "--yes", *given)
    assert result.exit_code == 15
    said = result.stderr.splitlines()[-1]
    for part in (
        "--fact typo: the fact sheet has no such question, it has method, extra",
        "--fact extra=maybe: expected yes or no",
        "--fact net=x: expected one of SAM2, other",
        "the fact sheet asks for method (Method), code (Link)",
        "answer with --fact method=TEXT --fact code=TEXT",
    ):
        assert part in said


def test_an_empty_answer_to_a_required_question_is_none(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.fact_sheet = SHEET
    given = ("--fact", "method= ", "--fact", "net=SAM2")
    result = run("upload", make_zip(), "--skip-check", "--yes", *given)
    assert result.exit_code == 15
    assert "the fact sheet asks for method" in result.stderr


def test_an_organiser_may_submit_a_zip_that_somebody_else_has_submitted(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    path = make_zip()
    world.organisers.add("alice")
    world.add_submission("k", f"theirs-{Package.read(path).mark}.zip", owner="bob")
    result = run("upload", path, "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 0, result.output


def test_submissions_of_others_make_no_doubt_about_ones_own(
    run: Run, make_zip: MakeZip, world: World
) -> None:
    world.organisers.add("alice")
    world.create = ["fail"]
    world.hooks["before POST /api/submissions/"] = lambda: world.add_submission(
        file_name="theirs.zip", owner="bob"
    )
    result = run("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 0, result.output
    assert [made.owner for made in world.created].count("alice") == 1
