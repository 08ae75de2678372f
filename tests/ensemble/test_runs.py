"""`submit ensemble` on whole runs: files, report, and resumption after a kill."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from submit.cli import cli
from submit.ensemble import MergeSettings, VideoMerger
from submit.masks import VALUES, Codes
from submit.png.palette import read
from submit.runs import Run, SoftWriter
from submit.system.files import digest
from submit.system.tables import to_toml
from tests.conftest import WriteSplit
from tests.ensemble.members import SIZE
from tests.splits import write_masks

FRAMES = tuple(f"{number:05d}" for number in range(6))
VIDEOS = ("a", "b")

Invoke = Callable[[str], Result]


@pytest.fixture
def split(write_split: WriteSplit) -> Path:
    return write_split(VIDEOS, frames=FRAMES)


@pytest.fixture
def submit(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Invoke:
    """Run a command line in the test's folder, in this process."""
    monkeypatch.chdir(tmp_path)
    return lambda line: runner.invoke(cli, line.split(), catch_exceptions=False)


def write_moved(root: Path, shift: int, videos: tuple[str, ...] = VIDEOS) -> None:
    """Masks of another program: moving bars; object 2 disappears in frame 3."""
    maps = []
    for index in range(len(FRAMES)):
        labels = np.zeros((24, 32), np.uint8)
        labels[2 + index + shift : 9 + index + shift, 2:6] = 1
        if index < 3 + shift:
            labels[2 + index : 9 + index, 7 + shift : 11 + shift] = 2
        maps.append(labels)
    for video in videos:
        write_masks(root / video, maps)


@pytest.fixture
def imported(submit: Invoke, split: Path, tmp_path: Path) -> Path:
    """The runs one, two and three, and the soft run still; returns their folder."""
    for shift, name in enumerate(("one", "two", "three")):
        write_moved(tmp_path / "masks" / name, shift)
        line = f"import masks/{name} --name {name} --split split"
        assert submit(line).exit_code == 0
    assert submit("predict split --predictor static --name still").exit_code == 0
    return tmp_path / "runs"


def error_of(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]
    return line


def masks_of(runs: Path, name: str) -> dict[str, NDArray[np.uint8]]:
    folder = runs / name / "masks"
    return {str(p.relative_to(folder)): read(p) for p in sorted(folder.rglob("*.png"))}


def test_a_vote_is_a_run_of_masks_that_is_ready_to_pack(
    submit: Invoke, imported: Path, split: Path, tmp_path: Path
) -> None:
    assert submit("ensemble one two three --method vote --name v").exit_code == 0
    run = Run.open(imported / "v")
    assert not run.is_soft
    assert run.settings["method"] == "vote"
    found = masks_of(imported, "v")
    parts = [masks_of(imported, name) for name in ("one", "two", "three")]
    for name, labels in found.items():
        stack = np.stack([part[name] for part in parts])
        votes = np.stack([(stack == key).sum(0) for key in (0, 1, 2)])
        wanted = votes.argmax(0)
        if name.endswith("00000.png"):
            wanted = read(split / "Annotations" / name)
        np.testing.assert_array_equal(labels, wanted)
    assert submit("pack v -o v.zip").exit_code == 0
    assert submit("check v.zip --split split").exit_code == 0


def test_a_vote_of_soft_runs_copies_the_first_mask(
    submit: Invoke, imported: Path, split: Path
) -> None:
    assert submit("ensemble still one --method vote --name v").exit_code == 0
    for video in VIDEOS:
        path = imported / "v" / "masks" / video / "00000.png"
        truth = split / "Annotations" / video / "00000.png"
        np.testing.assert_array_equal(read(path), read(truth))


@pytest.mark.slow
def test_a_vote_finds_a_split_that_has_moved(
    submit: Invoke, imported: Path, split: Path, tmp_path: Path
) -> None:
    split.rename(tmp_path / "moved")
    line = "ensemble one two --method vote --name v"
    assert "name its place with --split" in error_of(submit(line))
    assert submit(f"{line} --split moved").exit_code == 0


def test_the_report_says_what_each_member_did(submit: Invoke, imported: Path) -> None:
    result = submit("ensemble one two three --method vote --name v --json")
    reports = json.loads(result.stdout)["details"]["members"]
    assert [one["name"] for one in reports] == ["one", "three", "two"]
    by_name = {one["name"]: one for one in reports}
    # The middle one is nearest to what they have in common.
    assert by_name["two"]["differs"] < by_name["one"]["differs"]
    assert by_name["two"]["differs"] < by_name["three"]["differs"]
    for one in reports:
        assert one["weight"] == pytest.approx(1 / 3)
        assert one["videos"] == 2
        assert 0 < one["changes"] <= 1
        assert 0 <= one["objects_change"] <= one["objects_differ"] + 1
    content = json.loads((imported / "v" / "members.json").read_text())
    assert content["members"] == reports
    assert sorted(content["videos"]) == list(VIDEOS)
    assert content["videos"]["a"][0]["videos"] == 1
    # Asked again, it says the same.
    again = submit("ensemble one two three --method vote --name v --json")
    assert json.loads(again.stdout)["details"]["members"] == reports


