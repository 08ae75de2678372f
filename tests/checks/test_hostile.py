"""Pipes, endless files, and files that inflate to enormous sizes."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.archive import open_masks, pack
from submit.checks import check_masks
from submit.checks.repair import repair
from submit.cli import cli
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.pipeline import import_masks
from submit.png.palette import SIGNATURE, encode
from tests.inline import Inline
from tests.submissions import (
    FRAMES,
    A,
    chunk,
    codes,
    good_names,
    labels_of,
    write_split,
    write_zip,
)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = pytest.mark.parametrize("make", [make_pipe, make_device])


@KINDS
def test_a_mask_that_is_no_regular_file_is_named_and_never_waited_for(
    split: Split, masks: Path, tmp_path: Path, make: object
) -> None:
    path = masks / A / "00003.png"
    path.unlink()
    assert callable(make)
    make(path)
    (finding,) = check_masks(masks, split).findings
    assert (finding.code, finding.where) == ("damaged", f"{A}/00003.png")
    assert "it is not a regular file" in finding.what
    with pytest.raises(ArchiveError, match=r"00003\.png: cannot be read .it is not a"):
        pack(masks, tmp_path / "a.zip")
    done = repair(masks, tmp_path / "a.zip", split)
    assert [one.what for one in done.corrections] == ["left out: unreadable"]
    outcome = import_masks(masks, tmp_path / "run", split, executor=Inline())
    assert "it is not a regular file" in outcome.failed[A]


@KINDS
def test_a_zip_that_is_no_regular_file_is_named(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "a.zip")
    with pytest.raises(ArchiveError, match=r"a\.zip: cannot be read .it is not a reg"):
        open_masks(tmp_path / "a.zip")


def test_an_annotation_that_is_a_pipe_leaves_the_video_unchecked(
    masks: Path, tmp_path: Path
) -> None:
    root = write_split(tmp_path / "split")
    path = root / "Annotations" / A / "00000.png"
    path.unlink()
    os.mkfifo(path)
    (finding,) = check_masks(masks, read_split(root)).findings
    assert (finding.severity.value, finding.code) == ("costly", "unchecked")
    assert finding.where == f"{A}/"


def enormous(*, interlaced: bool) -> bytes:
    """A PNG whose header has 13,370² pixels, without pixel data."""
    header = struct.pack(">IIBBBBB", 13_370, 13_370, 1, 3, 0, 0, interlaced)
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", bytes(6))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_size_is_compared_before_anything_is_decoded(
    split: Split, masks: Path, interlaced: bool
) -> None:
    data = enormous(interlaced=interlaced)
    for frame in range(1, FRAMES):
        (masks / A / f"{frame:05}.png").write_bytes(data)
    # Decoded, it would be unreadable.
    assert codes(check_masks(masks, split)) == {"fatal size", "note size"}


def test_a_link_to_itself_is_listed_as_a_file(split: Split, masks: Path) -> None:
    (masks / A / "00005.png").unlink()
    (masks / A / "00005.png").symlink_to("00005.png")
    (masks / "self").symlink_to("self")
    assert codes(check_masks(masks, split)) == {"fatal damaged", "note junk"}


@pytest.mark.slow
def test_folders_may_be_nested_deeply(split: Split, masks: Path) -> None:
    here = os.open(masks, os.O_RDONLY)
    try:
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    try:
        assert codes(check_masks(masks, split)) == {"note unknown-video"}
    finally:  # Python's own way is recursive.
        subprocess.run(["rm", "-r", masks / "d"], check=True)


def test_long_names_are_cut_wherever_they_are_shown(
    split: Split, tmp_path: Path, runner: CliRunner
) -> None:
    long = "n" * 65_000
    names = (
        f"{A}/{long}.png",
        f"{long}/0.png",
        f"/{long}",
        f"{long}\\x",
        f"{A}/{long}",
    )
    content = {**good_names(), **dict.fromkeys(names, b"1")}
    path = write_zip(tmp_path / "a.zip", content)
    root = str(split.root)
    for command in (
        ["check", str(path), "--split", root],
        ["check", str(path), "--split", root, "--json"],
        ["score", str(path), "--split", root],
        ["repair", str(path), "--split", root, "-o", str(tmp_path / "b.zip")],
        ["pack", str(path), "-o", str(tmp_path / "c.zip")],
    ):
        result = runner.invoke(cli, command)
        assert long not in result.output
        assert len(result.output) < 20_000


def test_a_name_that_no_server_can_unpack_is_not_packed(tmp_path: Path) -> None:
    name = "n" * 300
    path = write_zip(tmp_path / "a.zip", {f"{name}/0.png": encode(labels_of(A, 0))})
    with pytest.raises(ArchiveError, match="is a name that no server could unpack"):
        pack(path, tmp_path / "b.zip")
