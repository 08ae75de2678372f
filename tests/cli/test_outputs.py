"""Outputs are checked before the work, and never replace other files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.errors import StorageError
from submit.png.palette import encode
from tests.disks import small_disk

SIZE = (24, 32)
FRAMES = 4

RECIPE = """
split = "split"
runs = "built"
[[predict]]
name = "plain"
predictor = "static"
[submission]
run = "plain"
zip = {zip}
"""


@dataclass(frozen=True)
class Output:
    """A command with an output; `OUT` stands for the output's path."""

    line: str
    is_folder: bool = False
    #: What progress it shows when the work has begun.
    begins: str = ""
    #: How the name must end, which says what kind of output it is; None if it does not.
    suffix: str | None = None


OUTPUTS = {
    "pack": Output("pack one -o OUT"),
    "repair": Output("repair one.zip --split split -o OUT", begins="check:"),
    "tune": Output(
        "tune one two --split split --budget 2 -o OUT", begins="tune: 24 frames"
    ),
    "tune --expected-score": Output(
        "tune one two --split split --budget 2 -o t.toml --expected-score OUT",
        begins="tune: 24 frames",
    ),
    "anchors": Output(
        "anchors one gone --split split --min-agreement 0.5 --distance 1 -o OUT",
        begins="anchors: ",
    ),
    "build": Output("build OUT.toml", begins="predict plain"),
    "score": Output("score one --split split -o OUT", True, "score: "),
    "score davis": Output(
        "score one --split split --protocol davis -o OUT", True, "score: "
    ),
    "export": Output("export one -o OUT", True, "export one: "),
    "overlay": Output(
        "overlay one a --split split -o OUT", begins="overlay: ", suffix=".gif"
    ),
    "overlay sheet": Output("overlay one a --split split -o OUT", suffix=".png"),
    "overlay frames": Output(
        "overlay one a --split split -o OUT", True, "overlay: ", suffix=""
    ),
    "report": Output("report one --split split -o OUT", True, "score one: "),
    "holdout": Output("holdout split --videos 2 -o OUT", True, "holdout: "),
    "sample": Output("sample OUT --videos 1 --frames 2 --size 64x48", True, "sample: "),
    "predict": Output(
        "predict split --predictor static --name new --runs OUT", True, "predict new: "
    ),
    "import": Output(
        "import one.zip --split split --name new --runs OUT", True, "import new: "
    ),
    "ensemble": Output(
        "ensemble runs/one runs/two --name new --runs OUT", True, "ensemble new: "
    ),
}
FILES = [name for name, output in OUTPUTS.items() if not output.is_folder]
FOLDERS = [name for name, output in OUTPUTS.items() if output.is_folder]


def submit(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], env={"SUBMIT_WORKERS": "1"}
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a split with truth, runs, a zip, a recipe and a team file."""
    root = tmp_path_factory.mktemp("outputs")
    random = np.random.default_rng(0)
    for video in ("a", "b", "c"):
        images, masks = (
            root / "split" / kind / video for kind in ("JPEGImages", "Annotations")
        )
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame in range(FRAMES):
            pixels = random.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{frame:05d}.jpg")
            labels = np.zeros(SIZE, np.uint8)
            labels[4:12, 3 + frame : 13 + frame] = 1
            (masks / f"{frame:05d}.png").write_bytes(encode(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("one", "two"):
            done = submit("predict", "split", "--predictor=static", "--name", name)
            assert done.exit_code == 0, done.output
        assert submit("pack", "one", "-o", "one.zip").exit_code == 0
        # A run that loses its objects, so that runs disagree.
        shutil.copytree("split/Annotations", "gone")
        for path in Path("gone").glob("*/0000[23].png"):
            path.write_bytes(encode(np.zeros(SIZE, np.uint8)))
        done = submit("import", "gone", "--split", "split", "--name", "gone")
        assert done.exit_code == 0, done.output
    (root / "recipe.toml").write_text(RECIPE.format(zip='"z.zip"'))
    (root / "notes.txt").write_text("years of work")
    shutil.copy(Path(__file__).parents[2] / "examples" / "team.json", root)
    with zipfile.ZipFile(root / "photos.zip", "w") as archive:
        archive.writestr("holiday/1.png", b"\x89PNG")
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `made` as the current folder."""
    copy = tmp_path / "here"
    shutil.copytree(made, copy)
    monkeypatch.chdir(copy)
    return copy


def run(name: str, out: str, *more: str) -> Result:
    """Run a command whose output goes to `out`."""
    line, suffix = OUTPUTS[name].line, OUTPUTS[name].suffix
    if suffix is not None and out not in ("", "-"):
        # The suffix has a meaning, so the output gets another name.
        link = Path(tempfile.mkdtemp()) / f"link{suffix}"
        link.symlink_to(Path.cwd() / out)
        out = str(link)
    if name == "build":
        Path("OUT.toml").write_text(RECIPE.format(zip=json.dumps(out)))
        return submit("build", "OUT.toml", *more)
    return submit(*(out if word == "OUT" else word for word in line.split()), *more)


