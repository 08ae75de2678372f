from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from submit.data import Problem, audit_split, audit_video, read_split
from submit.png.palette import encode

WriteSplit = Callable[..., Path]

META = {"length": 4, "height": 24, "width": 32, "objects": [1, 2]}
FRAMES = ("00000", "00001", "00002", "00003")


@pytest.fixture
def root(write_split: WriteSplit) -> Path:
    """A clean split of one video, with a meta file."""
    return write_split(("a",), frames=FRAMES, annotated=4, meta={"a": META})


def problems(root: Path, *, decode: bool = False) -> list[Problem]:
    """Audit a split of one video."""
    (audit,) = audit_split(read_split(root), decode=decode)
    return list(audit.problems)


def only(root: Path, *, decode: bool = False) -> Problem:
    """Audit a split that has one problem."""
    found = problems(root, decode=decode)
    assert len(found) == 1, found
    return found[0]


def image(root: Path, frame: str) -> Path:
    return root / "JPEGImages" / "a" / f"{frame}.jpg"


def mask(root: Path, frame: str) -> Path:
    return root / "Annotations" / "a" / f"{frame}.png"


@pytest.mark.parametrize("decode", [False, True])
def test_a_clean_split_has_no_problems(root: Path, decode: bool) -> None:
    (audit,) = audit_split(read_split(root), decode=decode)
    assert audit.problems == ()
    assert (audit.name, audit.frames, audit.size) == ("a", 4, (24, 32))
    assert (audit.objects, audit.annotated) == ((1, 2), 4)


def test_frames_may_be_every_fifth_and_begin_anywhere(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("00005", "00010", "00015"))
    assert problems(root) == []


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["00001"], "frame 00001 is missing"),
        (["00001", "00002", "00003"], "frames 00001 … 00003 are missing"),
    ],
    ids=["one", "several"],
)
def test_missing_frames_are_found(
    write_split: WriteSplit, gone: list[str], said: str
) -> None:
    root = write_split(("a",), frames=[f"{n:05d}" for n in range(7)])
    for frame in gone:
        image(root, frame).unlink()
    problem = only(root)
    assert (problem.kind, problem.where, problem.what) == ("missing-frame", "a", said)
    assert problem.serious


def test_missing_frames_are_told_from_a_stride(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("00000", "00005", "00010", "00025"))
    assert only(root).what == "frames 00015 … 00020 are missing"


def test_two_gaps_are_two_problems(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("0", "1", "3", "4", "6"))
    assert [problem.what for problem in problems(root)] == [
        "frame 2 is missing",
        "frame 5 is missing",
    ]


def test_two_frames_of_one_number_are_found(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("00000", "00001", "1", "00002"))
    problem = only(root)
    assert (problem.kind, problem.serious) == ("two-files", True)
    assert "a: 00001.jpg and 1.jpg are files of one frame; keep" in problem.what


def test_names_that_are_no_numbers_are_found(root: Path) -> None:
    image(root, "00003").rename(image(root, "last"))
    problem = only(root)
    assert (problem.kind, problem.serious) == ("odd-name", True)
    assert "not named by a number as the others are, such as last.jpg beside" in (
        problem.what
    )


def test_surplus_masks_are_found(root: Path) -> None:
    for frame in ("00004", "00005"):
        mask(root, frame).write_bytes(mask(root, "00003").read_bytes())
    problem = only(root)
    assert problem.kind == "surplus-mask"
    assert problem.where == str(mask(root, "00004"))
    assert problem.what == "2 masks belong to no frame"


