"""`kill -9` in the middle of a video: what was saved is not made again."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WriteSplit
from tests.killing import Killing

pytestmark = pytest.mark.slow

FRAMES = tuple(f"{index:05}" for index in range(9))

#: A model that writes a line for each frame, and is killed before some of them, once.
MODEL = '''
import math
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from submit.pipeline import saving
from submit.predictors import StaticOptions, StaticPredictor, option

saving.EVERY, saving.SHARE = 0.0, math.inf  # After every frame.


@dataclass(frozen=True)
class Options:
    """What happens."""

    log: str = option("", "File of the frames that were made.", decides=False)
    kills: str = option("", "Lines of it after which it is killed.", decides=False)


class Dying(StaticPredictor):
    """Repeats the first mask."""

    Options = Options

    def __init__(self, options, *, device="auto"):
        super().__init__(StaticOptions(), device=device)
        self.options = options

    def session(self, video, *, scale=1.0):
        return Session(super().session(video), video.name, self.options)


class Session:
    def __init__(self, inner, name, options):
        self.inner, self.name, self.options = inner, name, options

    def step(self, frame, prompts):
        with open(self.options.log, "a+") as log:
            print(self.name, file=log, flush=True)
            log.seek(0)
            lines = log.read().splitlines()
        if f"{self.name}:{lines.count(self.name)}" in self.options.kills.split("/"):
            os.kill(os.getpid(), signal.SIGKILL)
        found = self.inner.step(frame, prompts)
        found.logits[:] *= 1 + frame.mean() / 256
        return found

    def state(self):
        return self.inner.state()

    def restore(self, state):
        self.inner.restore(state)

    def close(self):
        self.inner.close()
'''

Predict = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_split: WriteSplit
) -> Predict:
    """Run `submit predict` in a process of its own."""
    monkeypatch.chdir(tmp_path)
    write_split(("a", "b"), frames=FRAMES)
    Path("model.py").write_text(MODEL)

    def call(
        name: str, *words: str, kills: str = ""
    ) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "submit", "predict", "split", "--name", name]
        line += ["--predictor", "model.py:Dying", "-o", f"log={name}.log"]
        line += ["-o", f"kills={kills}", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    return call


def results(name: str) -> dict[str, str]:
    """The digests of what a run has, and of what it should not have left."""
    run = Path("runs") / name
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("soft", "masks")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file()
    }


def made(name: str) -> list[str]:
    """The videos of the frames that were made, in order."""
    return Path(f"{name}.log").read_text().split()


@pytest.mark.parametrize("words", [(), ("--no-soft",)], ids=["soft", "masks"])
def test_a_worker_that_is_killed_costs_no_frame_that_was_saved(
    predict: Predict, words: tuple[str, ...]
) -> None:
    assert predict("usual", *words).returncode == 0
    done = predict("killed", *words, "--workers", "2", kills="a:4/b:7")
    assert done.returncode == 0, done.stderr
    assert "a: its worker process was killed (SIGKILL); it is tried once" in done.stderr
    assert "a: continued after frame 00002" in done.stderr
    assert "b: continued after frame 00005" in done.stderr
    assert results("killed") == results("usual")
    # The frame in which it was killed was begun twice.
    assert sorted(made("killed")) == ["a"] * 10 + ["b"] * 10


@pytest.mark.parametrize("words", [(), ("--no-soft",)], ids=["soft", "masks"])
def test_a_command_that_is_killed_costs_no_frame_that_was_saved(
    predict: Predict, words: tuple[str, ...]
) -> None:
    assert predict("usual", *words).returncode == 0
    kills = "a:3/a:6/b:9"
    for _ in kills.split("/"):
        done = predict("killed", *words, kills=kills)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert list(Path("runs/killed").rglob("*.checkpoint"))
    done = predict("killed", *words, kills=kills)
    assert done.returncode == 0, done.stderr
    assert results("killed") == results("usual")
    assert sorted(made("killed")) == ["a"] * 11 + ["b"] * 10
    manifest = json.loads(Path("runs/killed/manifest.json").read_text())
    assert set(manifest["videos"]) == {"a", "b"}


def test_a_worker_that_is_killed_twice_is_recorded_and_continued_by_the_next_command(
    predict: Predict,
) -> None:
    assert predict("usual").returncode == 0
    done = predict("killed", "--workers", "2", kills="a:4/a:6")
    assert done.returncode == 1
    assert "it was tried once more, alone, and the same happened" in done.stderr
    again = predict("killed")
    assert again.returncode == 0, again.stderr
    assert "a: continued after frame 00003" in again.stderr
    assert results("killed") == results("usual")
    assert made("killed").count("a") == len(FRAMES) + 2


def test_the_only_video_of_a_run_is_continued(predict: Predict) -> None:
    """A run without a finished video is replaced, unless one of it was saved."""
    assert predict("usual", "--videos", "a").returncode == 0
    done = predict("killed", "--videos", "a", kills="a:5")
    assert done.returncode == -signal.SIGKILL
    other = predict("killed", "--videos", "a", "--variant", "hflip", kills="a:7")
    assert other.returncode == -signal.SIGKILL
    assert "continued" not in other.stderr
    done = predict("killed", "--videos", "a", "--variant", "hflip")
    assert done.returncode == 0, done.stderr
    assert "a: continued after frame" in done.stderr


def test_ctrl_c_keeps_what_was_saved(predict: Predict) -> None:
    words = ("--videos", "a")
    assert predict("usual", *words).returncode == 0
    Path("model.py").write_text(MODEL.replace("SIGKILL", "SIGINT"))
    done = predict("stopped", *words, kills="a:4")
    assert done.returncode == 130, done.stderr
    assert list(Path("runs/stopped").rglob("*.checkpoint"))
    done = predict("stopped", *words, kills="a:4")
    assert done.returncode == 0, done.stderr
    assert results("stopped") == results("usual")
    assert made("stopped").count("a") == len(FRAMES) + 1


#: `submit build` of two runs with that model.
RECIPE = """
split = "split"
runs = "{name}"