def tree(folder: Path) -> dict[str, str]:
    """All files of a folder with their digests, and folders and links."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "other"
        for path in folder.rglob("*")
        if path.name != "OUT.toml"
    }


def refused(name: str, out: str, words: str, *more: str) -> None:
    """The command refuses the output with one line and changes nothing."""
    before = tree(Path.cwd())
    done = run(name, out, *more)
    assert done.exit_code in (1, 2), done.output
    lines = done.stderr.splitlines()
    if done.exit_code == 2:
        assert lines[0].startswith("Usage: ")
    else:
        assert len(lines) == 1, done.stderr
    assert lines[-1].startswith("Error: ")
    assert words in lines[-1]
    assert done.stdout == ""
    assert tree(Path.cwd()) == before


#: Places where nothing can be written, and what is said of them.
ANYWHERE = {
    "notes.txt/x": "is a file and not a folder",
    "notes.txt/x/y": "is a file and not a folder",
    "n" * 300: "the name is too long",
    "": "it is empty; expected a path",
    "-": "results cannot go to stdout; expected a path",
    "circle": "symbolic links form a circle",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_place_for_no_file_is_refused_before_the_work(
    name: str, folder: Path
) -> None:
    os.mkfifo("pipe")
    os.symlink("circle", "circle")
    for out, words in {
        **ANYWHERE,
        "split": "it is a folder, expected a file",
        ".": "it is a folder, expected a file",
        "/dev/full": "it is a device or a pipe",
        "/dev/null": "it is a device or a pipe",
        "pipe": "it is a device or a pipe",
    }.items():
        if name == "build" and out == "-":
            continue  # In a recipe it is a file of this name.
        said = 'zip = "": expected a path' if name + out == "build" else words
        refused(name, out, said)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_place_for_no_folder_is_refused_before_the_work(
    name: str, folder: Path
) -> None:
    os.symlink("circle", "circle")
    for out, words in {**ANYWHERE, "notes.txt": "is a file and not a folder"}.items():
        if out == "-" and "--runs" in OUTPUTS[name].line:
            continue  # Runs may be kept in a folder of any name.
        refused(name, out, words)


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_there_is_made_and_a_link_stays(name: str, folder: Path) -> None:
    os.symlink("new/deep/out", "link")
    done = run(name, "link")
    assert done.exit_code == 0, done.output
    assert OUTPUTS[name].begins in done.stderr
    assert Path("link").is_symlink()
    assert Path("new/deep/out").is_dir() is OUTPUTS[name].is_folder
    assert not list(folder.rglob("*.partial"))
    # What the same command wrote, it may write again.
    assert run(name, "new/deep/out").exit_code == 0


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_not_replaced_unless_it_is_meant(
    name: str, folder: Path
) -> None:
    for victim in (
        "recipe.toml",
        "team.json",
        "photos.zip",
        "notes.txt",
        "runs/one/manifest.json",
    ):
        refused(name, victim, "would be replaced, and is not a")
    assert run(name, "notes.txt", "--force").exit_code == 0
    assert Path("notes.txt").read_bytes() != b"years of work"
    # An empty file is no loss.
    Path("recipe.toml").write_bytes(b"")
    assert run(name, "recipe.toml").exit_code == 0
    assert Path("recipe.toml").stat().st_size > 0


def test_files_of_one_command_are_not_those_of_another(folder: Path) -> None:
    for name in ("pack", "tune", "tune --expected-score", "anchors"):
        assert run(name, name).exit_code == 0
    for name, other in (
        ("pack", "tune"),
        ("tune", "pack"),
        ("tune", "tune --expected-score"),
        ("tune --expected-score", "pack"),
        ("anchors", "tune --expected-score"),
    ):
        refused(name, other, "would be replaced")
    refused("tune --expected-score", "./t.toml", "name one file")


@pytest.mark.parametrize("how", ["itself", "link", "hard link", "detour"])
def test_an_input_is_never_an_output(how: str, folder: Path) -> None:
    out = "one.zip"
    if how == "link":
        out = "link.zip"
        os.symlink("one.zip", out)
    elif how == "hard link":
        out = "hard.zip"
        os.link("one.zip", out)
    elif how == "detour":
        out = "split/../one.zip"
    for more in ((), ("--force",)):
        refused("repair", out, "is an input, which is never written to", *more)
    team = f"--team={folder / 'team.json'}"
    refused("pack", "team.json", "is an input", team, "--force")


@pytest.mark.parametrize("name", ["score", "score davis"])
def test_scores_replace_scores_and_no_other_file(name: str, folder: Path) -> None:
    Path("work").mkdir()
    Path("work/thesis.tex").write_text("years of work")
    assert run(name, "work").exit_code == 0
    first = tree(folder)
    assert run(name, "work").exit_code == 0
    # Times of scoring are no scores.
    changed = {path for path, sha in tree(folder).items() if first[path] != sha}
    assert changed <= {"work/metrics.json"}

    Path("work/scores.json").unlink()
    lost = "work/metrics.json" if name == "score" else "work/objects.csv"
    refused(name, "work", f"{lost}: would be replaced")
    assert run(name, "work", "--force").exit_code == 0
    refused(name, "split", "is an input")
    assert Path("work/thesis.tex").read_text() == "years of work"


def test_scores_of_one_protocol_do_not_stay_among_those_of_another(
    folder: Path,
) -> None:
    official = {"metrics.json", "scores.txt"}
    common = {"scores.json", "objects.csv", "frames.csv"}
    for name, files in (
        ("score", official | common),
        ("score davis", common),
        ("score", official | common),
    ):
        assert run(name, "out").exit_code == 0
        assert {path.name for path in Path("out").iterdir()} == files


def test_a_sample_on_which_runs_depend_is_not_replaced(folder: Path) -> None:
    assert run("sample", "s").exit_code == 0
    other = (*OUTPUTS["sample"].line.replace("OUT", "s").split(), "--seed", "1")
    before = tree(folder)
    done = submit(*other)
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: {}: is a sample with seed = 0, asked for 1, and runs may depend on it; "
        "choose another folder, or replace it with --force\n"
    ).format(folder / "s")
    assert tree(folder) == before
    assert submit(*other, "--force").exit_code == 0
    assert tree(folder) != before


def test_a_sample_that_somebody_has_added_to_is_not_replaced(folder: Path) -> None:
    assert run("sample", "s").exit_code == 0
    shutil.copytree("split/JPEGImages/a", "s/JPEGImages/a")
    # Where nothing would be replaced, it may stay.
    assert run("sample", "s").exit_code == 0
    Path("s/JPEGImages/vanish/00000.jpg").unlink()
    refused("sample", "s", "has files that submit sample did not write, such as JPEG")
    Path("s/thesis.tex").touch()
    refused("sample", "s", "s/thesis.tex: would be replaced", "--force")
    refused("sample", "split", "Annotations: would be replaced", "--force")


def test_settings_that_cannot_be_written_are_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise StorageError(f"{path}: cannot be written, the disk is full; make room")

    monkeypatch.setattr("submit.system.files.write_bytes", refuse)
    done = run("tune", "tuned.toml")
    assert done.exit_code == 1
    assert "tuned.toml would have held:\n  # Tuned by submit tune" in done.stderr
    assert '\n  [ensemble]\n  method = "' in done.stderr
    assert done.stderr.endswith("the disk is full; make room\n")
    assert "members" in done.stdout


def test_a_wrong_team_file_is_said_before_a_build(folder: Path) -> None:
    text = RECIPE.format(zip='"z.zip"') + 'team = "{}"\n'
    for team, words in (
        ("gone.json", "gone.json: cannot be read (No such file or directory)"),
        ("notes.txt", "notes.txt"),
        ("split", "split: cannot be read (Is a directory)"),
    ):
        Path("r.toml").write_text(text.format(team))
        done = submit("build", "r.toml")
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert words in line


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes, like ulimit -f."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_that_becomes_too_large_is_an_expected_failure(
    name: str, folder: Path
) -> None:
    before = tree(folder)
    run_limited = partial(run, name, "out")
    if name == "build":
        Path("OUT.toml").write_text(RECIPE.format(zip='"out"'))
        run_limited = partial(submit, "build", "OUT.toml")
    with files_of_at_most(90):
        done = run_limited()
    assert done.exit_code == 1, done.output
    line = done.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    assert "the file would be larger than its file system" in line
    assert "Traceback" not in done.stderr
    left = {path for path in tree(folder).keys() - before.keys() if "." in path}
    assert not [path for path in left if ".partial" in path]
    # A command that failed on a full disk continues when there is space.
    if name not in ("score", "score davis", "sample", "holdout"):
        assert run(name, "out").exit_code == 0


@pytest.fixture
def full_disk(folder: Path) -> Iterator[Path]:
    """A full file system; skips if this process cannot mount one."""
    with small_disk(folder / "disk", "32k") as disk:
        with contextlib.suppress(OSError), (disk / "ballast").open("wb") as stream:
            while True:
                stream.write(bytes(4096))
                stream.flush()
        yield disk


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_is_said_before_the_work(name: str, full_disk: Path) -> None:
    done = run(name, "disk/out")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "cannot be written, the disk is full; make room" in line
    # Folders may be left, and no files.
    files = {path.name for path in full_disk.rglob("*") if path.is_file()}
    assert files == {"ballast"}
