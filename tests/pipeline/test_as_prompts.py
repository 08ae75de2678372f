"""`submit import --as-prompts`: masks, runs and detections become prompts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.data import FrameSelection, PackedMask, Split, read_prompts, read_split
from submit.errors import SettingsError
from submit.masks import encode_rle
from submit.png.palette import read, write
from submit.predictors import Absent, Box
from tests.pipeline.scores import logits_of, overlaid_of
from tests.submissions import (
    FRAMES,
    SIZE,
    VIDEOS,
    A,
    B,
    C,
    labels_of,
    write_masks,
    write_split,
    zip_up,
)

Submit = Callable[..., Result]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_split(write_split(tmp_path / "split"))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


@pytest.fixture
def submit(runner: CliRunner, tmp_path: Path, split: Split) -> Submit:
    def invoke(*arguments: object) -> Result:
        rest = ["--split", split.root, "--runs", tmp_path / "runs"]
        return runner.invoke(cli, [str(part) for part in (*arguments, *rest)])

    return invoke


def prompts(submit: Submit, source: object, output: Path, *more: object) -> Result:
    return submit("import", source, "--as-prompts", "-o", output, *more)


def error(result: Result) -> str:
    assert result.exit_code == 1, result.output
    (line,) = [row for row in result.stderr.splitlines() if row.startswith("Error: ")]
    return line.removeprefix("Error: ")


def is_given(split: Split, path: Path, frames: Sequence[int]) -> None:
    """The file or folder says exactly what the masks show in these frames."""
    given = read_prompts(path, split).videos
    assert sorted(given) == sorted(VIDEOS)
    for video, objects in VIDEOS.items():
        assert list(given[video]) == [f"{frame:05}" for frame in frames]
        for frame, found in zip(frames, given[video].values(), strict=True):
            assert sorted(found) == sorted(objects)
            for key, prompt in found.items():
                truth = labels_of(video, frame) == key
                assert prompt == PackedMask.of(truth), (video, frame, key)


@pytest.mark.parametrize("output", ["prompts.json", "prompts"])
@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (None, range(1, FRAMES)),
        ("2,00004", [2, 4]),
        ("0-3", [1, 2, 3]),
        ("every:2,last", [2, 4, 5]),
        ("all", range(1, FRAMES)),
    ],
)
def test_masks_become_prompts_of_chosen_frames(
    submit: Submit,
    split: Split,
    masks: Path,
    tmp_path: Path,
    output: str,
    frames: str | None,
    expected: Sequence[int],
) -> None:
    chosen = () if frames is None else ("--frames", frames)
    result = prompts(submit, masks, tmp_path / output, *chosen)
    assert result.exit_code == 0, result.output
    is_given(split, tmp_path / output, expected)


def folders_of_objects(root: Path) -> None:
    for video, objects in VIDEOS.items():
        for key in objects:
            (root / video / f"{key:03}").mkdir(parents=True)
            for frame in (1, 4):
                mask = Image.fromarray(labels_of(video, frame) == key)
                mask.save(root / video / f"{key:03}" / f"{frame:05}.png")


def sparse_masks(root: Path) -> None:
    for video in VIDEOS:
        (root / video).mkdir(parents=True)
        for frame in (1, 4):
            write(root / video / f"{frame:05}.png", labels_of(video, frame))


def zipped_masks(root: Path) -> None:
    sparse_masks(root.with_name("z"))
    zip_up(root.with_name("z"), root.with_name("in.zip"))


def tables(root: Path) -> None:
    content = {
        video: {
            f"{frame:05}": {
                str(key): encode_rle(labels_of(video, frame) == key) for key in objects
            }
            for frame in (4, 1)
        }
        for video, objects in VIDEOS.items()
    }
    root.with_suffix(".json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (sparse_masks, "in"),
        (zipped_masks, "in.zip"),
        (folders_of_objects, "in"),
        (tables, "in.json"),
    ],
)
def test_any_layout_gives_prompts_of_the_frames_that_it_has(
    submit: Submit,
    split: Split,
    tmp_path: Path,
    make: Callable[[Path], None],
    name: str,
) -> None:
    make(tmp_path / "in")
    result = prompts(submit, tmp_path / name, tmp_path / "p.json")
    assert result.exit_code == 0, result.output
    is_given(split, tmp_path / "p.json", [1, 4])


def test_a_run_gives_its_masks(
    submit: Submit, split: Split, masks: Path, tmp_path: Path
) -> None:
    assert submit("import", masks, "--name", "hard").exit_code == 0
    result = prompts(submit, "hard", tmp_path / "p.json", "--frames", "3")
    assert result.exit_code == 0, result.output
    is_given(split, tmp_path / "p.json", [3])


def test_a_soft_run_gives_the_masks_that_it_exports(
    submit: Submit, split: Split, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    array = np.stack([logits_of(B, frame) for frame in range(FRAMES)])
    np.save(tmp_path / "in" / f"{B}.npy", array)
    assert submit("import", tmp_path / "in", "--name", "soft").exit_code == 0
    for source in ("soft", tmp_path / "in"):
        result = prompts(submit, source, tmp_path / "p.json", "--frames", "3")
        assert result.exit_code == 0, result.output
        (given,) = read_prompts(tmp_path / "p.json", split).videos[B].values()
        assert given == {1: PackedMask.of(overlaid_of(B, 3) == 1)}


def test_objects_that_a_mask_lacks_are_absent_where_that_is_asked_for(
    submit: Submit, split: Split, masks: Path, tmp_path: Path
) -> None:
    labels = labels_of(A, 3)
    labels[labels == 2] = 0
    write(masks / A / "00003.png", labels)
    for more, expected in (((), {1}), (("--absences",), {1, 2})):
        chosen = ("--frames", "3", "--videos", A)
        prompts(submit, masks, tmp_path / "p.json", *chosen, *more)
        (given,) = read_prompts(tmp_path / "p.json", split).videos[A].values()
        assert given.keys() == expected
    assert given[2] == Absent()
    line = error(prompts(submit, masks, tmp_path / "folder", "--absences"))
    assert "a folder of PNGs cannot say that an object is absent" in line


def detections() -> dict[str, Any]:
    images = [
        {"id": 7, "file_name": f"{A}/00002.jpg"},
        {"id": 8, "file_name": f"{A}/00000.jpg"},
        {"id": 9, "file_name": f"{C}/00004.jpg"},
    ]
    annotations = [
        {"image_id": 7, "category_id": 1, "bbox": [4, 2.5, 10, 8], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.4},
        {"image_id": 7, "category_id": 2, "bbox": [-3, 20, 90, 9], "score": 0.2},
        {"image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1},
        {
            "image_id": 9,
            "category_id": 3,
            "bbox": [0, 0, 9, 9],
            "segmentation": encode_rle(labels_of(C, 4) == 3),
            "score": 0.8,
        },
    ]
    return {"images": images, "annotations": annotations}


def save(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def test_detections_become_boxes_and_masks(
    submit: Submit, split: Split, tmp_path: Path
) -> None:
    source = save(tmp_path, detections())
    more = ("--object-key", "category_id")
    result = prompts(submit, source, tmp_path / "p.json", *more, "--json")
    assert result.exit_code == 0, result.output
    given = read_prompts(tmp_path / "p.json", split).videos
    # The better one of two boxes, cut at the frame; the mask before the box.
    assert given[A] == {"00002": {1: Box(4, 2.5, 14, 10.5), 2: Box(0, 20, 32, 24)}}
    assert given[C] == {"00004": {3: PackedMask.of(labels_of(C, 4) == 3)}}
    assert json.loads(result.stdout) == {
        "prompts": str(tmp_path / "p.json"),
        "masks": 1,
        "boxes": 2,
        "absences": 0,
        "videos": 2,
        "objects": 3,
        "remarks": {"left out, in the first frame the split has a mask": 1},
    }
    written = json.loads((tmp_path / "p.json").read_text())
    assert written["videos"][A]["00002"]["1"] == {
        "box": [4, 2.5, 14, 10.5],
        "why": f"from {source}: annotation 0, score 0.9",
    }
    result = prompts(submit, source, tmp_path / "p.json", *more, "--min-score", "0.5")
    assert "left out, score below 0.5: 1" in result.stderr
    given = read_prompts(tmp_path / "p.json", split).videos
    assert given[A]["00002"].keys() == {1}


def test_a_mask_that_is_null_is_an_absence(
    submit: Submit, split: Split, tmp_path: Path
) -> None:
    source = save(tmp_path, {B: {"00003": {"1": None}}})
    assert prompts(submit, source, tmp_path / "p.json").exit_code == 0
    given = read_prompts(tmp_path / "p.json", split).videos
    assert given == {B: {"00003": {1: Absent()}}}


def test_what_is_written_prompts_a_model(
    submit: Submit, runner: CliRunner, split: Split, tmp_path: Path
) -> None:
    source = save(tmp_path, detections())
    prompts(submit, source, tmp_path / "p.json", "--object-key", "category_id")
    runs = ("--runs", str(tmp_path / "runs"))
    start = ["predict", str(split.root), "--predictor", "static", "--name", "r"]
    given = ["--prompts", str(tmp_path / "p.json"), "--workers", "1"]
    assert runner.invoke(cli, [*start, *given, *runs]).exit_code == 0
    assert runner.invoke(cli, ["export", "r", *runs]).exit_code == 0
    found = read(tmp_path / "runs" / "r" / "masks" / C / "00005.png")
    assert np.array_equal(found == 3, labels_of(C, 4) == 3)


def with_entry(**entry: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": f"{A}/00002.jpg"}],
        "annotations": [{"image_id": 1, **entry}],
    }


SMALL = {"size": [3, 4], "counts": []}
ANNOTATION = "boxes.json: annotation 0: "


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (with_entry(bbox=[0, 0, 1, 1]), f"{ANNOTATION}has no field object_id"),
        (
            with_entry(object_id=9, bbox=[0, 0, 1, 1]),
            f"{ANNOTATION}object 9: the video {A} has 1, 2",
        ),
        (
            with_entry(object_id=1, bbox=[0, 0, 1]),
            f"{ANNOTATION}object 1: expected bbox as [x, y, width, height], "
            "found [0, 0, 1]",
        ),
        (
            with_entry(object_id=1, bbox=[0, 0, 0, 4]),
            f"{ANNOTATION}object 1: bbox: expected [x, y, width, height] that "
            "overlaps the frame of 32×24",
        ),
        (with_entry(object_id=1, bbox=[50, 0, 4, 4]), "overlaps the frame"),
        (with_entry(object_id=1, bbox=[float("nan"), 0, 4, 4]), "overlaps the frame"),
        (with_entry(object_id=1, bbox=["a", 0, 4, 4]), "expected bbox as"),
        (
            with_entry(object_id=1, segmentation=SMALL),
            "expected a mask of the frame's size",
        ),
        ({"dddddddd": {"00001": {}}}, "has no such video; name the split"),
        (
            {A: {"00017": {"1": None}}},
            f"video {A}: it has no frame 00017; its frames are 00000 to",
        ),
        ({A: {"00000": {"1": None}}}, "gives no prompts beside the first frame"),
        ({A: {}}, "gives no prompts"),
    ],
)
def test_detections_that_cannot_be_right_are_refused_by_their_entry(
    submit: Submit, tmp_path: Path, content: Any, words: str
) -> None:
    source = save(tmp_path, content)
    assert words in error(prompts(submit, source, tmp_path / "p.json"))
    assert not (tmp_path / "p.json").exists()


def remove_all(masks: Path) -> None:
    for path in masks.glob("*/*.png"):
        path.unlink()


def add_a_video(masks: Path) -> None:
    shutil.copytree(masks / A, masks / "dddddddd")


def write_a_wrong_size(masks: Path) -> None:
    write(masks / A / "00003.png", np.zeros((3, 4), np.uint8))


def write_another_id(masks: Path) -> None:
    write(masks / A / "00003.png", np.full(SIZE, 7, np.uint8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove_all, "holds no video of"),
        (add_a_video, "has dddddddd, and"),
        (write_a_wrong_size, "00003.png: expected 32×24 pixels, found 4×3"),
        (write_another_id, "00003.png: holds the ids [7]; the video has [1, 2]"),
    ],
)
def test_masks_that_cannot_be_right_are_refused(
    submit: Submit,
    masks: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    words: str,
) -> None:
    change(masks)
    for output in ("p.json", "p"):
        assert words in error(prompts(submit, masks, tmp_path / output))
        assert not (tmp_path / output).exists()


def test_boxes_do_not_fit_into_a_folder(submit: Submit, tmp_path: Path) -> None:
    source = save(tmp_path, with_entry(object_id=1, bbox=[0, 0, 4, 4]))
    line = error(prompts(submit, source, tmp_path / "p"))
    assert "annotation 0: is a box, which a folder of PNGs cannot hold" in line
    assert not (tmp_path / "p").exists()


def test_an_output_is_replaced_only_where_this_command_wrote_it(
    submit: Submit, masks: Path, tmp_path: Path
) -> None:
    assert prompts(submit, masks, tmp_path / "p.json").exit_code == 0
    assert prompts(submit, masks, tmp_path / "p.json").exit_code == 0
    (tmp_path / "p.json").write_text('{"by": "hand"}')
    assert "would be replaced" in error(prompts(submit, masks, tmp_path / "p.json"))
    assert prompts(submit, masks, tmp_path / "p.json", "--force").exit_code == 0
    assert prompts(submit, masks, tmp_path / "p").exit_code == 0
    assert "would be replaced" in error(
        prompts(submit, masks, tmp_path / "p", "--force")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--as-prompts",), "--as-prompts goes with -o"),
        (("--as-prompts", "-o", "p.json", "--name", "n"), "without --name"),
        ((), "expected --name RUN, or --as-prompts -o FILE|DIR"),
        (("--name", "n", "--absences"), "go with --as-prompts"),
    ],
)
def test_options_of_runs_and_prompts_are_kept_apart(
    submit: Submit, masks: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = submit("import", masks, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_name_that_is_neither_a_run_nor_a_file_is_named(
    submit: Submit, tmp_path: Path
) -> None:
    line = error(prompts(submit, "nothing", tmp_path / "p.json"))
    assert "nothing: no such run, file or folder" in line


@pytest.mark.parametrize("text", ["", "3,", "9-3", "every:0", "every", "every:x"])
def test_selections_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"frames .*; expected frames such as 42"):
        FrameSelection.parse(text)


def test_frames_that_no_video_has_give_no_prompts(
    submit: Submit, masks: Path, tmp_path: Path
) -> None:
    line = error(prompts(submit, masks, tmp_path / "p.json", "--frames", "77"))
    assert "gives no prompts in frames 77; choose other --frames" in line
