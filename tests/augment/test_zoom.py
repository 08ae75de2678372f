"""The variant zoom: windows that follow small objects, and their coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.augment import AugmentedPredictor, Variant
from submit.augment.window import Window, box_of, extent_of, window_for
from submit.masks import Labels, to_labels
from submit.predictors import (
    Absent,
    AcceptedPrompts,
    Box,
    Description,
    Frame,
    Mask,
    Point,
    Points,
    Prediction,
    Prompt,
    Prompts,
    Session,
    Video,
    immediate,
)

SIZE = (96, 160)
VIDEO = Video("v", *SIZE, length=30)
CELL = 8


@dataclass(frozen=True)
class Options:
    """None."""


class Coarse:
    """A model with a resolution of 8×8 pixels: object 1 is red, object 2 is green."""

    Options: ClassVar[type[Any]] = Options

    def __init__(self, *, scores: bool = False, blind: frozenset[int] = frozenset()):
        self.scores = scores
        self.blind = blind
        self.sessions: list[CoarseSession] = []

    def describe(self) -> Description:
        everything = AcceptedPrompts(
            boxes=True, points=True, absences=True, corrections=True
        )
        return Description(model="coarse", licence="none", prompts=everything)

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        self.sessions.append(CoarseSession(self, video, len(self.sessions)))
        return self.sessions[-1]


class CoarseSession:
    def __init__(self, model: Coarse, video: Video, number: int) -> None:
        self.model, self.video, self.number = model, video, number
        self.objects: dict[int, None] = {}
        self.told: list[dict[int, Prompt]] = []
        self.shown = 0
        self.closed = False

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        self.told.append(dict(prompts))
        self.objects.update(dict.fromkeys(prompts))
        assert frame.shape == (*SIZE, 3)
        assert frame.flags.c_contiguous
        self.shown += 1
        planes = []
        for key in self.objects:
            cells = frame[..., key - 1].reshape(SIZE[0] // CELL, CELL, -1, CELL)
            planes.append(cells.mean((1, 3)) / 25.5 - 5)
        logits = np.stack(planes).astype(np.float32)
        if self.number in self.model.blind and self.shown > 1:
            logits[:] = -np.inf
        presence = logits.max((1, 2)).clip(-9, 9) if self.model.scores else None
        return Prediction(tuple(self.objects), logits, presence)

    def close(self) -> None:
        self.closed = True


def picture(*squares: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Draw a red and a green square; each is given by its top, left and side."""
    frame = np.zeros((*SIZE, 3), np.uint8)
    for channel, (top, left, side) in enumerate(squares):
        frame[top : top + side, left : left + side, channel] = 255
    return frame


def masks_of(frame: NDArray[np.uint8], *objects: int) -> dict[int, Prompt]:
    return {key: Mask(frame[..., key - 1] > 0) for key in objects}


def zoomed(model: Coarse) -> Session:
    return immediate(AugmentedPredictor(model, Variant(zoom=True)).session(VIDEO))


def iou(prediction: Prediction, key: int, frame: NDArray[np.uint8]) -> float:
    labels = to_labels(prediction.logits, prediction.objects, SIZE) == key
    truth = frame[..., key - 1] > 0
    return float((labels & truth).sum() / (labels | truth).sum())


def nearly_equal(one: Labels, other: Labels) -> bool:
    """Whether labels differ only by the error of resizing twice instead of once."""
    return float((one != other).mean()) < 0.002


def test_a_small_object_is_seen_finer_while_it_crosses_the_frame() -> None:
    model = Coarse()
    session, plain = zoomed(model), Coarse().session(VIDEO)
    frames = [picture((20 + step, 5 + 5 * step, 13)) for step in range(28)]
    found, coarse = [], []
    for number, frame in enumerate(frames):
        masks = masks_of(frame, 1)
        prompts = masks if number == 0 else {}
        results = session.step(frame, prompts), plain.step(frame, prompts)
        found.append(iou(results[0], 1, frame))
        coarse.append(iou(results[1], 1, frame))
    assert min(found) > 0.8
    assert np.mean(found) > np.mean(coarse) + 0.1
    assert [s.shown for s in model.sessions] == [28, 28]


def test_without_small_objects_the_result_is_the_plain_one_to_the_bit() -> None:
    frame = picture((10, 20, 60))
    session, plain = zoomed(Coarse()), Coarse().session(VIDEO)
    masks = masks_of(frame, 1)
    for one, other in (
        (session.step(frame, masks), plain.step(frame, masks)),
        (session.step(frame, {}), plain.step(frame, {})),
    ):
        np.testing.assert_array_equal(one.logits, other.logits)


