"""Score volumes as Cutie and XMem write them.

The files are written with h5py in the layout of hickle 5.0.3, which was compared with
hickle's own: a dataset `data`, or for a dict a group `data` of scalars.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.errors import MaskError
from submit.masks import read_channels, read_volume

h5py: Any = pytest.importorskip("h5py")

VOLUME = np.random.default_rng(0).integers(0, 255, (3, 4, 5), np.uint8)


def write(path: Path, **data: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            if isinstance(value, dict):
                group = file.create_group(name)
                for key, one in value.items():
                    group.create_dataset(key, data=one)
            else:
                file.create_dataset(name, data=value, compression="lzf")
    return path


def test_a_volume_is_read_from_a_path_and_from_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "00000.hkl", data=VOLUME)
    assert np.array_equal(read_volume(path), VOLUME)
    assert np.array_equal(read_volume(path.read_bytes(), name="it"), VOLUME)


def test_the_channels_of_objects_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "backward.hkl", data={"3": 1, "11": 2, "7": 3})
    assert read_channels(path) == {3: 1, 11: 2, 7: 3}


def test_files_of_hickle_itself_are_read(tmp_path: Path) -> None:
    hickle: Any = pytest.importorskip("hickle")
    hickle.dump(VOLUME, str(tmp_path / "a"), mode="w", compression="lzf")
    hickle.dump({3: 1, 11: 2}, str(tmp_path / "b"), mode="w")
    assert np.array_equal(read_volume(tmp_path / "a"), VOLUME)
    assert read_channels(tmp_path / "b") == {3: 1, 11: 2}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data": VOLUME.astype(float)}, "expected the dataset data, .* found float64"),
        ({"data": VOLUME[0]}, r"found uint8 of shape \(4, 5\)"),
        ({"other": VOLUME}, "found the groups other"),
        ({"data": {"1": 1}}, "found the groups data"),
    ],
)
def test_other_volumes_are_refused(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(MaskError, match=f"a.hkl: .*{words}"):
        read_volume(write(tmp_path / "a.hkl", **data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data": VOLUME}, r"expected a table .* found uint8 of shape"),
        ({"data": {"one": 1}}, "expected a table"),
        ({"data": {"1": 1, "2": 1}}, "channels 1 to 2, each of one object"),
        ({"data": {"1": 0}}, "channels 1 to 1"),
    ],
)
def test_other_tables_of_channels_are_refused(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(MaskError, match=f"b.hkl: .*{words}"):
        read_channels(write(tmp_path / "b.hkl", **data))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hkl", data=VOLUME)
    data = path.read_bytes()
    for broken in (b"", data[:100], data[: len(data) // 2]):
        with pytest.raises(MaskError, match="it: "):
            read_volume(broken, name="it")
    with pytest.raises(MaskError, match="cannot be read"):
        read_volume(tmp_path / "none.hkl")
