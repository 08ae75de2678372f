"""`submit check --part`, joined by `submit merge-parts`."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from submit.cli import _checking
from submit.png.palette import encode
from tests.conftest import TypeLine
from tests.submissions import A, B, labels_of, write_masks, write_split, zip_up


@pytest.fixture
def submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_line: TypeLine
) -> TypeLine:
    """Type a command in a folder with a split and defective masks of it.

    The zip has defects of its own: a file that is damaged and not a mask, a folder that
    is no video, and a video that is not there.
    """
    monkeypatch.chdir(tmp_path)
    write_split(tmp_path / "split")
    masks = write_masks(tmp_path / "masks")
    (masks / A / "00002.png").write_bytes(b"damaged")
    (masks / A / "00003.png").write_bytes(encode(labels_of(A, 3) * 7))
    shutil.rmtree(masks / B)
    (masks / "other").mkdir()
    (masks / "other" / "00000.png").write_bytes(b"no video")
    zip_up(masks, tmp_path / "a.zip")
    with zipfile.ZipFile("a.zip", "a") as archive:
        archive.writestr("notes.txt", b"beside the videos")
    data = bytearray(Path("a.zip").read_bytes())
    data[data.index(b"beside the videos")] ^= 1
    Path("a.zip").write_bytes(data)
    return type_line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "count", "more"),
    [
        ("a.zip", 2, "--team --sample sample.zip"),
        ("masks", 5, f"--videos {A} --videos c*"),
    ],
)
def test_findings_of_parts_are_joined_to_those_of_the_whole(
    submit: TypeLine, source: str, count: int, more: str
) -> None:
    zip_up(write_masks(Path("sample")), Path("sample.zip"))
    line = f"check {source} --split split {more}"
    whole = submit(f"{line} -o whole --json", code=1)
    for number in range(1, count + 1):
        submit(f"{line} -o checked --part {number}/{count}")
    joined = submit("merge-parts checked --delete --json", code=1)
    assert json.loads(joined.stdout)["checked"]["details"]["check"] == json.loads(
        whole.stdout
    )
    assert Path("whole/check.json").read_text() == whole.stdout
    assert Path("checked/check.json").read_text() == whole.stdout
    assert not list(Path().glob("part-*/checked"))


def test_masks_are_read_by_the_parts_and_the_rest_is_read_once(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "check a.zip --split split -o checked --json"
    parts = [submit(f"{line} --part {number}/2").stdout for number in (1, 2)]
    assert [json.loads(part)["frames"] for part in parts] == [12, 0]
    monkeypatch.setattr("submit.checks.check.check_video", None)
    shown = submit("merge-parts checked", code=1).stdout
    assert "fatal unreadable, 1" in shown
    assert "fatal damaged, 1" in shown
    assert "costly absent-video, 6" in shown
    assert "videos         3 videos" in shown


def test_what_was_checked_and_has_changed_is_not_joined(submit: TypeLine) -> None:
    line = "check a.zip --split split -o checked"
    submit(f"{line} --part 1/2")
    submit(f"{line} --part 2/2 --team")
    said = submit("merge-parts checked", code=1).output
    assert "part-2-of-2/checked: was checked with other team" in said
    submit(f"{line} --part 2/2")
    Path("part-2-of-2/checked/checked.json").write_text('{"request": []}')
    said = submit("merge-parts checked", code=1).output
    assert "part-2-of-2/checked: cannot be read" in said
    shutil.rmtree("part-2-of-2")
    said = submit("merge-parts checked", code=1).output
    assert "videos are not checked, such as " in said
    assert "check part 2 of 2" in said
    submit(f"{line} --part 2/2")
    (Path("masks") / A / "00004.png").write_bytes(b"other")
    zip_up(Path("masks"), Path("a.zip"))
    said = submit("merge-parts checked", code=1).output
    assert f"a.zip: the masks of {A} have changed since they were checked" in said
    assert not Path("checked").exists()


@pytest.mark.slow
def test_parts_of_a_run_are_scored_and_checked_before_they_are_joined(
    submit: TypeLine,
) -> None:
    shutil.rmtree("split/Annotations")
    write_masks(Path("split/Annotations"))
    for number in (1, 2):
        part = f"--part {number}/2"
        submit(f"predict split --predictor static --name run {part}")
        submit(f"check run --split split -o out {part}")
        submit(f"score run --split split -o out {part}")
    said = submit("merge-parts out", code=1).output
    assert "only parts of this run are there" in said
    submit("merge-parts run")
    submit("merge-parts out")
    submit("check run --split split -o whole")
    submit("score run --split split -o whole")
    for name in ("check.json", "scores.json", "frames.csv", "objects.csv"):
        assert Path("out", name).read_text() == Path("whole", name).read_text()


@pytest.mark.slow
def test_scores_and_findings_may_be_in_one_folder(submit: TypeLine) -> None:
    write_masks(Path("full/Annotations"))
    shutil.copytree("full/Annotations", "good")
    for number in (1, 2):
        part = f"-o out --part {number}/2"
        submit(f"score good --split full {part}")
        submit(f"check good --split full {part}")
    submit("merge-parts out --delete")
    found = sorted(path.name for path in Path("out").iterdir())
    assert {"check.json", "scores.json"} < set(found)
    assert not list(Path().glob("part-*/out"))


def test_a_finding_of_another_form_is_refused(submit: TypeLine) -> None:
    submit("check a.zip --split split -o checked --part 1/2")
    submit("check a.zip --split split -o checked --part 2/2")
    for path in Path().glob("part-*/checked/checked.json"):
        path.write_text(path.read_text().replace('"unreadable"', '"strange"'))
    said = submit("merge-parts checked", code=1).output
    assert "a finding has another form" in said


@pytest.mark.slow
def test_findings_in_masks_that_change_meanwhile_do_not_count(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "check masks --split split -o checked"
    submit(f"{line} --part 2/2")
    usual = _checking.check_part

    def check_part(*given: Any, **more: Any) -> Any:
        found = usual(*given, **more)
        for mask in Path("masks").glob("*/*.png"):
            mask.write_bytes(mask.read_bytes() + b"x")
        return found

    monkeypatch.setattr(_checking, "check_part", check_part)
    submit(f"{line} --part 1/2")
    for mask in Path("masks").glob("*/*.png"):
        if (
            mask.parent.name
            in json.loads(Path("part-2-of-2/checked/checked.json").read_text())[
                "videos"
            ]
        ):
            mask.write_bytes(mask.read_bytes()[:-1])
    said = submit("merge-parts checked", code=1).output
    assert "have changed since they were checked; check the parts again" in said
