"""A zip's directory is read as by zipfile, which is what the server uses."""

from __future__ import annotations

import io
import stat
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.archive.directory import Directory, Entry

METHODS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
NAMES = st.lists(
    st.one_of(
        st.sampled_from(["a/00000.png", "a/", "b\\c.png", "../d", "ä/00001.png"]),
        st.text("ab0./\\ äé日", max_size=12),
    ),
    max_size=8,
)


def entries_by_zipfile(data: bytes) -> list[tuple[Entry, int, int]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            (
                Entry(
                    name=info.orig_filename,
                    size=info.file_size,
                    stored=info.compress_size,
                    is_folder=info.orig_filename.endswith("/"),
                    is_link=info.create_system == 3
                    and stat.S_ISLNK(info.external_attr >> 16),
                    encrypted=bool(info.flag_bits & 1),
                    method=info.compress_type,
                    zip64=info.extract_version >= zipfile.ZIP64_VERSION,
                ),
                info.header_offset,
                info.CRC,
            )
            for info in archive.infolist()
        ]


def entries_by_us(data: bytes) -> list[tuple[Entry, int, int]]:
    directory = Directory(io.BytesIO(data), len(data))
    assert len(directory) == len(list(directory))
    found = [directory.place(index) for index in range(len(directory))]
    assert [place.entry for place in found] == list(directory)
    last = {place.entry.name: place for place in found}
    for name, place in last.items():
        assert directory.find(name) == place
    assert directory.find("not there") is None
    return [(place.entry, place.offset, place.crc) for place in found]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(names=NAMES, data=st.data())
def test_entries_are_those_of_zipfile(names: list[str], data: st.DataObject) -> None:
    stream = io.BytesIO()
    stream.write(data.draw(st.binary(max_size=9), "what stands before the zip"))
    with (
        pytest.MonkeyPatch.context() as patch,
        zipfile.ZipFile(stream, "a") as archive,
    ):
        # Otherwise zip64 would take files of gigabytes.
        wide = data.draw(st.booleans(), "zip64")
        if wide:
            patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
            patch.setattr(zipfile, "ZIP64_LIMIT", 20)
        for number, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = METHODS[number % 4]
            info.create_system = number % 5
            info.external_attr = data.draw(st.sampled_from([0, 0o120777, 0o644])) << 16
            info.extra = data.draw(st.sampled_from([b"", b"\x99\x99\2\0ab", b"abc"]))
            info.comment = data.draw(st.binary(max_size=4))
            content = data.draw(st.binary(max_size=50))
            with archive.open(info, "w", force_zip64=wide) as file:
                file.write(content)
        archive.comment = data.draw(st.binary(max_size=40), "comment")
    assert entries_by_us(stream.getvalue()) == entries_by_zipfile(stream.getvalue())


@pytest.fixture(scope="module")
def several() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, method in enumerate(METHODS):
            archive.writestr(f"v/{number:05}.png", b"mask" * number, method)
    return stream.getvalue()


@given(data=st.data())
def test_a_damaged_directory_is_an_error_or_is_what_zipfile_sees(
    several: bytes, data: st.DataObject
) -> None:
    broken = bytearray(several)
    for _ in range(data.draw(st.integers(1, 3))):
        place = len(broken) - 1 - data.draw(st.integers(0, min(len(broken), 300) - 1))
        if data.draw(st.booleans()):
            broken[place] = data.draw(st.sampled_from([0, 1, 2, 5, 6, 0x50, 255]))
        else:
            del broken[place : place + data.draw(st.integers(1, 30))]
        if not broken:
            break
    try:
        found = entries_by_us(bytes(broken))
    except ValueError:
        return
    assert found == entries_by_zipfile(bytes(broken))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no end"),
        (b"PK\5\6" + b"\0" * 17, "no end"),
        (b"PK\5\6" + b"\0" * 8 + b"\1\0\0\0\0\0\0\0" + b"\0\0", "bad offset"),
        (b"." * 46 + b"PK\5\6" + b"\0" * 8 + b"\x2e" + b"\0" * 9, "bad signature"),
        (b"." * 45 + b"PK\5\6" + b"\0" * 8 + b"\x2d" + b"\0" * 9, "truncated"),
    ],
)
def test_what_is_no_directory_is_said(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Directory(io.BytesIO(data), len(data))


def test_a_large_zip_takes_no_more_than_its_own_directory() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"video{number // 100:03}/{number % 100:05}.png", b"")
    tracemalloc.start()
    try:
        directory = Directory(stream, stream.tell())
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(directory) == 20_000
    # About 66 bytes for the directory itself, and 20 for finding a name in it.
    assert kept / 20_000 < 120
