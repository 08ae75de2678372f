from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    Absent,
    Box,
    Mask,
    Prediction,
    Predictor,
    Prompt,
    Session,
    Video,
    immediate,
    parse_options,
)
from submit_classical import ClassicalOptions, ClassicalPredictor

Frame = NDArray[np.uint8]
Pixels = NDArray[np.bool_]

HEIGHT, WIDTH = 120, 160


@functools.cache
def texture(
    seed: int, height: int, width: int, colour: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Smooth coloured noise around a mean colour."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3))
    blobs = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 2.0) * 110
    pixels = np.asarray(blobs + np.array(colour, np.float32), np.float32)
    pixels.flags.writeable = False
    return pixels


@dataclasses.dataclass(frozen=True)
class Actor:
    """A textured ellipse; `path` gives its centre at a time, None while it is away."""

    seed: int
    colour: tuple[int, int, int]
    path: dict[int, tuple[float, float]]

    def mask(self, time: int) -> Pixels:
        if time not in self.path:
            return np.zeros((HEIGHT, WIDTH), np.bool_)
        x, y = self.path[time]
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        inside = ((columns - x) / 17) ** 2 + ((rows - y) / 12) ** 2 < 1
        return np.asarray(inside, np.bool_)

    def paint(self, frame: NDArray[np.float32], time: int) -> None:
        if time in self.path:
            x, y = self.path[time]
            skin = texture(self.seed, 2 * HEIGHT, 2 * WIDTH, self.colour)
            moved = np.roll(skin, (round(y), round(x)), (0, 1))[:HEIGHT, :WIDTH]
            mask = self.mask(time)
            frame[mask] = moved[mask]


def film(length: int, *actors: Actor) -> list[Frame]:
    """Frames in which the last actor is in front."""
    frames = []
    for time in range(length):
        frame = texture(0, HEIGHT, WIDTH, (90, 130, 80)).copy()
        for actor in actors:
            actor.paint(frame, time)
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def walk(
    times: range, start: tuple[float, float], step: tuple[float, float]
) -> dict[int, tuple[float, float]]:
    return {t: (start[0] + step[0] * t, start[1] + step[1] * t) for t in times}


RED = Actor(1, (190, 60, 60), walk(range(24), (30, 40), (4, 1.5)))
BLUE = Actor(2, (60, 70, 200), walk(range(24), (130, 90), (-3, -0.5)))


def open_session(
    length: int = 24,
    *,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    scale: float = 1.0,
    **options: object,
) -> Session:
    predictor: Predictor = ClassicalPredictor(ClassicalOptions(**options))  # type: ignore[arg-type]
    return immediate(predictor.session(Video("v", *size, length), scale=scale))


def track(frames: list[Frame], masks: dict[int, Pixels]) -> Iterator[Prediction]:
    session = open_session(len(frames), size=frames[0].shape[:2])
    yield session.step(frames[0], {key: Mask(mask) for key, mask in masks.items()})
    for frame in frames[1:]:
        yield session.step(frame, {})
    session.close()


def decide(prediction: Prediction, position: int = 0) -> Pixels:
    """The mask of one object at the frame's size, as an export would make it."""
    size = (WIDTH, HEIGHT)
    logits = np.stack([cv2.resize(layer, size) for layer in prediction.logits])
    winner = logits.argmax(0) == position
    return np.asarray(winner & (logits[position] > 0), np.bool_)


def iou(mask: Pixels, truth: Pixels) -> float:
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def presence(prediction: Prediction, position: int = 0) -> float:
    assert prediction.presence is not None
    return float(prediction.presence[position])


def test_a_textured_object_that_moves_is_tracked() -> None:
    predictions = list(track(film(20, RED), {1: RED.mask(0)}))
    overlaps = [iou(decide(p), RED.mask(t)) for t, p in enumerate(predictions)]
    assert min(overlaps) > 0.75
    assert all(presence(p) > 0 for p in predictions)


@pytest.mark.slow
def test_two_objects_that_cross_keep_their_ids() -> None:
    frames = film(24, BLUE, RED)
    for time, prediction in enumerate(track(frames, {7: BLUE.mask(0), 3: RED.mask(0)})):
        assert prediction.objects == (7, 3)
        if time in (10, 23):
            seen = BLUE.mask(time) & ~RED.mask(time)
            assert iou(decide(prediction, 0), seen) > 0.6
            assert iou(decide(prediction, 1), RED.mask(time)) > 0.7


