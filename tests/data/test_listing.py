from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from submit.data import Split, audit_split, read_split
from submit.errors import SplitError, SubmitError
from submit.png.palette import encode

WriteSplit = Callable[..., Path]


@pytest.fixture(params=["", "480p"], ids=["flat", "DAVIS"])
def between(request: pytest.FixtureRequest) -> str:
    """The folder between `JPEGImages` or `Annotations` and the videos."""
    return str(request.param)


def copy(folder: Path, source: str, *targets: str) -> None:
    for target in targets:
        shutil.copyfile(folder / source, folder / target)


def doubts(split: Split, video: str = "a") -> list[str]:
    one = split.videos[video]
    return [doubt.what for doubt in (*one.image_doubts, *one.mask_doubts)]


@pytest.mark.parametrize(
    "frames",
    [
        ["f1", "f2", "f9", "f10", "f11"],
        ["1", "2", "10", "100"],
        ["00008", "00009", "00010", "100000"],
        ["-10", "-2", "-1", "0", "1"],
        ["v1_f9", "v1_f10", "v2_f1"],
        ["alpha", "beta", "gamma"],
    ],
    ids=lambda frames: frames[0],
)
def test_frames_go_in_natural_order(write_split: WriteSplit, frames: list[str]) -> None:
    shuffled = random.Random(1).sample(frames, len(frames))
    video = read_split(write_split(("a",), frames=shuffled, annotated=9)).videos["a"]
    assert list(video.frames) == list(video.images) == list(video.masks) == frames
    video.require_images()
    video.require_masks()


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        ("00001.png", "00001.jpg and 00001.png are files of one frame"),
        ("00001.jpeg", "00001.jpeg and 00001.jpg are files of one frame"),
        ("00001.JPG", "00001.JPG and 00001.jpg are files of one frame"),
        ("1.jpg", "00001.jpg and 1.jpg are files of one frame"),
        ("00001.tif", "00001.jpg and 00001.tif are files of one frame"),
    ],
)
def test_two_files_of_one_frame_are_refused_whatever_the_order_of_the_folder(
    write_split: WriteSplit,
    monkeypatch: pytest.MonkeyPatch,
    between: str,
    twin: str,
    said: str,
) -> None:
    root = write_split(("a",), between=between)
    copy(root / "JPEGImages" / between / "a", "00001.jpg", twin)
    found = []
    for turned in (False, True):

        def listed(path: Path, turned: bool = turned) -> list[str]:
            return sorted((entry.name for entry in os.scandir(path)), reverse=turned)

        monkeypatch.setattr("submit.data.listing.os.listdir", listed)
        found.append(read_split(root))
    assert found[0] == found[1]
    video = found[0].videos["a"]
    assert len(video.frames) == 3
    (doubt,) = doubts(found[0])
    assert said in doubt
    with pytest.raises(SplitError, match="keep one file for each frame"):
        video.require_images()
    with pytest.raises(SplitError, match=r"video a: .*are files of one frame"):
        _ = video.size
    (audit,) = audit_split(found[0])
    assert [(p.kind, p.serious) for p in audit.problems] == [("two-files", True)]


def test_names_that_differ_in_case_only_are_one_frame(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("A1", "A2"))
    copy(root / "JPEGImages" / "a", "A2.jpg", "a2.JPG")
    (doubt,) = doubts(read_split(root))
    assert "A2.jpg and a2.JPG are files of one frame" in doubt


def test_how_many_frames_have_several_files_is_said(write_split: WriteSplit) -> None:
    root = write_split(("a",))
    for frame in ("00000", "00001", "00002"):
        copy(root / "JPEGImages" / "a", f"{frame}.jpg", f"{frame}.png", f"{frame}.bmp")
    (doubt,) = doubts(read_split(root))
    assert "00000.bmp and 00000.jpg and 00000.png are files of one frame" in doubt
    assert "(2 more frames with several files)" in doubt


@pytest.mark.parametrize("twin", ["00000.PNG", "00000.jpg", "00000.gif", "0.png"])
def test_two_files_of_one_mask_are_refused(
    write_split: WriteSplit, between: str, twin: str
) -> None:
    root = write_split(("a",), between=between)
    copy(root / "Annotations" / between / "a", "00000.png", twin)
    split = read_split(root)
    video = split.videos["a"]
    (doubt,) = doubts(split)
    assert "are files of one frame" in doubt
    video.require_images()
    for read in (video.first_mask, lambda: video.packed_mask("00000")):
        with pytest.raises(SplitError, match="keep one file for each frame"):
            read()
    (audit,) = audit_split(split)
    assert [(p.kind, p.serious) for p in audit.problems] == [("two-files", True)]


