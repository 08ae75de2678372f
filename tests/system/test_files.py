from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from submit.errors import SplitError, StorageError
from submit.system.files import (
    PARTIAL,
    Draft,
    atomic_folder,
    atomic_open,
    checkpoint_path,
    digest,
    draft_file,
    draft_folder,
    locked,
    read_json,
    remove_kept,
    remove_partial,
    require_writable,
    write_bytes,
    write_json,
)
from submit.system.refusals import storage_failure
from tests.disks import small_disk


def everything(folder: Path) -> list[str]:
    """List all files and folders below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB; skips if this process cannot mount one."""
    with small_disk(tmp_path / "disk", "256k") as place:
        yield place


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    with atomic_open(path) as stream:
        stream.write(b"half")
        stream.flush()
        assert not path.exists()
        (partial,) = path.parent.iterdir()
        assert partial.name.startswith(".")
        assert partial.name.endswith(PARTIAL)
    assert path.read_bytes() == b"half"
    assert everything(tmp_path) == ["new", "new/a.bin"]


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(type(error)), atomic_open(path) as stream:  # noqa: PT012
        stream.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert everything(tmp_path) == ["a.bin"]


def test_a_killed_writer_leaves_the_old_file_and_one_partial(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from submit.system.files import atomic_open\n"
        "with atomic_open(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'new')\n"
        "    stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(everything(tmp_path)) == 2
    remove_partial(tmp_path)
    assert everything(tmp_path) == ["a.bin"]


# How to open each kind for writing, and what to do in the block.
WRITERS: dict[str, tuple[Callable[[Path], AbstractContextManager[Any]], str]] = {
    "atomic_open": (atomic_open, "stream.write(b'new'); stream.flush()"),
    "atomic_folder": (atomic_folder, "(stream / 'a').write_bytes(b'new')"),
}


@contextlib.contextmanager
def begun(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to write, and waits."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        f"from submit.system.files import {kind}\n"
        f"with {kind}(Path(sys.argv[1])) as stream:\n"
        f"    {WRITERS[kind][1]}\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        yield process


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["a", "x" * 250])
def test_the_next_writer_removes_what_a_killed_one_left(
    tmp_path: Path, kind: str, name: str
) -> None:
    path, other = tmp_path / name, tmp_path / f"{name[:-1]}y"
    for written in (path, other):
        with begun(written, kind) as process:
            process.kill()
    assert len(everything(tmp_path)) >= 2
    with WRITERS[kind][0](path):
        pass
    left = {child.name for child in tmp_path.iterdir()}
    assert path.name in left
    # What another file's writer left is the business of the next writer of that one.
    assert len(left) == 2
    with WRITERS[kind][0](other):
        pass
    assert {child.name for child in tmp_path.iterdir()} == {path.name, other.name}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_writer_leaves_alone_what_another_one_is_writing(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a"
    with begun(path, kind) as process:
        (partial,) = tmp_path.iterdir()
        with WRITERS[kind][0](path):
            pass
        assert {child.name for child in tmp_path.iterdir()} == {"a", partial.name}
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
    new = path if kind == "atomic_open" else path / "a"
    assert new.read_bytes() == b"new"
    assert [child.name for child in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_said_and_leaves_the_old_file(disk: Path) -> None:
    path = disk / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(StorageError, match=r"a\.bin: .*the disk is full; make room"):
        write_bytes(path, bytes(1 << 20))
    assert path.read_bytes() == b"old"
    assert everything(disk) == ["a.bin"]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_full_disk_is_said_of_a_folder_and_leaves_the_old_one(
    disk: Path,
) -> None:
    path = disk / "video"
    with atomic_folder(path) as folder:
        (folder / "a").write_bytes(b"old")
    with (  # noqa: PT012
        pytest.raises(StorageError, match=r"video: .*the disk is full"),
        atomic_folder(path) as folder,
    ):
        for name in range(1000):
            (folder / str(name)).write_bytes(bytes(4096))
    assert everything(disk) == ["video", "video/a"]


def test_a_refusal_at_the_last_moment_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="the disk quota is used up"):
        write_bytes(tmp_path / "a", b"")
    assert everything(tmp_path) == []


def test_a_forbidden_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(StorageError, match="a: cannot be written, permission denied"):
        write_bytes(tmp_path / "a", b"")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_an_error_about_a_file_elsewhere_is_not_blamed_on_the_one_being_written(
    tmp_path: Path, number: int
) -> None:
    with (
        pytest.raises(OSError, match=r"weights\.pt"),
        atomic_open(tmp_path / "runs" / "a"),
    ):
        raise OSError(number, os.strerror(number), "/models/weights.pt")


@pytest.mark.parametrize(
    ("error", "storage"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EROFS, "read-only"), True),
        (OSError(errno.EFBIG, "too large"), True),
        (StorageError("full"), True),
        (StorageError("a name is too long", everywhere=False), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (SplitError("bad"), False),
        (ValueError("bug"), False),
    ],
    ids=repr,
)
def test_a_storage_failure_is_told_from_other_errors(
    error: Exception, storage: bool
) -> None:
    found = storage_failure(error)
    assert (found is not None) is storage
    if isinstance(error, StorageError):
        assert found in (error, None)


def test_a_folder_replaces_the_old_one_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "video"
    for content in ("first", "second"):
        with atomic_folder(path) as folder:
            assert list(folder.iterdir()) == []
            (folder / content).touch()
            assert not (path / content).exists()
    assert everything(tmp_path) == ["video", "video/second"]


def test_an_error_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "video"
    with atomic_folder(path) as folder:
        (folder / "old").touch()
    with pytest.raises(ValueError, match="bug"), atomic_folder(path) as folder:  # noqa: PT012
        (folder / "new").touch()
        raise ValueError("bug")
    assert everything(tmp_path) == ["video", "video/old"]


def test_what_a_killed_command_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / f".a.7{PARTIAL}").write_bytes(b"x")
    (tmp_path / f".b.7{PARTIAL}").mkdir()
    (tmp_path / f".b.7{PARTIAL}" / "00000.png").touch()
    for kept in (".lock", f"a{PARTIAL}", ".hidden", "a.npz"):
        (tmp_path / kept).touch()
    remove_partial(tmp_path)
    assert everything(tmp_path) == sorted([".lock", f"a{PARTIAL}", ".hidden", "a.npz"])
    remove_partial(tmp_path / "not there")


