"""Bad input gives one error line with a solution, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.png.palette import encode
from submit.predictors import (
    GROUP,
    Frame,
    Prediction,
    Prompts,
    Session,
    StaticPredictor,
    Video,
)
from tests.disks import small_disk
from tests.splits import write_split

HEIGHT, WIDTH, FRAMES = 24, 32, 4
VIDEOS = ("alpha", "beta")

Run = Callable[..., Result]


def labels_at(frame: int) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[4:12, 3 + frame : 13 + frame] = 1
    labels[14:20, 5:11] = 2
    return labels


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Two small videos with first masks."""
    maps = tuple(labels_at(frame) for frame in range(FRAMES))
    shown = dict.fromkeys(VIDEOS, maps)
    return write_split(tmp_path / "split", shown, annotated=1)


@pytest.fixture
def run(runner: CliRunner, tmp_path: Path) -> Run:
    """Run a command with its runs below the test's folder, in this process."""

    def invoke(*arguments: object) -> Result:
        return runner.invoke(
            cli,
            [str(argument) for argument in arguments],
            env={"SUBMIT_RUNS": str(tmp_path / "runs")},
        )

    return invoke


def predict(run: Run, split: Path, *more: object) -> Result:
    return run("predict", split, "--predictor", "static", "--name", "r", *more)


def error_line(result: Result, *, traceback: bool = False) -> str:
    """The one error line of a command that failed as expected."""
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert ("Traceback" in result.stderr) is traceback
    return lines[0]


def test_no_such_split(run: Run, tmp_path: Path) -> None:
    line = error_line(predict(run, tmp_path / "gone"))
    assert f"{tmp_path / 'gone'}: no such folder" in line
    assert "submit sample" in line


def test_a_folder_above_the_split_is_pointed_down(run: Run, split: Path) -> None:
    assert f"did you mean {split}?" in error_line(predict(run, split.parent))


def test_a_split_without_frames(run: Run, split: Path) -> None:
    for image in split.glob("JPEGImages/*/*.jpg"):
        image.unlink()
    line = error_line(predict(run, split))
    assert "2 of 2 videos failed" in line
    assert "alpha: video alpha: JPEGImages/alpha is empty; extract the" in line


def test_an_empty_folder_is_no_split(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no videos" in error_line(predict(run, tmp_path / "empty"))


def test_a_truncated_jpeg_costs_its_video_and_no_other(
    run: Run, split: Path, tmp_path: Path
) -> None:
    broken = split / "JPEGImages" / "alpha" / "00002.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    line = error_line(predict(run, split))
    assert "1 of 2 videos failed: alpha: " in line
    assert str(broken) in line
    failed = json.loads((tmp_path / "runs" / "r" / "failed.json").read_text())
    assert list(failed) == ["alpha"]
    assert (tmp_path / "runs" / "r" / "soft" / "beta.npz").exists()
    assert not (tmp_path / "runs" / "r" / "soft" / "alpha.npz").exists()
    line = error_line(run("pack", "r", "-o", tmp_path / "z.zip"))
    assert "lacks 1 of 2 videos, such as alpha (" in line

    broken.write_bytes(whole)
    assert predict(run, split).exit_code == 0
    assert not (tmp_path / "runs" / "r" / "failed.json").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Image.fromarray(np.zeros((HEIGHT + 1, WIDTH), np.uint8)),
            f"expected the size of the video's frames, {WIDTH}×{HEIGHT}, found "
            f"{WIDTH}×{HEIGHT + 1}",
        ),
        (
            lambda: Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
            "found an 8-bit RGB PNG",
        ),
        (
            lambda: Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)),
            "found a 16-bit grey PNG",
        ),
        (
            lambda: Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8)),
            "holds the id 255",
        ),
    ],
    ids=["another size", "RGB", "16-bit", "id 255"],
)
def test_a_first_mask_that_is_none(
    make: Callable[[], Image.Image], words: str, run: Run, split: Path
) -> None:
    path = split / "Annotations" / "beta" / "00000.png"
    make().save(path)
    line = error_line(predict(run, split))
    assert f"1 of 2 videos failed: beta: {path}: " in line
    assert words in line


def test_a_missing_first_mask(run: Run, split: Path) -> None:
    (split / "Annotations" / "beta" / "00000.png").unlink()
    line = error_line(predict(run, split))
    assert "expected Annotations/beta/00000.png" in line


