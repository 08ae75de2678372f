"""The zip to upload: refusals, its name, and how it is sent."""

from __future__ import annotations

import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from submit.codabench import Client, Package, Upload, make_plan
from submit.codabench.package import ZipBody
from submit.errors import ArchiveError
from tests.codabench.conftest import Notes
from tests.codabench.world import World

MakeZip = Callable[..., Path]


def test_a_name_on_the_server_is_short_plain_and_has_the_digest(
    make_zip: MakeZip,
) -> None:
    package = Package.read(make_zip())
    assert package.file_name("") == f"mosev2-{package.mark}.zip"
    assert package.file_name("résumé (1)/x") == f"r-sum-1-x-{package.mark}.zip"
    long = package.file_name("a" * 100)
    assert len(long) == 35 + len(".zip")
    assert long.endswith(f"-{package.mark}.zip")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["metadata"], "run it as a program"),
        (["metadata.yaml", "a/0.png"], "run it as a program"),
        ([], "holds no files"),
        (["folder/"], "holds no files"),
    ],
)
def test_a_zip_that_would_waste_the_attempt_is_refused(
    names: list[str], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(ArchiveError, match=said):
        Package.read(path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    for path in (tmp_path / "a.zip", tmp_path, tmp_path / "missing.zip"):
        with pytest.raises(ArchiveError):
            Package.read(path)


@pytest.mark.slow
def test_three_hundred_megabytes_go_through_constant_memory(
    client: Client, world: World, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("aa/00000.png", b"")
        with archive.open("aa/00001.png", "w") as stream:
            for _ in range(300):
                stream.write(bytes(1_000_000))
    notes = Notes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan = make_plan(client, Package.read(path), state, competition=10062)
    Upload(client, plan, state, listener=notes).run()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert notes.bytes == path.stat().st_size
    assert grown < 30_000  # Kilobytes.
    assert len(world.created) == 1


def test_the_body_is_as_long_as_it_was_announced(make_zip: MakeZip) -> None:
    package = Package.read(make_zip())
    counts: list[int] = []
    body = ZipBody(package, counts.append)
    with package.path.open("ab") as stream:
        stream.write(b"more")
    assert len(body) == package.size
    assert b"".join(body) == package.path.read_bytes()[: package.size]
    assert body.read() == b""
    assert body.md5 == package.md5
    assert sum(counts) == package.size
    body.close()


def test_a_zip_that_becomes_shorter_is_a_failure_of_the_file(make_zip: MakeZip) -> None:
    package = Package.read(make_zip())
    body = ZipBody(package)
    package.path.write_bytes(b"short")
    with pytest.raises(OSError, match="has become shorter"):
        body.read()
    assert body.failure is not None
    body.close()
    with pytest.raises(ArchiveError, match="has changed since"):
        package.require_unchanged()
