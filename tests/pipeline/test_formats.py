"""Masks as other programs write them become runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from submit.cli import cli
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.formats.format import FORMATS
from submit.pipeline import StepOutcome, import_masks
from submit.png.palette import DAVIS_PALETTE, encode, read, write
from submit.runs import Run
from tests.inline import Inline
from tests.submissions import (
    FRAMES,
    VIDEOS,
    A,
    B,
    C,
    colours,
    labels_of,
    saved,
    write_masks,
    write_split,
    zip_up,
)

Labels = NDArray[np.uint8]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_split(write_split(tmp_path / "split"))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def take(source: Path, split: Split, run: str = "run") -> StepOutcome:
    path = split.root.parent / run
    return import_masks(source, path, split, executor=Inline())


def is_right(split: Split, run: str = "run", videos: Sequence[str] = (A, B, C)) -> None:
    """Check that every mask is the expected one."""
    for video in videos:
        for frame in range(FRAMES):
            path = split.root.parent / run / "masks" / video / f"{frame:05}.png"
            assert np.array_equal(read(path), labels_of(video, frame)), path


def rewrite(masks: Path, change: Callable[[Labels], bytes]) -> None:
    for path in masks.glob("*/*.png"):
        path.write_bytes(change(read(path)))


def swapped(labels: Labels) -> bytes:
    """Values and palette renumbered together; background and object are exchanged."""
    image = Image.fromarray(labels).convert("P")
    image.putpalette(DAVIS_PALETTE.tobytes())
    return saved(image.remap_palette([1, 0, 2, 3]))


def with_alpha(labels: Labels) -> bytes:
    return saved(Image.fromarray(DAVIS_PALETTE[labels]).convert("RGBA"))


def grey(labels: Labels) -> bytes:
    return saved(Image.fromarray(labels))


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (swapped, "ids corrected by the colours of the palette"),
        (colours, "colours converted to ids"),
        (with_alpha, "colours converted to ids"),
        (grey, None),
        (encode, None),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_colours_become_ids(
    split: Split,
    masks: Path,
    tmp_path: Path,
    change: Callable[[Labels], bytes],
    remark: str | None,
    zipped: bool,
) -> None:
    rewrite(masks, change)
    source = zip_up(masks, tmp_path / "m.zip") if zipped else masks
    outcome = take(source, split)
    assert not outcome.failed
    is_right(split)
    # The first mask of each video is the annotation, and not read.
    expected = {} if remark is None else {remark: len(VIDEOS) * (FRAMES - 1)}
    assert outcome.details["remarks"] == expected


def test_other_colours_are_refused_with_the_file_and_the_way_out(
    split: Split, masks: Path
) -> None:
    (masks / A / "00003.png").write_bytes(
        saved(Image.new("RGB", (32, 24), (250, 3, 2)))
    )
    (masks / C / "00002.png").write_bytes(
        saved(Image.fromarray(np.full((24, 32), 300, np.uint16)))
    )
    outcome = take(masks, split)
    assert outcome.done == [B]
    assert outcome.failed[A] == (
        f"{masks}: {A}/00003.png: has colours that no id has, such as #fa0302; write "
        "object ids with mode P, or the colours of the annotations, unsmoothed"
    )
    assert "16-bit grey PNG with values up to 300" in outcome.failed[C]


def white(labels: Labels) -> Image.Image:
    return Image.fromarray((labels > 0).astype(np.uint8) * 255)


def white_in_a_palette(labels: Labels) -> bytes:
    image = white(labels).convert("P")
    image.putpalette([value for value in range(256) for _ in range(3)])
    return saved(image)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: saved(white(labels)),
        lambda labels: saved(white(labels).convert("1")),
        lambda labels: saved(white(labels).convert("RGB")),
        lambda labels: saved(white(labels).convert("LA")),
        white_in_a_palette,
    ],
)
def test_white_is_the_id_of_a_single_object(
    split: Split, masks: Path, change: Callable[[Labels], bytes]
) -> None:
    rewrite(masks, change)
    outcome = take(masks, split)
    assert outcome.done == [B]
    is_right(split, videos=[B])
    assert "is black and white (255)" in outcome.failed[A]
    assert "(<video>/<object>/<frame>.png) for submit import" in outcome.failed[A]


@pytest.mark.parametrize("start", [1, 7])
def test_masks_from_another_start_are_shifted(
    split: Split, masks: Path, start: int
) -> None:
    for folder in masks.iterdir():
        for path in sorted(folder.iterdir(), reverse=True):
            path.rename(folder / f"{int(path.stem) + start}.png")
    assert take(masks, split).details["remarks"] == {
        "number changed to that of the frame, by the order": len(VIDEOS) * FRAMES
    }
    is_right(split)


def test_masks_from_another_start_without_the_annotation_are_refused(
    split: Split, masks: Path
) -> None:
    for path in sorted((masks / A).iterdir(), reverse=True):
        path.rename(masks / A / f"{int(path.stem) + 1:05}.png")
    write(masks / A / "00001.png", labels_of(A, 1))
    outcome = take(masks, split)
    assert sorted(outcome.done) == [B, C]
    assert "00001.png is not the annotation of frame 00000" in outcome.failed[A]
    assert "name each mask as its frame is named" in outcome.failed[A]


def test_a_missing_first_mask_is_no_shift(split: Split, masks: Path) -> None:
    (masks / A / "00000.png").unlink()
    assert not take(masks, split).failed
    is_right(split)


def by_objects(
    root: Path,
    change: Callable[[Labels], bytes] = lambda mask: grey(mask * 255),
    folder: str = "{:03}",
) -> Path:
    """One folder for each object, as SAM 2 writes them."""
    for video, objects in VIDEOS.items():
        for key in objects:
            target = root / video / folder.format(key)
            target.mkdir(parents=True)
            for frame in range(FRAMES):
                mask = (labels_of(video, frame) == key).astype(np.uint8)
                (target / f"{frame:05}.png").write_bytes(change(mask))
    return root


def white_first(mask: Labels) -> bytes:
    """Value 0 is white and value 1 black, as PNG optimisers write them."""
    image = Image.fromarray(1 - mask).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    return saved(image)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda mask: grey(mask * 255),
        grey,
        lambda mask: saved(Image.fromarray(mask > 0)),
        lambda mask: saved(Image.fromarray(mask * 255).convert("RGB")),
        encode,
        white_first,
    ],
)
def test_one_folder_for_each_object(
    split: Split, tmp_path: Path, change: Callable[[Labels], bytes], zipped: bool
) -> None:
    source = by_objects(tmp_path / "objects", change)
    if zipped:
        source = zip_up(source, tmp_path / "m.zip")
    outcome = take(source, split)
    assert not outcome.failed
    is_right(split)
    assert take(source, split).skipped == sorted(VIDEOS)


def test_a_single_video_with_folders_of_objects_is_no_wrapper(
    split: Split, tmp_path: Path
) -> None:
    source = by_objects(tmp_path / "objects", folder="{}")
    shutil.rmtree(source / A)
    shutil.rmtree(source / B)
    outcome = take(source, split)
    assert outcome.done == [C]
    assert outcome.details["absent"] == [A, B]
    is_right(split, videos=[C])
    # What changes below is noticed.
    (source / C / "2" / "00003.png").write_bytes(grey(np.zeros((24, 32), np.uint8)))
    assert take(source, split).done == [C]


def test_a_folder_around_all_videos_is_looked_through(
    split: Split, tmp_path: Path
) -> None:
    by_objects(tmp_path / "deep" / "out" / "objects")
    assert not take(tmp_path / "deep", split).failed
    is_right(split)


def test_where_objects_overlap_the_lowest_id_wins(split: Split, tmp_path: Path) -> None:
    source = by_objects(tmp_path / "objects")
    everywhere = grey(np.full((24, 32), 255, np.uint8))
    (source / A / "002" / "00003.png").write_bytes(everywhere)
    take(source, split)
    found = read(tmp_path / "run" / "masks" / A / "00003.png")
    assert np.array_equal(found == 1, labels_of(A, 3) == 1)
    assert np.array_equal(found == 2, labels_of(A, 3) != 1)


def remove_an_object(folder: Path) -> None:
    shutil.rmtree(folder / "002")


def add_an_object(folder: Path) -> None:
    shutil.copytree(folder / "002", folder / "009")


def add_a_name(folder: Path) -> None:
    shutil.copytree(folder / "002", folder / "mask2")


def write_an_object_twice(folder: Path) -> None:
    shutil.copytree(folder / "002", folder / "2")


def remove_a_mask(folder: Path) -> None:
    (folder / "002" / "00003.png").unlink()


def write_several_values(folder: Path) -> None:
    (folder / "002" / "00003.png").write_bytes(encode(labels_of(C, 3)))


def write_another_size(folder: Path) -> None:
    (folder / "002" / "00003.png").write_bytes(grey(np.zeros((3, 4), np.uint8)))


def add_plain_masks(folder: Path) -> None:
    write(folder / "00000.png", labels_of(A, 0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove_an_object, "lacks the folder of object 2"),
        (add_an_object, "has the folder 009; expected one for each object"),
        (add_a_name, "has the folder mask2; expected one for each object"),
        (write_an_object_twice, "has two folders of object 2"),
        (remove_a_mask, f"{A}/002: lacks 1 of 6 masks, such as 00003.png"),
        (write_several_values, "has the values 0, 1, 2, 3; expected black"),
        (write_another_size, "expected 32×24 pixels, found 4×3"),
        (add_plain_masks, "has masks in two layouts, <video>/<frame>.png or <video>/"),
    ],
)
def test_folders_of_objects_that_cannot_be_right_are_refused(
    split: Split, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    source = by_objects(tmp_path / "objects")
    change(source / A)
    outcome = take(source, split)
    assert sorted(outcome.done) == [B, C]
    assert words in outcome.failed[A]


def test_a_late_object_has_no_masks_before_it_appears(tmp_path: Path) -> None:
    root = write_split(tmp_path / "split")
    late = labels_of(A, 2)
    late[late == 2] = 1
    late[20:, 20:] = 2
    write(root / "Annotations" / A / "00000.png", labels_of(B, 0))
    write(root / "Annotations" / A / "00002.png", late)
    source = by_objects(tmp_path / "objects")
    for frame in range(2):
        (source / A / "002" / f"{frame:05}.png").unlink()
    outcome = take(source, read_split(root))
    assert not outcome.failed
    found = tmp_path / "run" / "masks" / A
    assert not (read(found / "00001.png") == 2).any()
    assert (read(found / "00003.png") == 2).any()


def test_the_folder_of_a_video_without_masks_is_no_video(
    split: Split, tmp_path: Path
) -> None:
    (tmp_path / "masks" / A / "deep" / "er").mkdir(parents=True)
    (tmp_path / "masks" / A / "notes.txt").write_text("nothing")
    with pytest.raises(ArchiveError, match=f"holds no video of .* such as {A}/"):
        take(tmp_path / "masks", split)


@pytest.fixture
def submit(runner: CliRunner, tmp_path: Path) -> Callable[..., Any]:
    def invoke(*arguments: object) -> Any:
        return runner.invoke(cli, [*map(str, arguments), "--runs", str(tmp_path / "r")])

    return invoke


def test_a_source_that_lacks_a_video_makes_a_run_that_is_not_complete(
    submit: Callable[..., Any], split: Split, masks: Path, tmp_path: Path
) -> None:
    shutil.rmtree(masks / B)
    result = submit("import", masks, "--name", "i", "--split", split.root)
    assert result.exit_code == 0
    assert f"lacks 1 video of {split.root}, such as {B}" in result.stderr
    assert "submit pack refuses the run without --partial" in result.stderr
    assert Run.open(tmp_path / "r" / "i").missing == (B,)
    result = submit("pack", "i", "-o", tmp_path / "i.zip")
    assert result.exit_code == 1
    assert f"lacks 1 of 3 videos, such as {B}" in result.stderr
    result = submit("pack", "i", "-o", tmp_path / "i.zip", "--partial")
    assert result.exit_code == 0


def test_the_command_says_what_it_did_and_its_help_lists_the_layouts(
    submit: Callable[..., Any], runner: CliRunner, split: Split, masks: Path
) -> None:
    rewrite(masks, swapped)
    result = submit("import", masks, "--name", "i", "--split", split.root)
    assert "ids corrected by the colours of the palette: 15 masks" in result.stderr
    result = submit("import", masks, "--name", "j", "--split", split.root, "--json")
    assert json.loads(result.stdout)["details"]["remarks"] == {
        "ids corrected by the colours of the palette": 15
    }
    shown = " ".join(runner.invoke(cli, ["import", "--help"]).stdout.split())
    for layout in FORMATS.values():
        assert layout.layout in shown
        assert layout.help in shown
