"""A zip writes nothing outside of what was asked for, and cannot fill a disk."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.archive import open_masks
from submit.cli import cli
from submit.errors import ArchiveError
from submit.png.palette import encode
from tests.splits import bars, write_split

FRAMES = ("00000", "00001", "00002")


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    return dict(bars(FRAMES, (1,), (12, 16)))


@pytest.fixture
def here(
    tmp_path: Path, maps: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a split, in which commands run; beside it nothing may appear."""
    folder = tmp_path / "here"
    folder.mkdir()
    write_split(folder / "split", {"alpha": maps, "beta": maps}, annotated=1)
    monkeypatch.chdir(folder)
    return folder


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def hostile(path: Path, maps: dict[str, np.ndarray]) -> None:
    """A zip whose entries lead everywhere, beside sound masks."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link("alpha"), "../..")
        archive.writestr(link("beta/00001.png"), "/etc/passwd")
        for video in ("alpha", "beta"):
            for frame, labels in maps.items():
                data = encode(labels)
                for start in ("", "../", "../../", "/", "C:/", "C:\\", "..\\", "./"):
                    archive.writestr(f"{start}{video}/{frame}.png", data)
                archive.writestr(f"{video.upper()}/{frame}.PNG", data)
                archive.writestr(f"{video}/../../{frame}.png", data)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_command_writes_outside_its_output(
    here: Path, maps: dict[str, np.ndarray], runner: CliRunner
) -> None:
    hostile(here / "a.zip", maps)
    before = everything(here.parent)

    def run(line: str) -> Result:
        return runner.invoke(cli, line.split())

    assert run("check a.zip --split split").exit_code == 1
    run("score a.zip --split split")
    run("repair a.zip --split split -o out/b.zip")
    run("import a.zip --split split --name r --runs out")
    run("pack a.zip -o out/c.zip")
    run("report a.zip --split split -o out/page")
    new = everything(here.parent) - before
    assert {name for name in new if not name.startswith("here/out")} == set()
    assert not any(path.is_symlink() for path in (here / "out").rglob("*"))
    for path in (here / "out").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                assert ".." not in name
                assert not name.startswith("/")


def overlapping(path: Path, names: Sequence[str], size: int) -> None:
    """Write a zip whose files all inflate the same bytes, as David Fifield's do.

    The data of each file begins with a stored block that holds the header of the next
    file, and goes on with what that file inflates: https://www.bamsoftware.com/hacks/
    zipbomb (C 2019).
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    kernel = packer.compress(bytes(size)) + packer.flush()
    content, body = bytes(size), kernel
    files: list[tuple[str, bytes, bytes]] = []
    for name in reversed(names):
        crc = zlib.crc32(content)
        sizes = struct.pack("<3L2H", crc, len(body), len(content), len(name), 0)
        header = struct.pack("<4s5H", b"PK\3\4", 20, 0, 8, 0, 0x21) + sizes
        header += name.encode()
        files.append((name, header, body))
        quote = struct.pack("<B2H", 0, len(header), len(header) ^ 0xFFFF)
        content, body = header + content, quote + header + body
    files.reverse()
    data, directory = files[0][1] + files[0][2], b""
    for name, header, body in files:
        begin = len(data) - len(body) - len(header)
        directory += b"PK\1\2" + struct.pack("<H", 20) + header[4:30]
        directory += struct.pack("<3H2L", 0, 0, 0, 0, begin) + name.encode()
    end = struct.pack("<4H2LH", 0, 0, *[len(files)] * 2, len(directory), len(data), 0)
    path.write_bytes(data + directory + b"PK\5\6" + end)


def test_files_that_share_their_bytes_are_not_inflated(
    here: Path, maps: dict[str, np.ndarray], runner: CliRunner
) -> None:
    write_split(here / "truth", {"alpha": maps, "beta": maps})
    names = [f"alpha/{frame}.png" for frame in FRAMES]
    names += [f"gamma/{number:05}.png" for number in range(97)]
    overlapping(here / "a.zip", names, 1 << 20)
    with zipfile.ZipFile(here / "a.zip") as archive:
        infos = archive.infolist()
        last = infos[-1]
        assert archive.read(last) == bytes(1 << 20)
    assert sum(info.file_size for info in infos) > 100 * (1 << 20)
    assert (here / "a.zip").stat().st_size < 1 << 15
    inflated: list[int] = []
    with open_masks(here / "a.zip") as masks:
        assert len(masks.read_entry(names[-1])) == 1 << 20
        for name in names[:-1]:
            with pytest.raises(ArchiveError, match=f"{name} is damaged .it overlaps"):
                inflated.append(len(masks.read_entry(name)))
            with pytest.raises(ArchiveError, match=f"{name} is damaged .it overlaps"):
                masks.open_entry(name)
    assert inflated == []

    def run(line: str) -> Result:
        return runner.invoke(cli, line.split())

    checked = run("check a.zip --split split --json")
    assert checked.exit_code == 1
    assert "it overlaps with the next file" in checked.stdout
    for line in (
        "score a.zip --split truth",
        "import a.zip --split split --name r --runs out",
    ):
        result = run(line)
        assert result.exit_code == 1
        assert "it overlaps with the next file" in result.stderr
    assert run("repair a.zip --split split -o out/b.zip").exit_code == 1


def test_masks_that_inflate_more_than_masks_can_are_not_inflated(
    here: Path, maps: dict[str, np.ndarray], runner: CliRunner
) -> None:
    with zipfile.ZipFile(here / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for frame in FRAMES:
            archive.writestr(f"alpha/{frame}.png", bytes(1 << 20))
            archive.writestr(f"gamma/{frame}.png", bytes(1 << 20))
            archive.writestr(f"beta/{frame}.png", encode(maps[frame]))
    with (
        open_masks(here / "a.zip") as masks,
        pytest.raises(
            ArchiveError, match=r"00000\.png has more than \d+ bytes when it"
        ),
    ):
        masks.read_entry("alpha/00000.png")
    result = runner.invoke(cli, ["check", "a.zip", "--split", "split", "--json"])
    assert "inflates to more than a mask can" in result.stdout


def bomb(path: Path, name: str) -> int:
    """A small zip with an array that is large; returns the bytes of the array."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((1 << 23,), np.float64))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, stream.getvalue())
    assert path.stat().st_size < 1 << 20
    return len(stream.getvalue())


def test_an_array_that_would_fill_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = bomb(tmp_path / "a.zip", "alpha/logits.npy")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with (
        open_masks(tmp_path / "a.zip") as masks,
        pytest.raises(ArchiveError, match=r"a\.zip: alpha/logits\.npy unpacks to 67,"),
    ):
        masks.open_entry("alpha/logits.npy")


def test_a_file_larger_than_its_entry_says_is_cut(tmp_path: Path) -> None:
    """What a directory claims is compared, so that its sizes can be relied on."""
    size = bomb(tmp_path / "a.zip", "alpha/logits.npy")
    data = (tmp_path / "a.zip").read_bytes()
    small = (1000).to_bytes(4, "little")
    assert data.count(size.to_bytes(4, "little")) == 2
    (tmp_path / "b.zip").write_bytes(data.replace(size.to_bytes(4, "little"), small))
    with (
        open_masks(tmp_path / "b.zip") as masks,
        pytest.raises(ArchiveError, match=r"b\.zip: alpha/logits\.npy is damaged"),
    ):
        masks.open_entry("alpha/logits.npy")
