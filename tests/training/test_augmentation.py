from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from submit.training.augmentation import (
    ClipWarp,
    ColourChange,
    _affine,
    draw_colours,
    draw_warp,
    warp,
)
from submit.training.tables import AugmentTable

#: Nothing is changed but the size.
PLAIN = AugmentTable(
    flip=0, rotate=0, shear=0, brightness=0, contrast=0, saturation=0, grey=0,
    frame_brightness=0, frame_contrast=0, frame_saturation=0,
)  # fmt: skip
FILL = (123, 116, 103)


def picture(height: int = 60, width: int = 100) -> NDArray[np.uint8]:
    """A smooth image, in which a wrong place shows as a wrong colour."""
    y, x = np.mgrid[:height, :width]
    bands = [255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 9 + y / 7)]
    return np.stack(bands, 2).astype(np.uint8)


def labels(height: int = 60, width: int = 100) -> NDArray[np.uint8]:
    found = np.zeros((height, width), np.uint8)
    found[15:40, 20:50] = 1
    found[30:50, 60:80] = 2
    return found


def apply(
    image: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    where: ClipWarp,
    colours: ColourChange | None = None,
    size: int = 64,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    changes = colours or ColourChange()
    return warp(swapped, truth, where, changes, size=size, fill=FILL)


def drawn(table: AugmentTable, seed: int = 0) -> ClipWarp:
    return draw_warp(table, np.random.default_rng(seed), labels(), 64)


def test_without_changes_a_frame_is_resized() -> None:
    found, truth = apply(picture(), labels(), drawn(PLAIN))
    expected = Image.fromarray(picture()).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 1.5
    assert truth.shape == (64, 64)
    assert set(np.unique(truth)) == {0, 1, 2}
    half, _ = apply(picture(128, 128), labels(128, 128), drawn(PLAIN))
    area = picture(128, 128).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(half - area).max() < 3


def test_a_mirror_image_has_mirrored_masks() -> None:
    plain, truth = apply(picture(), labels(), drawn(PLAIN))
    found, mirrored = apply(picture(), labels(), drawn(replace(PLAIN, flip=1)))
    assert np.abs(found[:, ::-1].astype(int) - plain).mean() < 1
    assert (mirrored[:, ::-1] == truth).mean() > 0.99


def test_frame_and_mask_are_warped_alike() -> None:
    # The frame is its own mask: what belongs together stays together.
    table = replace(PLAIN, rotate=25, shear=20, flip=0.5, zoom=(0.7, 1.4), crop=0.5)
    image = np.repeat((labels() * 100)[:, :, None], 3, 2)
    for seed in range(8):
        found, truth = apply(image, labels(), drawn(table, seed))
        inside = np.abs(found[:, :, 1].astype(int) - 100 * truth.astype(int)) < 40
        outside = (found == FILL).all(2)
        assert (inside | outside).mean() > 0.9


def test_objects_stay_in_the_first_frame() -> None:
    truth = np.zeros((60, 100), np.uint8)
    truth[:4, :4] = 1
    table = replace(PLAIN, rotate=90, crop=1, crop_area=(0.1, 0.3))
    for seed in range(20):
        where = draw_warp(table, np.random.default_rng(seed), truth, 64)
        assert apply(picture(), truth, where)[1].any(), seed


def test_zoom_shows_a_smaller_part_larger() -> None:
    truth = np.zeros((60, 100), np.uint8)
    truth[20:40, 40:60] = 1
    where = draw_warp(
        replace(PLAIN, zoom=(2.0, 2.0)), np.random.default_rng(0), truth, 64
    )
    _, larger = apply(picture(), truth, where)
    _, plain = apply(picture(), truth, drawn(PLAIN))
    assert np.count_nonzero(larger) == pytest.approx(
        4 * np.count_nonzero(plain), rel=0.1
    )


def test_a_mosaic_has_four_copies_and_objects_in_one() -> None:
    where = drawn(replace(PLAIN, mosaic=1))
    assert where.tiles is not None
    found, truth = apply(picture(), labels(), where)
    target, mirrored = where.tiles
    halves = slice(0, 32), slice(32, 64)
    quarters = [(rows, columns) for rows in halves for columns in halves]
    small, _ = apply(picture(), labels(), drawn(PLAIN), size=32)
    for tile, place in enumerate(quarters):
        assert truth[place].any() == (tile == target)
        copy = found[place][:, ::-1] if mirrored[tile] else found[place]
        assert np.abs(copy.astype(int) - small).mean() < 3


def test_colours_change_as_pillow_changes_them() -> None:
    # Not so bright or dark that a change is cut off at 0 or 255.
    pixels = picture() // 2 + 60
    image = Image.fromarray(pixels)
    for changes in (
        [("brightness", 0.93)],
        [("contrast", 0.9), ("saturation", 0.7)],
        [("saturation", 1.2), ("brightness", 0.9), ("contrast", 1.05)],
        [("saturation", 0.0)],
    ):
        expected = image
        for kind, factor in changes:
            made: Any = {
                "brightness": ImageEnhance.Brightness,
                "contrast": ImageEnhance.Contrast,
                "saturation": ImageEnhance.Color,
            }[kind]
            expected = made(expected).enhance(factor)
        matrix = ColourChange(tuple(changes)).matrix(pixels.mean((0, 1)))
        flat = pixels.reshape(-1, 3) @ matrix[:, :3].T + matrix[:, 3]
        off = np.abs(flat.clip(0, 255).reshape(pixels.shape) - np.asarray(expected))
        assert off.max() < 3
        # Pillow cuts off fractions after each change.
        assert off.mean() < 1.5


def test_colours_of_a_clip_are_common_and_those_of_frames_are_not() -> None:
    random = np.random.default_rng(0)
    common = draw_colours(replace(PLAIN, brightness=0.1, grey=1), random, 3)
    assert len({one.changes for one in common}) == 1
    assert common[0].changes[-1] == ("saturation", 0.0)
    own = draw_colours(replace(PLAIN, frame_brightness=0.1), random, 3)
    assert len({one.changes for one in own}) == 3
    assert draw_colours(PLAIN, random, 2) == [ColourChange(), ColourChange()]


def test_the_affine_map_is_that_of_torchvision() -> None:
    # torchvision 0.29.1: _get_inverse_affine_matrix([50.0, 30.0], 17.0, [0, 0], 1.0,
    # [-12.0, 0.0]) maps pixels of a frame of 100×60.
    golden = np.array(
        [[1.0184503, 0.0891029, -3.5955996], [-0.2923717, 0.9563048, 15.9294426]]
    )
    pixels = np.diag([100.0, 60.0, 1.0])
    found = pixels @ _affine(17.0, -12.0, 1.0, 100 / 60) @ np.linalg.inv(pixels)
    assert found[:2] == pytest.approx(golden, abs=1e-5)
