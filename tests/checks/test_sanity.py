from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from submit.checks.sanity import Tracks, as_packed, pixels_by_ids
from submit.masks import Labels
from submit.png.palette import DAVIS_PALETTE, decode_packed, encode
from tests.submissions import (
    saved,
)


def by_pillow(labels: Labels) -> bytes:
    image = Image.fromarray(labels)
    image.putpalette(DAVIS_PALETTE.ravel().tolist())
    return saved(image, bits=next(b for b in (1, 2, 4, 8) if labels.max() < 1 << b))


def grey_by_pillow(labels: Labels) -> bytes:
    return saved(Image.fromarray(labels))


def follow(areas: dict[int, list[int]]) -> list[str]:
    """Findings for objects with these areas in each frame; each has its own rows."""
    tracks = Tracks(tuple(areas))
    for frame in range(len(next(iter(areas.values())))):
        labels = np.zeros((100, 100), np.uint8)
        for place, (key, sizes) in enumerate(areas.items()):
            labels[30 * place : 30 * place + 30].flat[: sizes[frame]] = key
        tracks.follow(f"{frame:05}", as_packed(labels))
    return [f"{f.code} {f.where} {f.what}" for f in tracks.findings("v")]


def test_ordinary_tracks_are_not_worth_a_note() -> None:
    shrinking = [round(900 * 0.8**frame) for frame in range(40)]
    coming_back = [500] * 5 + [0] * 30 + [400] * 5
    assert follow({1: shrinking, 2: coming_back}) == []


def test_an_object_that_is_never_predicted_is_noted() -> None:
    assert follow({1: [400, 0, 0, 0], 2: [500, 501, 502, 503]}) == [
        "never-predicted v/ object 1 is in none of the 3 masks after the first"
    ]


def test_an_object_that_is_lost_for_good_is_noted() -> None:
    assert follow({1: [500, 510, *[400] * 8, *[0] * 25]}) == [
        "lost v/ object 1 is in no mask from 00010.png to the end, 25 frames"
    ]


def test_jumps_of_the_area_are_noted() -> None:
    assert follow({1: [100, 110, 1200, 1210, 100]}) == [
        "jump v/ object 1 goes from 110 to 1,200 pixels at 00002.png (and 1 more jump)"
    ]


def test_masks_that_never_change_are_noted() -> None:
    assert follow({1: [300] * 5}) == ["frozen v/ all 5 masks are the same"]


def test_objects_that_change_places_are_noted() -> None:
    tracks = Tracks((1, 2))
    for frame in range(4):
        labels = np.zeros((40, 40), np.uint8)
        labels[:15, frame : frame + 20] = 1 if frame < 2 else 2
        labels[20:35, :20] = 2 if frame < 2 else 1
        tracks.follow(f"{frame:05}", as_packed(labels))
    (finding,) = tracks.findings("v")
    assert finding.code == "swap"
    assert finding.what == "objects 1 and 2 change places at 00002.png"
    assert finding.where == "v/"
    assert finding.objects == (1, 2)


def test_an_unreadable_mask_breaks_no_track() -> None:
    tracks = Tracks((1,))
    labels = np.ones((4, 4), np.uint8)
    tracks.follow("0", as_packed(labels))
    tracks.skip()
    tracks.follow("2", as_packed(np.ones((5, 5), np.uint8)))
    assert tracks.findings("v") == []


@pytest.mark.slow
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    highest=st.sampled_from([1, 3, 15, 255]),
    seed=st.integers(0, 2**32 - 1),
    encoders=st.tuples(*[st.sampled_from([encode, by_pillow, grey_by_pillow])] * 2),
)
def test_pixels_are_counted_without_unpacking_them(
    shape: tuple[int, int],
    highest: int,
    seed: int,
    encoders: tuple[Callable[[Labels], bytes], Callable[[Labels], bytes]],
) -> None:
    random = np.random.default_rng(seed)
    pair = random.integers(0, highest, (2, *shape), np.uint8, endpoint=True)
    # Long runs, as in real masks, and both masks alike in most places.
    pair[:, :, shape[1] // 3 :] = pair[:, :1, :1]
    packed = [decode_packed(e(m)) for e, m in zip(encoders, pair, strict=True)]
    counts = np.zeros((256, 256), np.int64)
    np.add.at(counts, tuple(pair.reshape(2, -1)), 1)
    found = pixels_by_ids(packed[0], packed[1])
    size = len(found)
    assert (found == counts[:size, :size]).all()
    assert found.sum() == counts.sum()