@pytest.mark.slow
def test_an_object_that_vanishes_is_declared_absent_and_found_again() -> None:
    away = {t: p for t, p in RED.path.items() if t < 8}
    # It reappears on the other side of the frame, without a motion to follow.
    back = walk(range(16, 24), (165, 30), (-2, 2))
    actor = Actor(RED.seed, RED.colour, away | back)
    predictions = list(track(film(24, actor), {1: actor.mask(0)}))
    for prediction in predictions[10:16]:
        assert presence(prediction) < 0
        assert prediction.logits.max() < -1
    assert presence(predictions[23]) > 0
    assert iou(decide(predictions[23]), actor.mask(23)) > 0.6


@pytest.mark.slow
def test_an_object_that_hides_behind_another_comes_out_of_it() -> None:
    wall = Actor(5, (200, 190, 60), dict.fromkeys(range(24), (80.0, 60.0)))
    walker = Actor(3, (60, 70, 200), walk(range(24), (25, 60), (5, 0)))
    frames = film(24, walker, wall)
    predictions = list(track(frames, {1: walker.mask(0)}))
    assert iou(decide(predictions[6]), walker.mask(6) & ~wall.mask(6)) > 0.7
    assert decide(predictions[11]).sum() < 100
    assert iou(decide(predictions[20]), walker.mask(20)) > 0.6


@pytest.mark.slow
def test_a_cut_to_another_place_does_not_leave_a_mask_behind() -> None:
    frames = film(8, RED)
    elsewhere = texture(9, HEIGHT, WIDTH, (150, 150, 170)).clip(0, 255).astype(np.uint8)
    predictions = list(track([*frames, elsewhere, elsewhere], {1: RED.mask(0)}))
    assert presence(predictions[-1]) < 0


@pytest.mark.slow
def test_an_object_given_later_is_tracked_from_there_on() -> None:
    frames = film(16, BLUE, RED)
    session = open_session()
    session.step(frames[0], {1: Mask(RED.mask(0))})
    for frame in frames[1:5]:
        session.step(frame, {})
    prediction = session.step(frames[5], {2: Mask(BLUE.mask(5))})
    assert prediction.objects == (1, 2)
    assert iou(decide(prediction, 0), RED.mask(5)) > 0.75
    assert iou(decide(prediction, 1), BLUE.mask(5)) > 0.9
    prediction = session.step(frames[6], {})
    assert iou(decide(prediction, 1), BLUE.mask(6)) > 0.75


def jumping() -> tuple[list[Frame], Actor]:
    """An object that is somewhere else from frame 6 on."""
    path = walk(range(6), (30, 40), (4, 1.5)) | walk(range(6, 16), (100, 80), (2, -1))
    actor = Actor(1, (190, 60, 60), path)
    return film(16, actor), actor


