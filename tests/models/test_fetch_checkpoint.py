from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from submit.errors import PredictorError, SubmitError
from submit_sam2.config import MODELS, NARROW


class Quiet(SimpleHTTPRequestHandler):
    """A file server without log output."""

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def tool(repository: Path) -> ModuleType:
    path = repository / "tools" / "fetch_checkpoint.py"
    spec = importlib.util.spec_from_file_location("fetch_checkpoint", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Data classes look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its address."""
    folder = tmp_path / "site"
    for name in ("092824", "072824"):
        (folder / name).mkdir(parents=True)
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_each_published_network_has_an_address(tool: ModuleType) -> None:
    assert tool.CHECKPOINTS.keys() == MODELS.keys() - {NARROW}


def test_a_checkpoint_is_fetched_once_and_verified(
    tool: ModuleType,
    site: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, address = site
    name, content = "sam2.1_hiera_tiny", b"weights" * 1000
    right = replace(
        tool.CHECKPOINTS[name],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    monkeypatch.setitem(tool.CHECKPOINTS, name, right)
    served = folder / "092824" / f"{name}.pt"
    served.write_bytes(content)
    target = tmp_path / "checkpoints"
    path = tool.fetch(name, target, base=address)
    assert path.read_bytes() == content
    served.unlink()
    assert tool.fetch(name, target, base=address) == path

    path.write_bytes(b"x" * len(content))
    with pytest.raises(PredictorError, match=f"expected {right.sha256}, found"):
        tool.fetch(name, target, base=address)


def test_a_wrong_file_is_not_kept(
    tool: ModuleType, site: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = site
    (folder / "092824" / "sam2.1_hiera_tiny.pt").write_bytes(b"half of it")
    target = tmp_path / "checkpoints"
    with pytest.raises(PredictorError, match="expected 156008466 bytes, found 10"):
        tool.fetch("sam2.1_hiera_tiny", target, base=address)
    assert list(target.iterdir()) == []


def test_a_file_without_a_known_digest_must_hold_the_right_network(
    tool: ModuleType,
    site: tuple[Path, str],
    tmp_path: Path,
    tiny: str,
    tiny_state: dict[str, Any],
    write_checkpoint: Callable[..., Path],
) -> None:
    folder, address = site
    served = folder / "072824" / "sam2_hiera_large.pt"
    served.write_bytes(write_checkpoint(tiny_state).read_bytes())
    with pytest.raises(PredictorError, match="expected sam2_hiera_large, found test_t"):
        tool.fetch("sam2_hiera_large", tmp_path / "checkpoints", base=address)


def test_what_cannot_be_fetched_is_an_error(
    tool: ModuleType, site: tuple[Path, str], tmp_path: Path
) -> None:
    with pytest.raises(SubmitError, match="cannot be fetched"):
        tool.fetch("sam2_hiera_tiny", tmp_path / "checkpoints", base=site[1])
