from __future__ import annotations

import errno
import os
import shutil
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
