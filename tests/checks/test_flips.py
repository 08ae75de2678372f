"""The check refuses and reads the same zips as Python's zipfile."""

from __future__ import annotations

import io
import random
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest

from submit.archive import open_masks
from submit.checks import check_masks
from submit.data import Split
from submit.errors import ArchiveError
from tests.submissions import good_names

#: Findings that say that the zip cannot be unpacked.
REFUSED = {"damaged", "unpackable", "encrypted", "compression"}


class _Pipe(io.RawIOBase):
    """A stream that cannot seek, so that zipfile writes sizes after the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]
        return memoryview(data).nbytes  # type: ignore[arg-type]


def every_way_to_pack() -> bytes:
    """A submission packed with all methods of zipfile, with folders and other files."""
    methods = [
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_BZIP2,
        zipfile.ZIP_LZMA,
    ]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("aaaaaaaa/", b"")
        for number, (name, data) in enumerate(good_names().items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = methods[number % len(methods)]
            with archive.open(info, "w", force_zip64=number == 7) as file:
                file.write(data)
        archive.writestr("é/ü.txt", b"junk" * 20, zipfile.ZIP_DEFLATED)
        archive.comment = b"a comment"
    return stream.getvalue()


def with_sizes_behind() -> bytes:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in good_names().items():
            archive.writestr(name, data)
    return bytes(pipe.data)


def unpacked(path: Path, folder: Path) -> dict[str, bytes] | None:
    """Unpack a zip like the server; None if Python refuses it."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
            archive.extractall(folder)
    except Exception:  # Each of the decompressors has its own.
        return None
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def agrees_with_zipfile(split: Split, data: bytes, folder: Path) -> None:
    path = folder / "a.zip"
    path.write_bytes(data)
    expected = unpacked(path, folder / "unpacked")
    try:
        findings = check_masks(path, split, workers=1).findings
    except ArchiveError:
        assert expected is None
        return
    refused = [f.what for f in findings if f.code in REFUSED]
    if expected is None:
        assert refused, "zipfile refuses it"
        return
    # Python refuses files that overlap since 3.11.8 only.
    assert [what for what in refused if "overlaps" not in what] == []
    if refused:
        return
    with open_masks(path) as masks:
        names = {entry.name for entry in masks.entries if not entry.is_folder}
        assert {name: masks.read_entry(name) for name in names} == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flips")


PACKED = {"every way": every_way_to_pack(), "sizes behind": with_sizes_behind()}


@pytest.mark.parametrize("kind", PACKED)
def test_a_sound_zip_is_read_as_zipfile_does(
    split: Split, folder: Path, kind: str
) -> None:
    agrees_with_zipfile(split, PACKED[kind], folder)


def flips(data: bytes, count: int, seed: int) -> list[int]:
    """Choose bits to flip, half of them in the zip's directory at the end."""
    chance = random.Random(seed)
    bits = 8 * len(data)
    directory = 8 * data.index(b"PK\1\2")
    drawn = [chance.randrange(bits) for _ in range(count // 2)]
    return drawn + [chance.randrange(directory, bits) for _ in range(count // 2)]


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PACKED)
def test_a_flipped_bit_is_judged_as_zipfile_does(
    split: Split, folder: Path, kind: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for bit in flips(PACKED[kind], 60, seed=0):
            agrees_with_zipfile(split, flip(PACKED[kind], bit), folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PACKED)
def test_every_fifth_flipped_bit_is_judged_as_zipfile_does(
    split: Split, folder: Path, kind: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # All of them take six minutes. Steps of five reach each bit of a byte in turn.
        for bit in range(0, 8 * len(PACKED[kind]), 5):
            agrees_with_zipfile(split, flip(PACKED[kind], bit), folder)
