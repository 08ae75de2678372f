"""NumPy's files are read piece by piece, and only what NumPy itself would read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from submit.errors import MaskError
from submit.masks import ArrayFile

VIDEO = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float16)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_entries_are_read_in_any_order(tmp_path: Path, save: object) -> None:
    path = tmp_path / "a.npz"
    save(path, logits=VIDEO, objects=np.array([3, 1]))  # type: ignore[operator]
    with ArrayFile(path) as file:
        assert file.names == ("logits", "objects")
        assert file.header("logits").shape == VIDEO.shape
        assert file.header("logits").dtype == np.float16
        for index in (0, 1, 4, 2):
            assert np.array_equal(file.read("logits", index), VIDEO[index])
        assert file.read("objects").tolist() == [3, 1]
        with pytest.raises(MaskError, match=r"a.npz: has no array 'iou'; it has 'log"):
            file.read("iou")
        with pytest.raises(MaskError, match=r"array logits: .* 5 entries, and none 5"):
            file.read("logits", 5)
        with pytest.raises(MaskError, match="240 bytes, expected at most 100"):
            file.read("logits", most=100)


def test_a_plain_array_is_read_from_a_path_and_from_a_stream(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VIDEO)
    stream = io.BytesIO((tmp_path / "a.npy").read_bytes())
    for source in (tmp_path / "a.npy", stream):
        with ArrayFile(source, name="it") as file:
            assert file.names == ("",)
            assert np.array_equal(file.read(index=3), VIDEO[3])
            assert np.array_equal(file.read(), VIDEO)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "|u1", "|b1", "<i8"])
def test_every_header_that_numpy_writes_is_read(
    version: tuple[int, int], kind: str
) -> None:
    stream = io.BytesIO()
    array = np.arange(6).astype(kind).reshape(2, 3)
    np.lib.format.write_array(stream, array, version)
    stream.seek(0)
    with ArrayFile(stream, name="it") as file:
        found = file.read()
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not an array of NumPy's format, or is cut off"),
        (b"PK\3\4 and nothing", "not a zip file"),
        (b"\x93NUMPY\1\0" + struct.pack("<H", 4000), "is cut off"),
        (saved(np.asfortranarray(VIDEO)), "in Fortran's order; save np.ascontig"),
        (saved(np.array([{}, {}])), "that holds numbers"),
        (saved(np.array(["text"])), "that holds numbers"),
        (saved(VIDEO)[:-1], "it is cut off"),
    ],
)
def test_other_files_are_refused_by_name(data: bytes, words: str) -> None:
    with (
        pytest.raises(MaskError, match=f"it: .*{words}"),
        ArrayFile(io.BytesIO(data), name="it") as file,
    ):
        file.read()


def test_a_missing_file_and_a_damaged_zip_are_named(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"a\.npz: cannot be read"):
        ArrayFile(tmp_path / "a.npz")
    path = tmp_path / "b.npz"
    np.savez_compressed(path, logits=VIDEO)
    data = bytearray(path.read_bytes())
    data[150:160] = bytes(10)
    path.write_bytes(data)
    words = r"b\.npz: array logits: "
    with ArrayFile(path) as file, pytest.raises(MaskError, match=words):
        file.read("logits")
