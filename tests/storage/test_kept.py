"""A run of a storage, without a model: what is sent, in which order, and who writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from submit.errors import RunMismatchError, StorageError
from submit.runs import Run, Standing, kept
from submit.runs.kept import runs_folder, runs_named
from submit.system import holders
from submit.system.files import digest, locked
from tests.runs.making import SETTINGS, SPLIT, add_hard, add_soft, identity, make_run
from tests.storage.faulty import FaultyStorage


@pytest.fixture
def url(storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a folder of runs, which is not there yet."""
    monkeypatch.setattr(holders, "_BEAT", 0.01)
    monkeypatch.setattr(holders, "_PATIENCE", 0.2)
    monkeypatch.setattr(holders, "_SETTLED", 0.0)
    monkeypatch.setattr(kept, "_AGAIN", 0.0)
    monkeypatch.setattr(kept, "_KEPT", {})
    return storage.url("runs")


def on(machine: str, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Come to another machine: the folder of runs there."""
    monkeypatch.setattr(kept, "_KEPT", {})
    monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / machine))
    return runs_folder(url)


def test_video_is_sent_before_it_is_named(storage: FaultyStorage, url: str) -> None:
    make_run(runs_folder(url) / "run", "v", "w")
    sent = [Path(one).name for one in storage.sent]
    assert [one for one in sent if one != ".writer"] == [
        *("manifest.json", "v.npz", "manifest.log", "w.npz", "manifest.log"),
        "manifest.json",
    ]
    there = storage.root / "runs" / "run"
    assert sorted(one.name for one in there.iterdir()) == ["manifest.json", "soft"]


def test_run_is_read_and_continued_on_another_machine(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_run(runs_folder(url) / "run", "v")
    runs = on("second", url, monkeypatch, tmp_path)
    run = Run.open(runs / "run")
    assert run.standing("v") is Standing.CURRENT
    assert storage.fetched == []
    run.read("v").close()
    assert storage.fetched == ["runs/run/soft/v.npz"]
    with Run.making(runs / "run", identity()) as run:
        add_hard(run, "w")
    runs = on("third", url, monkeypatch, tmp_path)
    run = Run.open(runs / "run")
    assert list(run.videos) == ["v", "w"]
    assert run.stored("w").masks().frames("w") == ["2", "10"]
    assert runs_named(runs) == url


def test_nothing_is_named_that_was_not_sent(storage: FaultyStorage, url: str) -> None:
    path = runs_folder(url) / "run"
    storage.fail("unsent", where="soft/")
    with pytest.raises(StorageError, match="the same command sends it"):
        make_run(path, "v")
    assert Run.open(storage.root / "runs" / "run").videos == {}
    storage.heal()
    with Run.making(path, identity()) as run:
        assert list(run.videos) == ["v"]
    there = Run.open(storage.root / "runs" / "run")
    assert digest(there.soft_path("v")) == there.videos["v"].digest
    assert not (path / ".unsent").exists()


def test_error_of_the_work_is_told_before_that_of_the_storage(
    storage: FaultyStorage, url: str
) -> None:
    path = runs_folder(url) / "run"

    def work() -> None:
        with Run.making(path, identity()) as run:
            storage.fail("unsent", where="soft/")
            add_soft(run, "v")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_writer_whose_place_was_taken_sends_no_more(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sign of life in just this moment would decide it the other way.
    monkeypatch.setattr(holders, "_BEAT", 600.0)
    path = runs_folder(url) / "run"
    writer = storage.root / "runs" / "run" / ".writer"
    make_run(path, "w")

    def work() -> None:
        with Run.making(path, identity()) as run:
            writer.write_text("elsewhere 7 1234 000000000000\n")
            add_soft(run, "v")

    with pytest.raises(StorageError, match="another machine has begun to write here"):
        work()
    assert list(Run.open(storage.root / "runs" / "run").videos) == ["w"]
    assert writer.exists()


def test_run_that_is_empty_or_deleted_is_removed(
    storage: FaultyStorage, url: str
) -> None:
    runs = runs_folder(url)
    with Run.making(runs / "empty", identity(videos=None)):
        pass
    assert not (storage.root / "runs" / "empty").exists()
    make_run(runs / "run", "v").delete()
    assert not (runs / "run").exists()
    assert not (storage.root / "runs" / "run").exists()


def test_run_that_was_deleted_elsewhere_is_removed_here(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = runs_folder(url)
    make_run(runs / "run", "v")
    Run.open(on("second", url, monkeypatch, tmp_path) / "run").delete()
    monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "_KEPT", {})
    assert Run.names(runs_folder(url)) == []
    assert not (runs / "run").exists()


def test_video_that_was_made_again_elsewhere_is_fetched_again(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = runs_folder(url)
    make_run(runs / "run", "v")
    other = on("second", url, monkeypatch, tmp_path)
    with Run.making(other / "run", identity()) as run:
        add_soft(run, "v", seed=9)
    monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "_KEPT", {})
    run = Run.open(runs_folder(url) / "run")
    run.read("v").close()
    assert digest(run.soft_path("v")) == run.videos["v"].digest


def test_run_of_another_split_is_refused(url: str) -> None:
    path = runs_folder(url) / "run"
    make_run(path, "v")
    other = {**SPLIT, "fingerprint": "0" * 64}
    with pytest.raises(RunMismatchError, match="other videos, frames or first masks"):
        make_run(path, split=other)


def come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> Path:
    """Begin another command on the first machine: the folder of runs there."""
    return on("cache", url, monkeypatch, tmp_path)


def test_finished_video_stays_if_even_the_manifest_was_not_sent(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage.fail("unsent", where="manifest")
    with pytest.raises(StorageError, match="the same command sends it"):
        make_run(runs_folder(url) / "run", "v")
    storage.heal()
    runs = come_back(monkeypatch, tmp_path, url)
    with Run.making(runs / "run", identity()) as run:
        assert list(run.videos) == ["v"]
    there = Run.open(storage.root / "runs" / "run")
    assert digest(there.soft_path("v")) == there.videos["v"].digest


def test_finished_video_that_was_not_sent_is_not_lost_to_other_settings(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage.fail("unsent", where="soft/")
    with pytest.raises(StorageError, match="the same command sends it"):
        make_run(runs_folder(url) / "run", "v")
    storage.heal()
    runs = come_back(monkeypatch, tmp_path, url)
    with pytest.raises(RunMismatchError, match="tta"):
        make_run(runs / "run", settings={**SETTINGS, "tta": []})
    with Run.making(runs / "run", identity()) as run:
        assert list(run.videos) == ["v"]


@pytest.mark.parametrize("same", [True, False], ids=["same-run", "other-settings"])
def test_video_that_was_made_again_elsewhere_counts_and_not_the_unsent_one(
    storage: FaultyStorage,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    same: bool,
) -> None:
    storage.fail("unsent", where="soft/")
    with pytest.raises(StorageError, match="the same command sends it"):
        make_run(runs_folder(url) / "run", "w", "v")
    storage.heal()
    other = on("second", url, monkeypatch, tmp_path)
    settings = SETTINGS if same else {**SETTINGS, "tta": []}
    make_run(other / "run", "v", settings=settings)
    runs = come_back(monkeypatch, tmp_path, url)
    with Run.making(runs / "run", identity(settings=settings)) as run:
        # The masks of w are of the settings that the run has now, or not in it.
        assert list(run.videos) == (["v", "w"] if same else ["v"])
        run.read("v").close()
        assert run.soft_path("w").exists() is same
    assert not (runs / "run" / ".unsent").exists()


def test_writer_whose_place_was_taken_sends_no_masks(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "_BEAT", 600.0)
    path = runs_folder(url) / "run"
    make_run(path, "v")
    there = storage.root / "runs" / "run"
    before = digest(there / "soft" / "v.npz")

    def work() -> None:
        with Run.making(path, identity()) as run:
            (there / ".writer").write_text("elsewhere 7 1234 000000000000\n")
            add_soft(run, "v", seed=9)

    with pytest.raises(StorageError, match="another machine has begun to write here"):
        work()
    assert digest(there / "soft" / "v.npz") == before


def test_manifest_that_cannot_be_read_is_not_taken_for_an_old_one(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_run(runs_folder(url) / "run", "v")
    monkeypatch.setattr("submit.storage.requests.WAITS", ())
    storage.fail("lost", where="manifest")
    with pytest.raises(StorageError, match="cannot be read"):
        come_back(monkeypatch, tmp_path, url)


def test_run_that_a_command_of_this_machine_begins_is_left_alone(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = runs_folder(url)
    make_run(runs / "run", "v")
    (runs / "run" / "manifest.json").unlink()
    with locked(runs / "run" / ".lock"):
        come_back(monkeypatch, tmp_path, url)
        assert (runs / "run" / "soft" / "v.npz").exists()


def test_masks_that_a_video_has_no_more_leave_the_storage(
    storage: FaultyStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = runs_folder(url) / "run"
    with Run.making(path, identity()) as run:
        add_hard(run, "w", frames=("2", "10"))
    with Run.making(path, identity()) as run:
        add_hard(run, "w", frames=("2",))
    other = on("second", url, monkeypatch, tmp_path)
    assert Run.open(other / "run").stored("w").masks().frames("w") == ["2"]
    there = storage.root / "runs" / "run" / "masks" / "w"
    assert [one.name for one in there.iterdir()] == ["2.png"]
