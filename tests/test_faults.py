"""Every command that writes, on a disk that is full or a quota that is used up.

The fault comes before a step of the command, from the first to the last; which ones is
decided by a seed. Kills at any step are in tests/test_chain.py.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.killing import BALLAST, Ended, Killing

pytestmark = pytest.mark.slow

PREPARED = (
    "sample split --videos 3 --frames 6 --size 96x64",
    "predict split --predictor static --name one",
    "predict split --predictor static --variant hflip --name two",
    "import split/Annotations --name true --split split",
    "pack one -o one.zip",
)
PROMPTS = {
    "version": 1,
    "videos": {
        video: {"00004": {"1": {"box": [9, 9, 40, 40]}}}
        for video in ("similar", "small", "vanish")
    },
}
RECIPE = """
split = "split"
runs = "built"

[[predict]]
name = "plain"
predictor = "static"

[[predict]]
name = "mirrored"
predictor = "static"
variant = "hflip"

[[ensemble]]
name = "both"
members = ["plain", "mirrored"]

[[route]]
name = "routed"
run = "both"
when = "area < 0.2"
variant = "hflip"
predictor = "static"

[submission]
run = "routed"
"""

#: Command lines with an output, by what they write.
LINES = {
    "a sample": "sample new --videos 1 --frames 3 --size 64x48",
    "a hold-out": "holdout split -o held --videos 1",
    "soft masks": "predict split --predictor static --name new",
    "masks": "predict split --predictor static --name new --no-soft",
    "both directions": (
        "predict split --predictor static --name new --direction both"
        " --prompts prompts.json"
    ),
    "merged variants": "predict split --predictor static --name new --tta hflip",
    "an import": "import one.zip --name new --split split",
    "prompts": "import true --as-prompts -o p.json --split split --frames 2,last",
    "prompt masks": "import true --as-prompts -o p --split split --frames 2,last",
    "anchors": (
        "anchors one true --split split --min-agreement 0.1 --distance 1 -o a.json"
    ),
    "an ensemble": "ensemble one two --name new",
    "an export": "export two -o masks",
    "a zip": "pack two -o two.zip",
    "a repaired zip": "repair one.zip --split split -o r.zip",
    "scores": "score one --split split -o sc",
    "DAVIS scores": "score one --split split --protocol davis -o sc",
    "settings": (
        "tune one two --split split --budget 2 -o t.toml --expected-score e.json"
    ),
    "a report": "report one true --split split -o rep",
    "a part of a report": "report one true --split split -o rep --part 1/2",
    "a film": "overlay one vanish --split split -o o.gif",
    "a sheet": "overlay one vanish --split split -o o.png",
    "pictures": "overlay one vanish --split split -o o",
    "a figure": "plot scores one two --split split -o c.svg",
    "a whole build": "build recipe.toml",
}

#: Bookkeeping with times or histories; everything else must be the same bytes.
RECORDS = {
    *("manifest.json", "manifest.log", "failed.json", "members.json", "metrics.json"),
    *(".export.json", ".export.log", ".lock", BALLAST),
}


@pytest.fixture(scope="module")
def commands() -> Iterator[Killing]:
    """One process that forks for each command."""
    with Killing() as commands:
        yield commands


@pytest.fixture(scope="module")
def made(commands: Killing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a split, runs, a zip, prompts and a recipe."""
    folder = tmp_path_factory.mktemp("faults")
    for line in PREPARED:
        done = commands.run(line, folder)
        assert done.status == 0, f"{line}\n{done.stderr}"
    (folder / "prompts.json").write_text(json.dumps(PROMPTS))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB; skips if this process cannot mount one."""
    with small_disk(tmp_path / "disk", "8m") as place:
        yield place


def fresh(folder: Path, made: Path) -> None:
    """Make a folder a copy of the prepared one."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
    shutil.copytree(made, folder, dirs_exist_ok=True)


def results(folder: Path) -> dict[str, str]:
    """The digests of all files that a command must make the same again."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in RECORDS
    }


def require_told(done: Ended, said: str) -> None:
    """A command must say in one line what the disk said, and where."""
    assert done.status == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert f"cannot be written, {said}; make room and run the same command" in last


def sweep(
    kind: str, said: str, name: str, folder: Path, made: Path, commands: Killing
) -> None:
    """Let the fault come before some steps; run again, and compare."""
    line = LINES[name]
    fresh(folder, made)
    calm = commands.run(line, folder)
    assert calm.status == 0, calm.stderr
    assert calm.steps is not None
    wanted = results(folder)
    chosen = random.Random(name).sample(range(calm.steps), min(2, calm.steps))
    for step in chosen:
        fresh(folder, made)
        done = commands.run(line, folder, **{kind: step})
        (folder / BALLAST).unlink(missing_ok=True)
        # Nothing that needs room may be left to do.
        if done.status == 0:
            assert results(folder) == wanted
        else:
            require_told(done, said)
        assert not list(folder.rglob("*.partial*"))
        again = commands.run(line, folder)
        assert again.status == 0, again.stderr
        assert results(folder) == wanted, f"{line}, step {step}"


@pytest.mark.parametrize("name", LINES)
def test_a_disk_that_fills_up_is_said_and_nothing_is_lost(
    name: str, disk: Path, made: Path, commands: Killing
) -> None:
    sweep("full", "the disk is full", name, disk, made, commands)


@pytest.mark.parametrize("name", LINES)
def test_a_quota_that_is_used_up_is_said_and_nothing_is_lost(
    name: str, tmp_path: Path, made: Path, commands: Killing
) -> None:
    sweep("quota", "the disk quota is used up", name, tmp_path, made, commands)


@pytest.mark.parametrize("name", LINES)
def test_a_disk_that_is_read_only_is_said_before_the_work(
    name: str, disk: Path, made: Path, commands: Killing
) -> None:
    fresh(disk, made)
    before = results(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = commands.run(LINES[name], disk)
    assert done.status == 1
    (line,) = done.stderr.strip().splitlines()
    assert "cannot be written, the file system is read-only; choose another" in line
    assert results(disk) == before
