"""`submit report`: the page's data, strips and safety."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.report.cuts import cuts_among
from submit.report.strips import MISSED, SURPLUS, spread

pytestmark = pytest.mark.usefixtures("here")

HOSTILE = "<img src=x onerror=alert(1)>"


def report(
    output: Path, *more: object, runs: tuple[str, ...] = ("one", "two")
) -> Result:
    line = ["report", *runs, "-o", output, *more]
    return CliRunner().invoke(cli, [str(word) for word in line])


def assigned(path: Path) -> Any:
    """The data in a line of JavaScript."""
    return json.loads(path.read_text("ascii").partition("=")[2].rstrip(";\n"))


def test_with_truth_the_page_has_scores_and_a_row_for_each_object(
    tmp_path: Path,
) -> None:
    done = report(tmp_path / "r", "--split", "split", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["videos"] == 2
    data = assigned(tmp_path / "r" / "data.js")
    assert data["runs"] == ["one", "two"]
    assert [(one["video"], one["id"]) for one in data["objects"]] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    moving, still = data["objects"][:2]
    assert moving["gone"] == 1
    assert moving["area"] == pytest.approx(100 * 400 / 4800, abs=0.01)
    assert still["scores"] == [100, 100]
    page = (tmp_path / "r" / "index.html").read_text("utf-8")
    score = CliRunner().invoke(cli, ["score", "one", "--split", "split", "--json"])
    total = 100 * json.loads(score.stdout)["totals"]["jf_dot"]
    assert f"<b>{total:.2f}</b>" in page
    assert "two − one" in page
    assert "absent at times" in page
    assert "gain over" in page


def test_the_timeline_has_all_frames_and_the_strips_the_chosen_ones(
    tmp_path: Path,
) -> None:
    done = report(tmp_path / "r", "--split", "split", "--frames", 4)
    assert done.exit_code == 0, done.output
    found = assigned(tmp_path / "r" / "videos" / "0.js")
    assert found["shown"] == [0, 2, 5, 7]
    assert found["areas"][0][0] == [400, 400, 400, 0, 0, 400, 400, 400]
    # Officially one pixel is added to both areas: 301 of 501.
    assert found["scores"][0]["j"][0][:2] == [None, 60.1]
    folder = tmp_path / "r" / "videos" / "0"
    for name in ("frames.webp", "0.png", "1.png", "2-difference.png"):
        with Image.open(folder / name) as image:
            assert image.size == (80, 4 * 60)
    with Image.open(folder / "1-difference.png") as image:
        pixels = np.array(image.convert("RGBA"))
    # In the third frame that is shown the square has moved by 25 columns.
    third = pixels[120:180]
    assert (third[10, 40] == (*MISSED, 230)).all()
    assert (third[10, 10] == (*SURPLUS, 230)).all()
    assert third[55, 40, 3] == 0


def test_what_happens_in_a_video_is_marked_in_its_frames(
    tmp_path: Path, made: Path
) -> None:
    run = tmp_path / "strange"
    shutil.copytree(made / "runs" / "one", run)
    manifest = json.loads((run / "manifest.json").read_text())
    details = {"memory": [["00003", 2, "good"]], "prompts": [["00005", 1, "box"]]}
    manifest["videos"]["a"]["details"] = details
    (run / "manifest.json").write_text(json.dumps(manifest))
    again = tmp_path / "lost"
    shutil.copytree(made / "runs" / "two" / "masks", again)
    (again / ".export.json").unlink()
    for path in sorted((again / "a").iterdir())[1:]:
        shutil.copy(made / "empty.png", path)
    runs = (str(run), str(again))
    done = report(tmp_path / "r", "--split", "split", runs=runs)
    assert done.exit_code == 0, done.output
    marks = assigned(tmp_path / "r" / "videos" / "0.js")["marks"]
    assert marks[0] == [0, "prompt", None, None, "first mask"]
    assert [3, "memory", 2, 0, "good"] in marks
    assert [5, "prompt", 1, 0, "prompt: box"] in marks
    data = assigned(tmp_path / "r" / "data.js")
    found = [[code for _, code, *_ in one["findings"]] for one in data["objects"]]
    assert found == [["frozen", "never-predicted"]] * 2 + [["frozen", "frozen"]] * 2


def test_cuts_are_large_changes_beyond_the_usual() -> None:
    calm, wild = [0.05] * 9, [0.5] * 9
    assert cuts_among([*calm, 0.8, *calm]) == (10,)
    assert cuts_among([*wild, 0.8, *wild]) == ()
    assert cuts_among([0.9]) == (1,)


def test_without_truth_the_page_has_agreement_and_what_to_look_at(
    tmp_path: Path,
) -> None:
    done = report(tmp_path / "r", "--split", "valid")
    assert done.exit_code == 0, done.output
    data = assigned(tmp_path / "r" / "data.js")
    assert not data["truth"]
    assert all(one["agreement"] is not None for one in data["objects"])
    assert "No ground truth" in (tmp_path / "r" / "index.html").read_text("utf-8")
    assert not list(tmp_path.rglob("*difference.png"))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def test_names_become_text_and_never_markup(tmp_path: Path, made: Path) -> None:
    run = tmp_path / HOSTILE.replace("/", "")
    shutil.copytree(made / "runs" / "one" / "masks", run)
    done = report(tmp_path / "r", "--split", "split", runs=(str(run),))
    assert done.exit_code == 0, done.output
    tags = _Tags()
    tags.feed((tmp_path / "r" / "index.html").read_text("utf-8"))
    assert "img" not in tags.found
    script = (Path(tmp_path / "r" / "report.js")).read_text("utf-8")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_folders_of_one_name_are_told_apart(tmp_path: Path, made: Path) -> None:
    folders = tuple(str(tmp_path / name / "masks") for name in ("one", "two"))
    for name, folder in zip(("one", "two"), folders, strict=True):
        shutil.copytree(made / "runs" / name / "masks", folder)
    done = report(tmp_path / "r", "--split", "split", runs=folders)
    assert done.exit_code == 0, done.output
    data = assigned(tmp_path / "r" / "data.js")
    assert data["runs"] == list(folders)
    assert [len(one["scores"]) for one in data["objects"]] == [2] * 4


def test_a_run_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    done = report(tmp_path / "r", "--split", "split", runs=("one", "runs/one"))
    assert done.exit_code == 1
    assert "one: is given twice; name each run once" in done.stderr


def test_a_report_is_replaced_and_a_strange_folder_is_not(tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert report(out, "--split", "split").exit_code == 0
    assert report(out, "--split", "split").exit_code == 0
    (out / "index.html").write_text("mine")
    done = report(out, "--split", "split")
    assert done.exit_code == 1
    assert "would be replaced" in done.stderr


def test_chosen_frames_are_spread_over_the_video_with_its_ends() -> None:
    assert spread(5, 24) == (0, 1, 2, 3, 4)
    assert spread(101, 3) == (0, 50, 100)
    assert spread(1, 24) == (0,)
