"""`submit overlay` and `submit show`: what the files and the terminal hold."""

from __future__ import annotations

import builtins
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.data import read_split
from submit.report.lettering import readable_on, write_text
from submit.report.telling import telling_frames
from submit.report.views import view_of_truth

pytestmark = pytest.mark.usefixtures("here")


def submit(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def overlay(output: Path, *more: object) -> Result:
    return submit("overlay", "one", "two", "a", "--split", "split", "-o", output, *more)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_film_has_all_frames_and_a_picture_for_each_run(
    suffix: str, tmp_path: Path
) -> None:
    done = overlay(tmp_path / f"film{suffix}", "--columns", 3, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["views"] == ["truth", "one", "two"]
    with Image.open(tmp_path / f"film{suffix}") as film:
        assert getattr(film, "n_frames", 1) == 8
        assert film.width >= 3 * 80
        assert film.info["loop"] == 0


def test_an_mp4_has_all_frames_at_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    done = overlay(tmp_path / "film.mp4", "--fps", 5, "--every", 2)
    assert done.exit_code == 0, done.output
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert film.streams.video[0].average_rate == 5
        assert len(list(film.decode(video=0))) == 4


def test_without_the_encoder_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setattr(builtins, "__import__", lacking)
    done = overlay(tmp_path / "film.mp4")
    assert done.exit_code == 1
    assert "pip install 'mose-submit[video]'" in done.stderr
    assert not (tmp_path / "film.mp4").exists()


def test_a_folder_gets_a_png_for_each_frame(tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert overlay(out, "--frame", 2, "--frame", "00005").exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["00002.png", "00005.png"]
    assert overlay(out).exit_code == 0, "what the command wrote is replaced"
    (out / "diary.txt").write_text("mine")
    done = overlay(out, "--force")
    assert done.exit_code == 1
    assert "diary.txt: would be replaced" in done.stderr


def test_a_film_is_replaced_and_a_strange_file_is_not(tmp_path: Path) -> None:
    film = tmp_path / "film.webp"
    assert overlay(film).exit_code == 0
    assert overlay(film).exit_code == 0
    film.write_bytes(b"mine")
    done = overlay(film)
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert overlay(film, "--force").exit_code == 0


def test_folders_of_one_name_are_told_apart(tmp_path: Path, made: Path) -> None:
    folders = [str(tmp_path / name / "x") for name in ("one", "two")]
    for name, folder in zip(("one", "two"), folders, strict=True):
        shutil.copytree(made / "runs" / name / "masks", folder)
    line = ["overlay", *folders, "a", "--split", "split", "-o", tmp_path / "s.png"]
    done = submit(*line, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["views"] == ["truth", *folders]


def test_a_sheet_has_a_row_for_each_view_and_the_telling_frames(tmp_path: Path) -> None:
    done = overlay(tmp_path / "sheet.png", "--count", 3, "--font-size", 0, "--json")
    assert done.exit_code == 0, done.output
    frames = json.loads(done.stdout)["frames"]
    # The first frame, the one in which object 1 returns, and one of the worst.
    assert frames[0] == "00000"
    assert "00005" in frames
    assert len(frames) == 3
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 80 + 2 * 4, 3 * 60 + 2 * 4)


def test_without_truth_runs_are_compared_with_each_other(tmp_path: Path) -> None:
    done = submit(
        *("overlay", "one", "two", "a", "--split", "valid"),
        *("-o", tmp_path / "s.png", "--count", 2, "--json"),
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["views"] == ["one", "two"]
    assert len(found["frames"]) == 2


def test_telling_frames_cover_a_video_that_has_too_few(made: Path) -> None:
    video = read_split(made / "split").videos["a"]
    chosen = telling_frames(video, [view_of_truth(video)], 99)
    assert [one.frame for one in chosen] == list(video.frames)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "-o", "x.mov"), "found .mov"),
        (("?", "-o", "x.webp"), "is a pattern"),
        (("c", "-o", "x.webp"), "no video matches 'c'"),
        (("a", "-o", "x.webp", "--frame", "77"), "expected one of 00000 … 00007"),
    ],
)
def test_bad_input_is_named(arguments: tuple[str, ...], words: str) -> None:
    done = submit("overlay", "one", *arguments, "--split", "split")
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_run_without_the_video_is_named(tmp_path: Path, made: Path) -> None:
    (tmp_path / "part" / "b").mkdir(parents=True)
    mask = made / "split" / "Annotations" / "b" / "00000.png"
    (tmp_path / "part" / "b" / "00000.png").write_bytes(mask.read_bytes())
    done = submit(
        *("overlay", tmp_path / "part", "a", "--split", "split"),
        *("-o", tmp_path / "x.webp"),
    )
    assert done.exit_code == 1
    assert "holds no masks of video a" in done.stderr


@pytest.mark.slow
def test_a_picture_in_the_terminal_has_ids_where_there_are_no_colours() -> None:
    done = submit("show", "one", "a", "--split", "split", "--width", 40)
    assert done.exit_code == 0, done.output
    picture = done.stdout.split("\n\n")[0].split("\n")
    assert len(picture) == 15
    assert "1" in picture[3]
    assert "2" in picture[11]
    assert "\x1b" not in done.stdout


def test_a_picture_in_the_terminal_has_the_colours_of_the_palette(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("FORCE_COLOR", "1"),
        ("TERM", "xterm"),
        ("COLORTERM", "truecolor"),
    ):
        monkeypatch.setenv(name, value)
    done = submit("show", "one", "a", "--split", "split", "--width", 40)
    assert "\x1b[38;2;" in done.stdout
    assert "▀" in done.stdout
    monkeypatch.setenv("NO_COLOR", "1")
    done = submit("show", "one", "a", "--split", "split", "--width", 40)
    assert "\x1b[38;2;" not in done.stdout


def test_show_gives_pixels_and_j_of_each_object() -> None:
    done = submit("show", "one", "a", "--split", "split", "--frame", 1, "--json")
    objects = json.loads(done.stdout)["objects"]
    assert [one["pixels"] for one in objects] == [400, 600]
    # A square of 20×20 that moved by 5 columns: 300 of 500 pixels, and one more each.
    assert objects[0]["j"] == pytest.approx(301 / 501)
    assert objects[1]["j"] == 1


def test_words_are_cut_to_the_room_and_never_drive_anything() -> None:
    wide = write_text("x" * 100, 12, (0, 0, 0), (255, 255, 255), widest=60)
    assert wide.shape[0] == 18
    assert 40 < wide.shape[1] <= 60
    hostile = write_text("a\n\x1b[2J", 12, (0, 0, 0), (255, 255, 255))
    assert hostile.shape[0] == 18
    assert np.any(hostile == 0) or np.any(hostile < 255)
    assert readable_on((128, 0, 0)) == (255, 255, 255)
    assert readable_on((192, 192, 0)) == (0, 0, 0)