def test_a_video_with_one_frame(run: Run, split: Path) -> None:
    for frame in range(1, FRAMES):
        (split / "JPEGImages" / "alpha" / f"{frame:05d}.jpg").unlink()
    line = error_line(predict(run, split))
    assert "alpha: video alpha: has one frame" in line


def test_an_unknown_predictor(run: Run, split: Path) -> None:
    result = run("predict", split, "--predictor", "sam9", "--name", "r")
    line = error_line(result)
    assert "no predictor called 'sam9' is installed" in line
    assert "static" in line


def test_an_unknown_option(run: Run, split: Path, tmp_path: Path) -> None:
    line = error_line(predict(run, split, "-o", "size=3"))
    assert "predictor static has no option 'size'" in line
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.parametrize("variant", ["vflip", "scale=0", "scale", "hflip+hflip"])
def test_an_illegal_variant(run: Run, split: Path, variant: str) -> None:
    line = error_line(predict(run, split, "--variant", variant))
    assert f"variant '{variant}'" in line


def test_a_run_made_with_other_options_is_refused(
    run: Run, split: Path, tmp_path: Path
) -> None:
    assert predict(run, split).exit_code == 0
    before = sorted((tmp_path / "runs" / "r" / "soft").iterdir())
    line = error_line(predict(run, split, "--variant", "hflip"))
    assert 'variant: it has "plain", asked for "hflip"' in line
    assert "choose another name" in line
    assert sorted((tmp_path / "runs" / "r" / "soft").iterdir()) == before


def test_a_run_of_another_split_is_refused(run: Run, split: Path) -> None:
    assert predict(run, split).exit_code == 0
    (split / "Annotations" / "beta" / "00000.png").write_bytes(encode(labels_at(1)))
    assert "split: it has" in error_line(predict(run, split))
    assert "is not the split that run r was made from" in error_line(run("export", "r"))


def test_an_unknown_run_names_those_that_are_there(run: Run, split: Path) -> None:
    assert predict(run, split).exit_code == 0
    line = error_line(run("export", "q"))
    assert "no such run" in line
    assert "has r" in line


def test_members_that_lack_a_video_are_refused(run: Run, split: Path) -> None:
    assert predict(run, split).exit_code == 0
    assert (
        run(
            *("predict", split, "--predictor", "static", "--name", "half"),
            *("--videos", "alpha"),
        ).exit_code
        == 0
    )
    line = error_line(run("ensemble", "r", "half"))
    assert "run half lacks 1 of 2 videos, such as beta" in line
    assert run("ensemble", "r", "half", "--missing", "reweight").exit_code == 0


class Weightless(StaticPredictor):
    """A third-party model that cannot open any video."""

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        raise FileNotFoundError("no weights in ~/.cache")


class Fragile(StaticPredictor):
    """A third-party model with a bug."""

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        return _FragileSession(video.name)


class _FragileSession:
    def __init__(self, name: str) -> None:
        self._name = name

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        raise ValueError(f"cannot open {self._name}\nnor anything else")

    def close(self) -> None:
        pass


class Damaged(StaticPredictor):
    """A third-party model that returns NaN from the third frame on."""

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        return _DamagedSession(super().session(video, scale=scale))


