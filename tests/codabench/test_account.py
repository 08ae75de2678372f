from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from submit.codabench import Token, TokenStore, installed_keyring, state_folder
from submit.errors import LoginError
from tests.codabench.conftest import Run
from tests.codabench.world import TOKEN, Reply, World, days

URL = "https://www.codabench.org"


class FakeKeyring:
    def __init__(self, *, broken: bool = False) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = broken

    def get_password(self, service: str, name: str) -> str | None:
        self._check()
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, secret: str) -> None:
        self._check()
        self.kept[service, name] = secret

    def delete_password(self, service: str, name: str) -> None:
        self._check()
        del self.kept[service, name]

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError("the keyring is locked")


def test_the_environment_goes_before_the_keyring_and_that_before_the_file(
    tmp_path: Path,
) -> None:
    ring = FakeKeyring()
    TokenStore(tmp_path, environment={}).keep(URL, "f" * 40)
    store = TokenStore(tmp_path, keyring=ring, environment={})
    assert store.require(URL).source == str(tmp_path / "tokens.json")
    assert store.keep(URL, "k" * 40).source == "keyring"
    assert store.require(URL).value == "k" * 40
    environment = {"SUBMIT_TOKEN": " " + "e" * 40 + "\n"}
    found = TokenStore(tmp_path, keyring=ring, environment=environment).require(URL)
    assert (found.value, found.source) == ("e" * 40, "SUBMIT_TOKEN")
    assert store.forget(URL) == ["keyring", str(tmp_path / "tokens.json")]
    assert store.find(URL) is None
    assert store.forget(URL) == []


def test_a_broken_keyring_counts_as_none(tmp_path: Path) -> None:
    store = TokenStore(tmp_path, keyring=FakeKeyring(broken=True), environment={})
    assert store.keep(URL, TOKEN).source == str(tmp_path / "tokens.json")
    assert store.require(URL).value == TOKEN


def test_a_keyring_that_keeps_nothing_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeKeyring, "set_password", lambda *args: None)
    store = TokenStore(tmp_path, keyring=FakeKeyring(), environment={})
    assert store.keep(URL, TOKEN).source == str(tmp_path / "tokens.json")


