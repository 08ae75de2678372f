from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from submit.errors import RunError, RunMismatchError, StorageError
from submit.runs import SCHEMA, Run, SoftVideo, Standing
from tests.runs.making import SETTINGS, SPLIT, add_hard, add_soft, identity, make_run


def test_a_run_is_opened_as_it_was_made(tmp_path: Path) -> None:
    wanted = identity(videos=("a", "b", "z"))
    with Run.making(tmp_path / "r", wanted, environment={"licence": "MIT"}) as run:
        records = {
            video: add_soft(run, video, seed, source=f"s{seed}", worker={"facts": {}})
            for seed, video in enumerate("ba")
        }
        run.fail("z", "no frames")
    again = Run.open(tmp_path / "r")
    assert again.name == "r"
    assert (again.kind, again.settings, again.split) == ("predict", SETTINGS, SPLIT)
    assert again.origin == wanted
    assert again.videos == records
    assert list(again.videos) == ["a", "b"]
    assert again.failures == {"z": "no frames"}
    assert again.missing == ("z",)
    assert again.environment["licence"] == "MIT"
    assert "numpy" in again.environment["versions"]
    assert again.identity == run.identity
    assert again.is_soft
    assert Run.exists(tmp_path / "r")
    assert not Run.exists(tmp_path)
    video = again.read("a")
    assert isinstance(video, SoftVideo)
    assert (video.objects, video.size) == ((1, 2), (20, 30))
    video.close()


def test_a_run_in_use_is_not_deleted(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v")
    with (
        Run.open(tmp_path / "r").writing(),
        pytest.raises(StorageError, match="another command is writing here"),
    ):
        Run.open(tmp_path / "r").delete()
    (tmp_path / "link").symlink_to("r")
    with pytest.raises(RunError, match="is a link to"):
        Run.open(tmp_path / "link").delete()
    assert Run.open(tmp_path / "r").videos
    Run.open(tmp_path / "r").delete()
    assert not (tmp_path / "r").exists()


def test_a_run_with_the_same_settings_is_continued(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v")
    before = Run.open(tmp_path / "r")
    moved = {**SPLIT, "path": "/elsewhere/valid"}
    with Run.making(
        tmp_path / "r", identity(split=moved), environment={"licence": "new"}
    ) as again:
        assert list(again.videos) == ["v"]
        assert again.standing("v") is Standing.CURRENT
        assert again.environment == before.environment
        add_soft(again, "w")
    # What does not decide is renewed, so that the split is found where it is now.
    after = Run.open(tmp_path / "r")
    assert after.split == moved
    assert after.environment["licence"] == "new"
    assert after.environment["created"] == before.environment["created"]
    # Tuples and lists are the same setting.
    assert make_run(tmp_path / "r", settings={**SETTINGS, "tta": ("hflip",)}).videos


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predictor": "sam2"}, 'predictor: it has "static", asked for "sam2"'),
        (
            {"options": {"size": 1024, "threshold": 0.5}},
            "options.size: it has 512, asked for 1024",
        ),
        (
            {"options": {"size": 512}},
            "options.threshold: it has 0.5, asked for nothing",
        ),
        ({"soft": True}, "soft: it has nothing, asked for true"),
        ({"tta": ["scale=2"]}, 'tta 1: it has "hflip", asked for "scale=2"'),
        (
            {"tta": ["hflip", "scale=2"]},
            'tta 2: it has nothing, asked for "scale=2"',
        ),
    ],
    ids=["value", "nested", "gone", "new", "item", "more items"],
)
def test_a_run_with_other_settings_is_refused_by_name_of_the_setting(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    make_run(tmp_path / "r", "v")
    before = (tmp_path / "r" / "manifest.json").read_bytes()
    with pytest.raises(RunMismatchError) as caught:
        make_run(tmp_path / "r", settings={**SETTINGS, **change})
    assert str(caught.value) == (
        f"{tmp_path / 'r'}: this run was made with other settings ({said}); choose "
        "another name, or delete the folder to make it again"
    )
    assert (tmp_path / "r" / "manifest.json").read_bytes() == before


def test_a_difference_deep_in_long_settings_is_named(tmp_path: Path) -> None:
    def members(weight: float) -> dict[str, Any]:
        both = [{"name": name, "digest": name * 64, "weight": weight} for name in "ab"]
        return {"members": both}

    make_run(tmp_path / "r", "v", settings=members(0.5))
    with pytest.raises(
        RunMismatchError, match=r"members 2\.weight: it has 0\.5, asked"
    ):
        make_run(tmp_path / "r", settings=members(0.25))


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v", settings={f"key{n}": n for n in range(9)})
    with pytest.raises(RunMismatchError, match=r"key3: .* nothing; and 5 more\)"):
        make_run(tmp_path / "r", settings={})


def test_a_run_of_another_command_or_split_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v")
    with pytest.raises(
        RunMismatchError, match='command: it has "predict", asked for "'
    ):
        make_run(tmp_path / "r", kind="ensemble")
    other = {"path": "/data/train", "fingerprint": "0" * 64}
    with pytest.raises(
        RunMismatchError, match="split: it has /data/valid, asked for /data/train, with"
    ):
        make_run(tmp_path / "r", split=other)


OTHER = {"settings": {"predictor": "other"}}


def killed_before_its_first_video(path: Path) -> None:
    """A run as a command leaves it that is killed while it works on a first video."""
    make_run(path, "v")
    (path / "soft" / "v.npz").rename(path / "soft" / ".v.npz.77.partial")
    content = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**content, "videos": {}}))


