"""Hints about interrupted uploads: complete, and absent if not needed."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from submit.codabench import Journal, JournalEntry, Package, command_of
from tests import submissions
from tests.codabench.conftest import Run
from tests.codabench.fake_server import FakeServer
from tests.codabench.world import OTHER_TOKEN, TOKEN, World

MakeZip = Callable[..., Path]

SHEET = {
    "method": {"type": "text", "title": "Method", "is_required": "true"},
}


def interrupt(run: Run, world: World, *arguments: str | Path) -> None:
    """Start an upload whose connection always breaks."""
    world.put = [0] * 20
    assert run("upload", *arguments, "--yes").exit_code == 19
    world.put = []


def hints(result: Result) -> list[str]:
    """The commands that are hinted at."""
    assert result.exit_code == 0, result.output
    return [
        line.partition("to continue: ")[2]
        for line in result.output.splitlines()
        if "to continue: " in line
    ]


@pytest.mark.slow
def test_a_hint_can_be_pasted_and_is_gone_afterwards(
    run: Run, world: World, server: FakeServer, tmp_path: Path
) -> None:
    world.fact_sheet = SHEET
    split = submissions.write_split(tmp_path / "the split")
    from submit.archive import pack

    masks = submissions.write_masks(tmp_path / "masks")
    path = pack(masks, tmp_path / "both of us.zip").path
    given = ("--split", split, "--label", "both, flipped", "--fact", "method=it's")
    interrupt(run, world, path, *given)
    (hint,) = hints(run("status"))
    assert hints(run("doctor")) == [hint]
    words = shlex.split(hint)
    assert words[:3] == ["submit", "upload", str(path)]
    assert words[3:] == [
        *("--split", str(split), "--label", "both, flipped"),
        *("--fact", "method=it's", "--phase", "123", "--competition", "10062"),
        *("--url", server.url),
    ]
    assert run(*words[1:], "--yes").exit_code == 0
    (made,) = world.created
    assert made.file_name.startswith("both-flipped-")
    assert hints(run("status")) == []
    assert hints(run("doctor")) == []


def test_a_hint_has_the_flags_that_were_given(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    flags = ("--skip-check", "--team", "--keep-upload")
    interrupt(run, world, make_zip(), *flags)
    (hint,) = hints(run("status"))
    assert [word for word in shlex.split(hint) if word in flags] == list(flags)


def test_a_zip_below_the_folder_one_is_in_is_named_shortly(
    run: Run, world: World, make_zip: MakeZip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_zip()
    monkeypatch.chdir(path.parent)
    interrupt(run, world, path.name, "--skip-check")
    assert shlex.split(hints(run("status"))[0])[2] == path.name
    monkeypatch.chdir("/")
    hint = shlex.split(hints(run("status"))[0])[2]
    assert Path("/", hint) == path


def test_hints_are_of_the_account_that_asks(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    interrupt(run, world, make_zip(), "--skip-check")
    assert len(hints(run("status"))) == 1
    assert hints(run("status", token=OTHER_TOKEN)) == []
    assert hints(run("doctor", token=OTHER_TOKEN)) == []
    assert len(hints(run("status", token=TOKEN))) == 1


def submitted_elsewhere(world: World, path: Path) -> None:
    world.add_submission("k", f"other-{Package.read(path).mark}.zip")


def renamed(world: World, path: Path) -> None:
    path.rename(path.with_name("other.zip"))


def rewritten(world: World, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    os.utime(path, (1, 1))


def over(world: World, path: Path) -> None:
    world.end = world.now() - 1


@pytest.mark.parametrize(
    "resolve", [submitted_elsewhere, renamed, rewritten, over], ids=lambda f: f.__name__
)
def test_a_hint_goes_when_there_is_nothing_to_continue(
    resolve: Callable[[World, Path], None], run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    interrupt(run, world, path, "--skip-check")
    assert len(hints(run("status"))) == 1
    resolve(world, path)
    assert hints(run("status")) == []
    assert json.loads(run("status", "--json").stdout)["unfinished"] == []
    assert "to continue" not in run("doctor").stdout


def test_a_zip_that_was_only_touched_is_still_hinted_at(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    interrupt(run, world, path, "--skip-check")
    os.utime(path, (1, 1))
    assert len(hints(run("status"))) == 1


def test_what_the_server_refuses_is_not_hinted_at(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    world.create = ['{"phase": ["No"]}']
    assert run("upload", make_zip(), "--skip-check", "--yes").exit_code == 15
    assert hints(run("status")) == []


def test_a_forced_upload_is_not_over_because_of_the_first(
    run: Run, world: World, make_zip: MakeZip
) -> None:
    path = make_zip()
    assert run("upload", path, "--skip-check", "--yes").exit_code == 0
    world.datasets.clear()
    interrupt(run, world, path, "--skip-check", "--force")
    (hint,) = hints(run("status"))
    assert "--force" in hint
    submitted_elsewhere(world, path)
    assert hints(run("status")) == []


def test_a_journal_of_the_version_before_goes_on_and_is_hinted_at(
    run: Run, world: World, make_zip: MakeZip, state: Path, server: FakeServer
) -> None:
    path = make_zip()
    interrupt(run, world, path, "--skip-check", "--label", "older")
    (journal,) = (state / "uploads").glob("*.json")
    content = json.loads(journal.read_text())
    for name in ("facts", "runs", "local", "command"):
        del content[name]
    journal.write_text(json.dumps({**content, "schema": 1}))
    assert hints(run("status")) == [
        f"submit upload {path} --split DIR --label older --phase 123 --competition "
        f"10062 --url {server.url}"
    ]
    assert run("upload", path, "--skip-check", "--yes").exit_code == 0
    (made,) = world.created
    assert made.file_name.startswith("older-")


def test_a_journal_that_is_of_another_account_is_not_taken(tmp_path: Path) -> None:
    entry = JournalEntry(
        "/a.zip", "0" * 64, 1, "https://x.org", "alice", 1, 2, "a", "a.zip"
    )
    Journal(tmp_path, entry).save()
    (path,) = (tmp_path / "uploads").glob("*.json")
    other = JournalEntry(
        "/a.zip", "0" * 64, 1, "https://x.org", "bob", 1, 2, "a", "a.zip"
    )
    assert not Journal(tmp_path, other).exists
    path.rename(Journal(tmp_path, other).path)
    with pytest.raises(Exception, match="is about another upload"):
        Journal(tmp_path, other)


def test_the_public_server_needs_no_address_in_a_hint() -> None:
    entry = JournalEntry(
        *("/a.zip", "0" * 64, 1, "https://www.codabench.org", "alice", 1, 2, "a b"),
        "a.zip",
        command=["--skip-check"],
    )
    assert command_of(entry).endswith(
        "a.zip --skip-check --label 'a b' --phase 2 --competition 1"
    )
