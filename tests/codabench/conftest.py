from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.codabench import Client, Package, Submission, Token, Upload, make_plan
from tests.codabench.fake_server import FakeServer
from tests.codabench.stand_in import replace_codabench, require_no_secrets
from tests.codabench.world import TOKEN, FakeClock, World


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    replace_codabench(monkeypatch, made)
    return made


@pytest.fixture
def server(clock: FakeClock) -> Iterator[FakeServer]:
    """A fake Codabench as of v1.25; tests of both versions set `world.version`."""
    made = FakeServer(clock)
    yield made
    made.close()
    assert made.world.violations == []


@pytest.fixture
def world(server: FakeServer) -> World:
    return server.world


@pytest.fixture
def client(server: FakeServer, clock: FakeClock) -> Iterator[Client]:
    with Client(server.url, Token(TOKEN, "a test"), clock=clock, stall=5.0) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state folder; its files are searched for secrets after the test."""
    folder = tmp_path / "state"
    yield folder
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".lock", path
            if path.name != "tokens.json":
                require_no_secrets(path.read_bytes().decode("latin-1"))


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip of one file whose bytes differ from other zips'."""

    def make(name: str = "entry.zip", text: str = "masks") -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("aa/00000.png", text * 2000)
        return path

    return make


class Notes:
    """A listener that remembers what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.bytes = 0
        self.notes: list[str] = []

    def begin(self, size: int) -> None:
        self.begun += 1
        self.bytes = 0

    def sent(self, count: int) -> None:
        self.bytes += count

    def end(self, *, arrived: bool) -> None:
        pass

    def note(self, message: str) -> None:
        require_no_secrets(message)
        self.notes.append(message)


@pytest.fixture
def notes() -> Notes:
    return Notes()


UploadZip = Callable[..., Submission]


@pytest.fixture
def upload(client: Client, state: Path, notes: Notes) -> UploadZip:
    """Plan and upload a zip as the command does, without the terminal."""

    def run(path: Path, *, folder: Path = state, force: bool = False) -> Submission:
        package = Package.read(path)
        plan = make_plan(client, package, folder, competition=10062, force=force)
        return Upload(client, plan, folder, listener=notes).run()

    return run


Run = Callable[..., Result]


@pytest.fixture
def run(
    runner: CliRunner,
    server: FakeServer,
    state: Path,
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Run a command against the fake server; what it prints is searched for secrets."""
    caplog.set_level("DEBUG")

    def invoke(*arguments: str | Path, token: str = TOKEN, input: str = "") -> Result:
        environment = {
            "SUBMIT_URL": server.url,
            "SUBMIT_STATE": str(state),
            "SUBMIT_TOKEN": token,
        }
        result = runner.invoke(
            cli, [str(each) for each in arguments], env=environment, input=input
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        require_no_secrets(result.output + caplog.text)
        assert "\x1b" not in result.output
        assert "<html" not in result.output.lower()
        return result

    return invoke