def without_its_files(path: Path) -> None:
    """A run whose files were deleted, but not its manifest."""
    make_run(path, "v", "w")
    shutil.rmtree(path / "soft")


def with_failures_only(path: Path) -> None:
    with Run.making(path, identity()) as run:
        run.fail("v", "there is no such file: weights.pt")


@pytest.mark.parametrize(
    "leave", [killed_before_its_first_video, without_its_files, with_failures_only]
)
def test_a_run_without_a_video_does_not_block_a_corrected_command(
    tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    leave(tmp_path / "r")
    run = make_run(tmp_path / "r", "w", **OTHER)
    assert (run.settings, list(run.videos)) == (OTHER["settings"], ["w"])
    again = Run.open(tmp_path / "r")
    assert (again.failures, list(again.videos)) == ({}, ["w"])
    files = sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*"))
    assert files == [".lock", "manifest.json", "soft", "soft/w.npz"]


@pytest.mark.parametrize("kind", ["ensemble", "import", "predict"])
def test_only_what_is_cheap_is_renewed(tmp_path: Path, kind: str) -> None:
    make_run(tmp_path / "r", "v", kind=kind)

    def renew() -> None:
        wanted = identity(kind=kind, **OTHER)
        with Run.making(tmp_path / "r", wanted, renew=True) as run:
            assert not run.soft_path("v").exists()
            add_soft(run, "w")

    if kind == "predict":
        with pytest.raises(RunMismatchError, match="made with other settings"):
            renew()
        assert list(Run.open(tmp_path / "r").videos) == ["v"]
    else:
        renew()
        assert list(Run.open(tmp_path / "r").videos) == ["w"]


def test_a_command_that_finishes_nothing_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError), Run.making(tmp_path / "r", identity()) as run:  # noqa: PT012
        (run.path / "soft").mkdir()
        (run.path / "soft" / ".v.npz.1.partial").touch()
        raise StorageError("the disk is full")
    assert list(tmp_path.iterdir()) == []
    make_run(tmp_path / "r", "v")
    with pytest.raises(KeyboardInterrupt), Run.making(tmp_path / "r", identity()):
        raise KeyboardInterrupt
    assert list(Run.open(tmp_path / "r").videos) == ["v"]


