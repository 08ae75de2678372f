"""Weights are fetched from a real server, also where something fails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from submit.errors import StorageError, WeightsError
from submit.weights import Fetched, Weights, fetch
from submit.weights.opening import hub_token
from tests.weights.site import Served, Site, serving

CONTENT = bytes(range(256)) * 8192
#: Bytes of a block in which a file is read.
BLOCK = 1 << 16
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    sizes: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin(self, size: int) -> None:
        self.sizes.append(size)

    def sent(self, count: int) -> None:
        self.counts.append(count)

    def end(self, *, arrived: bool) -> None:
        self.ends.append(arrived)

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        found.files["/w.pt"] = Served(CONTENT)
        yield found


@pytest.fixture
def weights(site: Site) -> Weights:
    return Weights(
        name="w",
        use="sam2",
        file="w.pt",
        url=f"{site.url}/w.pt",
        licence="MIT",
        size=len(CONTENT),
        sha256=SHA256,
    )


@pytest.fixture
def get(tmp_path: Path) -> Any:
    """Fetch into one folder; waits are counted and not waited for."""

    def fetching(weights: Weights, heard: Heard | None = None, **more: Any) -> Fetched:
        more.setdefault("sleep", lambda seconds: None)
        return fetch(weights, tmp_path / "w", listener=heard or Heard(), **more)

    return fetching


def left(tmp_path: Path) -> list[str]:
    """The files in the folder, without the lock."""
    return sorted(one.name for one in (tmp_path / "w").iterdir() if one.name[0] != ".")


def test_a_file_is_fetched_once_and_verified(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    heard = Heard()
    found = get(weights, heard)
    assert found.path.read_bytes() == CONTENT
    assert (found.sha256, found.compared, found.new) == (SHA256, "known", True)
    assert heard.sizes == [len(CONTENT)] == [sum(heard.counts)]
    assert heard.ends == [True]
    assert left(tmp_path) == ["digests", "w.pt"]
    again = get(weights)
    assert (again.new, again.path) == (False, found.path)
    assert len(site.requests) == 1


def test_a_cut_download_continues_by_itself(
    weights: Weights, get: Any, site: Site
) -> None:
    site.files["/w.pt"].cuts = [23 * BLOCK, 2 * BLOCK]
    heard = Heard()
    waited: list[float] = []
    found = get(weights, heard, waits=(1, 2), sleep=waited.append)
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == SHA256
    ranges = [one.range for one in site.requests]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={23 * BLOCK}-"
    assert ranges[2] == f"bytes={25 * BLOCK}-"
    # Bytes came each time, so that the waits began again.
    assert waited == [1, 1]
    assert heard.ends == [False, False, True]
    assert "next try in 1 s" in heard.notes[0]


def test_a_later_command_continues(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    site.files["/w.pt"].cuts = [15 * BLOCK, 0, 0, 0, 0, 0]
    with pytest.raises(WeightsError) as caught:
        get(weights)
    assert f"{15 * BLOCK} bytes are kept" in str(caught.value)
    assert "run the same command again, which continues" in str(caught.value)
    assert left(tmp_path) == ["w.pt.part", "w.pt.part.json"]
    site.files["/w.pt"].cuts = []
    assert get(weights).path.read_bytes() == CONTENT
    assert site.requests[-1].range == f"bytes={15 * BLOCK}-"
    assert left(tmp_path) == ["digests", "w.pt"]


def test_a_killed_download_continues(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    script = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from submit.weights import Weights, fetch\n"
        "class Dying:\n"
        "    def begin(self, size): pass\n"
        "    def sent(self, count): os._exit(9)\n"
        "fetch(Weights(**eval(sys.argv[1])), Path(sys.argv[2]), listener=Dying())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, repr(vars(weights)), tmp_path / "w"],
        check=False,
    )
    assert done.returncode == 9
    assert left(tmp_path) == ["w.pt.part", "w.pt.part.json"]
    found = get(weights)
    assert found.sha256 == SHA256


def test_a_server_without_parts_sends_the_whole_file(
    weights: Weights, get: Any, site: Site
) -> None:
    site.files["/w.pt"] = Served(CONTENT, cuts=[15 * BLOCK], ranges=False)
    assert get(weights).sha256 == SHA256


def test_a_server_that_says_no_size_may_cut_unnoticed(
    weights: Weights, get: Any, site: Site
) -> None:
    site.files["/w.pt"] = Served(CONTENT, length=False, cuts=[3 * BLOCK])
    assert get(replace(weights, sha256=None)).path.read_bytes() == CONTENT


def test_a_part_that_does_not_say_where_it_is_is_not_used(
    weights: Weights, get: Any, site: Site
) -> None:
    site.files["/w.pt"] = Served(b"", status=[206])
    with pytest.raises(WeightsError, match="the server answers 206"):
        get(weights)


def test_a_file_that_has_changed_meanwhile_is_fetched_from_its_start(
    weights: Weights, get: Any, site: Site
) -> None:
    new = CONTENT[::-1]
    weights = replace(weights, sha256=None)
    served = site.files["/w.pt"]
    served.cuts = [15 * BLOCK]

    def change() -> None:
        if len(site.requests) > 1:
            served.content, served.etag = new, '"two"'

    served.before = change
    assert get(weights).path.read_bytes() == new
    assert [one.range for one in site.requests] == [None, f"bytes={15 * BLOCK}-", None]


def test_a_part_of_another_address_is_not_used(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "w.pt.part").write_bytes(b"years of work")
    assert get(weights).sha256 == SHA256
    assert site.requests[0].range is None


def test_a_part_that_is_too_long_is_not_used(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    site.files["/w.pt"].cuts = [15 * BLOCK, 0, 0, 0, 0, 0]
    with pytest.raises(WeightsError):
        get(weights)
    site.files["/w.pt"].cuts = []
    with (tmp_path / "w" / "w.pt.part").open("ab") as stream:
        stream.write(bytes(2_000_000))
    assert get(weights).sha256 == SHA256


def test_a_wrong_digest_is_refused_and_not_kept(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    site.files["/w.pt"].content = CONTENT[::-1]
    with pytest.raises(WeightsError, match=f"expected the SHA-256 {SHA256}, found"):
        get(weights)
    assert left(tmp_path) == []


def test_a_wrong_size_is_refused_before_the_download(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    heard = Heard()
    site.files["/w.pt"].content = CONTENT[1:]
    with pytest.raises(WeightsError, match="the server has 2097151: the file was rep"):
        get(weights, heard)
    assert heard.sizes == []
    assert left(tmp_path) == []


def test_a_changed_file_is_refused_when_it_is_verified_again(
    weights: Weights, get: Any
) -> None:
    path = get(weights).path
    path.write_bytes(bytes(len(CONTENT)))
    with pytest.raises(WeightsError, match="delete it and run: submit weights fetch w"):
        get(weights)
    path.write_bytes(b"short")
    with pytest.raises(WeightsError, match="expected 2097152 bytes, found 5"):
        get(weights)


def test_an_unknown_digest_is_recorded_and_compared_later(
    weights: Weights, get: Any, tmp_path: Path
) -> None:
    weights = replace(weights, sha256=None, size=None)
    found = get(weights)
    assert (found.sha256, found.compared) == (SHA256, None)
    record = json.loads((tmp_path / "w" / "digests" / "w.pt.json").read_text())
    assert record == {
        "size": len(CONTENT),
        "sha256": SHA256,
        "compared": "recorded",
        "url": weights.url,
    }
    assert get(weights).compared == "recorded"
    found.path.write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match=f"expected the SHA-256 {SHA256}, found"):
        get(weights)


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[1:]], ids=["bytes", "size"])
def test_a_file_that_was_deleted_is_compared_with_the_new_one(
    weights: Weights, get: Any, site: Site, tmp_path: Path, content: bytes
) -> None:
    weights = replace(weights, sha256=None, size=None)
    get(weights).path.unlink()
    again = get(weights)
    assert (again.new, again.compared) == (True, "recorded")
    again.path.unlink()
    site.files["/w.pt"].content = content
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"another file .*digests/w\.pt\.json"):
            get(weights)
    assert left(tmp_path) == ["digests"]
    (tmp_path / "w" / "digests" / "w.pt.json").unlink()
    assert get(weights).path.read_bytes() == content
    # A digest that the toolkit knows comes before the record.
    (tmp_path / "w" / "w.pt").unlink()
    site.files["/w.pt"].content = CONTENT
    known = replace(weights, sha256=SHA256)
    assert get(known).compared == "known"


def test_hugging_face_states_the_digest_where_it_redirects(
    weights: Weights, get: Any, site: Site
) -> None:
    weights = replace(weights, sha256=None, url=f"{site.url}/resolve/w.pt")
    leading = Served(location="/w.pt", headers={"X-Linked-Etag": f'"{SHA256}"'})
    site.files["/resolve/w.pt"] = leading
    assert get(weights).compared == "server"

    other = replace(weights, file="other.pt")
    leading.headers["X-Linked-Etag"] = f'"{"ab" * 32}"'
    with pytest.raises(WeightsError, match=f"expected the SHA-256 {'ab' * 32}, found"):
        get(other)


def test_a_redirect_is_followed_and_the_token_stays(
    weights: Weights, get: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving() as storage:
        storage.files["/signed"] = Served(CONTENT)
        site.files["/w.pt"] = Served(location=f"{storage.url}/signed")
        get(replace(weights, gate="ask for it"))
        assert [one.token for one in site.requests] == ["Bearer hf_secret"]
        assert [one.token for one in storage.requests] == [None]


def test_a_token_is_sent_for_gated_weights_only(
    weights: Weights, get: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(os.environ["HOME"])
    (home / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text("hf_file\n")
    get(weights)
    get(replace(weights, file="other.pt", gate="ask for it"))
    assert [one.token for one in site.requests] == [None, "Bearer hf_file"]
    # Hugging Face looks there, too.
    (home / ".cache").rename(home / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("HF_TOKEN", " ")
    assert hub_token() == "hf_file"


@pytest.mark.parametrize("status", [401, 403])
def test_gated_weights_are_explained(
    status: int, weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    site.files["/w.pt"].status = [status]
    with pytest.raises(WeightsError) as caught:
        get(replace(weights, gate="accept the licence at example.org"))
    text = str(caught.value)
    assert f"the server answers {status} " in text
    assert (
        "no token was found: accept the licence at example.org. Or download w.pt"
        in (text)
    )
    assert len(site.requests) == 1
    assert left(tmp_path) == []


def test_what_is_not_there_is_not_tried_again(
    weights: Weights, get: Any, site: Site
) -> None:
    with pytest.raises(WeightsError, match=r"answers 404 .*the file may have moved"):
        get(replace(weights, url=f"{site.url}/none.pt"))
    assert len(site.requests) == 1


def test_a_busy_server_is_tried_again(weights: Weights, get: Any, site: Site) -> None:
    site.files["/w.pt"].status = [503, 429, 200]
    heard = Heard()
    assert get(weights, heard).sha256 == SHA256
    assert len(heard.notes) == 2
    assert "the server answers 503" in heard.notes[0]


def test_a_server_that_is_away_is_tried_again_and_then_named(
    weights: Weights, get: Any
) -> None:
    heard = Heard()
    with pytest.raises(WeightsError) as caught:
        get(replace(weights, url="http://127.0.0.1:9/w.pt"), heard, waits=(1, 2))
    assert len(heard.notes) == 2
    assert "http://127.0.0.1:9/w.pt: cannot be reached" in str(caught.value)
    assert "download http://127.0.0.1:9/w.pt on another machine" in str(caught.value)


def test_addresses_that_lead_in_circles_are_refused(
    weights: Weights, get: Any, site: Site
) -> None:
    site.files["/w.pt"] = Served(location="/w.pt")
    with pytest.raises(WeightsError, match="never to a file"):
        get(weights)


def test_a_full_disk_is_noticed_before_the_download(
    weights: Weights, get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        StorageError, match="2097152 bytes are needed and 1000 are free"
    ):
        get(weights)


def test_a_disk_that_becomes_full_keeps_the_part(
    weights: Weights, get: Any, site: Site, tmp_path: Path
) -> None:
    script = (
        "import sys, resource, signal\n"
        "from pathlib import Path\n"
        "from submit.errors import StorageError\n"
        "from submit.weights import Weights, fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))\n"
        "class Deaf:\n"
        "    def begin(self, size): pass\n"
        "    def sent(self, count): pass\n"
        "    def end(self, arrived): pass\n"
        "try:\n"
        "    fetch(Weights(**eval(sys.argv[1])), Path(sys.argv[2]), listener=Deaf())\n"
        "except StorageError as error:\n"
        "    sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, repr(vars(weights)), tmp_path / "w"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "w.pt.part: cannot be written, " in done.stderr
    assert get(weights).sha256 == SHA256
    assert site.requests[-1].range is not None


def test_two_commands_do_not_fetch_the_same_file(
    weights: Weights, get: Any, site: Site
) -> None:
    errors: list[str] = []

    def second() -> None:
        with pytest.raises(StorageError) as caught:
            get(weights)
        errors.append(str(caught.value))

    site.files["/w.pt"].before = second
    assert get(weights).sha256 == SHA256
    assert errors[0].endswith(
        "w.pt: another command is fetching it; wait for it to end"
    )
