"""`submit report` in parts and in workers: the same bytes, or a line that says why."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.data import read_split
from submit.errors import RunError
from submit.png.palette import encode
from submit.report import making
from submit.report.parts import read_report_parts
from submit.report.pieces import MALFORMED, entry_of_piece, piece_of_entry
from tests import splits
from tests.conftest import TypeLine
from tests.inline import Inline
from tests.report.conftest import FRAMES, SIZE, truth


@pytest.fixture
def submit(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_line: TypeLine
) -> TypeLine:
    """Type a command in a copy of the folder with two runs."""
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return type_line


def content(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def in_parts(submit: TypeLine, line: str, count: int = 2) -> None:
    for index in range(count, 0, -1):
        submit(f"{line} --part {index}/{count}")


def refused(submit: TypeLine, *said: str) -> None:
    """`merge-parts r` says this in one line, and leaves no page."""
    done = submit("merge-parts r", code=1)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("Error: ")
    for text in said:
        assert text in error
    assert not Path("r").exists()


REPORT = "report one two --split split"


@pytest.mark.slow
@pytest.mark.parametrize("split", ["split", "valid"])
def test_a_page_of_parts_has_the_bytes_of_one_command(
    split: str, submit: TypeLine
) -> None:
    line = f"report one two --split {split} --frames 3 --side 64"
    submit(f"{line} -o whole --workers 1")
    submit(f"{line} -o threads --workers 3")
    in_parts(submit, f"{line} -o r")
    assert not Path("r").exists()
    done = submit("merge-parts r --delete --json")
    assert json.loads(done.stdout)["r"]["done"] == ["a", "b"]
    assert content("r") == content("whole") == content("threads")
    assert not list(Path().glob("part-*/r"))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["split", "valid"])
def test_workers_elsewhere_make_the_same_bytes(
    split: str, submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.executors.ray.RayExecutor", lambda **_: Inline())
    line = f"report one two --split {split}"
    submit(f"{line} -o whole")
    submit(f"{line} -o r --executor ray")
    assert content("r") == content("whole")
    shutil.rmtree("r")
    in_parts(submit, f"{line} -o r --executor ray")
    submit("merge-parts r")
    assert content("r") == content("whole")


@pytest.mark.slow
def test_errors_of_workers_elsewhere_are_those_of_threads(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.executors.ray.RayExecutor", lambda **_: Inline())

    def errors() -> set[str]:
        here = submit(f"{REPORT} -o r", code=1).stderr.splitlines()[-1]
        there = submit(f"{REPORT} -o r --executor ray", code=1).stderr.splitlines()[-1]
        assert not list(Path().glob("*r*.partial"))
        return {here, there}

    frame = Path("split/JPEGImages/b/00003.jpg")
    before = frame.read_bytes()
    frame.write_bytes(b"")
    (said,) = errors()
    assert "b/00003.jpg" in said
    frame.write_bytes(before)
    Path("split/Annotations/b/00004.png").unlink()
    (said,) = errors()
    assert "1 of 2 videos lack ground truth" in said


@pytest.mark.slow
def test_what_needs_all_videos_is_computed_when_parts_are_joined(
    submit: TypeLine,
) -> None:
    submit("ensemble one two --name both")
    line = "report one both --split split --members"
    submit(f"{line} -o whole")
    in_parts(submit, f"{line} -o r")
    submit("merge-parts r")
    assert content("r") == content("whole")
    assert b"Members of both" in content("r")["index.html"]


@pytest.mark.slow
def test_a_model_of_the_score_must_stay_the_same(submit: TypeLine) -> None:
    maps = [truth(frame) for frame in range(FRAMES)]
    splits.write_split(Path("three"), dict.fromkeys("abc", maps))
    submit("predict three --predictor static --name one --runs more")
    submit("predict three --predictor static --variant hflip --name two --runs more")
    submit(
        "tune one two --split three --runs more --budget 2 -o t --expected-score e.json"
    )
    line = "report one two --split valid --expected-score e.json"
    submit(f"{line} -o whole")
    in_parts(submit, f"{line} -o r")
    before = Path("e.json").read_bytes()
    Path("e.json").write_bytes(before + b" ")
    refused(
        submit,
        "e.json: is not there, or has changed since the parts of the report were drawn",
    )
    Path("e.json").write_bytes(before)
    submit("merge-parts r")
    assert content("r") == content("whole")


@pytest.mark.slow
def test_a_part_takes_the_runs_of_its_own_part(submit: TypeLine) -> None:
    predict = "predict split --predictor static --name third"
    for index in (1, 2):
        submit(f"{predict} --part {index}/2")
        submit(f"report third one --split split -o r --part {index}/2")
    refused(submit, "only parts of this run are there", "submit merge-parts")
    submit("merge-parts third")
    submit("merge-parts r")
    submit("report third one --split split -o whole")
    assert content("r") == content("whole")


@pytest.mark.slow
def test_parts_of_a_run_that_is_not_exported_do_not_write_into_it(
    submit: TypeLine,
) -> None:
    """Two jobs that export into one folder would wait for each other."""
    submit("predict split --predictor static --name third")
    in_parts(submit, "report third --split split -o r")
    assert not Path("runs/third/masks").exists()
    assert Path("runs/third/part-1-of-2/masks/a").is_dir()
    done = submit("merge-parts r")
    assert "export third" not in done.stderr
    submit("report third --split split -o whole")
    assert content("r") == content("whole")


@pytest.mark.slow
def test_runs_may_lack_videos_and_parts_may_have_none(submit: TypeLine) -> None:
    maps = [truth(frame) for frame in range(FRAMES)]
    nothing = [np.zeros(SIZE, np.uint8)] * FRAMES
    splits.write_split(Path("split"), {"c": nothing, "d": maps})
    submit("predict split --predictor static --name some --videos [bd]")
    shutil.copytree("runs/one/masks/a", "masks/a")
    shutil.copytree("split/Annotations/c", "masks/c")
    line = "report some masks --split split"
    submit(f"{line} -o whole")
    assert "2 of 4 videos have no masks" in content("whole")["index.html"].decode()
    in_parts(submit, f"{line} -o r", 5)
    submit("merge-parts r")
    assert content("r") == content("whole")


@pytest.mark.slow
@pytest.mark.parametrize("split", ["split", "valid"])
def test_a_run_may_be_called_truth(split: str, submit: TypeLine) -> None:
    submit(f"report one two --split {split} -o named")
    shutil.move("runs/one", "runs/truth")
    line = f"report truth two --split {split}"
    submit(f"{line} -o whole")
    in_parts(submit, f"{line} -o r")
    submit("merge-parts r")
    assert content("r") == content("whole")
    assert content("whole/videos") == content("named/videos")


@pytest.mark.slow
def test_a_zip_and_a_folder_are_reported_in_parts(submit: TypeLine) -> None:
    submit("pack one -o one.zip")
    shutil.copytree("runs/two/masks", "masks")
    Path("masks/.export.json").unlink()
    line = "report one.zip masks --split split"
    submit(f"{line} -o whole")
    in_parts(submit, f"{line} -o r")
    mask = Path("masks/a/00003.png")
    before = mask.read_bytes()
    mask.write_bytes(encode(np.zeros(SIZE, np.uint8)))
    refused(submit, "r/0.json: the masks of masks have changed in a", "draw it again")
    mask.write_bytes(before)
    submit("merge-parts r")
    assert content("r") == content("whole")


@pytest.mark.slow
def test_missing_and_foreign_parts_are_named(submit: TypeLine) -> None:
    submit(f"{REPORT} -o r --part 1/3")
    refused(submit, "r: 1 of 2 videos are not drawn, such as b; draw part 2, 3 of 3")
    submit(f"{REPORT} -o r --part 2/2")
    refused(submit, "has parts of different divisions, of 2 and of 3; delete")
    shutil.rmtree("part-1-of-3")
    submit(f"{REPORT} -o r --part 1/2 --side 64")
    refused(submit, "part-2-of-2/r: was drawn with other side than part-1-of-2/r")
    submit("report two one --split split -o r --part 1/2")
    refused(submit, "part-2-of-2/r: was drawn with other source than part-1-of-2/r")
    submit(f"{REPORT} -o r --part 1/2")
    submit("merge-parts r")


@pytest.mark.slow
def test_runs_and_splits_that_have_changed_since_are_named(submit: TypeLine) -> None:
    in_parts(submit, f"{REPORT} -o r")
    shutil.move("runs/two", "runs/old")
    refused(submit, "two: no such run")
    shutil.copytree("split/Annotations", "truth")
    submit("import truth --name two --split split")
    refused(submit, "the masks of two have changed in ", "draw it again")
    shutil.rmtree("runs/two")
    shutil.move("runs/old", "runs/two")
    maps = [truth(frame) for frame in range(FRAMES)]
    splits.write_split(Path("split"), {"c": maps})
    refused(submit, "split: has changed since its parts were drawn")


@pytest.mark.slow
def test_parts_of_another_version_are_named(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(submit, f"{REPORT} -o r")
    monkeypatch.setattr("submit.report.parts.release", lambda: "mose-submit 9")
    refused(submit, "its parts were drawn by mose-submit", "and this is mose-submit 9")


@pytest.mark.slow
def test_a_strange_folder_is_not_replaced_by_a_part(submit: TypeLine) -> None:
    Path("part-1-of-2/r").mkdir(parents=True)
    Path("part-1-of-2/r/mine.txt").write_text("mine")
    done = submit(f"{REPORT} -o r --part 1/2", code=1)
    assert "part-1-of-2/r/mine.txt: would be replaced" in done.stderr


PIECE = Path("part-1-of-2/r/0.json")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a piece, and its digest, as an attacker would."""
    entry = json.loads(path.read_text())
    edit(entry)
    path.write_text(json.dumps(entry))
    head = path.with_name("pieces.json")
    known = json.loads(head.read_text())
    known["videos"]["a"]["digest"] = hashlib.sha256(path.read_bytes()).hexdigest()
    head.write_text(json.dumps(known))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "harm",
    [flip, Path.unlink, replaced_by_pipe, lambda path: path.write_bytes(b"")],
    ids=["flipped", "missing", "pipe", "empty"],
)
@pytest.mark.parametrize("name", ["0.json", "videos/0/1.png"])
def test_a_damaged_file_of_a_part_is_named(
    name: str, harm: Callable[[Path], object], parts: TypeLine
) -> None:
    harm(PIECE.parent / name)
    refused(parts, f"part-1-of-2/r/{name}: cannot be read", "draw this part")


