from __future__ import annotations

import json
import shutil
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from submit.checks import check_masks, masks_to_check
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.png.palette import encode
from tests.inline import Inline
from tests.submissions import (
    FRAMES,
    SIZE,
    TEAM,
    VIDEOS,
    A,
    B,
    C,
    codes,
    good_names,
    labels_of,
    write_split,
    write_zip,
    zip_up,
)


def test_a_submission_without_defects_has_no_findings(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    for path in (masks, zip_up(masks, tmp_path / "a.zip")):
        report = check_masks(path, split)
        assert report.findings == []
        assert report.exit_code == 0
        assert (report.videos, report.expected_videos, report.frames) == (3, 3, 18)
        assert report.size > 0
    assert masks_to_check(split) == 18


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "note unsafe-path"),
        ("../outside.txt", "note unsafe-path"),
        ("C:/outside.txt", "note unsafe-path"),
        (f"{A}/00003.PNG", "note case"),
    ],
)
def test_dangerous_names_are_found(
    split: Split, tmp_path: Path, name: str, code: str
) -> None:
    path = write_zip(tmp_path / "a.zip", {**good_names(), name: b""})
    assert code in codes(check_masks(path, split))


def test_backslashes_are_found(split: Split, tmp_path: Path) -> None:
    names = {name.replace("/", "\\"): data for name, data in good_names().items()}
    found = codes(check_masks(write_zip(tmp_path / "a.zip", names), split))
    assert {"fatal backslash", "fatal no-videos"} <= found


def test_two_files_of_one_name_are_found(split: Split, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", good_names())
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(f"{A}/00003.png", encode(labels_of(A, 4)))
    assert codes(check_masks(path, split)) == {"costly duplicate"}


def test_a_file_that_is_there_twice_counts_once(split: Split, tmp_path: Path) -> None:
    names = good_names()
    path = write_zip(tmp_path / "a.zip", names)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("other/00000.png", "other/00001.png") * 2:
            archive.writestr(name, names[f"{A}/00000.png"])
    found = check_masks(path, split).findings
    (unknown,) = [each for each in found if each.code == "unknown-video"]
    assert unknown.what == "has 2 masks"


def test_links_are_found(split: Split, tmp_path: Path) -> None:
    names = good_names()
    del names[f"{A}/00003.png"]
    path = write_zip(tmp_path / "a.zip", names)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo(f"{A}/00003.png")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "00002.png")
    assert codes(check_masks(path, split)) == {"fatal link", "fatal unreadable"}


@pytest.mark.parametrize(
    ("method", "code"),
    [(zipfile.ZIP_BZIP2, "note rare-compression"), (None, "fatal compression")],
)
def test_unusual_compression_is_found(
    split: Split, masks: Path, tmp_path: Path, method: int | None, code: str
) -> None:
    path = zip_up(masks, tmp_path / "a.zip", method=method or zipfile.ZIP_BZIP2)
    if method is None:
        data = path.read_bytes().replace(b"\x0c\0", b"\x5d\0")
        path.write_bytes(data)
    assert code in codes(check_masks(path, split))


def test_encryption_is_found(split: Split, masks: Path, tmp_path: Path) -> None:
    path = zip_up(masks, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[place + 8] |= 1
    path.write_bytes(data)
    assert {"fatal encrypted", "fatal damaged"} <= codes(check_masks(path, split))


def test_a_zip_that_is_zip64_without_need_is_found(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in good_names().items():
            info = zipfile.ZipInfo(name)
            info.extract_version = zipfile.ZIP64_VERSION
            archive.writestr(info, data)
    assert codes(check_masks(path, split)) == {"note zip64"}


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (49_000_000, set()),
        (60_000_000, {"note budget"}),
        (160_000_000, {"note budget"}),
        (1_100_000_000, {"costly budget"}),
    ],
)
def test_the_size_budget_is_kept(
    split: Split, tmp_path: Path, size: int, code: set[str]
) -> None:
    # A hole at the front of the file costs no disk, and zips may begin anywhere.
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        stream.truncate(size)
        stream.seek(0, 2)
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in good_names().items():
                archive.writestr(name, data)
    assert codes(check_masks(path, split)) == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {"fatal team-missing"}),
        ("{", {"fatal team-malformed"}),
        ("[1]", {"fatal team-malformed"}),
        ("{}", {"fatal team-malformed"}),
        ('{"team_name": "us"}', {"fatal team-malformed"}),
        (json.dumps(TEAM), set()),
    ],
)
def test_test_phases_need_a_team_file(
    split: Split, masks: Path, text: str | None, found: set[str]
) -> None:
    if text is not None:
        (masks / "team.json").write_text(text)
    assert codes(check_masks(masks, split, team=True)) == found


def test_the_sample_says_what_is_expected(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample"
    shutil.copytree(masks, sample)
    (sample / A / "00005.png").unlink()
    shutil.rmtree(sample / B)
    shutil.copytree(sample / C, sample / "dddddddd")
    report = check_masks(masks, split, sample=zip_up(sample, tmp_path / "s.zip"))
    assert report.expected_videos == 2
    assert codes(report) == {"note sample", "note surplus", "note unknown-video"}


def test_frames_of_a_split_without_images_are_counted(
    masks: Path, tmp_path: Path
) -> None:
    root = write_split(tmp_path / "bare")
    shutil.rmtree(root / "JPEGImages")
    split = read_split(root)
    assert check_masks(masks, split).findings == []
    (masks / A / "00003.png").unlink()
    assert codes(check_masks(masks, split)) == {"costly frames"}


def test_hidden_files_of_a_folder_are_not_packed_and_not_named(
    split: Split, masks: Path
) -> None:
    (masks / ".DS_Store").write_text("")
    (masks / ".lock").write_text("")
    assert check_masks(masks, split).findings == []


def test_what_is_no_zip_is_an_error(split: Split, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("hello")
    with pytest.raises(ArchiveError, match="is not a zip"):
        check_masks(tmp_path / "a.zip", split)


def test_where_masks_are_checked_makes_no_difference(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    (masks / A / "00002.png").write_bytes(b"damaged")
    (masks / C / "00003.png").write_bytes(encode(labels_of(B, 3) * 7))
    shutil.rmtree(masks / B)
    for path in (masks, zip_up(masks, tmp_path / "a.zip")):
        here = check_masks(path, split)
        assert len(here.findings) == 3
        assert check_masks(path, split, executor=Inline()) == here


def test_progress_comes_to_the_number_of_masks(split: Split, masks: Path) -> None:
    counts = dict.fromkeys(VIDEOS, 0)

    def progress(video: str, frames: int) -> None:
        counts[video] += frames

    check_masks(masks, split, workers=2, progress=progress)
    assert counts == dict.fromkeys(VIDEOS, FRAMES)


def test_sizes_of_the_masks_are_those_of_the_meta_file(
    masks: Path, tmp_path: Path
) -> None:
    root = write_split(tmp_path / "split")
    meta = json.loads((root / "meta.json").read_text())
    meta["videos"][A]["height"] = SIZE[0] + 1
    (root / "meta.json").write_text(json.dumps(meta))
    found = codes(check_masks(masks, read_split(root)))
    assert "fatal size" in found