def around(mask: Pixels, margin: int = 2) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(
        left=max(int(columns[0]) - margin, 0),
        top=max(int(rows[0]) - margin, 0),
        right=min(int(columns[-1]) + 1 + margin, WIDTH),
        bottom=min(int(rows[-1]) + 1 + margin, HEIGHT),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mask", "box"])
def test_an_object_that_jumped_is_tracked_on_where_a_prompt_shows_it(kind: str) -> None:
    frames, actor = jumping()
    # Without the search in the whole frame it would not be found again by itself.
    session = open_session(search=False)
    session.step(frames[0], {1: Mask(actor.mask(0))})
    for frame in frames[1:6]:
        session.step(frame, {})
    truth = actor.mask(6)
    prompt: Prompt = Mask(truth) if kind == "mask" else around(truth, 4)
    prediction = session.step(frames[6], {1: prompt})
    assert presence(prediction) > 0
    assert iou(decide(prediction), truth) > (0.95 if kind == "mask" else 0.7)
    for time in range(7, 16):
        prediction = session.step(frames[time], {})
        assert iou(decide(prediction), actor.mask(time)) > 0.6


@pytest.mark.slow
def test_without_a_prompt_the_jump_is_missed() -> None:
    """Without the prompt of the previous test, the object is not found."""
    frames, actor = jumping()
    session = open_session(search=False)
    session.step(frames[0], {1: Mask(actor.mask(0))})
    for frame in frames[1:10]:
        prediction = session.step(frame, {})
    assert iou(decide(prediction), actor.mask(9)) < 0.2


@pytest.mark.slow
def test_an_absence_holds_in_its_frame_and_the_object_is_found_again() -> None:
    frames = film(12, RED)
    session = open_session()
    session.step(frames[0], {1: Mask(RED.mask(0))})
    session.step(frames[1], {})
    empty = Mask(np.zeros((HEIGHT, WIDTH), np.bool_))
    prompts: tuple[Prompt, ...] = (Absent(), empty)
    for frame, prompt in zip(frames[2:4], prompts, strict=True):
        prediction = session.step(frame, {1: prompt})
        assert presence(prediction) < 0
        assert (prediction.logits < 0).all()
    for frame in frames[4:]:
        prediction = session.step(frame, {})
    assert presence(prediction) > 0
    assert iou(decide(prediction), RED.mask(11)) > 0.7


@pytest.mark.slow
def test_a_new_object_is_cut_out_of_its_box_and_tracked() -> None:
    frames = film(10, BLUE, RED)
    session = open_session()
    given: dict[int, Prompt] = {1: Mask(RED.mask(0)), 2: around(BLUE.mask(0), 5)}
    prediction = session.step(frames[0], given)
    assert prediction.objects == (1, 2)
    assert iou(decide(prediction, 1), BLUE.mask(0)) > 0.8
    for time in range(1, 10):
        prediction = session.step(frames[time], {})
        assert iou(decide(prediction, 1), BLUE.mask(time)) > 0.7


def test_an_object_that_is_absent_at_first_is_tracked_from_its_box_on() -> None:
    frames = film(8, RED)
    session = open_session()
    session.step(frames[0], {1: Absent()})
    assert presence(session.step(frames[1], {})) < 0
    prediction = session.step(frames[2], {1: around(RED.mask(2), 4)})
    assert presence(prediction) > 0
    assert iou(decide(prediction), RED.mask(2)) > 0.8
    assert iou(decide(session.step(frames[3], {})), RED.mask(3)) > 0.7


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, WIDTH, HEIGHT),
        Box(0, 0, 0.5, 0.5),
        Box(WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT),
        Box(3.2, 100.9, 150, 101.1),
    ],
    ids=["everything", "less than a pixel", "a corner", "a line"],
)
def test_every_box_gives_finite_logits_inside_of_it(box: Box) -> None:
    frames = film(3, RED)
    session = open_session()
    prompts: dict[int, Prompt] = {1: Mask(RED.mask(0)), 2: box}
    session.step(frames[0], prompts)
    prediction = session.step(frames[1], {1: box, 2: box})
    assert np.isfinite(prediction.logits).all()
    touched = np.zeros((HEIGHT, WIDTH), np.bool_)
    touched[
        int(box.top) : math.ceil(box.bottom), int(box.left) : math.ceil(box.right)
    ] = True
    assert not (prediction.logits > 0)[:, ~touched].any()


def test_the_first_prediction_is_the_given_mask() -> None:
    prediction = open_session().step(film(1, RED)[0], {1: Mask(RED.mask(0))})
    assert prediction.logits.dtype == np.float32
    assert np.array_equal(prediction.logits[0] > 0, RED.mask(0))


@pytest.mark.slow
def test_equal_input_gives_equal_bits_whatever_the_number_of_threads() -> None:
    frames, masks = film(6, BLUE, RED), {1: RED.mask(0), 2: BLUE.mask(0)}
    threads = cv2.getNumThreads()
    runs = []
    for count in (1, 2):
        cv2.setNumThreads(count)
        runs.append([(p.logits, p.presence) for p in track(frames, masks)])
        assert cv2.getNumThreads() == count
    cv2.setNumThreads(threads)
    for (logits, scores), (others, other_scores) in zip(*runs, strict=True):
        assert np.array_equal(logits, others)
        assert scores is not None
        assert other_scores is not None
        assert np.array_equal(scores, other_scores)


@pytest.mark.slow
def test_a_mirrored_video_is_tracked_as_well() -> None:
    frames = [np.ascontiguousarray(f[:, ::-1]) for f in film(16, RED)]
    predictions = list(track(frames, {1: RED.mask(0)[:, ::-1]}))
    assert iou(decide(predictions[15]), RED.mask(15)[:, ::-1]) > 0.75


