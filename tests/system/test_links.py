from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from submit.errors import StorageError
from submit.system.links import Linker, Linking


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "source"
    folder.mkdir()
    paths = [folder / name for name in ("00000.jpg", "00001.jpg")]
    for path in paths:
        path.write_text(path.name)
    return paths


def refuse(number: int) -> Callable[..., NoReturn]:
    """Fail as a file system that knows no such thing."""

    def fail(*args: Any, **options: Any) -> NoReturn:
        raise OSError(number, os.strerror(number), str(args[0]))

    return fail


#: FAT and exFAT; shares of Windows; links of files on another disk; some FUSE disks.
REFUSALS = (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOSYS, errno.EACCES)


def shown(target: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(target.iterdir())}


CONTENT = {"00000.jpg": "00000.jpg", "00001.jpg": "00001.jpg"}


def test_a_folder_is_linked_where_that_is_possible(
    files: list[Path], tmp_path: Path
) -> None:
    linker = Linker()
    linker.show(files, tmp_path / "target")
    assert linker.linking is Linking.SYMBOLIC
    assert (tmp_path / "target").readlink() == files[0].parent
    assert shown(tmp_path / "target") == CONTENT


@pytest.mark.parametrize("number", REFUSALS)
def test_without_symbolic_links_files_are_hard_links(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "symlink", refuse(number))
    linker = Linker()
    linker.show(files, tmp_path / "target")
    assert linker.linking is Linking.HARD
    assert linker.copied == 0
    assert not (tmp_path / "target").is_symlink()
    assert shown(tmp_path / "target") == CONTENT
    assert (tmp_path / "target" / "00000.jpg").samefile(files[0])


@pytest.mark.parametrize("number", REFUSALS)
def test_without_any_links_files_are_copied(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse(number))
    linker = Linker()
    linker.show(files, tmp_path / "target")
    linker.show(files, tmp_path / "another")
    assert linker.linking is Linking.COPIES
    assert linker.copied == 4 * len("00000.jpg")
    for name in ("target", "another"):
        assert shown(tmp_path / name) == CONTENT
        assert not (tmp_path / name / "00000.jpg").samefile(files[0])


def test_what_was_refused_once_is_not_tried_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(*args: Any, **options: Any) -> NoReturn:
        tried.append("symlink")
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", fail)
    linker = Linker()
    for name in "abc":
        linker.show(files, tmp_path / name)
    assert tried == ["symlink"]


def test_a_link_that_leads_nowhere_is_no_link(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(source: Path, target: Path, *options: Any) -> None:
        Path(target).write_text(f"XSym {source}")

    monkeypatch.setattr(os, "symlink", pretend)
    linker = Linker()
    linker.show(files, tmp_path / "target")
    assert linker.linking is Linking.HARD
    assert shown(tmp_path / "target") == CONTENT


def test_links_are_followed_before_they_are_linked_or_copied(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "source" / "00002.jpg"
    link.symlink_to(files[0])
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    Linker().show([link], tmp_path / "target")
    assert not (tmp_path / "target" / "00002.jpg").is_symlink()
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    Linker().show([link], tmp_path / "copied")
    assert shown(tmp_path / "copied") == {"00002.jpg": "00000.jpg"}


def test_errors_name_the_file_that_they_are_about(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    with pytest.raises(OSError, match="target") as error:
        Linker().show(files, tmp_path / "gone" / "target")
    assert str(error.value.filename) == str(tmp_path / "gone" / "target")

    def full(*args: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device", str(files[0]))

    with monkeypatch.context() as patch:
        patch.setattr("submit.system.links.shutil.copyfileobj", full)
        with pytest.raises(OSError, match="No space") as error:
            Linker().show(files, tmp_path / "full")
    assert error.value.filename == str(tmp_path / "full" / "00000.jpg")
    files[1].unlink()
    os.mkfifo(files[1])
    with pytest.raises(StorageError, match=rf"{files[1]}: cannot be read \(it is not"):
        Linker().show(files, tmp_path / "pipe")
