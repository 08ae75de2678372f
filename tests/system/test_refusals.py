from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from submit.system.refusals import explain


def test_a_copy_that_finds_no_room_names_where_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int, **__: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "frame.jpg").write_bytes(b"pixels")
    # Python 3.14 copies with the second.
    for name in ("sendfile", "copy_file_range"):
        monkeypatch.setattr(f"os.{name}", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        shutil.copyfile(tmp_path / "frame.jpg", tmp_path / "copy.jpg")
    told = explain(caught.value)
    assert told is not None
    assert told.startswith(f"{tmp_path / 'copy.jpg'}: the disk is full; make room")


@pytest.mark.skipif(sys.platform == "win32", reason="folders in use stay")
def test_a_current_folder_that_was_removed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        os.path.abspath("split")
    said = "the current folder was removed or renamed; change to another one (cd)"
    assert explain(caught.value) == said


def test_no_folder_for_temporary_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(
        tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "x")]
    )
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    assert str(explain(caught.value)).startswith(
        "no temporary file can be written; set"
    )
    assert explain(FileNotFoundError(errno.ENOENT, "No such file")) is None
