"""Masks as COCO RLE, in each of the forms that programs write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.masks import encode_rle
from submit.runs import Run
from tests.pipeline.scores import RUN, exported, take
from tests.submissions import FRAMES, SIZE, VIDEOS, A, B, C, labels_of, write_split

NAMES = [f"{frame:05}" for frame in range(FRAMES)]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_split(write_split(tmp_path / "split"))


def rle_of(video: str, frame: int, key: int) -> dict[str, Any]:
    return encode_rle(labels_of(video, frame) == key)


def tables() -> dict[str, Any]:
    return {
        video: {
            name: {str(key): rle_of(video, frame, key) for key in objects}
            for frame, name in enumerate(NAMES)
        }
        for video, objects in VIDEOS.items()
    }


def dataset() -> dict[str, Any]:
    """As COCO has it, with counts as lists."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video, objects in VIDEOS.items():
        for frame, name in enumerate(NAMES):
            images.append(
                {"id": len(images), "file_name": f"JPEGImages/{video}/{name}.jpg"}
            )
            for key in objects:
                mask = labels_of(video, frame) == key
                flat = np.concatenate([[False], mask.T.ravel()])
                edges = np.flatnonzero(np.diff(flat))
                runs = np.diff([0, *edges, mask.size]).tolist()
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": len(images) - 1,
                        "track_id": key,
                        "segmentation": {"size": list(SIZE), "counts": runs},
                    }
                )
    return {"images": images, "annotations": annotations}


def with_videos() -> dict[str, Any]:
    """As TAO has it: names of videos in a table of their own."""
    content = dataset()
    content["videos"] = [{"id": at, "name": name} for at, name in enumerate(VIDEOS)]
    for image in content["images"]:
        _, video, name = image["file_name"].split("/")
        image.update(video_id=list(VIDEOS).index(video), file_name=name)
    return content


def results() -> list[dict[str, Any]]:
    """A list of results whose images are paths."""
    content = dataset()
    for entry in content["annotations"]:
        path = content["images"][entry["image_id"]]["file_name"]
        entry["image_id"] = path.removeprefix("JPEGImages/").removesuffix(".jpg")
    return list(content["annotations"])


def tracks() -> dict[str, Any]:
    """As YouTube-VIS has it."""
    videos = [
        {"id": at, "file_names": [f"{video}/{name}.jpg" for name in NAMES]}
        for at, video in enumerate(VIDEOS)
    ]
    annotations = [
        {
            "video_id": at,
            "track_id": key,
            "segmentations": [rle_of(video, f, key) for f in range(FRAMES)],
        }
        for at, (video, objects) in enumerate(VIDEOS.items())
        for key in objects
    ]
    return {"videos": videos, "annotations": annotations}


def is_right(split: Split) -> None:
    assert not Run.open(split.root.parent / RUN).is_soft
    for video in VIDEOS:
        for frame, found in enumerate(exported(split, video)):
            assert np.array_equal(found, labels_of(video, frame)), (video, frame)


@pytest.mark.parametrize("make", [tables, dataset, with_videos, results, tracks])
def test_each_form_of_a_file_of_all_videos(
    split: Split, tmp_path: Path, make: Callable[[], Any]
) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(make()))
    key = None if make is tables else "track_id"
    outcome = take(path, split, object_key=key)
    assert not outcome.failed
    is_right(split)
    assert take(path, split, object_key=key).skipped == sorted(VIDEOS)