@pytest.mark.parametrize("backend", ["none", "fail", "good"])
def test_the_systems_keyring_is_used_if_there_is_one(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, backends, fail = map(
        ModuleType, ("keyring", "keyring.backends", "keyring.backends.fail")
    )

    class Failing:
        pass

    vars(fail)["Keyring"] = Failing
    vars(backends)["fail"] = fail
    vars(package)["get_keyring"] = Failing if backend == "fail" else object
    modules = {"keyring": package, "keyring.backends": backends}
    for name, module in modules.items():
        # None makes the import fail.
        monkeypatch.setitem(sys.modules, name, None if backend == "none" else module)
    assert installed_keyring() is (package if backend == "good" else None)


def test_a_token_is_for_one_server_only(tmp_path: Path) -> None:
    store = TokenStore(tmp_path, environment={})
    store.keep(URL, TOKEN)
    with pytest.raises(LoginError, match=r"no token for https://example\.org"):
        store.require("https://example.org")


def test_the_file_is_private_and_one_that_is_not_is_refused(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "state", environment={})
    store.keep(URL, TOKEN)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    store.path.chmod(0o640)
    with pytest.raises(LoginError, match="expected mode 0600, found 0640"):
        store.find(URL)


@pytest.mark.parametrize("text", ["[", "[]"])
def test_a_damaged_file_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(LoginError, match="is damaged"):
        TokenStore(tmp_path, environment={}).find(URL)


@pytest.mark.parametrize("value", ["", "short", "with blank inside", "a\r\nX: y" * 5])
def test_what_is_no_token_is_not_sent(value: str) -> None:
    with pytest.raises(LoginError) as error:
        Token(value, "SUBMIT_TOKEN")
    assert value == "" or value not in str(error.value)


def test_the_state_folder_follows_the_environment() -> None:
    home = Path("~/.local/state/mose-submit").expanduser()
    assert state_folder({}) == home
    assert state_folder({"XDG_STATE_HOME": "relative"}) == home
    assert state_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/mose-submit")
    assert state_folder({"XDG_STATE_HOME": "~/x"}) == Path.home() / "x/mose-submit"
    assert state_folder({"SUBMIT_STATE": "~/s"}) == Path("~/s").expanduser()


# The commands.


def test_logging_in_asks_for_the_password_and_keeps_the_token(
    run: Run, state: Path, world: World
) -> None:
    result = run("login", token="", input="alice\ncorrect horse\n")
    assert result.exit_code == 0, result.output
    assert "as alice; the token is in" in result.stderr
    assert "correct horse" not in result.output
    assert list(json.loads((state / "tokens.json").read_text()).values()) == [TOKEN]
    assert "correct horse" not in (state / "tokens.json").read_text()
    assert run("whoami", token="").exit_code == 0
    assert "the token is removed from" in run("logout", token="").stderr
    assert run("whoami", token="").exit_code == 10
    assert "there was no token" in run("logout", token="").stderr


def test_a_wrong_password_is_not_asked_for_again(run: Run, world: World) -> None:
    result = run("login", "--username", "alice", token="", input="wrong\n")
    assert result.exit_code == 10
    assert "wrong user name or password" in result.stderr
    assert len(world.requests) == 1


def test_a_token_can_come_from_standard_input(run: Run, state: Path) -> None:
    assert run("login", "--token-stdin", token="", input=TOKEN + "\n").exit_code == 0
    assert (state / "tokens.json").is_file()


def test_a_token_that_is_not_accepted_is_not_kept(run: Run, state: Path) -> None:
    result = run("login", "--token-stdin", token="", input="f" * 40)
    assert result.exit_code == 10
    assert not (state / "tokens.json").exists()


def test_logging_out_says_what_it_cannot_undo(run: Run) -> None:
    assert "unset SUBMIT_TOKEN" in run("logout").stderr


def test_whoami_says_what_is_left(run: Run, world: World) -> None:
    world.add_submission(script=[("Finished", 8)])
    result = run("whoami")
    assert result.stdout.splitlines()[5:] == [
        "attempts     4 of 5 left today (new at 00:00 UTC, in 12 h 00 min), 42 of 50 "
        "left in all",
        "storage      14.00 of 15 GB left",
    ]
    data = json.loads(run("whoami", "--json").stdout)
    assert (data["username"], data["left_today"], data["left_in_all"]) == (
        "alice",
        4,
        42,
    )


def test_the_doctor_finds_nothing_wrong(run: Run, world: World) -> None:
    world.add_submission(script=[("Finished", 8)])
    result = run("doctor")
    assert result.exit_code == 0, result.output
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == [
        "state",
        "server",
        "clock",
        "token",
        "competition",
        "phase",
        "attempts",
        "evaluation",
        "storage",
        "storage",
    ]
    assert "storage host  127.0.0.1 answers" in result.stdout
    assert world.writes == []


def broken(world: World) -> None:
    world.answers["GET /"] = [Reply(500)] * 9


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (lambda w: setattr(w, "token", "x" * 40), 10, "do: submit login"),
        (lambda w: setattr(w, "participant", None), 11, "not registered"),
        (lambda w: setattr(w, "end", 1.0), 13, "no phase of MOSEv2 is open"),
        (lambda w: setattr(w, "maintenance", True), 18, "under maintenance"),
        (broken, 18, "internal error"),
        (lambda w: setattr(w, "skew", days(1)), 0, "off by 1 d 0 h"),
        (lambda w: setattr(w, "storage_used", 14.9e9), 0, "delete old files"),
    ],
)
def test_the_doctor_names_the_trouble_and_the_next_step(
    fault: object, status: int, said: str, run: Run, world: World
) -> None:
    assert callable(fault)
    fault(world)
    result = run("doctor")
    assert result.exit_code == status, result.output
    assert said in result.stdout


