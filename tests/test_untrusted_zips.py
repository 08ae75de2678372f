"""A zip writes nothing outside of what was asked for, and cannot fill a disk."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
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
