from __future__ import annotations

from pathlib import Path

import pytest

from submit.data import Split, read_split
from tests.submissions import write_masks, write_split


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read_split(write_split(tmp_path_factory.mktemp("split")))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")
