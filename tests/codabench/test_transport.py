from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from submit.codabench import Client, Token, check_url
from submit.codabench.addresses import check_signed
from submit.codabench.clock import SystemClock
from submit.codabench.transport import _reason
from submit.errors import CodabenchError, LoginError, NetworkError, ServerError
from tests.codabench.conftest import Run, UploadZip
from tests.codabench.fake_server import FakeServer
from tests.codabench.stand_in import require_no_secrets
from tests.codabench.world import HTML_500, TOKEN, FakeClock, Reply, World


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://www.codabench.org", "https://www.codabench.org"),
        ("https://WWW.codabench.org/", "https://www.codabench.org"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_addresses_that_a_token_may_be_sent_to(url: str, checked: str) -> None:
    assert check_url(url) == checked


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://www.codabench.org", "would send the token without encryption"),
        ("http://127.0.0.1.example.org", "without encryption"),
        ("ftp://localhost", "found ftp"),
        ("https://user:secret@www.codabench.org", "found a user name"),
        ("https://www.codabench.org/competitions/10062/", "more behind the host"),
        ("https://www.codabench.org?x=1", "more behind the host"),
        ("www.codabench.org", "found none in it"),
        ("https://", "found none in it"),
        ("https://a b", "found none in it"),
        ("https://host:port", "found none in it"),
        ("", "found none in it"),
    ],
)
def test_addresses_that_nothing_is_sent_to(url: str, said: str) -> None:
    with pytest.raises(ServerError) as error:
        check_url(url)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://storage.example.org/x?s=1", "https://www.codabench.org"),
        ("http://127.0.0.1/x?s=1", "https://www.codabench.org"),
        ("http://storage.example.org/x", "http://127.0.0.1:1"),
        ("https://user:password@storage.example.org/x", "https://www.codabench.org"),
        ("file:///etc/passwd", "http://127.0.0.1:1"),
        ("nonsense", "http://127.0.0.1:1"),
    ],
)
def test_signed_addresses_that_nothing_is_sent_to(url: str, server: str) -> None:
    with pytest.raises(ServerError):
        check_signed(url, server)


def test_the_token_goes_into_no_text(server: FakeServer, clock: FakeClock) -> None:
    token = Token(TOKEN, "SUBMIT_TOKEN")
    with Client(server.url, token, clock=clock) as client:
        for thing in (token, client, client.transport, vars(client)):
            require_no_secrets(repr(thing))