class _DamagedSession:
    def __init__(self, inner: Session) -> None:
        self._inner = inner
        self._seen = 0

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        self._seen += 1
        found = self._inner.step(frame, prompts)
        if self._seen > 2:
            assert found.presence is not None
            found.presence[1] = np.nan
        return found

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the models above as models of the package their-model."""
    points = {}
    for kind in (Fragile, Weightless, Damaged):
        name = kind.__name__
        point = EntryPoint(name.lower(), f"{__name__}:{name}", GROUP)
        vars(point).update(dist=SimpleNamespace(name="their-model", version="1.2"))
        points[name.lower()] = point
    monkeypatch.setattr("submit.predictors.registry.installed", lambda: points)


@pytest.mark.usefixtures("strangers")
def test_what_is_wrong_with_every_video_is_said_once_and_leaves_no_run(
    run: Run, split: Path, tmp_path: Path
) -> None:
    done = run("predict", split, "--predictor", "weightless", "--name", "r")
    line = error_line(done, traceback=True)
    assert "(their-model 1.2) raised FileNotFoundError: no weights" in line
    assert "videos failed" not in done.stderr
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.usefixtures("strangers")
def test_a_bug_of_a_strangers_model_names_its_package_and_shows_where_it_is(
    run: Run, split: Path, tmp_path: Path
) -> None:
    done = run("predict", split, "--predictor", "fragile", "--name", "r")
    line = error_line(done, traceback=True)
    reason = (
        "predictor fragile (their-model 1.2) raised ValueError: cannot open {}; please "
        "report it to the authors of their-model 1.2, with the lines below"
    )
    assert f"2 of 2 videos failed: alpha: {reason.format('alpha')} (and 1 more)" in line
    lines = done.stderr.splitlines()
    start = lines.index(f"alpha failed: {reason.format('alpha')}")
    assert lines[start + 1] == "  Traceback (most recent call last):"
    assert lines[start + 2].startswith('    File "')
    assert __file__ in lines[start + 2]
    assert "  ValueError: cannot open alpha" in lines
    assert "  nor anything else" in lines
    assert "beta failed for the same reason as alpha" in "\n".join(lines)
    failed = json.loads((tmp_path / "runs" / "r" / "failed.json").read_text())
    assert "Traceback" in failed["beta"]


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    "options",
    [(), ("--no-soft",), ("--variant", "hflip"), ("--tta", "hflip"), ("--tta", "zoom")],
    ids=" ".join,
)
def test_a_score_that_is_no_number_never_means_absent(
    run: Run, split: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = run("predict", split, "--predictor", "damaged", "--name", "r", *options)
    line = error_line(done)
    reason = (
        "video {}: frame 00002: object 2: presence is nan, expected a finite number; "
        "predictor damaged (their-model 1.2) fails here: its weights may be damaged"
    )
    assert f"2 of 2 videos failed: alpha: {reason.format('alpha')}" in line
    failed = json.loads((tmp_path / "runs" / "r" / "failed.json").read_text())
    assert failed["beta"].startswith(reason.format("beta"))


def test_a_folder_that_is_no_run_is_not_written_into(
    run: Run, split: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / "thesis.tex").write_text("years of work")
    assert "so not a run" in error_line(predict(run, split))


@pytest.mark.parametrize("name", ["../x", "a/b", ".h", "", "/tmp/x"])
def test_every_command_that_makes_a_run_has_one_rule_for_its_name(
    name: str, run: Run, split: Path, tmp_path: Path
) -> None:
    assert predict(run, split).exit_code == 0
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ("predict", split, "--predictor", "static"),
        ("import", tmp_path, "--split", split),
        ("ensemble", "r"),
    ):
        line = error_line(run(*arguments, f"--name={name}"))
        assert line.startswith(f"Error: a run cannot be called {name!r}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_split_that_vanishes_while_it_is_read_costs_nothing_that_is_finished(
    run: Run, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk is unmounted after the first video."""
    from submit.predictors import StaticPredictor

    close = StaticPredictor.session
    opened = []

    def session(self: Any, video: Any, **more: Any) -> Any:
        opened.append(video.name)
        if len(set(opened)) == 2 and split.exists():
            split.rename(tmp_path / "elsewhere")
        return close(self, video, **more)

    with monkeypatch.context() as patch:
        patch.setattr(StaticPredictor, "session", session)
        line = error_line(predict(run, split))
    first, second = dict.fromkeys(opened)
    assert f"1 of {len(VIDEOS)} videos failed: {second}: " in line
    assert "(No such file or directory)" in line
    soft = tmp_path / "runs" / "r" / "soft" / f"{first}.npz"
    before = soft.stat().st_ino
    (tmp_path / "elsewhere").rename(split)
    assert predict(run, split).exit_code == 0
    assert soft.stat().st_ino == before


def test_two_commands_do_not_write_one_run(
    run: Run, split: Path, tmp_path: Path
) -> None:
    from submit.system.files import locked

    assert predict(run, split).exit_code == 0
    code = (
        "import sys, time; from pathlib import Path\n"
        "from submit.system.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    lock = tmp_path / "runs" / "r" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert "another command is writing here" in error_line(predict(run, split))
    finally:
        holder.kill()
        holder.communicate()
    with locked(lock):
        pass


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB; skips if this process cannot mount one."""
    with small_disk(tmp_path / "disk", "32k") as place:
        yield place


def test_a_full_disk_stops_and_loses_nothing(run: Run, split: Path, disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(os.urandom(24 * 1024))
    line = error_line(predict(run, split, "--runs", disk / "runs"))
    assert "the disk is full" in line
    assert "run the same command again" in line
    assert not list(disk.rglob("*.partial"))
    ballast.unlink()
    assert predict(run, split, "--runs", disk / "runs").exit_code == 0