def test_members_that_agree_change_nothing(submit: Invoke, imported: Path) -> None:
    assert submit("import masks/one --name same --split split").exit_code == 0
    result = submit("ensemble one same --name both --json")
    for one in json.loads(result.stdout)["details"]["members"]:
        assert (one["differs"], one["changes"]) == (0, 0)
    alone = submit("ensemble one --name alone --json")
    (only,) = json.loads(alone.stdout)["details"]["members"]
    assert (only["differs"], only["changes"]) == (0, None)
    assert "–" in submit("ensemble one --name alone").stdout


def test_a_settings_file_says_it_all(
    submit: Invoke, imported: Path, tmp_path: Path
) -> None:
    settings = MergeSettings(
        method="select", members=("two", "one"), overrides={"a/2": {"one": 0}}
    )
    tuned = tmp_path / "tuned.toml"
    tuned.write_text(
        to_toml({"ensemble": settings.to_table()}) + "\n[postprocess]\nfill_holes = 9\n"
    )
    assert submit("ensemble --settings tuned.toml --name t").exit_code == 0
    run = Run.open(imported / "t")
    assert run.settings == settings.for_members(("one", "two")).to_table()
    assert run.settings["members"] == ["one", "two"]
    # What the command line says wins; the folder's run is then another one.
    line = error_of(submit("ensemble --settings tuned.toml --method vote --name t"))
    assert 'method: it has "select", asked for "vote"' in line


def test_weights_of_videos_come_from_a_file(
    submit: Invoke, imported: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.toml").write_text('one = 1\ntwo = 0\n["b"]\none = 0\ntwo = 1\n')
    line = "ensemble one two --method vote --weights w.toml --name w"
    assert submit(line).exit_code == 0
    merged, one, two = (masks_of(imported, name) for name in ("w", "one", "two"))
    np.testing.assert_array_equal(merged["a/00004.png"], one["a/00004.png"])
    np.testing.assert_array_equal(merged["b/00004.png"], two["b/00004.png"])


@pytest.mark.slow
def test_the_gate_may_be_left_to_some_members(submit: Invoke, imported: Path) -> None:
    """Object 2 disappears in frame 3 of run one, in frame 5 of run three."""

    def last_frame(options: str, name: str) -> int:
        line = f"ensemble one two three --method vote --name {name} {options}"
        assert submit(line).exit_code == 0
        found = masks_of(imported, name)
        return max(n for n in range(6) if (found[f"a/{n:05d}.png"] == 2).any())

    assert last_frame("--gate one", "g1") == 2
    assert last_frame("--gate three", "g3") == 4
    assert last_frame("--gate all --gate-threshold 0.9", "g9") == 2
    settings = Run.open(imported / "g9").settings
    assert settings["gate"]["threshold"] == 0.9


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "one two --weights 1",
            "ensemble: weights: expected 2 weights, one per run, f",
        ),
        ("one two --weights none.toml", "none.toml: cannot be read"),
        ("one two --gate four", "ensemble: gate: weights: 'four' is not a member; th"),
        ("--settings none.toml", "none.toml: cannot be read (No such file or directo"),
        ("one one", "run is a member twice; give it a weight"),
        ("one four", "four: no such run"),
    ],
)
def test_what_cannot_be_merged_is_said_in_one_line(
    submit: Invoke, imported: Path, line: str, said: str
) -> None:
    assert said in error_of(submit(f"ensemble {line} --name x"))
    assert not (imported / "x").exists()


@pytest.mark.parametrize(
    "line", ["", "one two --weights 1,x2", "one two --gate-return one"]
)
def test_a_wrong_command_line_is_said(
    submit: Invoke, imported: Path, line: str
) -> None:
    result = submit(f"ensemble {line} --name x")
    assert result.exit_code == 2 or "cannot be read" in result.stderr


