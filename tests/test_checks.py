from __future__ import annotations

import json
import random
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from submit.checks import RULES, Finding, Report, Severity, check_masks, masks_to_check
from submit.checks.sanity import Tracks, as_packed
from submit.cli import cli
from submit.dataset import Split, read_split
from submit.errors import ArchiveError, SubmitError
from submit.palette import encode, read, write
from tests.submissions import (
    FRAMES,
    SIZE,
    VIDEOS,
    colours,
    grey_of_four_bits,
    labels_of,
    saved,
    write_masks,
    write_split,
    zip_up,
)

A, B, C = (f"{letter * 8}" for letter in "abc")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read_split(write_split(tmp_path_factory.mktemp("split")))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def codes(report: Report) -> set[str]:
    return {f"{finding.severity.value} {finding.code}" for finding in report.findings}


def test_a_submission_without_defects_has_no_findings(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    for path in (masks, zip_up(masks, tmp_path / "a.zip")):
        report = check_masks(path, split)
        assert report.findings == []
        assert report.exit_code == 0
        assert (report.videos, report.expected_videos, report.frames) == (3, 3, 18)
        assert report.size > 0
    assert masks_to_check(split) == 18


# The defects. What the official scorer did with each is in its comment: `same` means
# that it printed the same scores as for the masks without the defect. It ran with
# videos of eight frames, Pillow 13 and OpenCV 5.


def first_missing(masks: Path) -> None:
    # Other scores: frames 2 … 7 instead of 1 … 6.
    (masks / A / "00000.png").unlink()


def last_missing(masks: Path) -> None:
    # same
    (masks / A / "00005.png").unlink()


def one_missing(masks: Path) -> None:
    # Other scores: 39.6 became 41.4.
    (masks / A / "00003.png").unlink()


def two_missing(masks: Path) -> None:
    # AssertionError: frame_idx: 6, len(anno_names): 6, video: …
    (masks / A / "00003.png").unlink()
    (masks / A / "00004.png").unlink()


def video_absent(masks: Path) -> None:
    # 39.6 became 20.9.
    shutil.rmtree(masks / A)


def video_empty(masks: Path) -> None:
    # AssertionError: frame_idx: 1, len(anno_names): 0, video: …
    shutil.rmtree(masks / A)
    (masks / A).mkdir()


def video_alone(masks: Path) -> None:
    # Every score 0.0.
    shutil.rmtree(masks / A)
    shutil.rmtree(masks / B)


def video_in_capitals(masks: Path) -> None:
    # 39.6 became 20.9: the video is absent.
    (masks / A).rename(masks / A.upper())


def unknown_video(masks: Path) -> None:
    # same
    shutil.copytree(masks / A, masks / "dddddddd")


def surplus_at_the_end(masks: Path) -> None:
    # same
    shutil.copy(masks / A / "00005.png", masks / A / "00006.png")


def surplus_before_the_first(masks: Path) -> None:
    # Other scores: every frame is compared with the one before it.
    shutil.copy(masks / A / "00005.png", masks / A / "-0001.png")


def surplus_text(masks: Path) -> None:
    # same
    (masks / A / "log.txt").write_text("")


def surplus_hidden(masks: Path) -> None:
    # same
    (masks / A / "._00001.png").write_text("")


def words_in_names(masks: Path) -> None:
    # ValueError: invalid literal for int() with base 10: 'mask_00003'
    for path in (masks / A).glob("*"):
        path.rename(path.with_name(f"mask_{path.name}"))


def one_picture_more(masks: Path) -> None:
    # ValueError: invalid literal for int() with base 10: 'thumb'
    (masks / A / "thumb.png").write_bytes(b"")


def short_names(masks: Path) -> None:
    # FileNotFoundError: … Annotations/…/1.png
    for path in (masks / A).glob("*"):
        path.rename(path.with_name(f"{int(path.stem)}.png"))


def names_from_one(masks: Path) -> None:
    # 39.6 became 34.1: everything is compared with the frame after it.
    for path in sorted((masks / A).glob("*"), reverse=True):
        path.rename(path.with_name(f"{int(path.stem) + 1:05}.png"))


def two_suffixes(masks: Path) -> None:
    # ValueError: Frame not found: …/00001
    for path in (masks / A).glob("*"):
        path.rename(path.with_suffix(".mask.png"))


def suffix_in_capitals(masks: Path) -> None:
    # AssertionError: frame_idx: 1, len(anno_names): 0, video: …
    for path in (masks / A).glob("*"):
        path.rename(path.with_suffix(".PNG"))


def wrong_size(masks: Path) -> None:
    # ValueError: could not broadcast input array from shape …
    write(masks / A / "00003.png", np.zeros((8, 8), np.uint8))


def wrong_size_of_the_last(masks: Path) -> None:
    # same
    write(masks / A / "00005.png", np.zeros((8, 8), np.uint8))


def turned(masks: Path) -> None:
    # ValueError: could not broadcast input array from shape …
    write(masks / A / "00003.png", labels_of(A, 3).T)


def one_row(masks: Path) -> None:
    # Other scores: the row is repeated.
    write(masks / A / "00003.png", labels_of(A, 3)[2:3])


def replace(name: str, make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(masks: Path) -> None:
        path = masks / A / name
        path.write_bytes(make(path.read_bytes()))

    return change


def rewrite(make: Callable[[np.ndarray], bytes]) -> Callable[[Path], None]:
    def change(masks: Path) -> None:
        for frame in range(1, FRAMES - 1):
            path = masks / A / f"{frame:05}.png"
            path.write_bytes(make(read(path)))

    return change


def as_rgb(labels: np.ndarray) -> bytes:
    # 39.6 became 20.9: ids such as 22 and 28.
    return colours(labels)


def as_rgba(labels: np.ndarray) -> bytes:
    # 39.6 became 22.6: other ids.
    return saved(Image.fromarray(labels).convert("RGBA"))


def as_grey(labels: np.ndarray) -> bytes:
    # same
    return saved(Image.fromarray(labels))


def as_grey_with_alpha(labels: np.ndarray) -> bytes:
    # same
    return saved(Image.fromarray(labels).convert("LA"))


def as_bright_grey(labels: np.ndarray) -> bytes:
    # 39.6 became 20.9
    return saved(Image.fromarray(labels * 80))


def as_one_bit(labels: np.ndarray) -> bytes:
    # 39.6 became 20.9: the ids are 0 and 255.
    return saved(Image.fromarray(labels > 0))


def as_grey_of_four_bits(labels: np.ndarray) -> bytes:
    # 39.6 became 20.9: the ids are 17, 34, …
    return grey_of_four_bits(labels)


def as_sixteen_bits(labels: np.ndarray) -> bytes:
    # same, with Pillow 13
    return saved(Image.fromarray(labels.astype(np.uint16)))


def with_other_ids(labels: np.ndarray) -> bytes:
    # 39.6 became 24.7
    return encode(np.where(labels, labels + 7, 0).astype(np.uint8))


def renumbered(masks: Path) -> None:
    # The objects score as if they were each other.
    table = np.array([0, 2, 1], np.uint8)
    for path in (masks / A).glob("*"):
        write(path, table[read(path)])


def first_mask_of_another_frame(masks: Path) -> None:
    # same
    shutil.copy(masks / A / "00002.png", masks / A / "00000.png")


def cut(data: bytes) -> bytes:
    # OSError: image file is truncated
    return data[: data.index(b"IDAT") + 8]


def end_gone(data: bytes) -> bytes:
    # same
    return data[:-12]


def checksum_wrong(data: bytes) -> bytes:
    # same
    return data[:-16] + b"\0\0\0\0" + data[-12:]


def emptied(data: bytes) -> bytes:
    # PIL.UnidentifiedImageError
    del data
    return b""


def as_text(data: bytes) -> bytes:
    # PIL.UnidentifiedImageError
    return data.hex().encode()


def wrapped(masks: Path) -> None:
    # same
    inner = masks / "masks"
    inner.mkdir()
    for video in VIDEOS:
        (masks / video).rename(inner / video)


def wrapped_twice(masks: Path) -> None:
    # Every score 0.0.
    wrapped(masks)
    (masks / "masks").rename(masks / "out")
    (masks / "masks").mkdir()
    (masks / "out").rename(masks / "masks" / "out")


def wrapped_beside_team(masks: Path) -> None:
    # Every score 0.0.
    wrapped(masks)
    (masks / "team.json").write_text('{"name": "us"}')


def wrapped_beside_macosx(masks: Path) -> None:
    # Every score 0.0.
    wrapped(masks)
    macosx(masks)


def wrapped_beside_hidden(masks: Path) -> None:
    # same
    wrapped(masks)
    hidden(masks)


def macosx(masks: Path) -> None:
    # same
    (masks / "__MACOSX" / A).mkdir(parents=True)
    (masks / "__MACOSX" / A / "._00000.png").write_text("")


def hidden(masks: Path) -> None:
    # same
    (masks / ".DS_Store").write_text("")


def readme(masks: Path) -> None:
    # same
    (masks / "README.md").write_text("")


def metadata(masks: Path) -> None:
    # Codabench's worker, not the scorer: the zip is taken for code.
    (masks / "metadata").write_text("")


def metadata_yaml(masks: Path) -> None:
    # See above.
    (masks / "metadata.yaml").write_text("")


def nothing_known(masks: Path) -> None:
    # Every score 0.0.
    for number, video in enumerate(VIDEOS):
        (masks / video).rename(masks / f"video{number}")


def team_empty(masks: Path) -> None:
    # same
    (masks / "team.json").write_text("{}")


DEFECTS: dict[Callable[[Path], None], set[str]] = {
    first_missing: {"costly frames"},
    last_missing: {"note frames"},
    one_missing: {"costly frames"},
    two_missing: {"fatal frames"},
    video_absent: {"costly absent-video"},
    video_empty: {"fatal empty-video"},
    video_alone: {"fatal single-video", "costly absent-video"},
    video_in_capitals: {"costly video-case"},
    unknown_video: {"note unknown-video"},
    surplus_at_the_end: {"note surplus"},
    surplus_before_the_first: {"costly frames"},
    surplus_text: {"note surplus"},
    surplus_hidden: {"note junk"},
    words_in_names: {"fatal misnamed", "fatal frames"},
    one_picture_more: {"fatal misnamed"},
    short_names: {"fatal frames"},
    names_from_one: {"costly frames"},
    two_suffixes: {"fatal frames"},
    suffix_in_capitals: {"fatal empty-video", "costly wrong-suffix"},
    wrong_size: {"fatal size"},
    wrong_size_of_the_last: {"note size"},
    turned: {"fatal size"},
    one_row: {"costly size"},
    renumbered: {"costly renumbered"},
    first_mask_of_another_frame: {"note first-mask"},
    wrapped: {"note wrapper"},
    wrapped_twice: {"fatal nested-wrapper"},
    wrapped_beside_team: {"fatal wrapper-not-alone"},
    wrapped_beside_macosx: {"fatal wrapper-not-alone", "note junk"},
    wrapped_beside_hidden: {"note wrapper", "note junk"},
    macosx: {"note junk"},
    hidden: {"note junk"},
    readme: {"note junk"},
    metadata: {"fatal metadata"},
    metadata_yaml: {"fatal metadata"},
    nothing_known: {"fatal no-videos", "costly absent-video", "note unknown-video"},
    team_empty: {"note team-malformed"},
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_each_defect_is_found_with_its_severity(
    split: Split, masks: Path, tmp_path: Path, defect: Callable[[Path], None]
) -> None:
    defect(masks)
    report = check_masks(zip_up(masks, tmp_path / "a.zip"), split)
    assert codes(report) == DEFECTS[defect]
    assert report.exit_code == any(not c.startswith("note") for c in DEFECTS[defect])


FILES: dict[Callable[[bytes], bytes], set[str]] = {
    cut: {"fatal unreadable"},
    end_gone: {"note damaged-png"},
    checksum_wrong: {"note damaged-png"},
    emptied: {"fatal unreadable"},
    as_text: {"fatal unreadable"},
}


@pytest.mark.parametrize("damage", FILES, ids=lambda damage: damage.__name__)
def test_damage_to_a_file_is_found(
    split: Split, masks: Path, damage: Callable[[bytes], bytes]
) -> None:
    replace("00003.png", damage)(masks)
    report = check_masks(masks, split)
    assert codes(report) == FILES[damage]
    assert report.findings[0].where == f"{A}/00003.png"


@pytest.mark.parametrize("frame", ["00000.png", "00005.png"])
def test_damage_to_a_frame_that_is_not_scored_is_a_note(
    split: Split, masks: Path, frame: str
) -> None:
    # same
    replace(frame, cut)(masks)
    assert codes(check_masks(masks, split)) == {"note unreadable"}


MODES: dict[Callable[[np.ndarray], bytes], set[str]] = {
    as_rgb: {"costly colour", "costly unknown-ids"},
    as_rgba: {"costly colour"},
    as_grey: {"note grey"},
    as_grey_with_alpha: {"note grey"},
    as_bright_grey: {"note grey", "costly unknown-ids"},
    as_one_bit: {"costly stretched-grey", "costly unknown-ids"},
    as_grey_of_four_bits: {"costly stretched-grey", "costly unknown-ids"},
    as_sixteen_bits: {"costly grey-16"},
    with_other_ids: {"costly unknown-ids"},
}


@pytest.mark.parametrize("make", MODES, ids=lambda make: make.__name__)
def test_masks_of_other_kinds_are_found(
    split: Split, masks: Path, make: Callable[[np.ndarray], bytes]
) -> None:
    rewrite(make)(masks)
    report = check_masks(masks, split)
    assert {c for c in codes(report) if "unknown" in c} <= MODES[make]
    for code in MODES[make]:
        finding = next(f for f in report.findings if f.code == code.split()[1])
        assert finding.severity.value == code.split()[0]
        assert finding.count == FRAMES - 2
        assert finding.where == f"{A}/00001.png"


def test_what_the_server_would_see_is_said(split: Split, masks: Path) -> None:
    rewrite(as_one_bit)(masks)
    text = " ".join(finding.what for finding in check_masks(masks, split).findings)
    assert "the server would see the ids 0, 255" in text
    assert "the video has 1, 2" in text


def test_a_renumbering_names_the_ids(split: Split, masks: Path) -> None:
    renumbered(masks)
    (finding,) = check_masks(masks, split).findings
    assert finding.what == "is the annotation, but 1 is called 2, 2 is called 1"


def write_zip(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return path


def good_names() -> dict[str, bytes]:
    return {
        f"{video}/{frame:05}.png": encode(labels_of(video, frame))
        for video in VIDEOS
        for frame in range(FRAMES)
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "fatal unsafe-path"),
        ("../outside.txt", "fatal unsafe-path"),
        ("C:/outside.txt", "fatal unsafe-path"),
        (f"{A}/00003.PNG", "note case"),
    ],
)
def test_dangerous_names_are_found(
    split: Split, tmp_path: Path, name: str, code: str
) -> None:
    path = write_zip(tmp_path / "a.zip", {**good_names(), name: b""})
    assert code in codes(check_masks(path, split))


def test_backslashes_are_found(split: Split, tmp_path: Path) -> None:
    names = {name.replace("/", "\\"): data for name, data in good_names().items()}
    found = codes(check_masks(write_zip(tmp_path / "a.zip", names), split))
    assert {"fatal backslash", "fatal no-videos"} <= found


def test_two_files_of_one_name_are_found(split: Split, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", good_names())
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(f"{A}/00003.png", encode(labels_of(A, 4)))
    assert codes(check_masks(path, split)) == {"costly duplicate"}


def test_links_are_found(split: Split, tmp_path: Path) -> None:
    names = good_names()
    del names[f"{A}/00003.png"]
    path = write_zip(tmp_path / "a.zip", names)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo(f"{A}/00003.png")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "00002.png")
    assert codes(check_masks(path, split)) == {"fatal link", "fatal unreadable"}


@pytest.mark.parametrize(
    ("method", "code"),
    [(zipfile.ZIP_BZIP2, "note rare-compression"), (None, "fatal compression")],
)
def test_unusual_compression_is_found(
    split: Split, masks: Path, tmp_path: Path, method: int | None, code: str
) -> None:
    path = zip_up(masks, tmp_path / "a.zip", method=method or zipfile.ZIP_BZIP2)
    if method is None:
        data = path.read_bytes().replace(b"\x0c\0", b"\x5d\0")
        path.write_bytes(data)
    assert code in codes(check_masks(path, split))


def test_encryption_is_found(split: Split, masks: Path, tmp_path: Path) -> None:
    path = zip_up(masks, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[place + 8] |= 1
    path.write_bytes(data)
    assert {"fatal encrypted", "fatal damaged"} <= codes(check_masks(path, split))


def test_a_zip_that_is_zip64_without_need_is_found(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in good_names().items():
            info = zipfile.ZipInfo(name)
            info.extract_version = zipfile.ZIP64_VERSION
            archive.writestr(info, data)
    assert codes(check_masks(path, split)) == {"note zip64"}


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (49_000_000, set()),
        (60_000_000, {"note budget"}),
        (160_000_000, {"note budget"}),
        (1_100_000_000, {"costly budget"}),
    ],
)
def test_the_size_budget_is_kept(
    split: Split, tmp_path: Path, size: int, code: set[str]
) -> None:
    # A hole at the front of the file costs no disk, and zips may begin anywhere.
    path = tmp_path / "a.zip"
    with path.open("wb") as stream:
        stream.truncate(size)
        stream.seek(0, 2)
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in good_names().items():
                archive.writestr(name, data)
    assert codes(check_masks(path, split)) == code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {"fatal team-missing"}),
        ("{", {"fatal team-malformed"}),
        ("[1]", {"fatal team-malformed"}),
        ("{}", {"fatal team-malformed"}),
        ('{"team_name": "us"}', set()),
    ],
)
def test_test_phases_need_a_team_file(
    split: Split, masks: Path, text: str | None, found: set[str]
) -> None:
    if text is not None:
        (masks / "team.json").write_text(text)
    assert codes(check_masks(masks, split, team=True)) == found


