"""Jobs with `--part`, and `submit merge-parts`: the same bytes as one job gives."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.runs import Run
from submit.system.files import locked
from tests import splits

Submit = Callable[..., Result]

FRAMES = {"a": 5, "b": 2, "c": 4, "d": 3}


@pytest.fixture
def submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner
) -> Submit:
    """Type a command in a folder with a split of four videos."""
    monkeypatch.chdir(tmp_path)
    for name, count in FRAMES.items():
        frames = [f"{number:05d}" for number in range(count)]
        shown = splits.bars(frames, (1, 2), (24, 32))
        splits.write_split(tmp_path / "split", {name: shown})

    def call(line: str, *, code: int = 0, **env: str) -> Result:
        result = runner.invoke(cli, line.split(), env=env)
        assert result.exit_code == code, result.output
        return result

    return call


def _predict(submit: Submit, name: str, more: str = "", **env: str) -> Result:
    return submit(
        f"predict split --predictor static --name {name} {more}".strip(), **env
    )


def _bytes(folder: Path, pattern: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob(pattern))
    }


def _zip(submit: Submit, run: str) -> str:
    done = submit(f"pack {run} -o {Path(run).name}.zip --force --json")
    return str(json.loads(done.stdout)["sha256"])


def _three(submit: Submit, line: str) -> None:
    for part in ("2/3", "3/3", "1/3"):
        submit(f"{line} --part {part}")


@pytest.mark.slow
def test_the_chain_in_parts_gives_the_bytes_of_one_job(
    submit: Submit, tmp_path: Path
) -> None:
    chain = (
        "predict split --predictor classical --name x",
        "predict split --predictor classical --variant hflip --name y",
        "ensemble x y --name z",
        "export z --components 0.1",
        "export z -o out",
    )
    for line in chain:
        submit(line.replace("--name ", "--runs one --name ") + " --runs one")
    whole = _zip(submit, "one/z")
    shutil.move("out", "whole")
    for line in chain:
        _three(submit, line)
    assert not (tmp_path / "runs/z").exists()
    submit("merge-parts x y z")
    submit("merge-parts out --delete")
    runs = tmp_path / "runs"
    for name in "xyz":
        assert _bytes(runs / name, "soft/*") == _bytes(
            tmp_path / "one" / name, "soft/*"
        )
        found, wanted = Run.open(runs / name), Run.open(tmp_path / "one" / name)
        assert found.origin == wanted.origin
        assert found.identity == wanted.identity
        assert "part" not in found.environment
    pattern = "*/*.png"
    assert _bytes(runs / "z/masks", pattern) == _bytes(
        tmp_path / "one/z/masks", pattern
    )
    assert _bytes(tmp_path / "out", pattern) == _bytes(tmp_path / "whole", pattern)
    assert not list(tmp_path.glob("part-*/out"))
    assert _zip(submit, "z") == whole


def test_each_part_has_its_own_videos_and_a_job_array_says_which(
    submit: Submit, tmp_path: Path
) -> None:
    for task in range(2):
        done = _predict(
            submit,
            "x",
            SLURM_ARRAY_TASK_ID=str(task),
            SLURM_ARRAY_TASK_COUNT="2",
            SLURM_ARRAY_TASK_MIN="0",
        )
        assert f"part {task + 1}/2, as SLURM_ARRAY_TASK_ID says" in done.stderr
    parts = [Run.open(tmp_path / f"runs/part-{n}-of-2/x") for n in (1, 2)]
    assert [sorted(part.videos) for part in parts] == [["a", "b"], ["c", "d"]]
    assert [part.missing for part in parts] == [(), ()]
    array = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2"}
    _predict(submit, "whole", "--part 1/1", **array)
    assert len(Run.open(tmp_path / "runs/whole").videos) == 4


def test_what_is_missing_is_named_and_nothing_is_written(
    submit: Submit, tmp_path: Path
) -> None:
    assert "no parts of it are there" in submit("merge-parts x", code=1).output
    _predict(submit, "x", "--part 1/3")
    _predict(submit, "x", "--part 3/3")
    said = submit("merge-parts x", code=1).output
    assert "1 of 4 videos are missing: part 2 of 3 is not there" in said
    assert not (tmp_path / "runs/x").exists()
    said = submit("export x", code=1).output
    assert "only parts of this run are there" in said
    # With fewer of them it is still possible to go on.
    submit("merge-parts x --partial")
    assert sorted(Run.open(tmp_path / "runs/x").videos) == ["a", "b", "d"]
    assert Run.open(tmp_path / "runs/x").missing == ("c",)
    _predict(submit, "x", "--part 2/3")
    done = json.loads(submit("merge-parts x --json").stdout)["x"]
    assert (done["done"], sorted(done["skipped"])) == (["c"], ["a", "b", "d"])


@pytest.mark.slow
def test_a_video_that_failed_is_named_with_its_part(submit: Submit) -> None:
    Path("split/JPEGImages/c/00001.jpg").write_bytes(b"")
    submit("predict split --predictor static --name x --part 1/2")
    submit("predict split --predictor static --name x --part 2/2", code=1)
    said = submit("merge-parts x", code=1).output
    assert "part 2/2 lacks 1 video, such as c (" in said
    submit("merge-parts x --partial")
    assert list(Run.open(Path("runs/x")).failures) == ["c"]


def test_parts_of_different_settings_are_refused(submit: Submit) -> None:
    _predict(submit, "x", "--part 1/2")
    _predict(submit, "x", "--part 2/2 --variant hflip")
    error = submit("merge-parts x", code=1).output
    assert "made with other settings than" in error
    assert "variant" in error
    _predict(submit, "y", "--part 1/2")
    _predict(submit, "y", "--part 1/3")
    assert "different divisions" in submit("merge-parts y", code=1).output


def test_a_damaged_file_of_a_part_is_not_joined(submit: Submit, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        _predict(submit, "x", f"--part {part}")
    file = tmp_path / "runs/part-2-of-2/x/soft/c.npz"
    kept = file.read_bytes()
    file.write_bytes(kept[:-1])
    assert (
        "c.npz: is not the file that was written"
        in submit("merge-parts x", code=1).output
    )
    # What was joined before it stays, and is not joined again.
    file.write_bytes(kept)
    done = json.loads(submit("merge-parts x --json").stdout)["x"]
    assert done["skipped"] == ["a", "b"]
    assert done["done"] == ["c", "d"]


@pytest.mark.slow
def test_files_are_copied_where_the_disk_has_no_links(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("1/2", "2/2"):
        submit(f"predict split --predictor static --name x --no-soft --part {part}")

    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    submit("merge-parts x")
    masks = tmp_path / "runs/x/masks"
    assert sum(1 for _ in masks.glob("*/*.png")) == sum(FRAMES.values())
    _zip(submit, "x")


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no-locks"])
def test_two_jobs_work_on_one_run_at_once_and_no_two_on_one_part(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.flock", refuse)
        monkeypatch.setattr("submit.system.holders._BEAT", 0.01)
    first = tmp_path / "runs/part-1-of-2/x"
    with locked(first / ".lock"):
        _predict(submit, "x", "--part 2/2")
        line = "predict split --predictor static --name x --part 1/2"
        assert "another command is writing here" in submit(line, code=1).output
    _predict(submit, "x", "--part 1/2")
    submit("merge-parts x")
    assert len(Run.open(tmp_path / "runs/x").videos) == 4
    left = [path.name for path in (tmp_path / "runs").glob("**/.*.lock")]
    assert left == []


@pytest.mark.slow
def test_more_parts_than_videos_leave_empty_parts(submit: Submit) -> None:
    parts = [f"{n}/6" for n in range(1, 7)]
    for part in parts:
        _predict(submit, "x", f"--part {part}")
        submit(f"ensemble x --name z --part {part}")
        submit(f"export z --part {part}")
    submit("merge-parts x z")
    assert len(Run.open(Path("runs/z")).videos) == 4
    _zip(submit, "z")


@pytest.mark.slow
def test_whole_runs_are_merged_and_exported_in_parts(submit: Submit) -> None:
    _predict(submit, "x")
    _three(submit, "ensemble x --name z")
    submit("merge-parts z --delete")
    assert not list(Path("runs").glob("part-*/z"))
    _three(submit, "export z")
    submit("merge-parts z")
    assert sum(1 for _ in Path("runs/z/masks").glob("*/*.png")) == sum(FRAMES.values())