def test_large_objects_beside_a_small_one_keep_their_logits() -> None:
    frame = picture((10, 20, 10), (20, 60, 70))
    session, plain = zoomed(Coarse()), Coarse().session(VIDEO)
    masks = masks_of(frame, 1, 2)
    one, other = session.step(frame, masks), plain.step(frame, masks)
    assert one.objects == other.objects == (1, 2)
    assert nearly_equal(
        to_labels(one.logits[1:], (2,), SIZE), to_labels(other.logits[1:], (2,), SIZE)
    )


@pytest.mark.parametrize("scores", [False, True], ids=["by mask", "by score"])
def test_what_the_window_loses_the_full_frame_still_has(scores: bool) -> None:
    """Session 1 is the window's; it finds nothing from its second frame on."""
    model = Coarse(scores=scores, blind=frozenset({1}))
    session, plain = zoomed(model), Coarse().session(VIDEO)
    frame = picture((20, 30, 16))
    masks = masks_of(frame, 1)
    session.step(frame, masks)
    plain.step(frame, masks)
    for step in range(1, 10):
        frame = picture((20, 30 + 9 * step, 16))
        one, other = session.step(frame, {}), plain.step(frame, {})
        found = to_labels(one.logits, one.objects, SIZE)
        assert nearly_equal(found, to_labels(other.logits, other.objects, SIZE))
        assert found.any()
        assert one.presence is None or one.presence[0] > 0


def test_a_window_that_is_right_goes_on_where_the_full_frame_is_blind() -> None:
    session = zoomed(Coarse(scores=True, blind=frozenset({0})))
    frame = picture((20, 30, 12))
    session.step(frame, masks_of(frame, 1))
    for step in range(1, 15):
        frame = picture((20, 30 + 4 * step, 12))
        prediction = session.step(frame, {})
        assert iou(prediction, 1, frame) > 0.8
        assert prediction.presence is not None
        assert prediction.presence[0] > 0
        assert np.isfinite(prediction.logits).all()


def test_a_lost_object_is_found_where_the_full_frame_sees_it() -> None:
    session = zoomed(Coarse())
    frame = picture((20, 10, 12))
    session.step(frame, masks_of(frame, 1))
    session.step(picture(), {})
    far = picture((70, 130, 12))
    session.step(far, {})
    assert iou(session.step(far, {}), 1, far) > 0.9


def test_an_object_that_outgrows_its_window_is_left_to_the_full_frame() -> None:
    session, plain = zoomed(Coarse()), Coarse().session(VIDEO)
    frame = picture((40, 70, 12))
    masks = masks_of(frame, 1)
    session.step(frame, masks)
    plain.step(frame, masks)
    grown = picture((8, 16, 72))
    one, other = session.step(grown, {}), plain.step(grown, {})
    assert nearly_equal(
        to_labels(one.logits, one.objects, SIZE),
        to_labels(other.logits, other.objects, SIZE),
    )


def test_objects_that_come_later_get_a_window_of_their_own() -> None:
    model = Coarse()
    session = zoomed(model)
    frame = picture((20, 10, 12), (60, 100, 12))
    session.step(frame, masks_of(frame, 1))
    session.step(frame, {})
    prediction = session.step(frame, masks_of(frame, 2))
    assert prediction.objects == (1, 2)
    assert iou(prediction, 2, frame) > 0.9
    assert [s.video.length for s in model.sessions] == [30, 30, 28]
    session.close()
    assert all(s.closed for s in model.sessions)


def test_zoom_and_mirror_go_together() -> None:
    frame = picture((20, 10, 12), (60, 100, 30))
    masks = masks_of(frame, 1, 2)
    plain = zoomed(Coarse()).step(frame, masks)
    both = AugmentedPredictor(Coarse(), Variant(zoom=True, hflip=True))
    flipped = immediate(both.session(VIDEO)).step(frame, masks)
    assert flipped.logits.shape == plain.logits.shape
    assert iou(flipped, 1, frame) > 0.9


def test_a_correction_goes_to_the_window_too_which_moves_there() -> None:
    model = Coarse()
    session = zoomed(model)
    frame = picture((20, 10, 12))
    session.step(frame, masks_of(frame, 1))
    far = picture((70, 130, 12))
    prediction = session.step(far, masks_of(far, 1))
    assert iou(prediction, 1, far) > 0.9
    full, window = model.sessions
    given = window.told[1][1]
    assert full.told[1].keys() == {1}
    assert isinstance(given, Mask)
    # The object's red pixels fill the given part of what the window was shown.
    extent = extent_of(given)
    assert extent is not None
    assert extent.right - extent.left == pytest.approx(12 * 96 / 36, abs=2)
    assert given.pixels.sum() == pytest.approx((12 * 96 / 36) ** 2, rel=0.1)