def test_the_sample_says_what_is_expected(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample"
    shutil.copytree(masks, sample)
    (sample / A / "00005.png").unlink()
    shutil.rmtree(sample / B)
    shutil.copytree(sample / C, sample / "dddddddd")
    report = check_masks(masks, split, sample=zip_up(sample, tmp_path / "s.zip"))
    assert report.expected_videos == 2
    assert codes(report) == {"note sample", "note surplus", "note unknown-video"}


def test_frames_of_a_split_without_images_are_counted(
    masks: Path, tmp_path: Path
) -> None:
    root = write_split(tmp_path / "bare")
    shutil.rmtree(root / "JPEGImages")
    split = read_split(root)
    assert check_masks(masks, split).findings == []
    one_missing(masks)
    assert codes(check_masks(masks, split)) == {"costly frames"}


def test_hidden_files_of_a_folder_are_not_packed_and_not_named(
    split: Split, masks: Path
) -> None:
    hidden(masks)
    (masks / ".lock").write_text("")
    assert check_masks(masks, split).findings == []


def test_what_is_no_zip_is_an_error(split: Split, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("hello")
    with pytest.raises(ArchiveError, match="is not a zip"):
        check_masks(tmp_path / "a.zip", split)


def test_progress_comes_to_the_number_of_masks(split: Split, masks: Path) -> None:
    counts = dict.fromkeys(VIDEOS, 0)

    def progress(video: str, frames: int) -> None:
        counts[video] += frames

    check_masks(masks, split, workers=2, progress=progress)
    assert counts == dict.fromkeys(VIDEOS, FRAMES)


def follow(areas: dict[int, list[int]]) -> list[str]:
    """Findings for objects with these areas, each in its own rows."""
    tracks = Tracks(tuple(areas))
    for frame in range(len(next(iter(areas.values())))):
        labels = np.zeros((100, 100), np.uint8)
        for place, (key, sizes) in enumerate(areas.items()):
            labels[30 * place : 30 * place + 30].flat[: sizes[frame]] = key
        tracks.follow(f"{frame:05}", as_packed(labels))
    return [f"{f.code} {f.where} {f.what}" for f in tracks.findings("v")]


def test_ordinary_tracks_are_not_worth_a_note() -> None:
    shrinking = [round(900 * 0.8**frame) for frame in range(40)]
    coming_back = [500] * 5 + [0] * 30 + [400] * 5
    assert follow({1: shrinking, 2: coming_back}) == []


def test_an_object_that_is_never_predicted_is_noted() -> None:
    assert follow({1: [400, 0, 0, 0], 2: [500, 501, 502, 503]}) == [
        "never-predicted v/ object 1 is in none of the 3 masks after the first"
    ]


def test_an_object_that_is_lost_for_good_is_noted() -> None:
    assert follow({1: [500, 510, *[400] * 8, *[0] * 25]}) == [
        "lost v/ object 1 is in no mask from 00010.png to the end, 25 frames"
    ]


def test_jumps_of_the_area_are_noted() -> None:
    assert follow({1: [100, 110, 1200, 1210, 100]}) == [
        "jump v/ object 1 goes from 110 to 1200 pixels at 00002.png (and 1 more jumps)"
    ]


def test_masks_that_never_change_are_noted() -> None:
    assert follow({1: [300] * 5}) == ["frozen v/ all 5 masks are the same"]


def test_objects_that_change_places_are_noted() -> None:
    tracks = Tracks((1, 2))
    for frame in range(4):
        labels = np.zeros((40, 40), np.uint8)
        labels[:15, frame : frame + 20] = 1 if frame < 2 else 2
        labels[20:35, :20] = 2 if frame < 2 else 1
        tracks.follow(f"{frame:05}", as_packed(labels))
    (finding,) = tracks.findings("v")
    assert finding.code == "swap"
    assert finding.what == "change places with object 2 at 00002.png"


def test_an_unreadable_mask_breaks_no_track() -> None:
    tracks = Tracks((1,))
    labels = np.ones((4, 4), np.uint8)
    tracks.follow("0", as_packed(labels))
    tracks.skip()
    tracks.follow("2", as_packed(np.ones((5, 5), np.uint8)))
    assert tracks.findings("v") == []


def test_a_report_is_grouped_and_counted_worst_first() -> None:
    report = Report("a.zip", "split")
    report.add([Finding.of("junk", "x", "is hidden", count=3)])
    report.add(
        [
            Finding.of("absent-video", "v/", "is not there"),
            Finding.of("no-videos", "", "is empty"),
            Finding.of("absent-video", "u/", "is not there", count=4),
        ]
    )
    assert [(g.code, g.count) for g in report.groups] == [
        ("no-videos", 1),
        ("absent-video", 5),
        ("junk", 3),
    ]
    assert [report.count(severity) for severity in Severity] == [1, 2, 1]
    assert report.exit_code == 1
    assert Report("a.zip", "split").exit_code == 0


@pytest.mark.parametrize("code", RULES)
def test_each_rule_says_what_happens_and_what_to_do(code: str) -> None:
    rule = RULES[code]
    assert rule.consequence.endswith(".")
    assert rule.consequence[0].isupper()
    assert rule.fix
    assert not rule.fix.endswith(".")


def test_the_command_shows_findings_and_fails(
    runner: CliRunner, split: Split, masks: Path
) -> None:
    two_missing(masks)
    arguments = ["check", str(masks), "--split", str(split.root)]
    result = runner.invoke(cli, arguments)
    assert result.exit_code == 1
    assert "fatal frames, 2: The server fails the whole submission." in result.stdout
    assert "lacks 2 of 6 masks: 00003.png, 00004.png" in result.stdout
    assert "1 fatal, 0 costly, 0 note" in result.stdout
    result = runner.invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["severity"], finding["code"]) == ("fatal", "frames")


def test_the_command_passes_what_is_good(
    runner: CliRunner, split: Split, masks: Path
) -> None:
    result = runner.invoke(cli, ["check", str(masks), "--split", str(split.root)])
    assert result.exit_code == 0
    assert "findings  none" in result.stdout


def checks_or_fails_politely(split: Split, folder: Path, chance: random.Random) -> None:
    names = good_names()
    for _ in range(chance.randint(1, 6)):
        name = chance.choice(list(names))
        data = names[name] or b"x"
        match chance.randrange(7):
            case 0:
                del names[name]
            case 1:
                names[name + chance.choice(["x", "/", "\\", "\0", ".png"])] = data
            case 2:
                names[chance.choice(["../", "/", "__MACOSX/", "x/y/"]) + name] = data
            case 3:
                place = chance.randrange(len(data))
                value = bytes([chance.randrange(256)])
                names[name] = data[:place] + value + data[place + 1 :]
            case 4:
                names[name] = data[: chance.randrange(len(data))]
            case 5:
                names[chance.choice(["team.json", "metadata", ".x", "x"])] = data
            case 6:
                names[name] = saved(
                    Image.new(chance.choice(["RGB", "1", "I;16"]), (9, 9))
                )
        if not names:
            break
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # Names end at a NUL.
        path = write_zip(folder / "a.zip", names)
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    try:
        report = check_masks(path, split, team=chance.random() < 0.2, workers=1)
    except SubmitError:
        return
    assert report.exit_code in (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=100)
@given(chance=st.randoms(use_true_random=False))
def test_whatever_is_in_a_zip_is_reported(
    split: Split, folder: Path, chance: random.Random
) -> None:
    checks_or_fails_politely(split, folder, chance)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(chance=st.randoms(use_true_random=False))
def test_whatever_is_in_many_zips_is_reported(
    split: Split, folder: Path, chance: random.Random
) -> None:
    checks_or_fails_politely(split, folder, chance)


def test_sizes_of_the_masks_are_those_of_the_meta_file(
    masks: Path, tmp_path: Path
) -> None:
    root = write_split(tmp_path / "split")
    meta = json.loads((root / "meta.json").read_text())
    meta["videos"][A]["height"] = SIZE[0] + 1
    (root / "meta.json").write_text(json.dumps(meta))
    found = codes(check_masks(masks, read_split(root)))
    assert "fatal size" in found