[[predict]]
name = "plain"
predictor = "model.py:Dying"
options = {{ log = "{name}.log", kills = "{kills}" }}

[[predict]]
name = "mirrored"
predictor = "model.py:Dying"
variant = "hflip"
options = {{ log = "{name}-mirrored.log", kills = "{more}" }}

[[ensemble]]
name = "both"
members = ["plain", "mirrored"]

[submission]
run = "both"
zip = "{name}.zip"
"""


def submit(line: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "submit", *line.split()]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.usefixtures("predict")
def test_a_build_that_is_killed_inside_videos_ends_with_the_same_zip() -> None:
    def build(
        name: str, kills: str = "", more: str = ""
    ) -> subprocess.CompletedProcess[str]:
        Path("recipe.toml").write_text(RECIPE.format(name=name, kills=kills, more=more))
        return submit("build recipe.toml --workers 1")

    assert build("usual").returncode == 0
    kills = ("a:4/b:7", "b:3")
    for left in ("plain/soft/.a", "plain/soft/.b", "mirrored/soft/.b"):
        done = build("killed", *kills)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert Path("killed", f"{left}.npz.checkpoint").exists()
    done = build("killed", *kills)
    assert done.returncode == 0, done.stderr
    assert "b: continued after frame 00001" in done.stderr
    assert sha256("killed.zip") == sha256("usual.zip")
    # Each frame in which it was killed was begun twice, and no other one.
    assert sorted(made("killed")) == ["a"] * 10 + ["b"] * 10
    assert sorted(made("killed-mirrored")) == ["a"] * 9 + ["b"] * 10
    assert not [*Path("killed").rglob("*.checkpoint"), *Path("killed").rglob("*.kept")]


def test_parts_that_are_killed_inside_a_video_end_with_the_same_zip(
    predict: Predict,
) -> None:
    def parts(name: str, kills: str = "") -> list[subprocess.CompletedProcess[str]]:
        return [predict(name, "--part", part, kills=kills) for part in ("1/2", "2/2")]

    assert [done.returncode for done in parts("usual")] == [0, 0]
    kills = "a:4/b:7"
    ends = [done.returncode for done in parts("killed", kills)]
    assert ends == [-signal.SIGKILL] * 2
    saved = sorted(path.name for path in Path("runs").rglob("*.checkpoint"))
    assert saved == [".a.npz.checkpoint", ".b.npz.checkpoint"]
    first, second = parts("killed", kills)
    assert "a: continued after frame 00002" in first.stderr
    assert "b: continued after frame 00005" in second.stderr
    for name in ("usual", "killed"):
        for line in (f"merge-parts {name}", f"pack {name} -o {name}.zip"):
            done = submit(line)
            assert done.returncode == 0, done.stderr
    assert sha256("killed.zip") == sha256("usual.zip")
    assert sorted(made("killed")) == ["a"] * 10 + ["b"] * 10


#: A model that is saved after every frame, with prompts in a later one.
SAVED = """
import math

from submit.pipeline import saving
from submit.predictors import StaticOptions, StaticPredictor

saving.EVERY, saving.SHARE = 0.0, math.inf


class Saved(StaticPredictor):
    Options = StaticOptions
"""


@pytest.mark.parametrize(
    ("fault", "words", "first"),
    [("kill", "", 0), ("kill", " --no-soft", 1), ("quota", "", 2)],
    ids=["kill, soft", "kill, masks", "quota"],
)
def test_a_fault_at_any_step_of_the_disk_ends_with_the_same_bytes(
    fault: str,
    words: str,
    first: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
) -> None:
    """Of both passes, while the result is kept, saved, continued and completed."""
    monkeypatch.chdir(tmp_path)
    write_split(("a",), frames=FRAMES[:4])
    given = {"00002": {"1": {"box": [2, 2, 6, 6]}}}
    Path("prompts.json").write_text(json.dumps({"version": 1, "videos": {"a": given}}))
    Path("model.py").write_text(SAVED)
    line = "predict split --predictor model.py:Saved --prompts prompts.json"
    line += f" --direction both{words} --name "
    with Killing() as commands:
        usual = commands.run(f"{line}usual", tmp_path)
        assert usual.status == 0, usual.stderr
        assert usual.steps is not None
        wanted, continued = results("usual"), 0
        # Every third step, another third each time.
        for step in range(first, usual.steps, 3):
            name = f"at{step}"
            ended = commands.run(line + name, tmp_path, **{fault: step})
            # A later command may have one step less, and no fault then.
            assert ended.status in ((None, 0) if fault == "kill" else (0, 1))
            assert "Traceback" not in ended.stderr
            again = commands.run(line + name, tmp_path)
            assert again.status == 0, f"{step}: {ended.stderr}{again.stderr}"
            assert results(name) == wanted, f"step {step}"
            continued += "continued after" in again.stderr
            shutil.rmtree(Path("runs") / name)
    assert continued > usual.steps // 12
