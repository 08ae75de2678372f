"""Changed files of a run or an export are detected by every command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli

#: Commands that read RUN, beside a run `other` that is sound.
READERS = {
    "export": ["RUN"],
    "export elsewhere": ["RUN", "-o", "elsewhere"],
    "pack": ["RUN", "-o", "packed.zip"],
    "check": ["RUN", "--split", "split"],
    "score": ["RUN", "--split", "split"],
    "compare": ["other", "RUN", "--split", "split"],
    "preview": ["other", "RUN", "--split", "split"],
    "ensemble": ["RUN", "other", "--name", "merged"],
    "tune": ["RUN", "other", "--split", "split", "-o", "t.toml", "--budget", "2"],
}


@pytest.fixture
def run(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    write_split: Callable[..., Path],
    runner: CliRunner,
) -> Callable[..., tuple[int, str]]:
    """Run a command, in a folder with the runs `soft`, `hard`, `imported` and `other`.

    `soft` and `hard` are exported, and `folder` is an export of `soft`.
    """
    monkeypatch.chdir(tmp_path)

    def called(*command: str) -> tuple[int, str]:
        result = runner.invoke(cli, command)
        return result.exit_code, result.output

    # The commands run once, and each test gets a copy of what they made.
    made = tmp_path_factory.getbasetemp() / "made-for-damage"
    if made.exists():
        shutil.copytree(made, tmp_path, dirs_exist_ok=True)
        return called
    write_split(("a", "c"), annotated=3)
    write_split(("b",), annotated=3, size=(30, 40))
    for command in (
        "predict split --predictor static --name soft",
        "predict split --predictor static --name hard --no-soft",
        "predict split --predictor static --name other --variant hflip",
        "export soft",
        "export soft -o folder",
        "import folder --split split --name imported",
    ):
        code, output = called(*command.split(), "--workers", "1")
        assert code == 0, output
    shutil.copytree(tmp_path, made)
    return called


def damage(path: Path, how: str) -> str:
    """Change a file in one way; returns the name that the error must contain."""
    if how == "another":
        # The same frame of another video, or the soft file of one.
        other = path.as_posix().replace("/a", "/b")
        shutil.copy(other, path)
    elif how == "one more":
        shutil.copy(path, path.with_name("00009.png"))
        return "00009.png"
    elif how == "missing":
        path.unlink()
    elif how == "video missing":
        shutil.rmtree(path.parent)
        return path.parent.name
    else:
        data = path.read_bytes()
        half = len(data) // 2
        path.write_bytes(
            data[:half]
            if how == "cut off"
            else data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        )
    return path.name


@pytest.mark.parametrize("how", ["another", "cut off", "one bit"])
@pytest.mark.parametrize("reader", READERS)
def test_a_soft_file_that_is_not_the_one_that_was_written_is_refused(
    run: Callable[..., tuple[int, str]], reader: str, how: str
) -> None:
    # Its masks are exported already, and sound: they are older than it.
    damage(Path("runs/soft/soft/a.npz"), how)

    code, output = run(*_command(reader, "soft"))

    assert code == 1, output
    assert "soft/a.npz" in output
    assert "not the file that was written here" in output
    assert not Path("packed.zip").exists()


@pytest.mark.parametrize(
    "how", ["another", "cut off", "missing", "video missing", "one more"]
)
@pytest.mark.parametrize("name", ["hard", "imported"])
@pytest.mark.parametrize("reader", READERS)
def test_a_mask_that_is_not_the_one_that_was_written_is_refused(
    run: Callable[..., tuple[int, str]], reader: str, name: str, how: str
) -> None:
    wrong = damage(Path(f"runs/{name}/masks/a/00001.png"), how)

    code, output = run(*_command(reader, name))

    assert code == 1, output
    assert wrong in output
    assert "run the command that made the run" in output
    assert not Path("packed.zip").exists()


@pytest.mark.parametrize(
    "how", ["another", "cut off", "missing", "video missing", "one more"]
)
@pytest.mark.parametrize("reader", ["pack", "check", "score", "compare"])
def test_an_export_that_was_changed_is_refused(
    run: Callable[..., tuple[int, str]], reader: str, how: str
) -> None:
    wrong = damage(Path("folder/a/00001.png"), how)

    code, output = run(*_command(reader, "folder"))

    assert code == 1, output
    assert wrong in output
    assert "folder" in output
    assert not Path("packed.zip").exists()


def test_soft_files_may_be_removed_once_their_masks_are_exported(
    run: Callable[..., tuple[int, str]],
) -> None:
    shutil.rmtree("runs/soft/soft")

    code, output = run("pack", "soft", "-o", "packed.zip")

    assert code == 0, output
    assert Path("packed.zip").exists()


def _command(reader: str, name: str) -> list[str]:
    arguments = [name if word == "RUN" else word for word in READERS[reader]]
    workers = [] if reader == "pack" else ["--workers", "1"]
    return [reader.split()[0], *arguments, *workers]
