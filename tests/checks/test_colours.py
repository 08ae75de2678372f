"""Masks with renumbered values: the colours show the right ids."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from submit.archive import pack
from submit.checks import check_masks
from submit.checks.colours import Colours
from submit.checks.repair import repair
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.png.palette import DAVIS_PALETTE, encode, read
from submit.png.pictures import NoIdsError, decode_picture
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
)

Labels = NDArray[np.uint8]

#: The colours that Matplotlib gives to lines, black first.
TAB10 = [(0, 0, 0), (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)]
#: Colours of the annotations, and not in their order.
SWAPPED = [(0, 0, 0), (0, 128, 0), (128, 0, 0), (128, 128, 0)]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read_split(write_split(tmp_path_factory.mktemp("split")))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def with_palette(values: Labels, palette: Sequence[Sequence[int]]) -> bytes:
    image = Image.fromarray(values).convert("P")
    image.putpalette([part for colour in palette for part in colour])
    return saved(image)


def reordered(labels: Labels, order: Sequence[int], *, padding: int = 0) -> bytes:
    """Renumber values and palette together; `order` has the ids of values 0, 1, …."""
    places = np.zeros(256, np.uint8)
    places[list(order)] = np.arange(len(order))
    palette = [*DAVIS_PALETTE[list(order)].tolist(), *[(0, 0, 0)] * padding]
    return with_palette(places[labels], palette)


def rewrite(
    masks: Path, change: Callable[[Labels, int], bytes], *, first: bool = True
) -> None:
    """Rewrite every mask, or all except the first ones."""
    for path in sorted(masks.glob("*/*.png")):
        if first or int(path.stem):
            path.write_bytes(change(read(path), int(path.stem)))


def perfect(tmp_path: Path) -> bytes:
    ok = write_masks(tmp_path / "ok")
    return pack(ok, tmp_path / "ok.zip").path.read_bytes()


def repaired(split: Split, masks: Path, tmp_path: Path) -> bytes:
    return repair(masks, tmp_path / "repaired.zip", split).packed.path.read_bytes()


def background_and_object_swapped(labels: Labels, frame: int) -> bytes:
    return reordered(labels, [1, 0, 2, 3])


def another_order_in_every_file(labels: Labels, frame: int) -> bytes:
    order = [0, 1, 2, 3]
    random.Random(frame).shuffle(order)
    return reordered(labels, order)


def only_what_occurs(labels: Labels, frame: int) -> bytes:
    """Like Pillow: only colours that occur, the most frequent ones first."""
    image = Image.fromarray(labels).convert("P")
    image.putpalette(DAVIS_PALETTE.tobytes())
    used = sorted(np.unique(labels), key=lambda key: -(labels == key).sum())
    return saved(image.remap_palette([int(key) for key in reversed(used)]))


def filled_up_with_black(labels: Labels, frame: int) -> bytes:
    return reordered(labels, [2, 1, 3, 0], padding=200)


def greys_in_another_order(labels: Labels, frame: int) -> bytes:
    """Like oxipng for a grey PNG whose values are ids."""
    order = [0, 3, 2, 1]
    values = np.argsort(order).astype(np.uint8)[labels]
    return with_palette(values, [(key, key, key) for key in order])


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        background_and_object_swapped,
        another_order_in_every_file,
        only_what_occurs,
        filled_up_with_black,
        greys_in_another_order,
    ],
)
def test_renumbered_values_are_found_and_put_right_by_their_colours(
    split: Split,
    masks: Path,
    tmp_path: Path,
    change: Callable[[Labels, int], bytes],
    first: bool,
) -> None:
    rewrite(masks, change, first=first)
    report = check_masks(masks, split)
    assert {finding.code for finding in report.findings} == {"relabelled"}
    assert report.exit_code == 1
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


@given(
    orders=st.lists(st.permutations([0, 1, 2, 3]), min_size=FRAMES, max_size=FRAMES),
    padding=st.sampled_from([0, 1, 252]),
)
@settings(max_examples=30)
def test_any_order_in_any_file_is_undone(orders: list[list[int]], padding: int) -> None:
    found = Colours(DAVIS_PALETTE.tobytes(), VIDEOS[C])
    for frame, order in enumerate(orders):
        labels = labels_of(C, frame)
        picture = decode_picture(reordered(labels, order, padding=padding))
        if frame == 0:
            found.learn(picture, labels)
        meaning = found.meaning(picture)
        assert meaning.doubt is None
        assert np.array_equal(meaning.labels(picture.values), labels)


@pytest.mark.slow
def test_the_colours_are_those_of_the_annotations(tmp_path: Path) -> None:
    root = write_split(tmp_path / "split")
    own = [(9, 9, 9), (1, 2, 3), (4, 5, 6), (7, 8, 9)]
    for path in root.glob("Annotations/*/*.png"):
        path.write_bytes(with_palette(read(path), own))
    masks = write_masks(tmp_path / "masks")
    rewrite(masks, lambda labels, frame: with_palette(labels, own))
    assert check_masks(masks, read_split(root)).findings == []
    swap = np.array([1, 0, 2, 3], np.uint8)
    mixed = [own[1], own[0], own[2], own[3]]
    rewrite(masks, lambda labels, frame: with_palette(swap[labels], mixed))
    report = check_masks(masks, read_split(root))
    assert {finding.code for finding in report.findings} == {"relabelled"}
    assert report.findings[0].where == f"{A}/00001.png"
    assert "value 0 has the colour of id 1" in report.findings[0].what
    assert repaired(read_split(root), masks, tmp_path) == perfect(tmp_path)


def test_without_the_first_mask_a_background_on_another_value_decides(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    rewrite(masks, background_and_object_swapped)
    for path in masks.glob("*/00000.png"):
        path.unlink()
    codes = {finding.code for finding in check_masks(masks, split).findings}
    assert "relabelled" in codes
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


def test_a_first_mask_of_a_model_decides_as_the_annotation_does(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    for video in VIDEOS:
        (masks / video / "00000.png").write_bytes(encode(labels_of(video, 1)))
    rewrite(masks, background_and_object_swapped)
    codes = {finding.code for finding in check_masks(masks, split).findings}
    assert codes == {"relabelled", "first-mask"}
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


def grey_ramp(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(i, i, i) for i in range(256)])


def all_black(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(0, 0, 0)] * 4)


def all_white(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(255, 255, 255)] * 256)


def black_and_white(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(0, 0, 0), (255, 255, 255), (254, 254, 254)] * 2)


def matplotlib(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, TAB10)


def no_black(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)])


def colours_of_others(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, SWAPPED)


def black_at_an_object(labels: Labels, frame: int) -> bytes:
    return with_palette(labels, [(128, 0, 0), (0, 0, 0), (0, 128, 0), (128, 128, 0)])


@pytest.mark.parametrize(
    "change",
    [
        grey_ramp,
        all_black,
        all_white,
        black_and_white,
        matplotlib,
        no_black,
        colours_of_others,
        black_at_an_object,
    ],
)
def test_a_palette_is_harmless_where_the_first_mask_is_right_by_its_values(
    split: Split, masks: Path, tmp_path: Path, change: Callable[[Labels, int], bytes]
) -> None:
    rewrite(masks, change)
    assert check_masks(masks, split).findings == []
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


@pytest.mark.parametrize("change", [grey_ramp, all_black, black_and_white, matplotlib])
def test_a_palette_of_no_known_colours_says_nothing(
    split: Split, masks: Path, tmp_path: Path, change: Callable[[Labels, int], bytes]
) -> None:
    rewrite(masks, change, first=False)
    assert check_masks(masks, split).findings == []
    for path in masks.glob("*/00000.png"):
        path.unlink()
    codes = {finding.code for finding in check_masks(masks, split).findings}
    assert codes == {"frames"}
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


@pytest.mark.parametrize("palette", [DAVIS_PALETTE.tolist(), [(0, 0, 0)] * 4, None])
def test_masks_turned_inside_out_are_known_by_the_first(
    split: Split,
    masks: Path,
    tmp_path: Path,
    palette: Sequence[Sequence[int]] | None,
) -> None:
    swap = np.array([1, 0, 2, 3], np.uint8)

    def change(labels: Labels, frame: int) -> bytes:
        values = swap[labels]
        if palette is None:
            return saved(Image.fromarray(values))
        return with_palette(values, palette)

    rewrite(masks, change)
    found = [f for f in check_masks(masks, split).findings if f.code == "renumbered"]
    assert len(found) == len(VIDEOS)
    assert found[0].what == "is the annotation, but 0 is called 1, 1 is called 0"
    assert repaired(split, masks, tmp_path) == perfect(tmp_path)


def test_two_swapped_objects_of_many_are_not_outvoted(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(11, dtype=np.uint8), 4).reshape(11, 4)
    swap = np.arange(256, dtype=np.uint8)
    swap[[3, 4]] = 4, 3
    found = Colours(DAVIS_PALETTE.tobytes(), range(1, 11))
    picture = decode_picture(encode(swap[labels]))
    found.learn(picture, labels)
    assert found.renamed == [(3, 4), (4, 3)]
    assert np.array_equal(found.meaning(picture).labels(picture.values), labels)


def test_what_nothing_decides_is_named_and_not_written(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    rewrite(masks, colours_of_others)
    for path in masks.glob("*/00000.png"):
        path.unlink()
    found = [f for f in check_masks(masks, split).findings if f.code == "unclear-ids"]
    assert {finding.where.split("/")[0] for finding in found} == {A, C}
    assert all("1 is #008000" in finding.what for finding in found)
    with pytest.raises(ArchiveError, match=r"00001\.png: its values and its colours"):
        repair(masks, tmp_path / "repaired.zip", split)
    assert not (tmp_path / "repaired.zip").exists()


@given(key=st.integers(0, 255), other=st.integers(0, 255))
@settings(max_examples=50)
def test_every_colour_of_the_palette_is_an_id_again(key: int, other: int) -> None:
    labels = np.array([[key, other]], np.uint8)
    picture = decode_picture(colours(labels))
    meaning = Colours(b"", (1, 2)).meaning(picture)
    assert meaning.labels(picture.values).tolist() == labels.tolist()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_white_is_no_certain_object_where_another_one_comes_later(mode: str) -> None:
    truth = labels_of(B, 0)
    white = Image.fromarray((truth > 0).astype(np.uint8) * 255).convert(mode)
    picture = decode_picture(saved(white))
    found = Colours(DAVIS_PALETTE.tobytes(), (1, 2))
    found.learn(picture, truth)
    with pytest.raises(NoIdsError, match=r"black and white .* objects 1, 2"):
        found.meaning(picture)