@pytest.mark.parametrize(
    "prompt",
    [Box(20, 10, 100, 90), Points((Point(3, 3), Point(150, 80)))],
    ids=["box", "points"],
)
def test_a_correction_that_its_window_cannot_show_closes_it(prompt: Prompt) -> None:
    model = Coarse()
    session, plain = zoomed(model), Coarse().session(VIDEO)
    frame = picture((20, 10, 12))
    session.step(frame, masks_of(frame, 1))
    plain.step(frame, masks_of(frame, 1))
    for prompts in ({1: prompt}, {}, masks_of(frame, 1)):
        one, other = session.step(frame, prompts), plain.step(frame, prompts)
        np.testing.assert_array_equal(one.logits, other.logits)
    full, window = model.sessions
    assert window.closed
    assert not full.closed
    assert (full.shown, window.shown) == (4, 1)


def test_clicks_on_a_background_that_the_window_does_not_show_are_left_out() -> None:
    model = Coarse()
    session = zoomed(model)
    frame = picture((20, 10, 12))
    session.step(frame, masks_of(frame, 1))
    far = Point(150, 90, inside=False)
    session.step(frame, {1: Points((far,))})
    session.step(frame, {1: Points((Point(15, 25), far))})
    full, window = model.sessions
    assert [len(told) for told in full.told] == [1, 1, 1]
    assert window.told[1] == {}
    (given,) = window.told[2].values()
    assert isinstance(given, Points)
    (point,) = given.points
    assert point.inside
    # 6 pixels from the square's left edge of 12, shown 96/36 times as large.
    square = extent_of(window.told[0][1])
    assert square is not None
    assert (point.x + 0.5 - square.left) / (square.right - square.left) == (
        pytest.approx(5.5 / 12, abs=0.03)
    )


@pytest.mark.slow
@given(
    box=st.builds(
        lambda top, left, height, width: Box(left, top, left + width, top + height),
        *(st.integers(0, 66), st.integers(0, 110), st.integers(1, 30)),
        *(st.integers(1, 50),),
    )
)
def test_all_kinds_of_prompts_are_cut_alike(box: Box) -> None:
    """A mask, a box and two corner points of a rectangle give the same rectangle."""
    window = Window(20, 30, 48, 80, SIZE).showing(box)
    assert window.top <= box.top
    assert box.bottom <= window.top + 48
    assert window.left <= box.left
    assert box.right <= window.left + 80
    mask = window.cut_prompt(box.to_mask(*SIZE))
    cut = window.cut_prompt(box)
    corners = Points(
        (Point(box.left, box.top), Point(box.right - 1, box.bottom - 1, inside=False))
    )
    points = window.cut_prompt(corners)
    assert isinstance(cut, Box)
    assert isinstance(points, Points)
    assert mask is not None
    # Twice as large: the window is half of the frame in both directions.
    found = extent_of(mask)
    assert found is not None
    for edge in ("left", "top", "right", "bottom"):
        assert getattr(found, edge) == pytest.approx(getattr(cut, edge), abs=1)
    (first, inside), (last, outside) = (
        ((p.x + 0.5, p.y + 0.5), p.inside) for p in points.points
    )
    assert (inside, outside) == (True, False)
    assert first == (cut.left + 1, cut.top + 1)
    assert last == (cut.right - 1, cut.bottom - 1)
    assert window.cut_prompt(Absent()) == Absent()


def test_what_is_outside_of_a_window_is_not_cut_into_it() -> None:
    window = Window(0, 0, 48, 80, SIZE)
    box = Box(90, 50, 110, 60)
    assert window.cut_prompt(box) is None
    assert window.cut_prompt(box.to_mask(*SIZE)) is None
    assert window.cut_prompt(Points((Point(100, 55),))) is None
    assert window.cut_prompt(Box(70, 10, 110, 60)) == Box(140, 20, 160, 96)
    empty = Mask(np.zeros(SIZE, bool))
    assert isinstance(window.cut_prompt(empty), Mask)


boxes = st.builds(
    lambda top, left, height, width: Box(left, top, left + width, top + height),
    *(st.floats(0, 90), st.floats(0, 150), st.floats(1, 30), st.floats(1, 40)),
)