def test_json_goes_to_disk_and_back(tmp_path: Path) -> None:
    value = {"video": "Kätzchen", "frames": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    text = (tmp_path / "a.json").read_text("utf-8")
    assert "Kätzchen" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("content", [b"{", b"", b"{} x"])
def test_broken_json_is_said_with_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json: is not valid JSON"):
        read_json(path)


def test_the_digest_of_a_file_is_the_usual_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1_000_000)
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files and a folder."""
    folder = tmp_path / "folder"
    for name, content in {"b": "1", "a": "2", "sub/c": "3"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_the_digest_of_a_folder_does_not_depend_on_the_order_of_listing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(folder)
    listing = Path.iterdir

    def backwards(self: Path) -> Iterator[Path]:
        return iter(sorted(listing(self), reverse=True))

    monkeypatch.setattr(Path, "iterdir", backwards)
    assert digest(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a").write_text("x"),
        lambda folder: (folder / "a").rename(folder / "d"),
        lambda folder: (folder / "a").unlink(),
        lambda folder: (folder / "new").touch(),
        lambda folder: (folder / "sub" / "c").write_text("x"),
        lambda folder: [
            (folder / "a").rename(folder / "x"),
            (folder / "b").rename(folder / "a"),
            (folder / "x").rename(folder / "b"),
        ],
    ],
    ids=["content", "name", "removed", "added", "deep", "swapped"],
)
def test_the_digest_of_a_folder_sees_every_change(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = digest(folder)
    change(folder)
    assert digest(folder) != before


def test_the_digest_of_a_folder_leaves_out_times_and_hidden_files(folder: Path) -> None:
    before = digest(folder)
    os.utime(folder / "a", (0, 0))
    (folder / ".DS_Store").write_text("x")
    assert digest(folder) == before
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    assert digest(copy) == before


def test_two_processes_cannot_hold_one_lock(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from submit.system.files import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(StorageError, match="run: another command is writing here"),
            locked(path),
        ):
            pytest.fail("both hold it")
        other.kill()
        other.wait()
        # The lock ended with the process.
        with locked(path):
            pass
    with locked(path):
        pass


def test_a_refusal_names_the_output_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path, **more: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir / ".x.partial"))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    told = r"/a/b/c: cannot be written, the file system is read-only; choose another"
    with pytest.raises(StorageError, match=told):
        require_writable(tmp_path / "a" / "b" / "c")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_disk_without_fsync_is_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    require_writable(tmp_path / "a")
    write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_disk_that_refuses_bytes_late_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network disks take bytes, and say only then that the quota is used up."""

    def refuse(file: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match="a: cannot be written, the disk quota is"):
        write_bytes(tmp_path / "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a": b"old"
    }


