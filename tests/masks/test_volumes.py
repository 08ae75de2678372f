"""Score volumes as Cutie and XMem write them.

The files are written with h5py in the layout of hickle 5.0.3, which was compared with
hickle's own: a dataset `data`, or for a dict a group `data` of scalars.
"""

from __future__ import annotations

from collections.abc import Callable
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


def test_numbers_of_other_files_are_not_read(tmp_path: Path) -> None:
    other = write(tmp_path / "other.hkl", data=VOLUME)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(60))
    path = tmp_path / "a.hkl"
    ways: tuple[Callable[[Any], object], ...] = (
        lambda file: file.__setitem__("data", h5py.ExternalLink(str(other), "data")),
        lambda file: file.__setitem__("data", h5py.SoftLink("/elsewhere")),
        lambda file: file.create_dataset(
            "data", VOLUME.shape, np.uint8, external=[(str(secret), 0, 60)]
        ),
        lambda file: file.create_virtual_dataset(
            "data", virtual_layout(other, VOLUME.shape)
        ),
    )
    for make in ways:
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(MaskError, match=r"a\.hkl: .*expected the scores in the fi"):
            read_volume(path)


def virtual_layout(other: Path, shape: tuple[int, ...]) -> Any:
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[...] = h5py.VirtualSource(str(other), "data", shape)
    return layout


def test_a_small_file_cannot_ask_for_a_large_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.hkl"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (3, 1 << 20, 1 << 20), np.uint8, chunks=(1, 64, 64))
    assert path.stat().st_size < 10_000
    with pytest.raises(MaskError, match=r"3,298,534,883,328 bytes; expected at most"):
        read_volume(path)


def test_a_damaged_table_of_groups_is_told(tmp_path: Path) -> None:
    data = write(tmp_path / "a.hkl", data={"1": 1}).read_bytes()
    path = tmp_path / "b.hkl"
    # The signature of the table in which the groups stand.
    path.write_bytes(data.replace(b"SNOD", b"XNOD"))
    with pytest.raises(MaskError, match=r"b\.hkl: "):
        read_channels(path)