@pytest.mark.slow
@given(path=st.lists(boxes, min_size=1, max_size=20))
def test_a_window_stays_in_the_frame_and_keeps_its_size(path: list[Box]) -> None:
    window = Window(20, 30, 40, 66, SIZE)
    for box in path:
        before, window = window, window.following(box)
        assert (window.height, window.width) == (40, 66)
        assert 0 <= window.top <= SIZE[0] - 40
        assert 0 <= window.left <= SIZE[1] - 66
        # Where the box is, it stays.
        assert window.following(box) == window
        off = (box.top + box.bottom) / 2 - (before.top + 20)
        if abs(off) <= 40 / 6:
            assert window.top == before.top


def test_a_window_moves_no_farther_than_its_object() -> None:
    window = Window(28, 60, 40, 66, SIZE)
    for step in range(60):
        box = Box(89 + step, 44, 97 + step, 52)
        moved = window.following(box)
        assert moved.top == window.top
        assert 0 <= moved.left - window.left <= 1
        window = moved


def test_only_objects_that_gain_get_a_window() -> None:
    window = window_for(Box(left=70, top=30, right=80, bottom=40), SIZE)
    assert window is not None
    assert SIZE[0] / window.height == pytest.approx(96 / 30, rel=0.05)
    assert SIZE[1] / window.width == pytest.approx(96 / 30, rel=0.05)
    assert window_for(Box(0, 0, 1, 1), SIZE) == Window(0, 0, 24, 40, SIZE)
    assert window_for(Box(0, 0, 10, 30), SIZE) is None


def test_what_has_no_size_gets_no_window() -> None:
    model = Coarse()
    session = zoomed(model)
    frame = picture((20, 10, 12))
    prompts: Prompts = {
        1: Mask(np.zeros(SIZE, bool)),
        2: Absent(),
        3: Points((Point(15, 25),)),
    }
    session.step(frame, prompts)
    assert len(model.sessions) == 1


@given(
    top=st.integers(0, 56),
    left=st.integers(0, 94),
    shape=st.tuples(st.integers(12, 200), st.integers(12, 200)),
    patch=st.tuples(st.integers(8, 60), st.integers(8, 60)),
)
def test_pixel_centres_stay_where_they_are_at_every_scale(
    top: int, left: int, shape: tuple[int, int], patch: tuple[int, int]
) -> None:
    """A linear ramp has the same values inside and outside of the window."""
    window = Window(top, left, 40, 66, SIZE)

    def slope(rows: Any, columns: Any) -> Any:
        return (0.1 * rows[:, None] - 0.07 * columns + 2).astype(np.float32)

    def centres(count: int, start: float, side: float) -> Any:
        return start + (np.arange(count) + 0.5) * side / count

    whole = slope(centres(shape[0], 0, SIZE[0]), centres(shape[1], 0, SIZE[1]))
    part = slope(centres(patch[0], top, 40), centres(patch[1], left, 66))
    result = whole.copy()
    window.paste(result, part)
    # The outermost half pixel of the patch has no neighbour and repeats its value.
    edge = 0.1 * 40 / patch[0] / 2 + 0.07 * 66 / patch[1] / 2
    np.testing.assert_allclose(result, whole, atol=edge + 1e-4)
    rows = centres(shape[0], 0, SIZE[0])
    columns = centres(shape[1], 0, SIZE[1])
    y, x = 20 / patch[0], 33 / patch[1]
    inner = np.ix_(
        (rows >= top + y) & (rows <= top + 40 - y),
        (columns >= left + x) & (columns <= left + 66 - x),
    )
    np.testing.assert_allclose(result[inner], whole[inner], atol=1e-4)


def test_boxes_are_in_pixels_of_the_frame() -> None:
    logits = np.full((12, 20), -1.0, np.float32)
    assert box_of(logits, SIZE) is None
    logits[3:5, 7:8] = 1
    assert box_of(logits, SIZE) == Box(56, 24, 64, 40)
    window = Window(10, 20, 48, 80, SIZE)
    assert window.box_in_frame(Box(56, 24, 64, 40)) == Box(48, 22, 52, 30)


def test_a_windows_mask_is_its_part_of_the_mask() -> None:
    mask = np.zeros(SIZE, bool)
    mask[20:30, 40:52] = True
    window = Window(10, 30, 48, 80, SIZE)
    cut = window.cut_mask(mask)
    assert cut.shape == SIZE
    assert box_of(cut.astype(np.float32), SIZE) == Box(20, 20, 44, 40)