@pytest.mark.parametrize("name", ["00000.json", "notes.txt", "Thumbs.db", "x.npy"])
def test_files_that_are_no_images_do_not_matter(
    write_split: WriteSplit, name: str
) -> None:
    root = write_split(("a",))
    before = read_split(root)
    for folder in ("JPEGImages", "Annotations"):
        (root / folder / "a" / name).write_bytes(b"x")
    assert read_split(root) == before
    assert doubts(before) == []


def test_a_name_that_is_no_number_among_numbers_is_refused(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a",))
    copy(root / "JPEGImages" / "a", "00000.jpg", "cover.jpg", "thumb.jpg")
    (doubt,) = doubts(read_split(root))
    assert "2 files are not named by a number as the others are" in doubt
    assert "such as cover.jpg beside 00000.jpg" in doubt


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tif", ".TIFF", ".jpeg", ".PNG"])
def test_frames_of_other_formats_are_read(write_split: WriteSplit, suffix: str) -> None:
    root = write_split(("a",))
    for path in sorted((root / "JPEGImages" / "a").iterdir()):
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix))
        path.unlink()
    (audit,) = audit_split(read_split(root))
    assert audit.problems == ()
    assert (audit.frames, audit.size) == (3, (24, 32))


def test_a_folder_without_frames_says_what_it_holds(write_split: WriteSplit) -> None:
    root = write_split(("a", "b", "c", "d"))
    for video in "abc":
        shutil.rmtree(root / "JPEGImages" / video)
    (root / "JPEGImages" / "b").mkdir()
    (root / "JPEGImages" / "c").mkdir()
    (root / "JPEGImages" / "c" / "00000.heic").write_bytes(b"x")
    split = read_split(root)
    assert doubts(split, "a") == ["has no folder JPEGImages/a; extract the split again"]
    assert doubts(split, "b") == ["JPEGImages/b is empty; extract the split again"]
    assert doubts(split, "c") == [
        "JPEGImages/c holds 1 file and no frame, such as 00000.heic; frames are .jpg, "
        ".png, .bmp, .webp or .tif files"
    ]
    kinds = [[p.kind for p in audit.problems] for audit in audit_split(split)]
    assert kinds == [["no-frames"]] * 3 + [[]]


def test_masks_that_are_no_pngs_are_named(write_split: WriteSplit) -> None:
    root = write_split(("a",))
    path = root / "Annotations" / "a" / "00000.png"
    path.rename(path.with_suffix(".gif"))
    (doubt,) = doubts(read_split(root))
    assert "Annotations/a holds no PNG, but 00000.gif" in doubt


JUNK = ("@eaDir", "lost+found", "__MACOSX", "$RECYCLE.BIN")


def test_folders_that_are_no_videos_do_not_count_and_are_said_once(
    write_split: WriteSplit, between: str
) -> None:
    root = write_split(between=between)
    clean = read_split(root)
    folder = root / "JPEGImages" / between
    for name in (*JUNK, "empty", "texts", "folders/inner", ".hidden"):
        (folder / name).mkdir(parents=True)
    for name in ("@eaDir", ".hidden"):
        (folder / name / "00000.jpg").write_bytes(b"x")
    (folder / "texts" / "readme.txt").write_text("x")
    (folder / ".DS_Store").write_bytes(b"x")
    (root / "Annotations" / between / "@eaDir").mkdir()
    split = read_split(root)
    assert split.videos == clean.videos
    assert split.fingerprint == clean.fingerprint
    (note,) = split.notes
    assert note == (
        f"{root}: 7 folders are not videos and not counted: $RECYCLE.BIN, @eaDir, "
        "__MACOSX and 4 more"
    )


