from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.codabench import Client, Package, Submission, Token, Upload, make_plan
from tests.codabench.fake_server import FakeServer
from tests.codabench.world import BROKER_PASSWORD, OTHER_TOKEN, TOKEN, FakeClock, World

#: What must not be found in anything that was printed or written.
SECRETS = (TOKEN, OTHER_TOKEN, "Signature=", "AWSAccessKeyId", BROKER_PASSWORD)


#: Seconds that commands wait for what is welcome and not needed.
PATIENCE = (
    "_watching.NAMES",
    "_watching.RANK",
    "history.BOARDS",
    "leaderboard.OWN",
    "status.PENDING",
)


def require_no_secrets(text: str) -> None:
    found = [secret for secret in SECRETS if secret in text]
    assert found == [], text


@pytest.fixture(autouse=True)
def direct_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's proxies, certificates and state out of every test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "XDG_STATE_HOME", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


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
    """The state folder; whatever is left in it afterwards is searched for secrets."""
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
    clock: FakeClock,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Run a command against the fake server; what it prints is searched for secrets."""
    monkeypatch.setattr("submit.codabench.SystemClock", lambda: clock)
    monkeypatch.setattr("submit.cli._codabench.keyring", lambda: None)
    for name in PATIENCE:  # However slow the machine is.
        monkeypatch.setattr(f"submit.cli.{name}", 60.0)
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
