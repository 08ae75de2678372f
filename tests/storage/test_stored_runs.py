"""Runs in a storage: sent as they are made, continued and read from any machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from submit import api
from submit.cli import cli
from submit.runs import Run, kept
from submit.storage import own_storage
from submit.system import holders
from submit.system.files import digest
from tests.storage.faulty import FaultyStorage

Submit = Callable[..., Result]

SPLIT = "a bucket/välid"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no time, and forget what other tests keep."""
    monkeypatch.setattr(holders, "_BEAT", 0.01)
    monkeypatch.setattr(holders, "_PATIENCE", 0.2)
    monkeypatch.setattr(holders, "_SETTLED", 0.0)
    monkeypatch.setattr(kept, "_AGAIN", 0.0)
    monkeypatch.setattr(kept, "_KEPT", {})


@pytest.fixture
def submit(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Submit:
    """Run a command on the first machine, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, status: int = 0, machine: str = "first") -> Result:
        monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / machine))
        # Another process would know nothing of an earlier command.
        monkeypatch.setattr(kept, "_KEPT", {})
        result = runner.invoke(cli, [str(word) for word in words])
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def predict(submit: Submit, storage: FaultyStorage) -> Submit:
    """Predict the split on disk into a run of the storage."""

    def run(name: str, *more: object, **how: int) -> Result:
        return submit(
            *("predict", storage.root / SPLIT, "--predictor", "static"),
            *("--name", name, "--runs", storage.url("a bucket/runs"), *more),
            **how,
        )

    return run


def stored(storage: FaultyStorage, name: str) -> Path:
    return storage.root / "a bucket" / "runs" / name


@pytest.mark.slow
def test_run_is_sent_and_packed_on_another_machine(
    storage: FaultyStorage, submit: Submit, predict: Submit
) -> None:
    predict("run")
    submit("predict", storage.root / SPLIT, "--predictor", "static", "--name", "here")
    there, here = Run.open(stored(storage, "run")), Run.open(Path("runs/here"))
    assert there.identity == here.identity
    assert sorted(path.name for path in stored(storage, "run").iterdir()) == [
        "manifest.json",
        "soft",
    ]
    where = ("--runs", storage.url("a bucket/runs"))
    submit("runs", *where, machine="second")
    assert storage.fetched == []
    submit("pack", "run", "-o", "there.zip", *where, machine="second")
    submit("pack", "here", "-o", "here.zip")
    assert digest(Path("there.zip")) == digest(Path("here.zip"))
    # The masks are those of this machine: they can be made again.
    assert not (stored(storage, "run") / "masks").exists()


@pytest.mark.slow
def test_video_is_sent_before_it_is_named(
    storage: FaultyStorage, predict: Submit
) -> None:
    predict("run")
    sent = [Path(one).name for one in storage.sent]
    kinds = [one for one in sent if one != ".writer"]
    assert kinds == [
        *("manifest.json", "b.npz", "manifest.log", "a.npz", "manifest.log"),
        "manifest.json",
    ]


@pytest.mark.slow
def test_another_machine_continues_without_what_is_finished(
    storage: FaultyStorage, predict: Submit
) -> None:
    predict("run", "--videos", "a")
    result = predict("run", machine="second")
    assert "already complete: 1 of 2" in result.output
    assert storage.fetched == []
    assert list(Run.open(stored(storage, "run")).videos) == ["a", "b"]
    # The first one hears of it.
    assert "already complete: 2 of 2" in predict("run").output


@pytest.mark.slow
@pytest.mark.parametrize("soft", ["--soft", "--no-soft"])
def test_commands_read_runs_of_a_storage(
    storage: FaultyStorage, submit: Submit, predict: Submit, soft: str
) -> None:
    predict("one", soft)
    predict("two", "--variant", "hflip", soft)
    where = ("--runs", storage.url("a bucket/runs"))
    split = ("--split", storage.root / SPLIT)
    commands: list[tuple[object, ...]] = [
        ("score", "one", *split),
        ("check", "one", *split),
        ("preview", "one", "two", *split),
        ("export", "one", "-o", "masks"),
        ("report", "one", "two", *split, "-o", "report"),
    ]
    if soft == "--soft":
        commands.append(("ensemble", "one", "two", "--name", "both"))
    for words in commands:
        submit(*words, *where, machine="second")
    if soft == "--soft":
        assert Run.open(stored(storage, "both")).kind == "ensemble"
        assert (stored(storage, "both") / "members.json").exists()


@pytest.mark.slow
def test_notebooks_open_runs_and_splits_of_a_storage(
    storage: FaultyStorage, predict: Submit
) -> None:
    predict("run")
    split = api.open_split(storage.url(SPLIT))
    run = api.open_run("run", runs=storage.url("a bucket/runs"), split=split)
    assert run.videos == ("a", "b")
    assert run["a"].labels(0).shape == split["a"].image(0).shape[:2]


@pytest.mark.slow
def test_parts_of_several_machines_are_joined(
    storage: FaultyStorage, submit: Submit, predict: Submit
) -> None:
    predict("run", "--part", "1/2")
    predict("run", "--part", "2/2", machine="second")
    where = ("--runs", storage.url("a bucket/runs"))
    submit("merge-parts", "run", *where, machine="third")
    assert list(Run.open(stored(storage, "run")).videos) == ["a", "b"]


@pytest.mark.slow
def test_what_was_not_sent_is_sent_by_the_same_command(
    storage: FaultyStorage, predict: Submit
) -> None:
    storage.fail("unsent", where="soft/")
    result = predict("run", status=1)
    assert "b.npz: the storage cannot be written" in result.output
    assert "the same command sends it" in result.output
    # Nothing is named that is not there.
    assert Run.open(stored(storage, "run")).videos == {}
    storage.heal()
    assert "already complete: 2 of 2" in predict("run").output
    run = Run.open(stored(storage, "run"))
    for name, record in run.videos.items():
        assert digest(run.soft_path(name)) == record.digest
    assert list(own_storage().rglob(".unsent")) == []


@pytest.mark.slow
def test_short_loss_of_the_network_is_not_noticed(
    storage: FaultyStorage, predict: Submit
) -> None:
    storage.fail("unsent", times=3, where="soft/")
    predict("run")
    assert list(Run.open(stored(storage, "run")).videos) == ["a", "b"]


@pytest.mark.slow
def test_second_machine_is_refused_while_the_first_one_writes(
    storage: FaultyStorage, predict: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = stored(storage, "run") / ".writer"
    writer.parent.mkdir(parents=True)
    writer.write_text("elsewhere 7 1234 000000000000\n")
    asked = holders._died_here

    def alive(line: str) -> bool:
        writer.write_text(f"elsewhere 7 1234 {len(line):012d}1\n")
        return asked(line)

    with monkeypatch.context() as patch:
        # Until the sign of life is seen, however slow the machine is.
        patch.setattr(holders, "_PATIENCE", 600.0)
        patch.setattr(holders, "_died_here", alive)
        result = predict("run", status=1)
    assert "another command is writing here" in result.output
    assert "process 7 of elsewhere" in result.output
    # It was killed: its sign does not change any more.
    predict("run")
    assert not writer.exists()


@pytest.mark.slow
def test_video_that_was_made_again_elsewhere_is_fetched_again(
    storage: FaultyStorage, submit: Submit, predict: Submit
) -> None:
    predict("run")
    where = ("--runs", storage.url("a bucket/runs"))
    submit("runs", "run", "--delete", "--yes", *where, machine="second")
    assert not stored(storage, "run").exists()
    predict("run", "--variant", "hflip", machine="second")
    submit("score", "run", "--split", storage.root / SPLIT, *where)
    there = json.loads((stored(storage, "run") / "manifest.json").read_text())
    assert there["settings"]["variant"] == "hflip"


def test_ray_is_refused_for_runs_of_a_storage(
    storage: FaultyStorage, predict: Submit
) -> None:
    result = predict("run", "--executor", "ray", status=1)
    assert "workers of Ray write runs into a folder that all nodes share" in (
        result.output
    )


def test_folder_of_runs_that_is_not_there_is_made(
    storage: FaultyStorage, submit: Submit
) -> None:
    submit("runs", "--runs", storage.url("a bucket/none"))
    assert not (storage.root / "a bucket" / "none").exists()


def test_damaged_manifest_of_a_storage_is_a_warning(
    storage: FaultyStorage, submit: Submit
) -> None:
    (storage.root / "a bucket" / "runs" / "x").mkdir(parents=True)
    (storage.root / "a bucket" / "runs" / "x" / "manifest.json").write_text("{")
    result = submit("runs", "--runs", storage.url("a bucket/runs"))
    assert "manifest.json: cannot be read" in result.output


@pytest.mark.slow
def test_parts_of_a_report_are_drawn_by_other_machines(
    storage: FaultyStorage, submit: Submit, predict: Submit
) -> None:
    predict("run")
    where = ("--runs", storage.url("a bucket/runs"), "--split", storage.url(SPLIT))
    report = ("report", "run", *where)
    submit(*report, "-o", "whole")
    for part, machine in (("1/2", "second"), ("2/2", "third")):
        submit(*report, "-o", "page", "--part", part, machine=machine)
    submit("merge-parts", "page", machine="fourth")
    found, wanted = (
        {
            path.relative_to(page): path.read_bytes()
            for path in Path(page).rglob("*")
            if path.is_file()
        }
        for page in ("page", "whole")
    )
    assert found == wanted