@pytest.mark.slow
def test_a_damaged_list_of_pieces_is_named(parts: TypeLine) -> None:
    path = PIECE.with_name("pieces.json")
    path.write_bytes(path.read_bytes()[:-99])
    refused(parts, "part-1-of-2/r: cannot be read", "draw this part")
    path.unlink()
    refused(parts, "1 of 2 videos are not drawn", "draw part 1 of 2")


@pytest.fixture
def parts(submit: TypeLine, made_parts: Path) -> TypeLine:
    """Type a command where both parts of a report are there."""
    for place in ("part-1-of-2", "part-2-of-2"):
        shutil.copytree(made_parts / place, place)
    return submit


@pytest.fixture(scope="session")
def made_parts(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of a report."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for index in (1, 2):
            line = f"report one two --split split -o r --part {index}/2"
            done = CliRunner().invoke(cli, line.split())
            assert done.exit_code == 0, done.output
            shutil.move(f"part-{index}-of-2", folder)
    return folder


def _put(*keys: str | int, value: object) -> Callable[[dict[str, Any]], object]:
    def put(entry: Any) -> None:
        *inside, last = keys
        for key in inside:
            entry = entry[key]
        entry[last] = value

    return put


HOSTILE = {
    "text for a number": _put("strips", "shown", value=["</script>"]),
    "no number": _put("scores", "one", "scores", "j", 0, 0, value=float("nan")),
    "a large number": _put("strips", "areas", 1, 0, 0, value=10**30),
    "a score above 1": _put("scores", "one", "scores", "f", 0, 0, value=7.0),
    "a frame after the end": _put("strips", "cuts", value=[99]),
    "a table of another shape": _put("strips", "areas", 0, value=[[1]]),
    "frames of another video": _put("scores", "one", "frames", value=["x"]),
    "a run that is none": _put("scores", "x", value={}),
    "a finding that is none": _put("checks", "one", "findings", value=[{"x": 1}]),
    "findings in a text": _put("checks", value="one"),
    "a list": lambda entry: entry.clear(),
    "a comparison": _put("look", value={"objects": {}, "findings": {}}),
}


RUNS = ("one", "two")


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_data_of_another_form_are_refused(
    edit: Callable[[dict[str, Any]], object], made: Path, made_parts: Path
) -> None:
    video = read_split(made / "split").videos["a"]
    entry = json.loads((made_parts / PIECE).read_text())
    piece = piece_of_entry(entry, video, RUNS, truth=True)
    assert entry_of_piece(piece).keys() < entry.keys()
    edit(entry)
    with pytest.raises(MALFORMED):
        piece_of_entry(entry, video, RUNS, truth=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        _put("files", "../../../split/x.png", value="0"),
        _put("files", "report.js", value="0"),
        _put("files", value={}),
        _put("look", value={"objects": {}, "findings": {}}),
    ],
    ids=["elsewhere", "script", "none", "look"],
)
def test_a_piece_of_another_form_is_named(
    edit: Callable[[dict[str, Any]], object], parts: TypeLine
) -> None:
    change(PIECE, edit)
    refused(parts, "part-1-of-2/r/0.json: cannot be read", "draw this part")


