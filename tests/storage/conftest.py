from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from submit.storage import requests
from tests.splits import write_split
from tests.storage.faulty import FaultyStorage


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, as often as before."""
    monkeypatch.setattr(requests, "WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyStorage:
    """A storage with the split `a bucket/välid` of the videos `a` and `b`."""
    (tmp_path / "faults").mkdir()
    monkeypatch.setenv("FAULTY_STORAGE", str(tmp_path / "faults"))
    monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / "cache"))
    root = tmp_path / "stored"
    shown = np.zeros((8, 12), np.uint8)
    shown[2:5, 3:7] = 1
    root.mkdir()
    write_split(root / "a bucket" / "välid", {"a": [shown] * 3, "b": [shown.T] * 4})
    return FaultyStorage(root, tmp_path / "faults")
