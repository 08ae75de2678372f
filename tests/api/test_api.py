"""The Python functions give the same results as the commands."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import submit
from submit.cli import cli
from tests.conftest import WriteSplit

FRAMES = ("00000", "00001", "00002", "00003", "00004")


@pytest.fixture
def split(write_split: WriteSplit) -> Path:
    return write_split(frames=FRAMES, annotated=len(FRAMES))


@pytest.fixture
def runs(split: Path, tmp_path: Path, runner: CliRunner) -> Path:
    """A run with logits and one with label maps, by the predictor `static`."""
    folder = tmp_path / "runs"
    for name, options in (("soft", []), ("hard", ["--no-soft"])):
        arguments = ["predict", str(split), "--predictor", "static", "--name", name]
        arguments += ["--runs", str(folder), "--workers", "1", *options]
        result = runner.invoke(cli, arguments)
        assert result.exit_code == 0, result.output
    return folder


def test_a_split_gives_its_videos_frames_and_masks(split: Path) -> None:
    found = submit.open_split(split)
    assert list(found) == ["a", "b"]
    video = found["a"]
    assert (video.frames, video.objects, video.size) == (FRAMES, (1, 2), (24, 32))
    assert video.has_truth
    assert video.annotated == FRAMES
    assert video.image(0).shape == (24, 32, 3)
    assert (video.image("3") == video.image(-2)).all()
    assert np.unique(video.labels("00002")).tolist() == [0, 1, 2]
    assert list(submit.open_split(split, videos=["b"])) == ["b"]


def test_a_frame_that_is_not_there_is_named(split: Path) -> None:
    video = submit.open_split(split)["a"]
    with pytest.raises(submit.SubmitError, match=r"from -5 to 4, found 5"):
        video.image(5)
    with pytest.raises(submit.SubmitError, match=r"has no frame 77"):
        video.labels("77")


def test_a_run_gives_logits_probabilities_and_scores(split: Path, runs: Path) -> None:
    run = submit.open_run("soft", runs=runs)
    assert run.videos == ("a", "b")
    assert run.settings["predictor"] == "static"
    video = run["a"]
    logits = video.logits(2)
    assert logits.dtype == np.float32
    probabilities = video.probabilities("00002")
    assert probabilities == pytest.approx(1 / (1 + np.exp(-logits)))
    assert video.presence(2).shape == (len(FRAMES),)
    assert video.iou(1).shape == (len(FRAMES),)
    with pytest.raises(KeyError):
        video.presence(9)


def test_labels_are_those_of_the_export(
    split: Path, runs: Path, runner: CliRunner
) -> None:
    before = submit.open_run(runs / "soft")
    labels = [before["b"].labels(t) for t in range(len(FRAMES))]
    assert not (runs / "soft" / "masks").exists()
    command = ["export", str(runs / "soft"), "--threshold", "0.9"]
    assert runner.invoke(cli, command).exit_code == 0
    after = submit.open_run(runs / "soft")["b"]
    first = submit.open_split(split)["b"].labels(0)
    assert (labels[0] == first).all()
    # The predictor repeats the first mask, and is sure of it.
    assert all((after.labels(t) == labels[t]).all() for t in range(len(FRAMES)))


def test_label_maps_have_no_logits(runs: Path) -> None:
    video = submit.open_run("hard", runs=runs)["a"]
    assert video.labels(1).shape == (24, 32)
    with pytest.raises(submit.SubmitError, match="has label maps only"):
        video.logits(1)


def test_a_folder_and_a_zip_need_their_split(split: Path, runs: Path) -> None:
    zipped = runs / "masks.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in sorted((runs / "hard" / "masks").glob("*/*.png")):
            archive.write(file, f"{file.parent.name}/{file.name}")
    with pytest.raises(submit.SubmitError, match="name it"):
        submit.open_run(zipped)
    run = submit.open_run(zipped, split=split)
    expected = submit.open_run("hard", runs=runs)["b"].labels(3)
    assert (run["b"].labels(3) == expected).all()
    assert run.settings == {}


def test_scores_are_those_of_the_command(
    split: Path, runs: Path, runner: CliRunner
) -> None:
    command = ["score", "hard", "--split", str(split), "--runs", str(runs), "--json"]
    result = runner.invoke(cli, command)
    expected = json.loads(result.stdout)["totals"]
    opened = submit.open_split(split)
    by_name = submit.score(runs / "hard", split)
    by_run = submit.score(submit.open_run("soft", runs=runs), opened)
    for name, value in expected.items():
        assert getattr(by_name.totals, name) == value
        assert getattr(by_run.totals, name) == value
    rows = by_name.rows()
    assert [(row["video"], row["object"]) for row in rows] == [
        ("a", 1), ("a", 2), ("b", 1), ("b", 2)
    ]  # fmt: skip
    assert len(by_name.rows("frame")) == 2 * 2 * (len(FRAMES) - 2)


def test_arrays_score_as_files_do(split: Path, runs: Path) -> None:
    truth = submit.open_split(split)["b"]
    masks = submit.open_run("hard", runs=runs)["b"]
    arrays = [
        np.stack([one.labels(t) for t in range(len(FRAMES))]) for one in (masks, truth)
    ]
    found = submit.score(*arrays)
    expected = submit.score(runs / "hard", split, videos="b")
    assert found.totals == expected.totals
    assert [row["j"] for row in found.rows("frame")] == [
        row["j"] for row in expected.rows("frame")
    ]


@pytest.mark.parametrize(
    ("masks", "truth", "said"),
    [
        (np.zeros((4, 2, 2), np.uint8), np.zeros((4, 2, 3), np.uint8), "equal shape"),
        (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), "at least 3"),
        (np.zeros((4, 2, 2), np.int64), np.ones((4, 2, 2), np.uint8), "found int64"),
        (np.zeros((4, 2, 2), np.uint8), np.zeros((4, 2, 2), np.uint8), "no object"),
        (np.zeros((4, 2, 2), np.uint8), "split", "give both as arrays"),
    ],
)
def test_arrays_that_cannot_be_scored(
    masks: NDArray[Any], truth: NDArray[Any] | str, said: str
) -> None:
    with pytest.raises(submit.SubmitError, match=said):
        submit.score(masks, truth)


def test_notebooks_show_pictures_and_tables(split: Path, runs: Path) -> None:
    opened = submit.open_split(split)
    run = submit.open_run("hard", runs=runs)
    assert "<td>a</td>" in opened._repr_html_()
    for shown in (opened["a"], run["a"], run):
        html = shown._repr_html_()
        assert 'src="data:image/jpeg;base64,' in html
        assert 'alt="frame 0000' in html
    scores = submit.score(run, opened)
    assert "J&amp;Ḟ" in scores._repr_html_()
    assert repr(scores).startswith("<scores of 4 objects: J&Ḟ ")


def test_names_are_escaped_in_notebooks(
    write_split: WriteSplit, tmp_path: Path
) -> None:
    split = write_split(("<b>", "c"))
    assert "<b>" not in submit.open_split(split)._repr_html_()


def test_a_frame_of_pandas_has_the_rows(split: Path, runs: Path) -> None:
    pytest.importorskip("pandas")
    opened = submit.open_split(split)
    frame = submit.score(submit.open_run("hard", runs=runs), opened).to_frame()
    assert frame.groupby("video")["jf_dot"].mean().shape == (2,)
    assert opened.to_frame()["frames"].tolist() == [5, 5]


def test_without_pandas_the_way_out_is_named(
    split: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(submit.SubmitError, match="pip install"):
        submit.open_split(split).to_frame()


@pytest.mark.slow
def test_a_script_without_a_main_guard_can_score(split: Path, runs: Path) -> None:
    script = runs / "script.py"
    script.write_text(
        "import submit\n"
        f"run = submit.open_run('soft', runs={str(runs)!r})\n"
        f"print(submit.score(run, {str(split)!r}).totals.jf_dot)\n"
    )
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 1