@pytest.mark.parametrize(
    "edit",
    [
        _put("request", "settings", "frames", value="24"),
        _put("request", "source", value=["one"]),
        _put("request", "more", value=1),
        _put("videos", value=[1]),
        _put("videos", "a", value=1),
        _put("videos", "a", "digest", value=None),
        _put("videos", "a", "number", value="../../r"),
    ],
    ids=["type", "list", "unknown", "videos", "video", "digest", "number"],
)
def test_a_request_of_another_form_is_refused(
    edit: Callable[[dict[str, Any]], object], heads: Path
) -> None:
    path = heads / "part-1-of-2/r/pieces.json"
    entry = json.loads(path.read_text())
    edit(entry)
    path.write_text(json.dumps(entry))
    with pytest.raises(RunError, match=r"part-1-of-2/r: cannot be read"):
        read_report_parts(heads / "r")


def test_lists_of_parts_are_compared(heads: Path) -> None:
    asked, pieces = read_report_parts(heads / "r")
    assert asked.videos == tuple(pieces) == ("a", "b")
    assert asked.source == "one two"
    shutil.rmtree(heads / "part-2-of-2")
    with pytest.raises(RunError, match=r"1 of 2 videos are not drawn, such as b; draw"):
        read_report_parts(heads / "r")