def test_weights_of_a_video_that_is_not_there_are_refused(
    submit: Invoke, imported: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.toml").write_text('one = 1\ntwo = 1\n["c/1"]\none = 0\n')
    line = error_of(submit("ensemble one two --weights w.toml --name x"))
    assert "weights of c/1: no run has such a video" in line


def test_a_video_that_a_member_lacks_is_left_to_the_others(
    submit: Invoke, imported: Path, tmp_path: Path
) -> None:
    write_moved(tmp_path / "masks" / "part", 1, ("a",))
    assert submit("import masks/part --name part --split split").exit_code == 0
    line = "ensemble one part --name x --weights 1,3 --gate part"
    assert "run part lacks 1 of 2 videos, such as b" in error_of(submit(line))
    result = submit(f"{line} --missing reweight --json")
    by_name = {m["name"]: m for m in json.loads(result.stdout)["details"]["members"]}
    assert (by_name["one"]["videos"], by_name["part"]["videos"]) == (2, 1)
    assert submit("export x").exit_code == 0
    merged, one = masks_of(imported, "x"), masks_of(imported, "one")
    np.testing.assert_array_equal(merged["b/00004.png"], one["b/00004.png"])


RECIPE = """
split = "split"

[[predict]]
name = "still"
predictor = "static"

[[import]]
name = "one"
path = "masks/one"

[[ensemble]]
name = "both"
members = ["still", "one"]
weights = { still = 1, one = 2, "b/2" = { one = 0 } }
method = "METHOD"
gate = { weights = { one = 1 } }

[submission]
run = "both"
"""


def test_a_recipe_merges_by_any_method(
    submit: Invoke, split: Path, tmp_path: Path
) -> None:
    write_moved(tmp_path / "masks" / "one", 0)
    recipe = tmp_path / "recipe.toml"
    for method in ("vote", "cascade"):
        recipe.write_text(RECIPE.replace("METHOD", method))
        result = submit("build recipe.toml --json")
        assert result.exit_code == 0, result.stderr
        # An ensemble of other settings is replaced.
        run = Run.open(tmp_path / "runs" / "split" / "both")
        assert run.settings["method"] == method
        assert run.settings["weights"]["b/2"] == {"still": 1, "one": 0}
    found = masks_of(tmp_path / "runs" / "split", "both")
    assert not (found["a/00004.png"] == 2).any()


@pytest.mark.slow
@pytest.mark.parametrize("options", ["--gate all", "--method vote"])
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    submit: Invoke, imported: Path, tmp_path: Path, options: str
) -> None:
    def start(name: str) -> subprocess.Popen[bytes]:
        line = f"ensemble one two still {options} --name {name}"
        return subprocess.Popen(
            [sys.executable, "-m", "submit", *line.split()],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    began = time.monotonic()
    assert start("calm").wait() == 0
    usual = time.monotonic() - began
    process = start("killed")
    time.sleep(random.Random(3).uniform(0.4, 0.9) * usual)
    process.kill()
    process.wait()
    assert start("killed").wait() == 0
    calm, killed = (Run.open(imported / name) for name in ("calm", "killed"))
    assert killed.identity == calm.identity
    for folder in ("soft", "masks"):
        if (calm.path / folder).is_dir():
            assert digest(killed.path / folder) == digest(calm.path / folder)
    report = "members.json"
    assert (killed.path / report).read_bytes() == (calm.path / report).read_bytes()
    assert not list(killed.path.rglob("*.partial"))


class Endless:
    """A soft video of any length, generated when it is read."""

    objects = (1, 2, 3)
    size = SIZE

    def __init__(self, length: int, seed: int) -> None:
        self.frames = tuple(f"{number:05d}" for number in range(length))
        shape = (length, len(self.objects))
        self.presence = np.full(shape, 3 - seed, np.float32)
        self.iou = np.full(shape, 0.7, np.float32)
        random = np.random.default_rng(seed)
        self.values = VALUES
        self._codes = random.integers(-128, 128, (3, 64, 64)).astype(np.int8)

    def codes(self, index: int) -> Codes:
        return np.roll(self._codes, index, axis=2)

    def close(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["mean_probabilities", "mean_logits", "select", "vote"]
)
def test_memory_does_not_grow_with_the_video(tmp_path: Path, method: str) -> None:
    length = 5000
    members: dict[str, Any] = {str(n): Endless(length, n) for n in range(3)}
    settings = MergeSettings.from_table({"method": method, "gate": {}})
    merger = VideoMerger(members, settings)
    with SoftWriter(tmp_path / "v.npz", size=SIZE) as writer:
        for index, frame in enumerate(merger.frames):
            if index == 500:
                tracemalloc.start()
            merged = merger.merge(index)
            writer.write(
                frame, merged.objects, merged.codes, merged.presence, merged.iou
            )
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    # The list of what is in the file grows, by far less than a frame of 12 kB.
    assert grown < 1500 * (length - 500)