def test_a_folder_of_something_else_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"r: is a folder with files and no manifest"):
        make_run(tmp_path / "r")
    assert [child.name for child in (tmp_path / "r").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: is a file; choose another --name"):
        make_run(tmp_path / "file")


def test_a_command_killed_before_its_manifest_was_written_can_be_repeated(
    tmp_path: Path,
) -> None:
    (tmp_path / "r" / "soft").mkdir(parents=True)
    (tmp_path / "r" / ".manifest.json.77.partial").write_text("{")
    (tmp_path / "r" / "soft" / ".v.npz.77.partial").touch()
    (tmp_path / "r" / ".lock").touch()
    run = make_run(tmp_path / "r", "v")
    assert sorted(p.name for p in run.path.iterdir()) == [
        ".lock",
        "manifest.json",
        "soft",
    ]


def test_a_run_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    make_run(tmp_path / "plain", "v")
    make_run(tmp_path / "flipped", "v")
    with pytest.raises(RunError, match=r"plian: no such run; .* has flipped, plain \("):
        Run.open(tmp_path / "plian")
    with pytest.raises(RunError, match=r"x: no such run \(make one with submit pred"):
        Run.open(tmp_path / "nowhere" / "x")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r", "v").path / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": SCHEMA + 1}))
    with pytest.raises(RunError, match=rf"schema {SCHEMA + 1}, this version reads"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "{}",
        '{"schema": 1}',
        '{"schema": 1, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": ["v"]}',
        '{"schema": 1, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": {"v": {"objects": [], "size": []}}}',
        '{"schema": 1, "kind": "predict", "settings": 3, "split": {}, '
        '"environment": {}, "videos": {}}',
        '{"schema": 2, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": {"v": {"frames": 1, "objects": [], "size": [], '
        '"seconds": 1, "digest": "", "worker": "x"}}}',
        '{"schema": 2, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": {}, "revision": "x"}',
    ],
)
def test_a_manifest_of_something_else_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest\.json: (is not a|cannot be read)"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("kind",), {}, "kind is {}"),
        (("split", "path"), None, "path is None"),
        (("environment", "versions"), "x", "versions is 'x'"),
        (("environment", "created"), ["x"], r"created is \['x'\]"),
        (("settings", "members"), "x", "members is 'x'"),
        (("videos", "v", "seconds"), float("nan"), "seconds is nan"),
        (("videos", "v", "details"), {"memory": [["a", 1]]}, "details is"),
        (("videos", "v", "details"), {"prompts": [[1, 1, "box"]]}, "details is"),
        (("videos", "v", "details"), {"peak_memory": "x"}, "details is"),
    ],
)
def test_values_that_others_read_have_their_form(
    tmp_path: Path, place: tuple[str, ...], value: object, said: str
) -> None:
    path = make_run(tmp_path / "r", "v").path / "manifest.json"
    content = table = json.loads(path.read_text())
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"is not a run's manifest \({said}"):
        Run.open(tmp_path / "r")


