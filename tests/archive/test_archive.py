from __future__ import annotations

import hashlib
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submit.archive import Entry, MaskZip, open_masks, pack
from submit.archive.packing import write_zip
from submit.errors import ArchiveError
from submit.png.palette import encode
from tests.submissions import TEAM

VIDEOS = {"aaaaaaaa": 3, "Bbbbbbbb": 2, "cccccccc": 11}


def mask(video: str, frame: int) -> bytes:
    labels = np.zeros((6, 9), np.uint8)
    labels[frame % 6, : len(video)] = 1
    return encode(labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Masks in a folder, with unrelated files beside them."""
    root = tmp_path / "masks"
    for video, count in VIDEOS.items():
        (root / video).mkdir(parents=True)
        for frame in reversed(range(count)):
            (root / video / f"{frame:05}.png").write_bytes(mask(video, frame))
    (root / ".DS_Store").write_bytes(b"junk")
    (root / "notes.txt").write_text("junk")
    (root / "aaaaaaaa" / "log.txt").write_text("junk")
    (root / "aaaaaaaa" / "._00000.png").write_text("junk")
    (root / "empty").mkdir()
    return root


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    return pack(folder, tmp_path / "masks.zip").path


def test_a_zip_holds_the_masks_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    packed = pack(folder, tmp_path / "out" / "a.zip")
    assert (packed.videos, packed.frames) == (3, 16)
    assert packed.size == packed.path.stat().st_size
    assert packed.sha256 == hashlib.sha256(packed.path.read_bytes()).hexdigest()
    assert os.listdir(tmp_path / "out") == ["a.zip"]
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            f"{video}/{frame:05}.png"
            for video, count in sorted(VIDEOS.items())
            for frame in range(count)
        ]
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.create_system == 3
            assert info.external_attr >> 16 == stat.S_IFREG | 0o644
            assert (info.flag_bits, info.extra, info.comment) == (0, b"", b"")
        assert archive.read("cccccccc/00010.png") == mask("cccccccc", 10)


def test_the_bytes_of_a_zip_never_change(folder: Path, tmp_path: Path) -> None:
    assert pack(folder, tmp_path / "a.zip").sha256 == GOLDEN


def test_times_order_and_modes_of_the_files_do_not_matter(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for path in sorted(folder.rglob("0*.png"), key=lambda path: path.name[::-1]):
        copy = other / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o600)
        os.utime(copy, (1_000_000_000, 1_000_000_000))
    first, second = pack(folder, tmp_path / "a.zip"), pack(other, tmp_path / "b.zip")
    assert first.sha256 == second.sha256


def test_a_zip_packed_again_is_the_same(archive: Path, tmp_path: Path) -> None:
    again = pack(archive, tmp_path / "again.zip")
    assert again.path.read_bytes() == archive.read_bytes()


def test_names_beyond_ascii_survive(folder: Path, tmp_path: Path) -> None:
    (folder / "aaaaaaaa").rename(folder / "vidéo")
    packed = pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(packed.path) as archive:
        assert "vidéo/00000.png" in archive.namelist()
    assert "vidéo" in open_masks(packed.path).videos()


def test_the_team_file_lies_at_the_root(folder: Path, tmp_path: Path) -> None:
    team = tmp_path / "us.json"
    team.write_text(json.dumps(TEAM))
    packed = pack(folder, tmp_path / "a.zip", team=team)
    with open_masks(packed.path) as masks:
        assert json.loads(masks.read_entry("team.json")) == TEAM
        assert masks.videos() == sorted(VIDEOS)


def test_a_missing_team_file_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nowhere: cannot be read"):
        pack(folder, tmp_path / "a.zip", team=tmp_path / "nowhere")


def test_nothing_is_left_behind_when_packing_fails(
    archive: Path, tmp_path: Path
) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="is damaged"):
        pack(archive, tmp_path / "out" / "a.zip")
    assert os.listdir(tmp_path / "out") == []


def test_a_source_without_masks_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "masks" / "video").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="holds no masks"):
        pack(tmp_path / "masks", tmp_path / "a.zip")


def as_folder(folder: Path) -> Path:
    return folder


def as_zip(folder: Path) -> Path:
    return pack(folder, folder.parent / "view.zip").path


def as_deflated_zip(folder: Path) -> Path:
    return python_zip(folder, zipfile.ZIP_DEFLATED)


def as_lzma_zip(folder: Path) -> Path:
    return python_zip(folder, zipfile.ZIP_LZMA)


def as_wrapped_zip(folder: Path) -> Path:
    return python_zip(folder, zipfile.ZIP_DEFLATED, prefix="masks/")


def python_zip(folder: Path, method: int, prefix: str = "") -> Path:
    """A zip as other programs write it, with unrelated files and folder entries."""
    path = folder.parent / f"python{method}.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for child in sorted(folder.rglob("*"), reverse=True):
            archive.write(child, prefix + str(child.relative_to(folder)))
        archive.writestr("__MACOSX/aaaaaaaa/00000.png", b"junk")
    return path


@pytest.mark.parametrize(
    "form", [as_folder, as_zip, as_deflated_zip, as_lzma_zip, as_wrapped_zip]
)
def test_zips_and_folders_are_read_alike(
    folder: Path, form: Callable[[Path], Path]
) -> None:
    with open_masks(form(folder)) as masks:
        assert masks.videos() == sorted(VIDEOS)
        assert masks.frames("cccccccc") == [f"{frame:05}" for frame in range(11)]
        for video, count in VIDEOS.items():
            for frame in range(count):
                assert masks.read(video, f"{frame:05}") == mask(video, frame)
        assert masks.wrapper == ("masks/" if form is as_wrapped_zip else "")
        with pytest.raises(ArchiveError, match="holds no video empty"):
            masks.frames("empty")
        with pytest.raises(ArchiveError, match="00099"):
            masks.read("aaaaaaaa", "00099")


def test_frames_go_by_their_numbers(tmp_path: Path) -> None:
    names = ["10", "9", "x", "\u0664", "1" * 2000, "2"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(f"v/{name}.png", b"")
    frames = open_masks(tmp_path / "a.zip").frames("v")
    assert frames == ["2", "9", "10", "1" * 2000, "x", "\u0664"]


def test_a_view_can_be_sent_to_another_process(archive: Path) -> None:
    with open_masks(archive) as masks:
        assert masks.read("aaaaaaaa", "00001") == mask("aaaaaaaa", 1)
        with pickle.loads(pickle.dumps(masks)) as copy:
            assert copy.read("aaaaaaaa", "00001") == mask("aaaaaaaa", 1)
        masks.close()
        assert masks.read("aaaaaaaa", "00001") == mask("aaaaaaaa", 1)


def test_many_threads_read_one_view(archive: Path) -> None:
    with open_masks(archive) as masks, ThreadPoolExecutor(8) as pool:
        jobs = [(v, f) for v, count in VIDEOS.items() for f in range(count)] * 20
        found = pool.map(lambda job: masks.read(job[0], f"{job[1]:05}"), jobs)
        assert list(found) == [mask(*job) for job in jobs]


def test_a_zip_that_has_changed_is_read_anew(archive: Path, folder: Path) -> None:
    assert len(open_masks(archive).videos()) == 3
    (folder / "dddddddd").mkdir()
    (folder / "dddddddd" / "00000.png").write_bytes(mask("d", 0))
    pack(folder, archive)
    assert len(open_masks(archive).videos()) == 4


def test_entries_tell_what_a_zip_really_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("../up.png", b"12345")
        archive.writestr("a\\b.png", b"1" * 99, zipfile.ZIP_DEFLATED)
        link = zipfile.ZipInfo("link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "target")
    folder, up, back, symlink = open_masks(path).entries
    assert folder == Entry("folder/", is_folder=True, written="folder/")
    assert (up.name, up.written) == ("up.png", "../up.png")
    assert (up.size, up.stored, up.method) == (5, 5, 0)
    assert (back.name, back.size, back.method) == ("a\\b.png", 99, 8)
    assert back.stored < 99
    assert symlink.is_link


def test_entries_of_a_folder_name_its_links(folder: Path) -> None:
    (folder / "elsewhere").symlink_to(folder / "aaaaaaaa")
    (folder / "aaaaaaaa" / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to(folder / "nowhere")
    entries = {entry.name: entry for entry in open_masks(folder).entries}
    assert entries["elsewhere/"].is_link
    assert entries["aaaaaaaa/loop/"].is_link
    assert entries["dangling"].is_link
    assert "elsewhere/00000.png" in entries
    assert not any("loop/0" in name for name in entries)


def test_of_two_files_with_one_name_the_last_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v/00000.png", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("v/00000.png", b"second")
    with open_masks(path) as masks:
        assert masks.read("v", "00000") == b"second"
        assert masks.frames("v") == ["00000"]
        assert [entry.size for entry in masks.entries] == [5, 6]


@pytest.mark.slow
def test_more_files_than_a_plain_zip_can_count_make_a_zip64(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    sha256, size = write_zip(path, ((f"v/{i:05}.png", b"") for i in range(65_600)))
    assert sha256 == MANY
    assert size == path.stat().st_size
    assert len(open_masks(path).frames("v")) == 65_600


def test_what_lies_beyond_four_gigabytes_is_found(
    tmp_path: Path,
) -> None:
    path = tmp_path / "far.zip"
    with path.open("wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("v/00000.png", b"near")
        # A hole in the file costs no disk.
        archive.start_dir = (1 << 32) + 7
        archive.writestr("v/00001.png", b"far")
    with open_masks(path) as masks:
        assert masks.frames("v") == ["00000", "00001"]
        assert masks.read("v", "00000") == b"near"
        assert masks.read("v", "00001") == b"far"


def encrypted(data: bytearray) -> None:
    data[data.index(b"PK\1\2") + 8] |= 1


def method_97(data: bytearray) -> None:
    data[data.index(b"PK\1\2") + 10] = 97


def huge(data: bytearray) -> None:
    place = data.index(b"PK\1\2") + 20
    data[place : place + 8] = b"\xf0\xff\xff\x7f" * 2


def header_gone(data: bytearray) -> None:
    data[0] = 0


def content_flipped(data: bytearray) -> None:
    data[60] ^= 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (encrypted, "is encrypted; pack the zip without a password"),
        (method_97, "compression method 97"),
        (huge, "is damaged"),
        (header_gone, "is damaged .Bad magic number for file header"),
        (content_flipped, "is damaged"),
    ],
)
def test_an_unreadable_file_in_a_zip_is_named(
    archive: Path, damage: Callable[[bytearray], None], message: str
) -> None:
    data = bytearray(archive.read_bytes())
    damage(data)
    archive.write_bytes(data)
    expected = f"masks.zip: Bbbbbbbb/00000.png .*{message}"
    with open_masks(archive) as masks, pytest.raises(ArchiveError, match=expected):
        masks.read("Bbbbbbbb", "00000")


def test_damaged_deflated_data_is_named(folder: Path) -> None:
    path = as_deflated_zip(folder)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("cccccccc/00010.png").header_offset
    data[offset + 50] = 0xFF
    path.write_bytes(data)
    expected = r"cccccccc/00010\.png is damaged"
    with open_masks(path) as masks, pytest.raises(ArchiveError, match=expected):
        masks.read("cccccccc", "00010")


def test_what_is_no_zip_is_named(tmp_path: Path, archive: Path) -> None:
    text = tmp_path / "a.zip"
    text.write_text("hello")
    with pytest.raises(ArchiveError, match=r"a\.zip: is not a zip"):
        open_masks(text)
    text.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=r"truncated or damaged zip of \d+ bytes"):
        open_masks(text)
    with pytest.raises(ArchiveError, match="nowhere: no such file or folder"):
        open_masks(tmp_path / "nowhere")


def test_a_zip_that_vanishes_is_an_archive_error(archive: Path) -> None:
    masks = open_masks(archive)
    archive.unlink()
    with pytest.raises(ArchiveError, match="cannot be read"):
        masks.read("aaaaaaaa", "00000")


def reads_or_fails_politely(path: Path, data: st.DataObject) -> None:
    broken = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        # Damage near the end hits the directory, where it hurts most.
        place = len(broken) - 1 - data.draw(st.integers(0, len(broken) - 1))
        if data.draw(st.integers(0, 9)):
            broken[place] = data.draw(st.integers(0, 255))
        else:
            del broken[place : place + data.draw(st.integers(1, 50))]
        if not broken:
            break
    target = path.with_name("broken.zip")
    target.write_bytes(broken)
    try:
        with MaskZip(target) as masks:
            assert all(isinstance(entry.name, str) for entry in masks.entries)
            for video in masks.videos():
                for frame in masks.frames(video):
                    masks.read(video, frame)
    except ArchiveError:
        pass


@pytest.fixture(scope="module")
def two_methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v/00000.png", mask("v", 0))
        archive.writestr("v/00001.png", mask("v", 1), zipfile.ZIP_DEFLATED)
        archive.writestr("v/00002.png", mask("v", 1), zipfile.ZIP_BZIP2)
        archive.writestr("w/00000.png", mask("w", 1), zipfile.ZIP_LZMA)
    return path


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_a_malformed_zip_is_an_error_at_most(
    two_methods: Path, data: st.DataObject
) -> None:
    reads_or_fails_politely(two_methods, data)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(data=st.data())
def test_many_malformed_zips(two_methods: Path, data: st.DataObject) -> None:
    reads_or_fails_politely(two_methods, data)


#: Changes only with the writer or with `encode`; then the changelog says so.
GOLDEN = "839ee603698bbda2d3d01facc1138010274a4399e17c34e7d4b65fd65479ca4b"
#: Of a zip64, whose end names no system: zipfile writes 0 there.
MANY = "6a6dfee9af3f61164a848c067777babccf254af45ab94b14ce5fa6b29c12d0cc"
