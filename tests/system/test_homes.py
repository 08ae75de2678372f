from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.system.homes import user_path, xdg_folder


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry and without HOME, as in a container."""

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize(
    ("line", "variable"),
    [("history --offline", "SUBMIT_STATE"), ("weights", "XDG_CACHE_HOME")],
)
def test_without_a_home_commands_that_need_one_say_what_to_set(
    line: str, variable: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, line.split())
    assert done.exit_code == 1
    assert "there is no home folder, since HOME is not set" in done.stderr
    assert done.stderr.endswith(f"set HOME, or name a folder in {variable}\n")
    assert len(done.stderr.splitlines()) == 1
    done = CliRunner().invoke(cli, line.split(), env={variable: str(tmp_path)})
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("no_home")
def test_without_a_home_a_tilde_is_a_name() -> None:
    assert user_path("~/a") == Path("~/a")


def test_a_base_folder_is_where_its_variable_says() -> None:
    def folder(**environment: str) -> Path:
        return xdg_folder("X", "~/.x", instead="Y", environment=environment)

    assert folder(X="/x") == Path("/x")
    assert folder(X="relative") == folder() == Path.home() / ".x"
