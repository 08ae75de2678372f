from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from submit.data import VideoMeta, read_split
from submit.errors import MaskError, SplitError
from submit.png.palette import encode

WriteSplit = Callable[..., Path]


def write_meta(path: Path, videos: Any) -> Path:
    path.write_text(json.dumps({"videos": videos}))
    return path


@pytest.mark.parametrize("between", ["", "480p", "Full-Resolution", "1080p"])
def test_the_known_layouts_are_read(write_split: WriteSplit, between: str) -> None:
    root = write_split(("b", "a"), between=between, size=(24, 30))
    split = read_split(root)
    assert list(split.videos) == ["a", "b"]
    video = split.videos["a"]
    assert video.frames == ("00000", "00001", "00002")
    assert list(video.masks) == ["00000"]
    assert video.images["00001"] == root / "JPEGImages" / between / "a" / "00001.jpg"
    assert (video.size, video.height, video.width) == ((24, 30), 24, 30)
    assert video.length == 3
    assert video.objects == (1, 2)
    assert (video.meta, split.meta_path, split.absent) == (None, None, ())


def test_frames_are_in_the_order_of_their_numbers(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=("9", "10", "100", "2"), annotated=4)
    video = read_split(root).videos["a"]
    assert video.frames == ("2", "9", "10", "100")
    assert tuple(video.masks) == video.frames


def test_other_files_are_no_frames_and_no_videos(write_split: WriteSplit) -> None:
    root = write_split(("a",))
    folder = root / "JPEGImages" / "a"
    for name in ("._00000.jpg", ".DS_Store", "Thumbs.db", "list.txt"):
        (folder / name).touch()
    (folder / "00001.jpg").rename(folder / "00001.JPEG")
    (root / "JPEGImages" / ".cache").mkdir()
    (root / "JPEGImages" / "README").touch()
    split = read_split(root)
    assert list(split.videos) == ["a"]
    assert split.videos["a"].frames == ("00000", "00001", "00002")


def test_a_split_without_images_has_the_annotated_frames(
    write_split: WriteSplit, tmp_path: Path
) -> None:
    root = write_split(("a",), annotated=2)
    (root / "JPEGImages").rename(tmp_path / "elsewhere")
    video = read_split(root).videos["a"]
    assert video.frames == ("00000", "00001")
    assert not video.images
    assert video.size == (24, 32)
    assert video.fully_annotated


def test_a_video_without_masks_is_listed(write_split: WriteSplit) -> None:
    root = write_split(("a",), annotated=0)
    video = read_split(root).videos["a"]
    assert video.length == 3
    with pytest.raises(MaskError, match=r"frame 00000 has no .* Annotations/a/00000.p"):
        video.first_mask()


def test_an_empty_video_says_so_when_it_is_used(write_split: WriteSplit) -> None:
    root = write_split(("a",), frames=())
    video = read_split(root).videos["a"]
    with pytest.raises(SplitError, match="video a: has neither frames nor masks"):
        _ = video.size
    with pytest.raises(SplitError, match="video a: has no frames"):
        video.first_mask()
    assert not video.fully_annotated


@pytest.mark.parametrize(("annotated", "complete"), [(1, False), (2, False), (3, True)])
def test_only_a_mask_for_every_frame_is_full_annotation(
    write_split: WriteSplit, annotated: int, complete: bool
) -> None:
    root = write_split(("a",), annotated=annotated)
    assert read_split(root).videos["a"].fully_annotated is complete