def test_a_file_for_each_video(split: Split, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for video, frames in tables().items():
        (tmp_path / "in" / f"{video}.json").write_text(json.dumps(frames))
    assert not take(tmp_path / "in", split).failed
    is_right(split)


def test_a_change_of_one_video_is_noticed(split: Split, tmp_path: Path) -> None:
    path, content = tmp_path / "masks.json", tables()
    path.write_text(json.dumps(content))
    take(path, split)
    content[A]["00003"]["1"] = None
    path.write_text(json.dumps(content))
    assert take(path, split).done == [A]
    assert not (exported(split, A)[3] == 1).any()


def test_the_lowest_id_wins_and_the_higher_score(split: Split, tmp_path: Path) -> None:
    content = dataset()
    everywhere = encode_rle(np.ones(SIZE, np.bool_))
    for entry in content["annotations"]:
        entry["score"] = 0.5
    more = {"image_id": 3, "track_id": 2, "segmentation": everywhere, "score": 0.9}
    content["annotations"].append(more)
    (tmp_path / "masks.json").write_text(json.dumps(content))
    take(tmp_path / "masks.json", split, object_key="track_id")
    found = exported(split, A)[3]
    assert np.array_equal(found == 1, labels_of(A, 3) == 1)
    assert np.array_equal(found == 2, labels_of(A, 3) != 1)


def changed(make: Callable[[], Any], change: Callable[[Any], object]) -> Any:
    content = make()
    change(content)
    return content


def in_image_seven(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        entry["image_id"] = 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            changed(tables, lambda c: c[A].pop("00003")),
            "lacks 1 of 6 masks, such as 00003",
        ),
        (
            changed(tables, lambda c: c[A]["00003"].update({"7": None})),
            "frame 00003: has the object 7; the video has 1, 2",
        ),
        (
            changed(tables, lambda c: c[A]["00003"]["1"].update(size=[3, 4])),
            "frame 00003: object 1: expected a mask of the frame's size, [24, 32]",
        ),
        (
            changed(tables, lambda c: c[A]["00003"]["1"].update(counts="0")),
            "frame 00003: object 1: expected counts",
        ),
    ],
)
def test_a_video_that_does_not_fit_is_refused_alone(
    split: Split, tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    outcome = take(path, split)
    assert sorted(outcome.done) == [B, C]
    assert words in outcome.failed[A]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (5, "expected .*images.* found 5"),
        (
            {A: {"00001": {"one": None}}},
            "frame 00001: object one: expected an object id",
        ),
        ({A: []}, r"video .*: expected a table .*found \[\]"),
        (
            dataset(),
            "annotation 0: has no field object_id, .* such as --object-key track_id",
        ),
        (
            changed(dataset, lambda c: c["annotations"][0].update(object_id="a")),
            "object_id: expected an integer, found 'a'",
        ),
        (
            changed(results, in_image_seven),
            r'entry 0: has the image_id 7, .* write {"images": \[{"id": 7',
        ),
        (
            changed(
                tracks,
                lambda c: c["annotations"][0].update(segmentations=[], object_id=1),
            ),
            "segmentations: expected one for each of the 6 file_names of its "
            "video, found 0",
        ),
        (
            changed(tracks, lambda c: c["annotations"][0].update(video_id=9)),
            "has the video_id 9, and videos has none",
        ),
        (
            {"images": [], "annotations": [{"image_id": 1}]},
            "has the image_id 1, and images has none of it",
        ),
        (
            {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": []},
            "expected a path <video>/<frame>.jpg, found 'x.jpg'",
        ),
        (
            {
                "images": [{"id": 1, "file_name": "a/x.jpg"}],
                "annotations": [
                    {"image_id": 1, "object_id": 1, "segmentation": [[1, 2, 3]]}
                ],
            },
            "is a polygon; expected COCO RLE",
        ),
        (
            {
                "images": [{"id": 1, "file_name": "a/x.jpg"}],
                "annotations": [
                    {"image_id": 1, "object_id": 1},
                    {"image_id": 1, "object_id": 1},
                ],
            },
            "object 1 is also in annotation 0; leave one, or write scores",
        ),
        (
            {"images": [{"id": 1}, {"id": 1}], "annotations": []},
            "images: entry 1: expected an id that no other entry has",
        ),
    ],
)
def test_files_that_do_not_say_what_is_needed_are_refused(
    split: Split, tmp_path: Path, content: Any, words: str
) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ArchiveError, match=words) as caught:
        take(path, split)
    assert str(caught.value).startswith(f"{path}: ")


def test_boxes_are_no_masks(split: Split, tmp_path: Path) -> None:
    image = {"id": 1, "file_name": f"{A}/00001.jpg"}
    entry = {"image_id": 1, "object_id": 1, "bbox": [1, 2, 3, 4]}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"images": [image], "annotations": [entry]}))
    assert "has a box and no segmentation" in take(path, split).failed[A]


def test_text_that_is_no_json_is_named(split: Split, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"masks\.json: is not JSON"):
        take(tmp_path / "masks.json", split)
