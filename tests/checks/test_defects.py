from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from submit.checks import check_masks
from submit.data import Split
from submit.png.palette import encode, read, write
from tests.submissions import (
    FRAMES,
    TEAM,
    VIDEOS,
    A,
    B,
    codes,
    colours,
    grey_of_four_bits,
    labels_of,
    saved,
    zip_up,
)

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
    (masks / "team.json").write_text(json.dumps(TEAM))


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
