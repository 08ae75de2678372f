"""Names of entries are the paths that zipfile.extractall writes on the server."""

from __future__ import annotations

import random
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submit.archive import MaskZip, open_masks, unpacking_problems
from submit.archive.entry import Entry, shown, unpacked_name
from submit.errors import ArchiveError

PARTS = st.sampled_from(["a", "b", "0.png", "", ".", "..", "C:", "a\\b", "x\0y", ".x"])
NAMES = st.lists(st.lists(PARTS, max_size=4).map("/".join), min_size=1, max_size=5)


def write(path: Path, names: list[str]) -> None:
    """Write files with these names; the content of each is its index."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)
        for number, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name
            data = b"" if name.endswith("/") else str(number).encode()
            archive.writestr(info, data)


@pytest.mark.slow
@settings(max_examples=200)
@given(names=NAMES)
def test_files_have_the_names_that_zipfile_gives_them(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "out").mkdir()
        write(folder / "a.zip", names)
        with open_masks(folder / "a.zip") as masks:
            problems = list(unpacking_problems(masks.entries))
            try:
                with zipfile.ZipFile(folder / "a.zip") as archive:
                    archive.extractall(folder / "out")
            except (OSError, ValueError, IndexError):  # It depends on the version.
                assert problems
                return
            assert problems == []
            found = {
                path.relative_to(folder / "out").as_posix(): path.read_bytes()
                for path in (folder / "out").rglob("*")
                if path.is_file()
            }
            ours = {entry.name for entry in masks.entries if not entry.is_folder}
            assert {each: masks.read_entry(each) for each in ours} == found


@pytest.mark.parametrize(
    ("name", "unpacked"),
    [
        ("a/00000.png", "a/00000.png"),
        ("./a/00000.png", "a/00000.png"),
        ("/a//./00000.png", "a/00000.png"),
        ("a/../../b/00000.png", "a/b/00000.png"),
        ("//server/share/a.png", "server/share/a.png"),
        ("C:/a.png", "C:/a.png"),
        ("a\\00000.png", "a\\00000.png"),
        ("a/00000.png\0.exe", "a/00000.png"),
        (".hidden/..a/...", ".hidden/..a/..."),
        ("./", ""),
        ("./a/", "a/"),
        ("..", ""),
    ],
)
def test_a_name_is_cleaned_as_on_linux(name: str, unpacked: str) -> None:
    assert unpacked_name(name) == unpacked


def test_of_names_that_become_one_the_last_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", ["v/0.png", "./v/0.png", "v//1.png", "v/1.png"])
    with open_masks(tmp_path / "a.zip") as masks:
        assert masks.frames("v") == ["0", "1"]
        assert (masks.read("v", "0"), masks.read("v", "1")) == (b"1", b"3")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["v/0.png", "v/0.png/x"], "is a file and a folder"),
        (["v", "v/0.png"], "is a file and a folder"),
        (["v/0.png/", "v/0.png"], "is a file and a folder"),
        ([".."], "has no name"),
        (["v/" + "é" * 128], "has a name that is too long"),
        (["/".join(["v" * 200] * 30)], "has a name that is too long"),
    ],
)
def test_names_that_cannot_be_unpacked_are_found(
    tmp_path: Path, names: list[str], problem: str
) -> None:
    write(tmp_path / "a.zip", names)
    found = unpacking_problems(open_masks(tmp_path / "a.zip").entries)
    assert {what for _, what in found} == {problem}
    (tmp_path / "out").mkdir()
    refused = pytest.raises((OSError, ValueError), match=r"Errno|Empty")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, refused:
        archive.extractall(tmp_path / "out")


def test_only_what_can_come_to_much_is_huge() -> None:
    gigabytes = 4 << 30
    assert Entry("a", gigabytes, gigabytes, method=zipfile.ZIP_STORED).is_huge
    assert Entry("a", gigabytes, 1 << 20, method=zipfile.ZIP_DEFLATED).is_huge
    # A damaged size: so few bytes cannot come to so many.
    assert not Entry("a", gigabytes, 900, method=zipfile.ZIP_DEFLATED).is_huge
    assert not Entry("a", gigabytes, 900, method=zipfile.ZIP_STORED).is_huge
    assert Entry("a", gigabytes, 900, method=zipfile.ZIP_BZIP2).is_huge


def test_bzip2_and_lzma_are_read_as_far_as_deflate_could_inflate() -> None:
    assert Entry("a", 1 << 20, 900, method=zipfile.ZIP_DEFLATED).most == 1 << 28
    # 1032 times the 900 bytes, and 64 KiB.
    assert Entry("a", 1 << 20, 900, method=zipfile.ZIP_BZIP2).most == 994_336
    assert Entry("a", 1 << 20, 1 << 20, method=zipfile.ZIP_LZMA).most == 1 << 28


def test_long_names_are_cut_in_the_middle() -> None:
    assert shown("v/00000.png") == "v/00000.png"
    cut = shown("v" * 65_000 + "/00000.png")
    assert len(cut) == 101
    assert cut.endswith("vvv/00000.png")


def test_a_file_that_inflates_to_much_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("entry", "zips"):
        monkeypatch.setattr(f"submit.archive.{module}.LARGEST_FILE", 1 << 14)
    data = random.Random(1).randbytes((1 << 14) + 1)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        path = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("v/0.png", data[:-1])
            archive.writestr("v/1.png", data)
        refused = pytest.raises(ArchiveError, match="more than 16384 bytes")
        with MaskZip(path) as masks:
            assert masks.read("v", "0") == data[:-1]
            with refused:
                masks.read("v", "1")