def test_frames_and_masks_may_be_read_only() -> None:
    frames, mask = film(3, RED), RED.mask(0)
    for array in (*frames, mask):
        array.flags.writeable = False
    assert len(list(track(frames, {1: mask}))) == 3


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((HEIGHT, WIDTH), np.bool_), id="empty"),
        pytest.param(np.ones((HEIGHT, WIDTH), np.bool_), id="everything"),
        pytest.param(
            np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) == 5000, id="1 px"
        ),
    ],
)
def test_degenerate_masks_give_finite_logits(mask: Pixels) -> None:
    for prediction in track(film(4, RED), {1: mask}):
        assert np.isfinite(prediction.logits).all()
        assert np.abs(prediction.logits).max() <= 12
        assert (presence(prediction) > 0) == bool(mask.any()) or mask.sum() == 1


@pytest.mark.slow
def test_an_empty_first_mask_stays_absent_beside_a_tracked_object() -> None:
    masks = {1: np.zeros((HEIGHT, WIDTH), np.bool_), 2: RED.mask(0)}
    *_, last = track(film(6, RED), masks)
    assert presence(last, 0) < 0
    assert last.logits[0].max() < -1
    assert iou(decide(last, 1), RED.mask(5)) > 0.75


def test_a_video_without_objects_gives_no_logits() -> None:
    for prediction in track(film(2), {}):
        assert prediction.objects == ()
        assert prediction.logits.shape[0] == 0


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (9, 200), (300, 20)])
def test_frames_of_any_size_are_taken(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (*size, 3), np.uint8) for _ in range(3)]
    mask = np.zeros(size, np.bool_)
    mask[: size[0] // 2 + 1, : size[1] // 2 + 1] = True
    for prediction in track(frames, {1: mask}):
        assert np.isfinite(prediction.logits).all()


def test_large_frames_are_worked_on_at_a_reduced_resolution() -> None:
    frame = np.asarray(cv2.resize(film(1, RED)[0], (1920, 1080)), np.uint8)
    mask = cv2.resize(RED.mask(0).astype(np.uint8), (1920, 1080)) > 0
    size = frame.shape[0], frame.shape[1]
    shapes = [
        open_session(size=size, scale=scale)
        .step(frame, {1: Mask(mask)})
        .logits.shape[1:]
        for scale in (1.0, 0.5)
    ]
    assert shapes[0][0] * shapes[0][1] == pytest.approx(105_000, rel=0.01)
    assert shapes[1] == pytest.approx((shapes[0][0] / 2, shapes[0][1] / 2), abs=1)


@pytest.mark.slow
def test_what_a_session_keeps_does_not_grow_with_the_video() -> None:
    def held(value: object, seen: set[int]) -> int:
        if id(value) in seen:
            return 0
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            return value.nbytes
        inner = value.values() if isinstance(value, dict) else vars(value).values()
        return sum(
            held(x, seen)
            for x in inner
            if hasattr(x, "__dict__") or isinstance(x, dict | np.ndarray)
        )

    frames = film(20, RED)
    session = open_session()
    session.step(frames[0], {1: Mask(RED.mask(0))})
    amounts = []
    for frame in frames[1:]:
        session.step(frame, {})
        amounts.append(held(session, set()))
    assert min(amounts) > 0
    # One more frame, were it kept, would be 57,600 bytes.
    assert max(amounts[5:]) - min(amounts[5:]) < 57_600 // 2
    session.close()
    session.close()
    assert held(session, set()) == 0


def test_wrong_shapes_and_calls_are_refused_by_name() -> None:
    session = open_session()
    frame = film(1, RED)[0]
    with pytest.raises(PredictorError, match=r"\(120, 160, 3\), found \(60, 160, 3\)"):
        session.step(frame[::2], {})
    session.close()
    with pytest.raises(PredictorError, match="the session is closed"):
        session.step(frame, {1: Mask(RED.mask(0))})
    with pytest.raises(OptionError, match=r"between 0\.25 and 2\.0, found 3"):
        open_session(scale=3)


def test_options_are_checked() -> None:
    parsed = parse_options("classical", ClassicalOptions, ["pixels=50000", "search=no"])
    assert parsed == ClassicalOptions(pixels=50_000, search=False)
    with pytest.raises(OptionError, match=r"adapt=2: expected a number from 0"):
        parse_options("classical", ClassicalOptions, ["adapt=2"])


def test_the_description_names_licence_and_cores() -> None:
    description = ClassicalPredictor(ClassicalOptions()).describe()
    assert description.model == "classical"
    assert description.checkpoint is None
    assert description.licence == "Apache-2.0"
    assert description.cores == 1
    assert description.sizes.allows(1.25)
