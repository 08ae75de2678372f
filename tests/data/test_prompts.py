"""Files and folders of prompts, checked against a split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.data import GivenPrompts, PackedMask, Split, read_prompts, read_split
from submit.errors import PromptError
from submit.png.palette import encode
from submit.predictors import Absent, Box, Point, Points
from tests.splits import write_masks

WriteSplit = Callable[..., Path]
SIZE = (24, 32)


@pytest.fixture
def split(write_split: WriteSplit) -> Split:
    return read_split(write_split(frames=[f"{n:05d}" for n in range(5)]))


def bar(top: int) -> Any:
    mask = np.zeros(SIZE, bool)
    mask[top : top + 5, 3:9] = True
    return mask


def runs(mask: Any) -> list[int]:
    """Run lengths of a mask that has both values and begins with a zero."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    return [int(run) for run in np.diff([0, *edges, flat.size])]


def write(path: Path, videos: Any, **more: Any) -> Path:
    path.write_text(json.dumps({"version": 1, "videos": videos, **more}))
    return path


EVERY: dict[str, Any] = {
    "b": {"00004": {"2": {"absent": True}}, "00002": {"1": {"box": [1, 2.5, 32, 24]}}},
    "a": {
        "00003": {
            "2": {"points": [[0, 1, 1], [31.5, 23.5, 0]]},
            "1": {"mask": {"size": [24, 32], "counts": runs(bar(6))}},
        }
    },
}


def test_every_kind_is_read_and_frames_come_in_order(
    split: Split, tmp_path: Path
) -> None:
    given = read_prompts(write(tmp_path / "p.json", EVERY), split)
    assert list(given.videos) == ["a", "b"]
    assert list(given.videos["b"]) == ["00002", "00004"]
    assert given.videos["b"]["00002"] == {1: Box(1, 2.5, 32, 24)}
    assert given.videos["b"]["00004"] == {2: Absent()}
    here = given.videos["a"]["00003"]
    assert here[2] == Points((Point(0, 1, True), Point(31.5, 23.5, False)))
    mask = here[1]
    assert isinstance(mask, PackedMask)
    np.testing.assert_array_equal(mask.unpack().pixels, bar(6))


def test_a_folder_says_the_same_as_a_file(split: Split, tmp_path: Path) -> None:
    folder = tmp_path / "painted"
    for video, frame, key in (("b", "00001", 2), ("a", "00003", 1)):
        write_masks(folder / video, {frame: (bar(6) * key).astype(np.uint8)})
    mask = {"mask": {"size": [24, 32], "counts": runs(bar(6))}}
    file = write(
        tmp_path / "p.json",
        {"a": {"00003": {"1": mask}}, "b": {"00001": {"2": mask}}},
    )
    painted, written = read_prompts(folder, split), read_prompts(file, split)
    assert painted.videos == written.videos
    assert painted.digest == written.digest


def test_the_digest_is_that_of_what_is_given(split: Split, tmp_path: Path) -> None:
    def read(videos: Any) -> GivenPrompts:
        return read_prompts(write(tmp_path / "p.json", videos), split)

    first = read(EVERY).digest
    # In another order, and as decimal fractions.
    turned = {name: dict(reversed(EVERY[name].items())) for name in reversed(EVERY)}
    assert read(turned).digest == first
    digests = {first}
    for change in (
        {"b": {"00002": {"1": {"box": [1, 2.5, 31, 24]}}}},
        {"b": {"00003": {"1": {"box": [1, 2.5, 31, 24]}}}},
        {"b": {"00003": {"2": {"box": [1, 2.5, 31, 24]}}}},
        {"a": {"00003": {"2": {"box": [1, 2.5, 31, 24]}}}},
        {"a": {"00003": {"2": {"points": [[1, 2, 1]]}}}},
        {"a": {"00003": {"2": {"points": [[1, 2, 0]]}}}},
        {"a": {"00003": {"2": {"absent": True}}}},
        {"a": {"00003": {"2": EVERY["a"]["00003"]["1"]}}},
    ):
        digests.add(read(change).digest)
    assert len(digests) == 9