@pytest.fixture
def heads(made_parts: Path, tmp_path: Path) -> Path:
    """A folder with the lists of both parts."""
    for path in made_parts.glob("*/r/pieces.json"):
        target = tmp_path / path.relative_to(made_parts)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    return tmp_path


@pytest.mark.slow
def test_a_link_in_a_part_brings_nothing_into_the_page(parts: TypeLine) -> None:
    secret = Path("secret.txt")
    secret.write_text("secret")
    strip = PIECE.parent / "videos/0/frames.webp"
    strip.unlink()
    strip.symlink_to(secret.absolute())
    refused(parts, "videos/0/frames.webp: cannot be read")


@pytest.mark.slow
def test_pieces_of_masks_that_change_meanwhile_do_not_count(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree("runs/two/masks", "masks")
    Path("masks/.export.json").unlink()
    line = "report one masks --split split -o r"
    usual = making.make_pieces

    def make_pieces(*given: Any, **more: Any) -> Any:
        found = usual(*given, **more)
        for mask in Path("masks").glob("*/00003.png"):
            mask.write_bytes(encode(np.zeros(SIZE, np.uint8)))
        return found

    monkeypatch.setattr(making, "make_pieces", make_pieces)
    submit(f"{line} --part 2/2")
    monkeypatch.setattr(making, "make_pieces", usual)
    submit(f"{line} --part 1/2")
    refused(submit, "the masks of masks have changed in ", "draw it again")


@pytest.mark.slow
def test_a_report_and_a_check_in_one_folder_are_not_joined(submit: TypeLine) -> None:
    in_parts(submit, f"{REPORT} -o r")
    in_parts(submit, "check one --split split -o r")
    before = content("part-1-of-2/r")
    said = submit("merge-parts r --delete", code=1).output
    assert "part-1-of-2/r has a part of a report beside that of a score or a" in said
    assert content("part-1-of-2/r") == before
