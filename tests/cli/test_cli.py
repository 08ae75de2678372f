from __future__ import annotations

import errno
import importlib.metadata
import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from submit.cli import SECTIONS, LazyGroup, cli
from submit.errors import RunError

HELP = {name: words for part in SECTIONS.values() for name, words in part.items()}

Fail = Callable[[BaseException], Result]


@pytest.fixture
def fail(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Run a command that raises the given error."""

    def run(error: BaseException) -> Result:
        @click.command()
        def fails() -> None:
            raise error

        monkeypatch.setattr(LazyGroup, "get_command", lambda *args: fails)
        return runner.invoke(cli, ["fails"])

    return run


def run_python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, check=False
    )


def test_help_lists_the_commands_under_their_headings(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["--help"])
    assert result.exit_code == 0
    expected = []
    width = max(map(len, HELP))
    for heading, entries in SECTIONS.items():
        expected += [f"{heading}:"]
        expected += [f"  {name:{width}}  {words}" for name, words in entries.items()]
        expected += [""]
    _, _, lists = result.stdout.partition("Show this message and exit.\n\n")
    assert lists.splitlines() == expected[:-1]


def test_no_command_stands_under_two_headings() -> None:
    assert len(HELP) == sum(map(len, SECTIONS.values()))


@pytest.mark.parametrize("name", HELP)
def test_a_listed_command_is_there_and_its_docstring_begins_as_listed(
    name: str,
) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.callback is not None
    first_line = (inspect.getdoc(command.callback) or "").splitlines()[0]
    assert first_line == f"{HELP[name]}."


@pytest.mark.parametrize(
    "command", [[], ["check"], ["pack"], ["score"], ["status"], ["upload"]]
)
def test_help_answers_without_importing_anything_heavy(command: list[str]) -> None:
    script = (
        "import sys; from submit.cli import cli;"
        f"cli([*{command}, '--help'], standalone_mode=False);"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    loaded = run_python("-c", script).stderr.split()
    heavy = {"cv2", "numba", "numpy", "PIL", "ray", "requests", "scipy"}
    heavy |= {"skimage", "torch"} if command else {"rich", "skimage", "torch"}
    assert "click" in loaded
    assert sorted(heavy & set(loaded)) == []


def test_the_version_is_the_packages(runner: CliRunner) -> None:
    from importlib.metadata import version

    result = runner.invoke(cli, ["--version"])
    assert result.stdout == f"mose-submit {version('mose-submit')}\n"


def test_the_package_runs_as_a_module() -> None:
    done = run_python("-m", "submit", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: submit [OPTIONS] COMMAND [ARGS]...\n")


def test_an_unknown_command_is_a_usage_error(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["predictor"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "No such command 'predictor'" in result.stderr


def test_an_expected_failure_is_one_line_and_status_1(fail: Fail) -> None:
    result = fail(
        RunError("runs/a: no manifest.json; make the run with submit predict")
    )
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "Error: runs/a: no manifest.json; make the run with submit predict\n"
    )


def test_a_message_cannot_drive_the_terminal(fail: Fail) -> None:
    result = fail(RunError("runs/\x1b[2Ja\rb: gone"))
    assert result.stderr == "Error: runs/\\x1b[2Ja\\rb: gone\n"


def test_the_lines_of_a_message_are_lines_and_none_of_them_looks_like_another(
    fail: Fail,
) -> None:
    result = fail(RunError("runs/a: two things:\nfirst\nError: \x1b[2Jsecond"))
    assert result.stderr == (
        "Error: runs/a: two things:\n  first\n  Error: \\x1b[2Jsecond\n"
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "the file system is read-only"),
    ],
)
def test_what_the_disk_refuses_is_an_expected_failure(
    number: int, advice: str, fail: Fail
) -> None:
    result = fail(OSError(number, os.strerror(number), "runs/a/soft/v.npz"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: runs/a/soft/v.npz: {advice}; ")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_without_a_name_is_told_as_well(fail: Fail) -> None:
    result = fail(OSError(errno.ENOSPC, "No space left on device"))
    assert result.stderr.startswith("Error: the disk is full; ")


def test_an_error_of_the_system_that_nobody_foresaw_is_a_bug(fail: Fail) -> None:
    result = fail(OSError(errno.EBADF, "Bad file descriptor"))
    assert result.exit_code == 1
    assert "OSError: [Errno 9] Bad file descriptor: a bug of" in result.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), ""), (RuntimeError("can't allocate memory: 2 GiB"), " (can't")],
    ids=["python", "torch"],
)
def test_memory_that_runs_out_is_no_bug(
    error: Exception, said: str, fail: Fail
) -> None:
    result = fail(error)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: memory ran out{said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=repr)
def test_an_interrupted_command_ends_with_the_status_of_the_shell(
    error: BaseException, fail: Fail
) -> None:
    result = fail(error)
    assert result.exit_code == 130
    assert result.stderr == "\nError: interrupted\n"


def test_a_bug_keeps_its_traceback_and_says_whose_it_is(fail: Fail) -> None:
    result = fail(ZeroDivisionError("by\x1bzero"))
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any(line.startswith('  File "') and __file__ in line for line in lines)
    version = importlib.metadata.version("mose-submit")
    assert lines[-1] == (
        f"Error: ZeroDivisionError: by\\x1bzero: a bug of mose-submit {version}; "
        "please report it with the lines above"
    )


def test_a_warning_is_one_line_that_names_its_place(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def warns() -> None:
        warnings.simplefilter("default")
        warnings.warn("old\x1b API", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(LazyGroup, "get_command", lambda *args: warns)
    result = runner.invoke(cli, ["warns"])
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("Warning: DeprecationWarning in cli/test_cli.py, line ")
    assert line.endswith(": old\\x1b API")


def test_debugging_shows_the_traceback_of_expected_failures(
    fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RunError("runs/a: gone")
    monkeypatch.setenv("SUBMIT_DEBUG", "1")
    assert fail(error).exception is error
    monkeypatch.setenv("SUBMIT_DEBUG", "0")
    assert fail(error).stderr == "Error: runs/a: gone\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["predictors", "--json"]], ids=" ".join
)
def test_a_reader_that_went_away_is_no_error_worth_a_word(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "submit", *arguments],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == b""