def test_prompts_for_videos_that_were_not_asked_for_are_no_mistake(
    split: Split, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.json", EVERY)
    part = read_split(split.root, videos=["a"])
    assert list(part.videos) == ["a"]
    assert read_prompts(path, part).digest == read_prompts(path, split).digest


def test_a_reason_beside_a_prompt_changes_nothing(split: Split, tmp_path: Path) -> None:
    plain = {"a": {"00003": {"1": {"absent": True}}}}
    said = {"a": {"00003": {"1": {"absent": True, "why": "all runs lack it"}}}}
    first = read_prompts(write(tmp_path / "p.json", plain), split)
    assert read_prompts(write(tmp_path / "q.json", said), split).digest == first.digest


def one(prompt: Any) -> Any:
    return {"a": {"00001": {"1": prompt}}}


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({"c": {}}, ": video c: {root} has no such video; remove the prompts"),
        (
            {"a": {"9": {}}},
            ": video a: frame 9: the video has no such frame; its frames are 00000 to "
            "00004",
        ),
        (
            {"a": {"00001": {"7": {"absent": True}}}},
            ": video a: frame 00001: object 7: the video has no such object; it has 1, "
            "2. ",
        ),
        (
            {"a": {"00001": {"01": {"absent": True}}}},
            ': video a: frame 00001: object 01: expected an object id such as "1"',
        ),
        (
            one({"box": [0, 0, 33, 24]}),
            ": video a: frame 00001: object 1: expected a box within the frame of "
            "32×24 (width × height), found [0, 0, 33, 24]",
        ),
        (one({"box": [5, 0, 5, 9]}), "object 1: a box: expected left < right"),
        (one({"box": [0, 0, 5, "9"]}), "expected a box [left, top, right, bottom]"),
        (one({"box": [0, 0, 5, True]}), "expected a box [left, top, right, bottom]"),
        (one({"points": []}), "object 1: points: expected at least one, found none"),
        (one({"points": [[1, 2]]}), "1 (inside) or 0 (outside)], …], found [[1, 2]]"),
        (one({"points": [[1, 2, 3]]}), "1 (inside) or 0 (outside)], …], found"),
        (one({"points": [[1, 24, 1]]}), "points within the frame of 32×24"),
        (one({"mask": {"size": [32, 24], "counts": [768]}}), "expected a mask of the"),
        (one({"mask": {"size": [24, 32], "counts": [1]}}), "add up to 768 pixels"),
        (one({"absent": False}), 'object 1: expected {"absent": true}, found False'),
        (
            one({"box": [0, 0, 1, 1], "absent": True}),
            "object 1: expected one of the keys box, points, mask, absent, found "
            "'box', 'absent'",
        ),
        (one({}), "object 1: expected one of the keys box, points, mask, absent"),
        (one([]), "object 1: expected a table {…}, found []"),
        ([], ": videos: expected a table {…}, found []"),
        ({}, ": holds no prompts; expected a JSON file"),
    ],
)
def test_wrong_prompts_are_named_with_what_was_expected(
    videos: Any, message: str, split: Split, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.json", videos)
    with pytest.raises(PromptError) as caught:
        read_prompts(path, split)
    assert str(caught.value).startswith(f"{path}: ")
    assert message.replace("{root}", str(split.root)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON (Expecting property name"),
        ("[" * 100_000, "is nested too deeply to be read"),
        ("[]", "expected a table {…}, found []"),
        ('{"version": 2, "videos": {}}', "videos and version 2"),
        (
            '{"videos": {}}',
            'expected {"version": 1, "videos": …}, found the keys videos',
        ),
        (
            '{"version": 1, "videos": {}, "more": 1}',
            "found the keys version, videos, m",
        ),
        (
            '{"version": 1, "videos": {"a": {}, "a": {}}}',
            "the key 'a' is given twice in a table",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(
    text: str, message: str, split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PromptError) as caught:
        read_prompts(path, split)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(split: Split, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"q\.json: cannot be read \(No such file"):
        read_prompts(tmp_path / "q.json", split)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("c/00001", bar(3), "has no such video"),
        ("a/1", bar(3), "the video has no such frame"),
        ("a/00001", bar(3)[:20], "expected 32×24 pixels, found "),
        ("a/00001", bar(3) * np.uint8(9), "object 9: the video has no such object"),
        ("a/00001", bar(3) * np.uint8(255), "holds the id 255"),
        ("a/00001", None, "a/00001.png: "),
    ],
    ids=["video", "frame", "size", "object", "void", "damaged"],
)
def test_a_wrong_mask_in_a_folder_is_named(
    name: str, labels: Any, message: str, split: Split, tmp_path: Path
) -> None:
    folder = tmp_path / "painted"
    file = folder / f"{name}.png"
    file.parent.mkdir(parents=True)
    data = b"no PNG" if labels is None else encode(np.asarray(labels, np.uint8))
    file.write_bytes(data)
    with pytest.raises(PromptError) as caught:
        read_prompts(folder, split)
    assert str(caught.value).startswith(str(folder))
    assert message in str(caught.value)