def test_an_empty_folder_that_something_speaks_for_is_a_broken_video(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a", "b", "c"), meta={"a": {}, "b": {}, "c": {}, "x": {}})
    for video in ("a", "b"):
        shutil.rmtree(root / "JPEGImages" / video)
        (root / "JPEGImages" / video).mkdir()
    shutil.rmtree(root / "Annotations" / "b")
    (root / "JPEGImages" / "x").mkdir()
    (root / "JPEGImages" / "y").mkdir()
    split = read_split(root)
    assert list(split.videos) == ["a", "b", "c", "x"]
    assert "1 folder is not a video and not counted: y" in split.notes[0]
    bad = [a.name for a in audit_split(split) if any(p.serious for p in a.problems)]
    assert bad == ["a", "b", "x"]


def test_a_split_of_no_videos_says_so(write_split: WriteSplit, tmp_path: Path) -> None:
    root = write_split(("a",))
    with pytest.raises(SplitError, match=rf"did you mean {root}\?"):
        read_split(root / "JPEGImages")
    shutil.rmtree(root / "JPEGImages" / "a")
    shutil.rmtree(root / "Annotations" / "a")
    (root / "JPEGImages" / "@eaDir").mkdir()
    with pytest.raises(SplitError, match="holds no videos; expected JPEGImages"):
        read_split(root)


def test_a_link_that_leads_nowhere_is_a_broken_video(write_split: WriteSplit) -> None:
    root = write_split(("a", "b"))
    gone = root / "gone"
    (root / "JPEGImages" / "a").rename(gone)
    (root / "JPEGImages" / "a").symlink_to(gone)
    assert doubts(read_split(root)) == []
    shutil.rmtree(gone)
    (doubt,) = doubts(read_split(root))
    assert f"is a link to {gone}, which is not there" in doubt
    (audit, _) = audit_split(read_split(root))
    assert [problem.kind for problem in audit.problems] == ["unreadable"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_costs_no_other_video(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a", "b"))
    folder = root / "JPEGImages" / "a"
    folder.chmod(0)
    split = read_split(root)
    folder.chmod(0o755)
    assert "cannot be listed (Permission denied)" in doubts(split)[0]
    assert doubts(split, "b") == []


def test_names_that_are_no_text_are_refused(write_split: WriteSplit) -> None:
    root = write_split(("a", "b"))
    folder = os.fsencode(root / "JPEGImages")
    os.rename(folder + b"/a/00001.jpg", folder + b"/a/\xff.jpg")
    (doubt,) = doubts(read_split(root))
    assert r"1 name is no UTF-8 text, such as '\xff.jpg'; rename it" in doubt
    assert doubts(read_split(root), "b") == []
    os.rename(folder + b"/a", folder + b"/\xfe")
    with pytest.raises(SplitError, match=r"no UTF-8 text, such as '\\xfe'; rename it"):
        read_split(root)


def test_both_folders_are_read_at_one_resolution(write_split: WriteSplit) -> None:
    root = write_split(("a",), between="Full-Resolution", size=(48, 64))
    small = write_split(("a", "b"), between="480p", root="small")
    (small / "Annotations" / "480p").rename(root / "Annotations" / "480p")
    split = read_split(root)
    assert list(split.videos) == ["a"]
    assert split.videos["a"].first_mask().shape == (48, 64)


def test_some_videos_are_listed_without_a_look_at_others(
    write_split: WriteSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_split(("cat1", "cat2", "dog", "[x]"), meta={"cat1": {}, "cat9": {}})
    whole = read_split(root)
    looked: list[str] = []
    real = os.listdir

    def listdir(path: Path) -> list[str]:
        looked.append(path.name)
        return real(path)

    monkeypatch.setattr("submit.data.listing.os.listdir", listdir)
    split = read_split(root, videos=["cat?"])
    assert set(looked) == {"cat1", "cat2"}
    assert list(split.videos) == ["cat1", "cat2"]
    assert split.others == ("[x]", "dog")
    assert split.absent == ("cat9",)
    assert split.subset_note == f"2 of 4 videos of {root} only (--videos)"
    assert split.fingerprint == whole.fingerprint
    assert whole.subset_note is None
    assert list(read_split(root, videos=["[x]", "d*"]).videos) == ["[x]", "dog"]
    with pytest.raises(
        SplitError,
        match=r"no video matches 'DOG'; did you mean 'dog'\? It has 4 videos,",
    ):
        read_split(root, videos=["dog", "DOG"])


def test_pipes_and_folders_in_place_of_masks_are_errors_and_never_wait(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a", "b"))
    for video, make in (("a", os.mkfifo), ("b", os.mkdir)):
        path = root / "Annotations" / video / "00000.png"
        path.unlink()
        make(path)
    split = read_split(root)
    assert split.fingerprint
    for one in split.videos.values():
        with pytest.raises(SubmitError, match=r"cannot be read \(it is not a regular"):
            one.first_mask()


def test_a_mask_of_another_size_is_not_decoded(write_split: WriteSplit) -> None:
    root = write_split(("a",))
    path = root / "Annotations" / "a" / "00000.png"
    data = encode(np.ones((24, 30), np.uint8))
    # Without its pixels, which are not read.
    path.write_bytes(data[: data.index(b"IDAT") - 4])
    with pytest.raises(SubmitError, match=r"expected the size .* 32×24, found 30×24"):
        read_split(root).videos["a"].first_mask()