def test_files_that_are_not_json_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", "v")
    (run.path / "failed.json").write_text('{"a": ')
    with pytest.raises(RunError, match=r"failed\.json: cannot be read .* delete it"):
        Run.open(run.path)
    (run.path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json: cannot be read .*not valid"):
        Run.open(run.path)


def test_a_changed_file_is_made_again_and_not_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", "v")
    path = run.soft_path("v")
    assert run.standing("v") is Standing.CURRENT
    assert run.standing("other") is Standing.ABSENT
    whole = path.read_bytes()
    # Cut off and filled up, as a full disk or a bad copy leaves it.
    path.write_bytes(whole[:-100] + bytes(100))
    assert run.standing("v") is Standing.DAMAGED
    with pytest.raises(RunError, match=r"soft/v\.npz: .* not the file that was writt"):
        run.read("v")
    path.write_bytes(whole)
    assert run.standing("v") is Standing.CURRENT
    path.unlink()
    assert run.standing("v") is Standing.DAMAGED


def test_a_soft_file_of_another_run_is_refused(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", "v", "w")
    other = make_run(tmp_path / "other", "w", "v")
    shutil.copy(other.soft_path("v"), one.soft_path("v"))
    with pytest.raises(RunError, match=r"one/soft/v\.npz: .*run the command"):
        one.read("v")


def test_a_run_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v", "w")
    shutil.copytree(tmp_path / "r", tmp_path / "copy")
    (tmp_path / "r").rename(tmp_path / "renamed")
    for name in ("copy", "renamed"):
        run = make_run(tmp_path / name)
        assert run.standing("v") is Standing.CURRENT
        run.read("v").close()


def test_a_run_of_masks_is_read_in_the_order_of_frames(tmp_path: Path) -> None:
    with Run.making(tmp_path / "r", identity()) as run:
        folder = add_hard(run)
    assert not run.is_soft
    assert run.standing("v") is Standing.CURRENT
    assert run.read("v").frames == ("2", "10")
    (folder / "10.png").unlink()
    assert run.standing("v") is Standing.DAMAGED
    with pytest.raises(RunError, match="masks/v: expected the 2 masks that were writt"):
        run.read("v")


def test_a_failed_video_is_told_and_forgotten_when_it_succeeds(tmp_path: Path) -> None:
    with Run.making(tmp_path / "r", identity()) as run:
        run.fail("v", "memory ran out")
        run.fail("w", "no frames")
    assert json.loads((run.path / "failed.json").read_text()) == {
        "v": "memory ran out",
        "w": "no frames",
    }
    with pytest.raises(RunError, match="run r has no video v: memory ran out"):
        run.read("v")
    with pytest.raises(RunError, match="has no video x: it was not requested"):
        run.read("x")
    make_run(tmp_path / "r", "v")
    assert json.loads((run.path / "failed.json").read_text()) == {"w": "no frames"}
    make_run(tmp_path / "r", "w")
    assert not (run.path / "failed.json").exists()
    assert Run.open(run.path).failures == {}


def test_a_video_that_fails_the_second_time_is_no_longer_there(tmp_path: Path) -> None:
    with Run.making(tmp_path / "r", identity()) as run:
        add_soft(run)
        add_hard(run, "w")
        run.fail("v", "memory ran out")
        run.fail("w", "no frames")
    again = Run.open(tmp_path / "r")
    assert list(again.videos) == []
    assert again.failures == {"v": "memory ran out", "w": "no frames"}
    assert not list((tmp_path / "r").rglob("*.npz"))
    assert not list((tmp_path / "r").rglob("*.png"))


def test_the_identity_changes_with_any_video(tmp_path: Path) -> None:
    with Run.making(tmp_path / "r", identity()) as run:
        add_soft(run, "v")
        before = run.identity
        add_soft(run, "w")
        both = run.identity
        add_soft(run, "w", seed=7)
        assert len({before, both, run.identity}) == 3
        add_soft(run, "w")
        assert run.identity == both


def test_workers_stand_once_in_the_manifest(tmp_path: Path) -> None:
    workers: list[dict[str, Any]] = [
        {"facts": {"device": device}, "host": "node"} for device in ("cpu", "cuda")
    ]
    with Run.making(tmp_path / "r", identity()) as run:
        for number in range(6):
            add_soft(run, f"v{number}", worker=workers[number % 2])
        assert Run.open(run.path).videos == run.videos
    content = json.loads((run.path / "manifest.json").read_text())
    assert sorted(content["workers"].values(), key=str) == workers
    assert Run.open(run.path).videos["v3"].worker == workers[1]


# --- two commands, and one that is killed -------------------------------------------


def hold(path: Path, ready: Any, leave: Any) -> None:
    with Run.open(path).writing():
        ready.set()
        leave.wait(30)


def test_one_command_at_a_time_writes_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", "v")
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(run.path, ready, leave))
    other.start()
    assert ready.wait(30)
    for again in (run.writing, lambda: Run.making(run.path, identity())):
        with (
            pytest.raises(StorageError, match="r: another command is writing here"),
            again(),
        ):
            pytest.fail("both write")
    leave.set()
    other.join()
    with run.writing():
        pass


def test_what_another_command_added_meanwhile_is_kept(tmp_path: Path) -> None:
    make_run(tmp_path / "r", "v")
    late, early = Run.open(tmp_path / "r"), Run.open(tmp_path / "r")
    with early.writing():
        add_soft(early, "a")
        early.fail("b", "memory ran out")
    with late.writing():
        add_soft(late, "c")
    run = Run.open(tmp_path / "r")
    assert list(run.videos) == ["a", "c", "v"]
    assert run.failures == {"b": "memory ran out"}


def begin(path: Path, gate: Any, answers: Any) -> None:
    """Make a run as soon as the gate opens, and say what became of that."""
    gate.wait(60)
    try:
        with Run.making(path, identity()) as run:
            add_soft(run)
        answers.put("made")
    except StorageError as error:
        answers.put(str(error))
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.slow
def test_of_many_first_starts_at_once_each_works_or_is_told_so(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    busy = "another command is writing here; wait for it to end"
    for attempt in range(10):
        path = tmp_path / "runs" / str(attempt)
        gate, answers = context.Barrier(4), context.Queue()
        processes = [
            context.Process(target=begin, args=(path, gate, answers)) for _ in range(4)
        ]
        for process in processes:
            process.start()
        found = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
        assert "made" in found
        assert {answer for answer in found if answer != "made"} <= {f"{path}: {busy}"}
        assert list(Run.open(path).videos) == ["v"]


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from submit.runs import Run
from tests.runs.making import add_soft, identity
with Run.making(Path(sys.argv[1]), identity()) as run:
    for video in "abc":
        add_soft(run, video)
    run.fail("v", "no frames")
    run.fail("b", "damaged")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path, repository: Path) -> Path:
    """A run of a command that was killed: its log was never folded."""
    path = tmp_path / "r"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=repository, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert json.loads((path / "manifest.json").read_text())["videos"] == {}
    return path


@pytest.mark.slow
def test_a_killed_command_loses_nothing_that_was_finished(killed: Path) -> None:
    run = Run.open(killed)
    assert list(run.videos) == ["a", "c"]
    assert run.failures == {"v": "no frames", "b": "damaged"}
    run.read("a").close()
    assert (killed / "manifest.log").exists()
    with run.writing():
        pass
    assert sorted(p.name for p in killed.iterdir()) == [
        ".lock",
        "failed.json",
        "manifest.json",
        "soft",
    ]
    again = Run.open(killed)
    assert (again.videos, again.failures) == (run.videos, run.failures)


@pytest.mark.slow
def test_the_last_line_of_a_log_may_be_cut_off_anywhere(killed: Path) -> None:
    log = killed / "manifest.log"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 7  # The revision, three videos, two failures, one removed.
    for cut in range(len(whole) + 1):
        log.write_bytes(whole[:cut])
        # A line counts when it is complete, with its end.
        complete = sum(len(b"".join(lines[: n + 1])) <= cut for n in range(len(lines)))
        run = Run.open(killed)
        wanted = ["", "", "a", "ab", "abc", "abc", "ac", "ac"][complete]
        assert "".join(run.videos) == wanted
    log.write_bytes(b"\0" * 4096 + whole)
    assert list(Run.open(killed).videos) == []


@pytest.mark.slow
def test_a_log_of_another_revision_counts_for_nothing(killed: Path) -> None:
    """It was folded already, or belongs to a run that is no longer there."""
    log = (killed / "manifest.log").read_bytes()
    with Run.open(killed).writing():
        pass
    with Run.making(killed, identity()) as run:
        run.forget("a")
    (killed / "manifest.log").write_bytes(log)
    assert list(Run.open(killed).videos) == ["c"]


def test_a_reader_sees_what_is_finished_while_another_writes(tmp_path: Path) -> None:
    with Run.making(tmp_path / "r", identity()) as run:
        for number, video in enumerate("abc", start=1):
            add_soft(run, video)
            reader = Run.open(tmp_path / "r")
            assert len(reader.videos) == number
            reader.read(video).close()
        run.forget("b")
        assert list(Run.open(tmp_path / "r").videos) == ["a", "c"]


@pytest.mark.slow
def test_a_reader_writes_nothing(killed: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in killed.rglob("*")
        }

    before = state()
    run = Run.open(killed)
    run.read("a").close()
    assert state() == before


def test_partial_files_of_a_killed_command_go_when_the_run_is_written(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "r", "v")
    partials = ("soft/.w.npz.1.partial", "masks/.w.1.partial/x", ".m.1.partial")

    def leave() -> None:
        for partial in partials:
            (run.path / partial).parent.mkdir(parents=True, exist_ok=True)
            (run.path / partial).touch()

    def left() -> list[str]:
        found = [p for p in run.path.rglob("*") if p.is_file()]
        return sorted(str(p.relative_to(run.path)) for p in found)

    clean = [".lock", "manifest.json", "soft/v.npz"]
    leave()
    with contextlib.suppress(KeyboardInterrupt), run.writing():
        assert left() == clean
        leave()  # As workers do that are ended in the middle of their videos.
        raise KeyboardInterrupt
    assert left() == clean


@pytest.mark.parametrize("moved", [False, True], ids=["removed", "renamed"])
def test_a_run_that_is_taken_away_meanwhile_is_said_and_stays_away(
    tmp_path: Path, moved: bool
) -> None:
    path = tmp_path / "runs" / "r"
    with (  # noqa: PT012
        pytest.raises(StorageError, match=r"runs/r: was removed or renamed while a co"),
        Run.making(path, identity()) as run,
    ):
        add_soft(run, "v")
        if moved:
            path.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(tmp_path / "runs")
        # Nor does a worker bring the folder back.
        with pytest.raises(StorageError, match=r"r/soft: was removed or renamed"):
            add_soft(run, "v")
        (record,) = run.videos.values()
        run.add("w", record)
    assert not path.exists()
    if moved:
        assert list(Run.open(tmp_path / "elsewhere").videos) == ["v"]


def test_another_run_in_the_place_of_one_that_was_taken_away_is_left_alone(
    tmp_path: Path,
) -> None:
    with pytest.raises(StorageError), Run.making(tmp_path / "r", identity()) as run:  # noqa: PT012
        (record,) = [add_soft(run, "v")]
        shutil.rmtree(run.path)
        make_run(tmp_path / "r", "w", **OTHER)
        run.add("v", record)
    assert list(Run.open(tmp_path / "r").videos) == ["w"]


def test_the_log_is_written_a_line_at_a_time(tmp_path: Path) -> None:
    """A video costs the same few hundred bytes in a run of any size."""
    sizes = []
    with Run.making(tmp_path / "r", identity()) as run:
        record = add_soft(run, "v00000")
        manifest = run.path / "manifest.json"
        before = manifest.stat()
        for number in range(1, 1000):
            run.add(f"v{number:05d}", record)
            sizes.append((run.path / "manifest.log").stat().st_size)
        assert os.path.samestat(before, manifest.stat())
    steps = {after - earlier for earlier, after in itertools.pairwise(sizes)}
    assert len(steps) == 1
    assert steps.pop() < 400
    assert len(Run.open(run.path).videos) == 1000


# --- runs of earlier versions -------------------------------------------------------


def make_older(run: Run, schema: int, **changes: Any) -> dict[str, Any]:
    """Turn a run's manifest into one of an earlier version."""
    manifest = run.path / "manifest.json"
    older = {**json.loads(manifest.read_text()), "schema": schema, **changes}
    manifest.write_text(json.dumps(older, indent=2))
    return older


def test_a_run_of_schema_1_is_read_and_current(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", "v")
    older = make_older(
        run,
        1,
        settings={**SETTINGS, "details": {"dtype": "float32"}},
        environment={"created": "2026-01-01T00:00:00+00:00"},
    )
    before = Run.open(run.path)
    assert before.schema == 1
    before.read("v").close()
    with Run.making(
        run.path,
        identity(),
        upgrade=lambda settings: {k: settings[k] for k in SETTINGS},
    ) as again:
        assert again.standing("v") is Standing.CURRENT
    after = json.loads((run.path / "manifest.json").read_text())
    assert after["schema"] == 2
    assert after["settings"] == SETTINGS
    assert after["environment"]["created"] == "2026-01-01T00:00:00+00:00"
    (run.path / "manifest.json").write_text(json.dumps(older))
    with pytest.raises(RunMismatchError, match="details"):
        make_run(run.path)


@pytest.mark.parametrize("schema", [1, 2])
def test_logits_of_two_formats_are_never_in_one_run(
    tmp_path: Path, schema: int
) -> None:
    run = make_run(tmp_path / "r", "v")
    make_older(run, schema)
    with Run.making(run.path, identity()) as again:
        again.require_format([])  # Nothing is to be made.
        with pytest.raises(RunMismatchError, match="rounded logits in another way"):
            again.require_format(["w"])
    assert Run.open(run.path).schema == 2
    Run.open(run.path).read("v").close()


def test_an_ensemble_of_an_older_format_is_made_again_where_it_may(
    tmp_path: Path,
) -> None:
    path, ensemble = tmp_path / "r", replace(identity(), kind="ensemble")
    with Run.making(path, ensemble) as run:
        add_soft(run, "v")
    make_older(run, 2)
    with (
        pytest.raises(RunMismatchError, match="choose another name, or delete"),
        Run.making(path, ensemble),
    ):
        pass
    with Run.making(path, ensemble, renew=True) as run:
        assert not run.videos
        add_soft(run, "v")
    assert Run.open(path).schema == SCHEMA


def test_masks_have_no_older_format(tmp_path: Path) -> None:
    path, imported = tmp_path / "r", replace(identity(), kind="import")
    with Run.making(path, imported) as run:
        add_hard(run)
    make_older(run, 2)
    with Run.making(path, imported) as run:
        run.require_format(["w"])
    assert Run.open(path).schema == SCHEMA


@pytest.mark.parametrize("name", ["../../out", "/etc/out", "..", "", "a/b", "a\0"])
def test_a_name_that_leads_out_of_the_run_is_refused(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "r", "v")
    path = tmp_path / "r" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["videos"][name] = manifest["videos"].pop("v")
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="is not the name of a video"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frames", "3"),
        ("frames", -1),
        ("objects", [[1]]),
        ("size", [20]),
        ("digest", None),
        ("soft", 1),
        ("details", []),
        ("masks", {"../00000": "a"}),
        ("masks", {"00000": 1}),
    ],
)
def test_an_entry_that_no_command_writes_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    make_run(tmp_path / "r", "v")
    path = tmp_path / "r" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["videos"]["v"][key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=rf"manifest\.json: is not a run.s .*{key} is"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize(
    "line",
    [
        {"revision": 2, "videos": None},
        {"videos": 3, "revision": 1},
        "[" * 100_000,
    ],
    ids=["null", "number", "deep"],
)
def test_a_strange_line_of_a_log_is_left_out(tmp_path: Path, line: Any) -> None:
    run = make_run(tmp_path / "r", "v")
    text = line if isinstance(line, str) else json.dumps(line)
    head = json.dumps({"revision": run._revision})
    log = tmp_path / "r" / "manifest.log"
    log.write_text(f'{head}\n{text}\n{{"failures": {{"w": "killed"}}}}\n')
    assert Run.open(tmp_path / "r").failures == {"w": "killed"}