def test_the_doctor_looks_at_the_state_folder(run: Run, state: Path) -> None:
    state.mkdir(mode=0o755)
    assert f"do: chmod 700 {state}" in run("doctor").stdout
    state.rmdir()
    state.write_text("")
    state.chmod(0o600)
    result = run("doctor")
    assert result.exit_code != 0
    assert "name another folder in SUBMIT_STATE" in result.output


def test_the_doctor_lists_uploads_that_were_interrupted(
    run: Run, world: World, tmp_path: Path
) -> None:
    import zipfile

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/0.png", "x")
    world.put = [0] * 20
    assert run("upload", path, "--skip-check", "--yes").exit_code == 19
    command = f"submit upload {path} --skip-check --label a --phase 123"
    said = f"{path} is being uploaded; to continue: {command} --competition 10062"
    assert said in run("doctor").stdout
    assert said in run("status").stderr


@pytest.mark.parametrize(
    "url", ["http://www.codabench.org", "https://a:b@x.org", "nonsense"]
)
def test_the_token_is_not_sent_to_just_any_address(url: str, run: Run) -> None:
    for command in ("whoami", "doctor", "logout", "status", "leaderboard"):
        assert run(command, "--url", url).exit_code == 18


def test_where_nobody_can_answer_a_token_can_be_piped(run: Run) -> None:
    result = run("login", token="")
    assert result.exit_code == 1
    assert "submit login --token-stdin" in result.stderr


# Which token is used.


def test_a_refused_variable_is_named_and_not_taken_for_the_kept_token(
    run: Run, world: World
) -> None:
    refused = run("whoami", token="f" * 40)
    assert refused.exit_code == 10
    assert refused.stderr.splitlines()[-1] == (
        "Error: cannot read the token's account: the server does not accept the token "
        "in SUBMIT_TOKEN (Invalid token); the variable is used before every kept "
        "token: unset SUBMIT_TOKEN, then do: submit login"
    )
    malformed = run("whoami", token="with blanks")
    assert malformed.exit_code == 10
    assert "unset SUBMIT_TOKEN" in malformed.stderr
    run("login", token="", input="alice\ncorrect horse\n")
    world.token = "e" * 40
    kept = run("whoami", token="")
    assert kept.exit_code == 10
    assert "SUBMIT_TOKEN" not in kept.stderr


@pytest.mark.parametrize("value", ["f" * 40, "with blanks"])
def test_logging_in_says_that_the_variable_is_used_all_the_same(
    value: str, run: Run
) -> None:
    result = run("login", token=value, input="alice\ncorrect horse\n")
    assert result.exit_code == 0
    assert "Warning: " in result.stderr
    assert "unset SUBMIT_TOKEN" in result.stderr.splitlines()[-1]
    quiet = run("login", token=TOKEN, input="alice\ncorrect horse\n")
    assert "Warning" not in quiet.stderr


def test_whoami_says_where_the_token_is_from(run: Run, state: Path) -> None:
    assert "token        from SUBMIT_TOKEN" in run("whoami").stdout
    run("login", token="", input="alice\ncorrect horse\n")
    assert f"from {state / 'tokens.json'}" in run("whoami", token="").stdout


def test_a_token_for_the_file_is_not_hidden_by_one_in_the_keyring(
    tmp_path: Path,
) -> None:
    ring = FakeKeyring()
    store = TokenStore(tmp_path, keyring=ring, environment={})
    store.keep(URL, "k" * 40)
    kept = store.keep(URL, "f" * 40, in_keyring=False)
    assert kept.source == str(tmp_path / "tokens.json")
    assert store.require(URL).value == "f" * 40
    assert ring.kept == {}


def test_an_account_that_is_not_active_is_told_how_to_become_so(
    run: Run, world: World
) -> None:
    no = Reply(403, {"detail": "User inactive or deleted."})
    world.answers["GET /api/my_profile/"] = [no]
    result = run("whoami")
    assert result.exit_code == 10
    assert "the account is not active" in result.stderr
    assert "open the link in the mail from Codabench" in result.stderr