def test_masks_of_other_frames_do_not_make_full_annotation(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a",), annotated=3)
    masks = root / "Annotations" / "a"
    (masks / "00002.png").rename(masks / "00003.png")
    assert not read_split(root).videos["a"].fully_annotated


def test_a_folder_that_is_not_there_points_to_the_sample(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"gone: no such folder; .*submit sample"):
        read_split(tmp_path / "gone")


def test_a_folder_without_videos_points_to_the_split_inside(
    write_split: WriteSplit, tmp_path: Path
) -> None:
    root = write_split(root="MOSEv2/valid")
    with pytest.raises(
        SplitError, match=r"holds no videos; .* did you mean .*/valid\?"
    ):
        read_split(root.parent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SplitError, match=r"expected JPEGImages/<video>/<frame>\.jpg"):
        read_split(tmp_path / "empty")


META = VideoMeta(length=3, height=24, width=32, objects=(2, 10))


@pytest.mark.parametrize(
    "objects",
    [[10, 2], ["2", "10"], {"10": {"category": "cat"}, "2": {}}],
    ids=["numbers", "texts", "keys"],
)
def test_the_meta_file_may_write_objects_in_three_ways(
    write_split: WriteSplit, objects: Any
) -> None:
    entry = {"length": 3, "height": 24, "width": "32", "objects": objects, "fps": 5}
    root = write_split(("a",), meta={"a": entry})
    split = read_split(root)
    assert split.meta_path == root / "meta.json"
    assert split.videos["a"].meta == META
    assert split.videos["a"].objects == (2, 10)


def test_the_meta_file_may_be_silent(write_split: WriteSplit) -> None:
    root = write_split(("a", "b"), meta={"a": {}})
    videos = read_split(root).videos
    assert videos["a"].meta == VideoMeta()
    assert videos["a"].objects == (1, 2)
    assert videos["b"].meta is None


def test_videos_that_only_the_meta_file_knows_are_absent(
    write_split: WriteSplit,
) -> None:
    root = write_split(("b",), meta={"c": {}, "b": {}, "a": {}})
    assert read_split(root).absent == ("a", "c")


def test_of_several_meta_files_the_one_that_knows_all_videos_is_taken(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a", "b"))
    write_meta(root / "meta_train.json", {"x": {}, "a": {}})
    fitting = write_meta(root / "meta_valid.json", {"a": {}, "b": {}, "c": {}})
    assert read_split(root).meta_path == fitting
    assert read_split(root, meta=fitting).meta_path == fitting


def test_the_first_mask_is_the_map_of_ids(write_split: WriteSplit) -> None:
    root = write_split(("a",), objects=(3, 254))
    labels = read_split(root).videos["a"].first_mask()
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 3, 254}


def rgb() -> Image.Image:
    return Image.new("RGB", (32, 24))


def deep() -> Image.Image:
    return Image.fromarray(np.zeros((24, 32), np.uint16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image.new("P", (24, 32)), "expected the size .* 32×24, found 24×32"),
        (lambda: Image.new("L", (32, 24), 255), "holds the id 255, which marks void"),
        (rgb, "expected a palette PNG .* 8-bit RGB"),
        (deep, "expected a palette PNG .* 16-bit grey"),
    ],
    ids=["size", "void", "rgb", "16-bit"],
)
def test_a_bad_first_mask_is_said_with_its_file(
    write_split: WriteSplit, make: Callable[[], Image.Image], message: str
) -> None:
    path = write_split(("a",)) / "Annotations" / "a" / "00000.png"
    make().save(path)
    with pytest.raises(MaskError, match=f"a/00000.png: {message}"):
        read_split(path.parents[2]).videos["a"].first_mask()


def test_damaged_masks_and_frames_are_said_with_their_files(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a",))
    mask, image = root / "Annotations/a/00000.png", root / "JPEGImages/a/00000.jpg"
    mask.write_bytes(mask.read_bytes()[:-20])
    with pytest.raises(MaskError, match=r"Annotations/a/00000\.png: is truncated"):
        read_split(root).videos["a"].first_mask()
    image.write_bytes(b"no picture")
    with pytest.raises(SplitError, match=r"JPEGImages/a/00000\.jpg: cannot be opened"):
        _ = read_split(root).videos["a"].size


def test_fingerprints_are_those_of_the_task_and_not_of_the_place(
    write_split: WriteSplit,
) -> None:
    root = write_split(("a", "b"))
    before = read_split(root)
    assert before.videos["a"].fingerprint != before.videos["b"].fingerprint
    fingerprint = before.fingerprint
    (root / "JPEGImages/a/00001.jpg").touch()
    moved = root.rename(root.with_name("moved"))
    write_meta(moved / "meta.json", {"a": {}, "b": {}})
    assert read_split(moved).fingerprint == fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "JPEGImages/a/00002.jpg").unlink(),
        lambda root: (root / "JPEGImages/a/00002.jpg").rename(
            root / "JPEGImages/a/00003.jpg"
        ),
        lambda root: (root / "Annotations/a/00000.png").unlink(),
        lambda root: (root / "Annotations/a/00000.png").write_bytes(
            encode(np.ones((24, 32), np.uint8))
        ),
        lambda root: [
            (root / folder / "a").rename(root / folder / "c")
            for folder in ("JPEGImages", "Annotations")
        ],
    ],
    ids=["frame gone", "frame renamed", "mask gone", "mask changed", "video renamed"],
)
def test_fingerprints_change_with_the_task(
    write_split: WriteSplit, change: Callable[[Path], object]
) -> None:
    root = write_split(("a", "b"))
    before = read_split(root).fingerprint
    change(root)
    assert read_split(root).fingerprint != before


def test_videos_are_selected_by_patterns(write_split: WriteSplit) -> None:
    split = read_split(write_split(("cat1", "cat2", "dog")))

    def select(*patterns: str) -> list[str]:
        return [video.name for video in split.select(patterns)]

    assert select() == ["cat1", "cat2", "dog"]
    assert select("dog") == ["dog"]
    assert select("dog", "cat?") == ["cat1", "cat2", "dog"]
    assert select("*[!1]") == ["cat2", "dog"]
    for pattern in ("DOG", "x*", ""):
        with pytest.raises(
            SplitError, match=r"no video matches .*[iI]t has 3 videos, such"
        ):
            select("dog", pattern)


def test_a_video_travels_to_a_worker(write_split: WriteSplit) -> None:
    video = read_split(write_split(("a",))).videos["a"]
    there = pickle.loads(pickle.dumps(video))
    assert there == video
    assert there.size == video.size


def test_real_clips_are_read(shared_data: Path) -> None:
    split = read_split(shared_data / "clips")
    video = split.videos["bmx-trees"]
    assert video.fully_annotated
    assert video.objects == (1,)
    assert video.first_mask().shape == video.size