def test_netrc_is_not_read_and_proxies_are_not_used_on_this_machine(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login alice password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    # With another Authorization header the server would refuse the token.
    assert client.profile().username == "alice"
    client.competition()


def test_proxies_of_the_environment_are_used_and_named_without_their_password(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    with Client("https://codabench.invalid", Token(TOKEN, "t"), clock=clock) as client:
        assert client.route.endswith("through the proxy http://[hidden]@127.0.0.1:9")
        with pytest.raises(NetworkError, match="the proxy does not answer") as error:
            client.profile()
    assert "secret" not in str(error.value)


def test_certificates_of_the_environment_are_used(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = requests.Session.request

    def request(self: requests.Session, *args: object, **options: object) -> object:
        seen.append(options["verify"])
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "request", request)
    client.profile()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ours.pem")
    client.profile()
    assert seen == [True, "/etc/ours.pem"]


def test_cookies_are_neither_kept_nor_sent(client: Client, world: World) -> None:
    cookie = {"Set-Cookie": "sessionid=abc; Path=/"}
    world.answers["GET /api/my_profile/"] = [Reply(200, {"username": "a"}, cookie)]
    client.profile()
    client.profile()  # The fixture has the server's complaints.


def test_a_redirect_is_not_followed(client: Client, world: World) -> None:
    elsewhere = Reply(302, headers={"Location": "https://example.org/"})
    world.answers["GET /api/my_profile/"] = [elsewhere]
    with pytest.raises(ServerError, match="redirects elsewhere"):
        client.profile()
    assert len(world.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_reading_is_tried_again_when_the_server_fails(
    status: int, client: Client, world: World, clock: FakeClock
) -> None:
    world.answers["GET /api/my_profile/"] = [Reply(status, {"detail": "no"})] * 3
    assert client.profile().username == "alice"
    assert [round(each) for each in clock.slept] == pytest.approx([2, 5, 11], abs=1)


@pytest.mark.parametrize(
    "asked", ["30", "Sun, 22 Nov 2026 12:00:30 GMT"], ids=["seconds", "date"]
)
def test_the_server_says_how_long_to_wait(
    asked: str, client: Client, world: World, clock: FakeClock
) -> None:
    busy = Reply(429, {"detail": "slow"}, {"Retry-After": asked})
    world.answers["GET /api/my_profile/"] = [busy]
    client.profile()
    assert 30 <= clock.slept[0] <= 36


@pytest.mark.parametrize("asked", ["nonsense", "-5", "1e9", "٣"])
def test_nonsense_in_retry_after_is_ignored(
    asked: str, client: Client, world: World, clock: FakeClock
) -> None:
    header = asked.encode("utf-8").decode("latin-1")
    busy = Reply(429, {"detail": "slow"}, {"Retry-After": header})
    world.answers["GET /api/my_profile/"] = [busy]
    client.profile()
    assert clock.slept[0] < 3


def test_nobody_is_kept_waiting_for_long_in_silence(
    client: Client, world: World, clock: FakeClock
) -> None:
    busy = Reply(429, {"detail": "slow"}, {"Retry-After": "61"})
    world.answers["GET /api/my_profile/"] = [busy]
    with pytest.raises(NetworkError, match="asks to wait for 61 seconds"):
        client.profile()
    assert clock.slept == []
    client.transport.wait(1.0, 999_999_999.0)
    assert clock.slept[0] <= 900 * 1.2


def test_an_answer_that_is_too_large_is_cut_off(client: Client, world: World) -> None:
    number = world.add_submission(script=[("Failed", 0)]).id
    url = client.details(number).logs["scoring_stderr"]
    with pytest.raises(NetworkError, match="more than 5 bytes"):
        client.transport.download(url, "read a log", largest=5)


def test_errors_of_the_network_carry_no_addresses_along(
    clock: FakeClock,
) -> None:
    token = Token(TOKEN, "t")
    with Client("http://127.0.0.1:9", token, clock=clock) as client:
        with pytest.raises(NetworkError, match="refuses connections") as caught:
            client.transport.download(
                "http://127.0.0.1:9/b?AWSAccessKeyId=a&Signature=b", "read a log"
            )
        require_no_secrets("".join(traceback.format_exception(caught.value)))
        assert caught.value.__context__ is None
        with pytest.raises(NetworkError):
            client.profile()


@pytest.mark.parametrize("said", ["is not yet valid", "has expired"])
def test_a_certificate_that_the_clock_makes_invalid_is_said(said: str) -> None:
    inner = f"[SSL: CERTIFICATE_VERIFY_FAILED] verify failed: certificate {said}"
    reason = _reason(requests.exceptions.SSLError(inner))
    assert reason == "its certificate is not valid now; is this machine's clock right?"
    other = _reason(requests.exceptions.SSLError("self signed certificate"))
    assert other == "its certificate cannot be trusted"


@pytest.mark.parametrize("jump", [7200.0, -86_400.0, -1.7e9, 2.3e9])
def test_the_servers_time_stays_when_the_clock_of_this_machine_is_set(
    client: Client, world: World, clock: FakeClock, jump: float
) -> None:
    client.profile()
    before = client.server_now
    clock.start += jump
    world.skew -= jump
    assert client.server_now == before
    clock.sleep(60.0)
    assert client.server_now - before == timedelta(seconds=60)
    client.profile()
    assert client.transport.skew == pytest.approx(-jump, abs=1)
    assert abs(client.server_now - before - timedelta(seconds=60)) < timedelta(
        seconds=2
    )


def test_the_monotonic_clock_runs_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.0)
    assert clock.monotonic() >= before


def test_a_name_that_nobody_knows_is_said(clock: FakeClock) -> None:
    with (
        Client("https://codabench.invalid", clock=clock) as client,
        pytest.raises(NetworkError) as error,
    ):
        client.competition()
    assert "cannot read competition 10062: codabench.invalid: " in str(error.value)


def test_a_creation_is_sent_once(client: Client, world: World) -> None:
    world.answers["POST /api/submissions/"] = [HTML_500] * 3
    with pytest.raises(ServerError):
        client.create_submission(123, "key")
    assert world.writes == ["POST /api/submissions/"]


def test_a_creation_of_nothing_is_never_sent(client: Client, world: World) -> None:
    with pytest.raises(ValueError, match="needs the key"):
        client.create_submission(123, "")
    assert world.requests == []


def test_the_password_is_sent_once_and_mail_addresses_in_lower_case(
    client: Client, world: World
) -> None:
    assert client.login("alice", "correct horse") == TOKEN
    with pytest.raises(LoginError, match="wrong user name or password"):
        client.login("Alice@Example.org", "correct horse")
    assert len(world.writes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v125", "new"])
@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_lists_are_read_to_their_end_whatever_the_version(
    count: int, version: str, client: Client, world: World
) -> None:
    world.version = version
    for _ in range(count):
        world.add_submission(script=[("Finished", 8)])
    found = client.submissions(phase=123)
    assert [each.id for each in found] == list(range(9000 + count, 9000, -1))
    # The links to the next page begin with http: and another host's port would see
    # the token; the pages are asked for by number.
    pages = 1 if version == "v125" else max(1, -(-count // 100))
    assert len(world.requests) == pages


@pytest.mark.parametrize("version", ["v125", "new"])
def test_the_leaderboard_is_read_whatever_the_version(
    version: str, client: Client, world: World
) -> None:
    world.version = version
    world.add_submission(script=[("Finished", 8)])
    (row,) = client.leaderboard(123)
    assert (row.rank, row.ids, row.owner) == (1, (9001,), "alice")
    assert row.values["J_F_dot"] == 50.12


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("competitions/10062", {"id": "x"}),
        ("competitions/10062", {"id": 1, "phases": [{"name": 3}]}),
        ("competitions/10062", []),
        ("submissions", {"results": 5}),
        ("submissions", [{"id": None}]),
        ("submissions", [1]),
        ("submissions/1", {"id": 1, "scores": [{"score": "x", "column_key": "a"}]}),
        ("submissions/1", {}),
        ("submissions/1", "text"),
        ("submissions/1/get_details", [1]),
        ("phases/1/get_leaderboard", {"submissions": [{"owner": 1}]}),
        ("user_quota", {"quota": None}),
        ("datasets", {"x": 1}),
    ],
)
def test_answers_of_another_shape_are_no_traceback(
    path: str, content: object, client: Client, world: World
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "competitions/10062": client.competition,
        "submissions": client.submissions,
        "submissions/1": lambda: client.submission(1),
        "submissions/1/get_details": lambda: client.details(1),
        "phases/1/get_leaderboard": lambda: client.leaderboard(1),
        "user_quota": client.quota,
        "datasets": lambda: client.record("key"),
    }
    world.answers[f"GET /api/{path}/"] = [Reply(200, content)]
    with pytest.raises(CodabenchError, match="unknown"):
        calls[path]()


def test_a_traceback_for_debugging_has_no_secrets(
    upload: UploadZip, world: World, make_zip: Callable[..., Path]
) -> None:
    world.put = [10] * 20
    with pytest.raises(NetworkError) as caught:
        upload(make_zip())
    require_no_secrets("".join(traceback.format_exception(caught.value)))


def test_the_http_library_is_loaded_only_when_it_is_needed() -> None:
    script = "import sys, submit.codabench; print('requests' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


class Waits:
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, doing: str) -> None:
        self.said.append(f"begin {doing}")

    def end(self) -> None:
        self.said.append("end")

    def retry(self, problem: str, seconds: float) -> None:
        self.said.append(f"{problem}: {seconds:g}")


def test_no_wait_for_another_try_is_silent(
    server: FakeServer, world: World, clock: FakeClock
) -> None:
    waits = Waits()
    busy = Reply(503, {"detail": "no"}, {"Retry-After": "30"})
    world.answers["GET /api/my_profile/"] = [HTML_500, busy]
    with Client(server.url, Token(TOKEN, "t"), clock=clock, observer=waits) as client:
        client.profile()
    begin, said = "begin read the token's account", "cannot read the token's account: "
    assert waits.said == [
        begin,
        "end",
        f"{said}it has an internal error (HTTP 500): 2",
        begin,
        "end",
        f"{said}no (HTTP 503): 30",
        begin,
        "end",
    ]


def test_a_fork_gives_up_soon_and_in_silence(
    server: FakeServer, world: World, clock: FakeClock
) -> None:
    waits = Waits()
    world.answers["GET /api/my_profile/"] = [HTML_500] * 3
    with Client(server.url, Token(TOKEN, "t"), clock=clock, observer=waits) as client:
        with pytest.raises(ServerError):
            client.fork().profile()
        assert client.fork().url == client.url
    assert waits.said == []
    assert clock.passed < 2


def test_the_command_says_what_it_waits_for(run: Run, world: World) -> None:
    world.answers["GET /api/user_quota/"] = [HTML_500]
    result = run("whoami")
    assert result.exit_code == 0
    assert result.stderr == (
        "cannot ask for the storage left: it has an internal error (HTTP 500); trying "
        "again in 2 s\n"
    )


def test_an_upload_that_breaks_is_not_called_complete(
    run: Run, world: World, make_zip: Callable[..., Path]
) -> None:
    path = make_zip()
    world.put = [path.stat().st_size]  # All bytes are read, and none is confirmed.
    result = run("upload", path, "--skip-check", "--yes", "--no-watch")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("upload: ")]
    assert lines[0] == "upload: 10.1 kB"
    assert lines[1].startswith("upload: stopped ")
    assert " in 0.0 s" in lines[3]
