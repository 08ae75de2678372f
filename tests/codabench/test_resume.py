"""After an interruption at any step, the same command makes one submission."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submit.codabench import Client, Journal, Package, Token, make_plan
from submit.codabench.package import ZipBody
from submit.codabench.transport import Transport
from submit.errors import (
    ArchiveError,
    DuplicateError,
    NetworkError,
    StorageError,
)
from tests.codabench.conftest import Notes, Run, UploadZip
from tests.codabench.fake_server import FakeServer
from tests.codabench.world import TOKEN, FakeClock, World

MakeZip = Callable[..., Path]

UPLOADER = """
import sys
from pathlib import Path
from submit.codabench import Client, Package, Token, Upload, make_plan
url, token, zip_path, state = sys.argv[1:]
with Client(url, Token(token, "a test")) as client:
    package = Package.read(Path(zip_path))
    plan = make_plan(client, package, Path(state), competition=10062)
    Upload(client, plan, Path(state)).run()
"""

STEPS = [
    "before POST /api/datasets/",
    "after POST /api/datasets/",
    "before UPLOAD",
    "after UPLOAD",
    "before PUT /api/datasets/completed/",
    "after PUT /api/datasets/completed/",
    "before POST /api/submissions/",
    "after POST /api/submissions/",
]


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_continues_and_submits_once(
    step: str,
    server: FakeServer,
    world: World,
    run: Run,
    state: Path,
    make_zip: MakeZip,
) -> None:
    world.day_limit = 1  # The one attempt must do.
    path = make_zip()
    started: list[subprocess.Popen[bytes]] = []
    ready = threading.Event()

    def kill() -> None:
        assert ready.wait(20)
        started[0].kill()
        started[0].wait()

    world.hooks[step] = kill
    arguments = [UPLOADER, server.url, TOKEN, str(path), str(state)]
    started.append(subprocess.Popen([sys.executable, "-c", *arguments]))
    ready.set()
    assert started[0].wait(30) == -signal.SIGKILL
    world.hooks.clear()
    result = run("upload", path, "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 0, result.output
    assert len(world.created) == 1
    assert [each.in_use for each in world.datasets.values()].count(True) == 1
    if step.startswith("after UPLOAD") or "completed" in step:
        assert "all bytes are already on the server" in result.output
        assert [method for method, _ in world.requests].count("UPLOAD") == 1


def test_an_upload_that_ended_goes_on_with_its_watch(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    world.day_limit = 1
    path = make_zip()
    assert run("upload", path, "--skip-check", "--yes", "--no-watch").exit_code == 0
    # The split is no longer looked at: the attempt is spent.
    again = run("upload", path, "--split", path.parent)
    assert again.exit_code == 0, again.output
    assert "as 9001; watching it continues" in again.output
    assert "J&Ḟ" in again.stdout
    third = run("upload", path, "--skip-check", "--yes")
    assert third.exit_code == 12
    assert len(world.created) == 1


def test_a_zip_that_was_submitted_is_refused_unless_forced(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    assert run("upload", path, "--skip-check", "--yes").exit_code == 0
    again = run("upload", path, "--skip-check", "--yes")
    assert again.exit_code == 16
    assert "the same zip was submitted as 9001" in again.stderr
    forced = run("upload", path, "--skip-check", "--yes", "--force")
    assert forced.exit_code == 0
    assert len(world.created) == 2
    assert [method for method, _ in world.requests].count("UPLOAD") == 1


def test_a_zip_that_another_machine_submitted_is_refused(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    mark = Package.read(path).mark
    world.add_submission("k", f"other-{mark}.zip", script=[("Running", 0)])
    assert run("upload", path, "--skip-check", "--yes").exit_code == 16
    assert world.writes == []


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_a_zip_that_failed_may_be_submitted_again(
    status: str, run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    world.script = [(status, 0)]
    assert run("upload", path, "--skip-check", "--yes").exit_code == 20
    world.script = [("Finished", 8)]
    assert run("upload", path, "--skip-check", "--yes").exit_code == 0
    assert len(world.created) == 2
    assert [method for method, _ in world.requests].count("UPLOAD") == 1


def test_a_lost_answer_while_forcing_adopts_the_new_one(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    assert run("upload", path, "--skip-check", "--yes").exit_code == 0
    world.create = ["lose"]
    forced = run("upload", path, "--skip-check", "--yes", "--force", "--no-watch")
    assert forced.exit_code == 0
    assert "submission 9002 of" in forced.output
    assert len(world.created) == 2


def test_of_two_uploads_of_one_zip_at_once_the_second_is_told_to_wait(
    upload: UploadZip, world: World, make_zip: MakeZip
) -> None:
    path, said = make_zip(), []

    def second() -> None:
        world.hooks.clear()
        with pytest.raises(StorageError, match="another command is uploading") as error:
            upload(path)
        said.append(error)

    world.hooks["before UPLOAD"] = second
    assert upload(path).id == 9001
    assert len(said) == 1
    assert len(world.created) == 1


def test_of_two_machines_the_later_one_finds_what_the_other_has_done(
    upload: UploadZip, world: World, make_zip: MakeZip, tmp_path: Path
) -> None:
    path = make_zip()

    def other() -> None:
        world.hooks.clear()
        assert upload(path, folder=tmp_path / "other").id == 9001

    world.hooks["before UPLOAD"] = other
    with pytest.raises(DuplicateError, match="as 9001 meanwhile"):
        upload(path)
    assert len(world.created) == 1


def test_after_the_lock_an_upload_sees_what_was_done_before(
    client: Client, state: Path, make_zip: MakeZip, world: World, upload: UploadZip
) -> None:
    from submit.codabench import Upload

    path = make_zip()
    plan = make_plan(client, Package.read(path), state, competition=10062)
    assert upload(path).id == 9001
    assert Upload(client, plan, state).run().id == 9001
    assert len(world.created) == 1


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the journal be written a number of times; later writes fail."""
    real, count = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr("submit.system.files.os.replace", replace)


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_a_full_disk_before_the_creation_stops_it(
    saves: int,
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    with monkeypatch.context() as patch:
        fill_disk(patch, saves)
        with pytest.raises(StorageError, match="the disk is full; make room"):
            upload(path)
    assert world.created == []
    assert upload(path).id == 9001
    assert len(world.datasets) == 1


def test_a_full_disk_after_the_creation_does_not_hide_the_submission(
    upload: UploadZip,
    world: World,
    notes: Notes,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    with monkeypatch.context() as patch:
        fill_disk(patch, 3)
        assert upload(path).id == 9001
    assert "submission 9001 is not in the journal" in notes.notes[-1]
    assert upload(path).id == 9001
    assert len(world.created) == 1


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "whole"])
@pytest.mark.parametrize("size", [0, 5, None, 20_000])
def test_a_zip_that_changes_while_it_is_uploaded_is_not_submitted(
    size: int | None,
    broken: bool,
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    original = path.read_bytes()
    world.put = [50] if broken else []
    with monkeypatch.context() as patch:
        send_other_bytes(patch, path, len(original) if size is None else size)
        with pytest.raises(ArchiveError, match="has changed since the command began"):
            upload(path)
    assert world.created == []
    assert world.datasets == {}

    # What arrived may have the right size: the next command must not believe it.
    path.write_bytes(original)
    require_right_bytes(upload, world, path)


def send_other_bytes(patch: pytest.MonkeyPatch, path: Path, size: int) -> None:
    """Change the zip after the connection is open and before any byte is sent."""
    real = ZipBody.read

    def read(self: ZipBody, count: int = -1) -> bytes:
        path.write_bytes(b"P" * size)
        os.utime(path, (1, 1))  # However coarse the file system's clock is.
        return real(self, count)

    patch.setattr(ZipBody, "read", read)


def require_right_bytes(upload: UploadZip, world: World, path: Path) -> None:
    """The command run again submits the zip in every state of the server."""
    assert upload(path).id == 9001
    (record,) = [each for each in world.datasets.values() if each.in_use]
    assert world.objects[record.path][1] == Package.read(path).md5


def interrupt(*arguments: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("owner", [FakeClock, Client], ids=["waiting", "discarding"])
def test_bytes_that_arrived_damaged_are_not_taken_for_the_zip_by_the_next_command(
    owner: type,
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    world.put = ["damage"]
    with monkeypatch.context() as patch:
        patch.setattr(owner, "sleep" if owner is FakeClock else "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            upload(path)
    require_right_bytes(upload, world, path)


@pytest.mark.parametrize("margin", [0.0, 6 * 86400.0], ids=["waits", "renewals"])
def test_a_storage_that_damages_everything_is_given_up_and_left_empty(
    margin: float,
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    world.put = ["damage"] * 20
    with monkeypatch.context() as patch:
        patch.setattr("submit.codabench.sending.MARGIN", margin)
        with pytest.raises(NetworkError, match="arrived damaged"):
            upload(path)
    assert world.datasets == {}
    world.put = []
    require_right_bytes(upload, world, path)


@pytest.mark.parametrize("moment", ["put", "record"])
def test_a_zip_that_changes_and_changes_back_is_sent_again(
    moment: str,
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    original = path.read_bytes()
    put = Transport.put

    def killed(self: Transport, *arguments: Any) -> None:
        put(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        send_other_bytes(patch, path, len(original))
        if moment == "put":  # All bytes have arrived, and no command has checked them.
            patch.setattr(Transport, "put", killed)
        else:
            patch.setattr(Client, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            upload(path)
    path.write_bytes(original)
    require_right_bytes(upload, world, path)


def test_a_zip_that_goes_away_is_an_error_of_one_line(
    upload: UploadZip,
    world: World,
    make_zip: MakeZip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_zip()
    monkeypatch.setattr(Package, "require_unchanged", lambda self: None)
    world.hooks["after POST /api/datasets/"] = path.unlink
    with pytest.raises(
        ArchiveError, match=r"entry\.zip: cannot be read \(No such file"
    ):
        upload(path)
    assert world.created == []


def test_a_storage_that_stalls_is_left_and_tried_again(
    server: FakeServer, world: World, clock: FakeClock, state: Path, tmp_path: Path
) -> None:
    from submit.codabench import Upload

    path = tmp_path / "large.zip"
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("aa/00000.png", os.urandom(1 << 16) * 200)
    released = threading.Event()
    world.put = ["stall"]
    world.hooks["stall"] = lambda: released.wait(20)
    heard = Notes()
    with Client(server.url, Token(TOKEN, "t"), clock=clock, stall=0.3) as client:
        plan = make_plan(client, Package.read(path), state, competition=10062)
        assert Upload(client, plan, state, listener=heard).run().id == 9001
    released.set()
    assert "nothing moved for too long" in heard.notes[0]
    # There may be more such notes on a machine that is busy with other things.
    assert heard.begun == 1 + len(heard.notes)


def test_a_journal_is_private_and_says_where_the_upload_stands(
    client: Client, state: Path, make_zip: MakeZip, upload: UploadZip
) -> None:
    path = make_zip()
    upload(path)
    plan = make_plan(client, Package.read(path), state, competition=10062)
    journal = Journal(state, plan.entry())
    assert journal.entry.step == "submitted"
    assert journal.path.stat().st_mode & 0o777 == 0o600
    for folder in (state, journal.path.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["{", '{"schema": 99}', "[]", '{"schema": 1, "x": 2}'])
def test_a_journal_that_cannot_be_read_stops_the_upload(
    text: str, client: Client, state: Path, make_zip: MakeZip, upload: UploadZip
) -> None:
    path = make_zip()
    plan = make_plan(client, Package.read(path), state, competition=10062)
    journal = Journal(state, plan.entry()).path
    journal.parent.mkdir(parents=True)
    journal.write_text(text)
    journal.chmod(0o600)
    with pytest.raises(StorageError, match="look on the website whether the zip"):
        upload(path)