@pytest.mark.parametrize("kept", [0.3, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("decode", [False, True])
def test_a_frame_whose_tail_is_cut_is_found(
    root: Path, kept: float, progressive: bool, decode: bool
) -> None:
    path = image(root, "00002")
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", progressive=progressive, quality=95)
    data = stream.getvalue()
    header = data.index(b"\xff\xda")
    path.write_bytes(data[: header + int(kept * (len(data) - header))])
    problem = only(root, decode=decode)
    assert (problem.kind, problem.where) == ("unreadable", str(path))
    assert "truncated" in problem.what


def test_a_frame_padded_at_its_end_is_no_problem(root: Path) -> None:
    path = image(root, "00001")
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert problems(root) == []


def test_a_png_frame_whose_tail_is_cut_is_found(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    for frame in FRAMES:
        image(root, frame).unlink()
        path = image(root, frame).with_suffix(".png")
        # A cut PNG may well end in the bytes that end a JPEG.
        path.write_bytes(stream.getvalue()[:-500] + b"\xff\xd9")
    assert [problem.kind for problem in problems(root)] == ["unreadable"] * 4
    for frame in FRAMES:
        image(root, frame).with_suffix(".png").write_bytes(stream.getvalue())
    assert problems(root) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"\0" * len(data),
        lambda data: b"<html>404</html>",
        lambda data: absurd(data),
    ],
    ids=["empty", "zeros", "html", "absurd size"],
)
@pytest.mark.parametrize("frame", ["00000", "00002"])
def test_a_damaged_header_is_found(
    root: Path, frame: str, damage: Callable[[bytes], bytes]
) -> None:
    path = image(root, frame)
    path.write_bytes(damage(path.read_bytes()))
    problem = only(root)
    assert problem.kind == "unreadable"
    assert problem.what.startswith(f"{path}: cannot be opened as an image")


def absurd(data: bytes) -> bytes:
    """Let the header of a JPEG claim 65,535 × 65,535 pixels."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + b"\xff" * 4 + data[place + 4 :]


def test_damage_in_the_middle_is_found_by_decoding(root: Path) -> None:
    path = image(root, "00001")
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xda") + 20
    data[start : start + 60] = b"\xff\xc4" * 30
    path.write_bytes(data)
    assert problems(root) == []
    assert only(root, decode=True).where == str(path)


def test_a_frame_of_another_size_is_found(root: Path) -> None:
    Image.new("RGB", (30, 24)).save(image(root, "00003"))
    problem = only(root)
    assert (problem.kind, problem.where) == ("size", str(image(root, "00003")))
    assert problem.what == "expected 32×24 as in the first frame, found 30×24"


def test_a_mask_of_another_size_is_found(root: Path) -> None:
    mask(root, "00002").write_bytes(encode(np.ones((24, 30), np.uint8)))
    problem = only(root)
    assert problem.kind == "mask"
    assert "00002.png: expected the size of the video's frames, 32×24" in problem.what


def test_late_objects_are_worth_knowing_and_no_more(root: Path) -> None:
    labels = np.zeros((24, 32), np.uint8)
    for frame in FRAMES[2:]:
        labels[:5, :5] = 2
        labels[5:9, 5:9] = 9
        mask(root, frame).write_bytes(encode(labels))
    (root / "meta.json").unlink()
    problem = only(root)
    assert (problem.kind, problem.where, problem.serious) == ("late-object", "a", False)
    assert "object 9 is not in the first mask; it appears in frame 00002" in (
        problem.what
    )
    (audit,) = audit_split(read_split(root))
    assert audit.objects == (1, 2, 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"length": 5}, "the meta file says length 5, found 4"),
        ({"height": 25}, "the meta file says height 25, found 24"),
        ({"width": 33}, "the meta file says width 33, found 32"),
        ({"objects": [1]}, "the meta file says objects [1], the masks have [1, 2]"),
        ({"objects": []}, "the meta file says objects [], the masks have [1, 2]"),
    ],
    ids=["length", "height", "width", "objects", "no objects"],
)
def test_each_disagreement_with_the_meta_file_is_found(
    write_split: WriteSplit, change: dict[str, Any], said: str
) -> None:
    root = write_split(("a",), frames=FRAMES, meta={"a": {**META, **change}})
    assert only(root) == Problem("meta", "a", said)


def test_a_video_the_meta_file_does_not_know_is_found(write_split: WriteSplit) -> None:
    root = write_split(("a", "b"), frames=FRAMES, meta={"b": META})
    audits = {audit.name: audit.problems for audit in audit_split(read_split(root))}
    assert audits["a"] == (
        Problem("meta", "a", "the meta file does not list this video"),
    )
    assert audits["b"] == ()


def test_a_video_that_only_the_meta_file_has_is_found(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=FRAMES, meta={"a": META, "z": META})
    *_, audit = audit_split(read_split(root))
    assert (audit.name, audit.frames, audit.size) == ("z", 0, None)
    assert [problem.kind for problem in audit.problems] == ["absent"]


def test_a_video_of_one_frame_is_found(write_split: WriteSplit) -> None:
    problem = only(write_split(("a",), frames=("00000",)))
    assert (problem.kind, problem.serious) == ("one-frame", True)


def test_a_video_without_frames_is_found(root: Path) -> None:
    for frame in FRAMES:
        image(root, frame).unlink()
    assert only(root).kind == "no-frames"


def test_an_empty_folder_is_found(write_split: WriteSplit) -> None:
    problem = only(write_split(("a",), frames=()))
    assert (problem.kind, problem.what) == (
        "no-frames",
        "JPEGImages/a is empty; extract the split again",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "frame 00000 has no annotation"),
        (encode(np.zeros((24, 32), np.uint8)), "no mask holds an object"),
        (b"no mask", "is not a PNG"),
    ],
    ids=["missing", "empty", "unreadable"],
)
def test_a_first_mask_that_cannot_be_given_to_a_model_is_found(
    write_split: WriteSplit, content: bytes | None, said: str
) -> None:
    root = write_split(("a",))
    mask(root, "00000").unlink()
    if content is not None:
        mask(root, "00000").write_bytes(content)
    problem = only(root)
    assert problem.kind == "first-mask"
    assert said in problem.what


def test_all_problems_of_a_video_are_reported_together(root: Path) -> None:
    image(root, "00001").unlink()
    image(root, "00003").write_bytes(b"")
    mask(root, "00002").write_bytes(b"")
    video = read_split(root).videos["a"]
    kinds = [problem.kind for problem in audit_video(video).problems]
    assert kinds == ["missing-frame", "unreadable", "surplus-mask", "mask", "meta"]


@pytest.mark.slow
def test_real_clips_have_no_serious_problems(shared_data: Path) -> None:
    for audit in audit_split(read_split(shared_data / "clips"), decode=False):
        assert [problem for problem in audit.problems if problem.serious] == []