def test_a_disk_that_refuses_a_lock_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(StorageError, match=r"cannot be locked \(Input/output"),
        locked(tmp_path / ".lock"),
    ):
        pytest.fail("nothing is held")


def test_a_private_file_is_nobody_elses_to_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {}, private=True)
    assert (tmp_path / "a" / "b.json").stat().st_mode & 0o777 == 0o600
    with atomic_open(tmp_path / "c", private=True):
        (partial,) = tmp_path.glob(".c*")
        assert partial.stat().st_mode & 0o777 == 0o600


def test_a_lock_says_what_it_was_told_to_say(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(StorageError, match=r"^another process uploads it$"),
        locked(tmp_path / "lock", busy="another process uploads it"),
    ):
        pass


def test_a_kept_draft_outlives_an_error_and_its_checkpoint_decides(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.b"
    with pytest.raises(ValueError, match="bug"), draft_file(path) as (draft, stream):  # noqa: PT012
        stream.write(b"begun")
        name = draft.keep(path)
        assert draft.keep(path) == name, "it is renamed once"
        stream.flush()
        raise ValueError("bug")
    kept = tmp_path / name
    checkpoint_path(path).touch()
    # Those of other files, whose names begin in the same way.
    others = [tmp_path / f".a.b.c.{os.getpid()}.0.kept", tmp_path / ".a.1.0.kept"]
    for other in others:
        other.mkdir()
    remove_partial(tmp_path)
    assert kept.read_bytes() == b"begun"
    assert not any(other.exists() for other in others)
    checkpoint_path(path).unlink()
    remove_partial(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("draft", [draft_file, draft_folder])
def test_processes_of_two_machines_with_one_number_share_no_name(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    with contextlib.ExitStack() as stack:
        for machine in ("pod-1", "pod-2"):
            monkeypatch.setattr(platform, "node", lambda machine=machine: machine)
            made = stack.enter_context(draft(tmp_path / "a"))
            names.append((made if isinstance(made, Draft) else made[0]).path)
        assert all(name.exists() for name in names)
    assert len(set(names)) == 2


def test_what_was_kept_is_removed_by_name(tmp_path: Path) -> None:
    path, names = tmp_path / "a", []
    for _ in range(2):
        with pytest.raises(ValueError, match="bug"), draft_folder(path) as draft:  # noqa: PT012
            names.append(draft.keep(path))
            raise ValueError("bug")
    assert len(set(names)) == 2
    other = tmp_path / ".a.b.1.0.kept"
    other.touch()
    remove_kept(path, but=names[1:])
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted(
        [names[1], other.name]
    )
    remove_kept(path)
    assert [child.name for child in tmp_path.iterdir()] == [other.name]


def test_a_kept_draft_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with draft_file(path) as (draft, stream):
        stream.write(b"be")
        draft.keep(path)
        stream.write(b"gun")
    assert path.read_bytes() == b"begun"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_one_is_writing_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with draft_file(path) as (draft, _):
        draft.keep(path)
        # As the same video does that was begun again on another node.
        remove_kept(path)
        assert draft.path.exists()
    assert path.exists()
