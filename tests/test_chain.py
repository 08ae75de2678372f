"""The whole chain by its commands: killed anywhere, it ends with the same zip."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.png.palette import decode
from tests.killing import Killing
from tests.splits import meta_of, write_split

SIZE = (48, 64)
FRAMES = 12
VIDEOS = ("alpha", "beta", "gamma")

#: The chain as a user types it; every step may be killed.
CHAIN = (
    "predict split --predictor static --name plain",
    "predict split --predictor static --variant hflip --name flipped",
    "ensemble plain flipped --name both",
    "export both -o masks",
    "pack masks -o both.zip",
)


def truth(video: int, frame: int) -> np.ndarray:
    """Two discs; one of them moves, disappears and reappears."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    labels = np.zeros(SIZE, np.uint8)
    x = 10 + 4 * frame if frame < 6 else 80 - 5 * (frame - 6)
    labels[(rows - 12) ** 2 + (columns - x) ** 2 < 64] = 1
    labels[(rows - 32) ** 2 + (columns - 20 - 5 * video) ** 2 < 80] = 2
    return labels


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small videos with full ground truth and a meta file."""
    shown = {
        video: [truth(index, frame) for frame in range(FRAMES)]
        for index, video in enumerate(VIDEOS)
    }
    root = tmp_path_factory.mktemp("chain") / "split"
    return write_split(root, shown, meta=meta_of(shown))


def submit(folder: Path, line: str) -> str:
    """Run one command in a folder that has the split; returns what it prints."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(cli, line.split())
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return done.stdout


def with_split(folder: Path, split: Path) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copytree(split, folder / "split")
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, split: Path) -> Path:
    """A folder in which the chain has run without disturbance."""
    folder = with_split(tmp_path_factory.mktemp("undisturbed"), split)
    for line in CHAIN:
        submit(folder, line)
    return folder


def test_the_zip_is_what_the_server_wants(undisturbed: Path) -> None:
    report = json.loads(submit(undisturbed, "check both.zip --split split --json"))
    assert {finding["severity"] for finding in report["findings"]} <= {"note"}
    with zipfile.ZipFile(undisturbed / "both.zip") as archive:
        names = archive.namelist()
        assert names == [
            f"{video}/{frame:05d}.png" for video in VIDEOS for frame in range(FRAMES)
        ]
        first = decode(archive.read("beta/00000.png"))
    assert np.array_equal(first, truth(1, 0))


def test_the_scores_are_those_of_a_model_that_never_moves(undisturbed: Path) -> None:
    scores = json.loads(submit(undisturbed, "score both.zip --split split --json"))
    objects = scores["videos"]["alpha"]["objects"]
    assert objects["2"]["jf_dot"] == 1.0
    assert objects["1"]["jf_dot"] < 0.5
    assert objects["1"]["disappear"] is not None
    assert objects["1"]["reappear"] is not None


def test_a_finished_chain_run_again_changes_nothing(undisturbed: Path) -> None:
    before = sha256(undisturbed / "both.zip")
    soft = {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*.npz")}
    for line in CHAIN:
        submit(undisturbed, line)
    assert sha256(undisturbed / "both.zip") == before
    assert {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*.npz")} == soft


@pytest.mark.slow
def test_another_folder_gives_the_same_zip(
    undisturbed: Path, split: Path, tmp_path: Path
) -> None:
    elsewhere = with_split(tmp_path / "elsewhere", split)
    for line in CHAIN:
        alone = line.startswith("pack") or "hflip" in line
        submit(elsewhere, line if alone else f"{line} --workers 2")
    assert sha256(elsewhere / "both.zip") == sha256(undisturbed / "both.zip")


@pytest.mark.slow
def test_masks_of_other_programs_take_part(undisturbed: Path) -> None:
    submit(undisturbed, "import both.zip --name other --split split")
    submit(undisturbed, "ensemble other plain --weights 3,1 --name mixed")
    scores = json.loads(submit(undisturbed, "score mixed --split split --json"))
    assert scores["totals"]["j"] > 0


def test_masks_written_at_once_are_those_that_export_writes(undisturbed: Path) -> None:
    submit(undisturbed, "predict split --predictor static --name hard --no-soft")
    submit(undisturbed, "export plain")
    for path in (undisturbed / "runs" / "plain" / "masks").rglob("*.png"):
        twin = Path(str(path).replace("runs/plain", "runs/hard"))
        assert twin.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "times",
    [1, pytest.param(20, marks=pytest.mark.slow)],
    ids=["once", "at many steps"],
)
def test_killed_at_any_step_and_run_again_it_ends_with_the_same_zip(
    undisturbed: Path, split: Path, tmp_path: Path, times: int
) -> None:
    calm, killed = (with_split(tmp_path / name, split) for name in ("calm", "killed"))
    moments = random.Random(7)
    with Killing() as commands:
        for line in CHAIN:
            usual = commands.run(line, calm)
            assert usual.status == 0
            assert usual.steps is not None
            for _ in range(times):
                # A later one may have less to do, and may end before it is killed.
                commands.run(line, killed, kill=moments.randrange(usual.steps))
            assert commands.run(line, killed).status == 0
    assert sha256(killed / "both.zip") == sha256(undisturbed / "both.zip")
    assert not list(killed.rglob("*.partial"))
