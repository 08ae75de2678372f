from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.augment import (
    AugmentedPredictor,
    MergedPredictor,
    Variant,
    augmented,
    parse_variant,
)
from submit.errors import OptionError, PredictorError
from submit.masks import LOGIT_LIMIT, resize_logits
from submit.predictors import (
    Absent,
    Box,
    Description,
    Frame,
    InputSizes,
    Mask,
    Point,
    Points,
    Prediction,
    Predictor,
    Prompts,
    Session,
    Video,
    immediate,
)

VIDEO = Video("v", height=6, width=10, length=4)


@dataclass(frozen=True)
class Options:
    """None."""


class FakePredictor:
    """A predictor that records its input; it is not symmetric under a flip."""

    Options: ClassVar[type[Any]] = Options

    def __init__(self, *, scores: bool = True) -> None:
        self.scores = scores
        self.sessions: list[FakeSession] = []

    def describe(self) -> Description:
        return Description(
            model="fake", licence="none", sizes=InputSizes(base=64, step=16)
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        self.sessions.append(FakeSession(scale, scores=self.scores))
        return self.sessions[-1]


class FakeSession:
    def __init__(self, scale: float, *, scores: bool) -> None:
        self.scale = scale
        self.scores = scores
        self.masks: dict[int, NDArray[Any]] = {}
        self.sum = 0.0
        self.closed = 0

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        for key, prompt in prompts.items():
            assert isinstance(prompt, Mask)
            self.masks[key] = prompt.pixels
        assert frame.flags.c_contiguous
        ramp = np.linspace(0, 1, frame.shape[1], dtype=np.float32)
        self.sum += float((frame[..., 0] * ramp).sum()) / 1e4
        planes = [
            (mask * 6.0 - 3.0) * (1 + ramp) + np.float32(self.sum) - frame[..., 1] / 99
            for mask in self.masks.values()
        ]
        logits = np.stack(planes).astype(np.float32)
        count = round(6 * self.scale)
        logits = resize_logits(logits, (count, count + 2))
        size = len(planes)
        return Prediction(
            objects=tuple(self.masks),
            logits=logits,
            presence=np.full(size, self.sum, np.float32) if self.scores else None,
            iou=np.full(size, self.scale / 4, np.float32),
        )

    def close(self) -> None:
        self.closed += 1


Frames = list[NDArray[np.uint8]]


@pytest.fixture
def frames() -> Frames:
    random = np.random.default_rng(0)
    size = (VIDEO.length, VIDEO.height, VIDEO.width, 3)
    return list(random.integers(0, 256, size, dtype=np.uint8))


@pytest.fixture
def masks() -> dict[int, NDArray[np.bool_]]:
    random = np.random.default_rng(1)
    return {key: random.random((VIDEO.height, VIDEO.width)) < 0.4 for key in (7, 2)}


def track(
    predictor: Predictor, frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> list[Prediction]:
    """Track the first object from frame 0 and the second from frame 2."""
    (one, first), (two, second) = masks.items()
    session = immediate(predictor.session(VIDEO))
    predictions = [
        session.step(frames[0], {one: Mask(first)}),
        session.step(frames[1], {}),
        session.step(frames[2], {two: Mask(second)}),
        session.step(frames[3], {}),
    ]
    session.close()
    return predictions


def mirrored(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array[:, ::-1])


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("plain", Variant()),
        ("hflip", Variant(hflip=True)),
        ("scale=0.75", Variant(scale=0.75)),
        ("hflip+scale=1.5", Variant(hflip=True, scale=1.5)),
        (" scale=2 + hflip ", Variant(hflip=True, scale=2.0)),
        ("plain+hflip", Variant(hflip=True)),
        ("zoom", Variant(zoom=True)),
        ("clahe+gamma=0.8", Variant(gamma=0.8, clahe=True)),
        (
            "gamma=2+zoom+scale=0.5+hflip+clahe",
            Variant(hflip=True, scale=0.5, zoom=True, gamma=2.0, clahe=True),
        ),
    ],
)
def test_variants_are_read(text: str, variant: Variant) -> None:
    assert parse_variant(text) == variant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected plain, or some of hflip, scale=F, zoom, gamma=G, clahe joined "),
        ("vflip", "found 'vflip'"),
        ("hflip=1", "found 'hflip=1'"),
        ("hflip+", "found ''"),
        ("plain=2", "found 'plain=2'"),
        ("hflip+hflip", "hflip is given twice"),
        ("scale=1+scale=2", "scale is given twice"),
        ("scale", "expected scale=<positive number>, found ''"),
        ("scale=big", "found 'big'"),
        ("scale=0", "found '0'"),
        ("scale=-1", "found '-1'"),
        ("zoom=2", "found 'zoom=2'"),
        ("clahe+clahe", "clahe is given twice"),
        ("gamma", "expected gamma=<positive number>, found ''"),
        ("gamma=0", "found '0'"),
        ("scale=inf", "found 'inf'"),
        ("scale=nan", "found 'nan'"),
    ],
)
def test_a_text_that_is_no_variant_is_said(text: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_variant(text)
    assert str(caught.value).startswith(f"variant {text!r}: ")
    assert said in str(caught.value)


@pytest.mark.slow
@given(
    st.builds(
        Variant,
        hflip=st.booleans(),
        scale=st.floats(1e-3, 1e3),
        zoom=st.booleans(),
        gamma=st.floats(1e-3, 1e3),
        clahe=st.booleans(),
    )
)
def test_the_text_of_a_variant_is_that_variant(variant: Variant) -> None:
    assert parse_variant(str(variant)) == variant


def test_texts_of_variants_are_short() -> None:
    assert str(Variant()) == "plain"
    assert str(Variant(hflip=True, scale=2.0)) == "hflip+scale=2"
    assert str(Variant(scale=0.75)) == "scale=0.75"


@pytest.mark.slow
def test_the_flip_of_a_flip_is_the_plain_model(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    flip = Variant(hflip=True)
    twice = AugmentedPredictor(AugmentedPredictor(FakePredictor(), flip), flip)
    pairs = zip(
        track(FakePredictor(), frames, masks), track(twice, frames, masks), strict=True
    )
    for plain, flipped in pairs:
        assert plain.objects == flipped.objects
        np.testing.assert_array_equal(plain.logits, flipped.logits)
        np.testing.assert_array_equal(plain.presence, flipped.presence)


def test_a_flipped_model_on_a_flipped_video_is_the_plain_model_mirrored(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    flipped = AugmentedPredictor(FakePredictor(), Variant(hflip=True))
    plain = track(FakePredictor(), frames, masks)
    there = track(
        flipped,
        [mirrored(frame) for frame in frames],
        {key: mirrored(mask) for key, mask in masks.items()},
    )
    for one, other in zip(plain, there, strict=True):
        assert one.objects == other.objects
        np.testing.assert_array_equal(one.logits, other.logits[:, :, ::-1])
        assert other.logits.flags.c_contiguous
    # The model is not symmetric, so the flip is a second opinion.
    here = track(flipped, frames, masks)
    assert not np.array_equal(plain[3].logits, here[3].logits)


def test_what_a_wrapper_is_given_stays_as_it_was(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    before = [frame.copy() for frame in frames], {k: m.copy() for k, m in masks.items()}
    tta = [Variant(hflip=True), Variant(scale=1.5)]
    track(augmented(FakePredictor(), variant=None, tta=tta), frames, masks)
    np.testing.assert_array_equal(before[0], frames)
    for key, mask in masks.items():
        np.testing.assert_array_equal(before[1][key], mask)


def test_a_scaled_model_is_asked_for_that_scale() -> None:
    inner = FakePredictor()
    half = AugmentedPredictor(inner, Variant(hflip=True, scale=0.5))
    half.session(VIDEO)
    AugmentedPredictor(half, Variant(scale=1.5)).session(VIDEO)
    assert [session.scale for session in inner.sessions] == [0.5, 0.75]
    assert half.describe() == inner.describe()


@pytest.mark.parametrize("scale", [0.7, 0.01, 3.0])
def test_a_scale_the_model_cannot_do_is_refused_at_once(scale: float) -> None:
    message = f"variant scale={scale:g}: fake does not run at {scale:g} times its input"
    with pytest.raises(OptionError, match=message):
        AugmentedPredictor(FakePredictor(), Variant(scale=scale))
    with pytest.raises(OptionError, match=message):
        augmented(FakePredictor(), variant=None, tta=[Variant(scale=scale)])


def test_variants_side_by_side_give_the_mean_of_their_probabilities(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    variants = [Variant(hflip=True), Variant(scale=0.5)]
    merged = track(
        augmented(FakePredictor(), variant=None, tta=variants), frames, masks
    )
    members = [
        track(AugmentedPredictor(FakePredictor(), variant), frames, masks)
        for variant in (Variant(), *variants)
    ]
    for index, prediction in enumerate(merged):
        parts = [member[index] for member in members]
        assert prediction.objects == parts[0].objects
        assert prediction.logits.dtype == np.float32
        shape = parts[0].logits.shape[1:]
        resized = [resize_logits(part.logits, (shape[0], shape[1])) for part in parts]
        chance = np.mean([1 / (1 + np.exp(-one.astype(float))) for one in resized], 0)
        wanted = np.log(chance / (1 - chance))
        np.testing.assert_allclose(prediction.logits, wanted, atol=1e-5)
        for name in ("presence", "iou"):
            wanted = np.mean([getattr(part, name) for part in parts], axis=0)
            np.testing.assert_allclose(getattr(prediction, name), wanted, rtol=1e-6)


def test_the_detail_of_a_larger_variant_is_kept(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    merged = track(
        augmented(FakePredictor(), variant=None, tta=[Variant(scale=1.5)]),
        frames,
        masks,
    )
    large = track(
        AugmentedPredictor(FakePredictor(), Variant(scale=1.5)), frames, masks
    )
    assert merged[0].logits.shape == large[0].logits.shape


def test_a_score_that_one_variant_lacks_is_no_score(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    members = [FakePredictor(), FakePredictor(scores=False)]
    prediction = track(MergedPredictor(members), frames, masks)[0]
    assert prediction.presence is None
    assert prediction.iou is not None


def test_the_mean_of_equal_members_is_the_member(
    frames: Frames, masks: dict[int, NDArray[np.bool_]]
) -> None:
    alone = track(FakePredictor(), frames, masks)
    merged = track(MergedPredictor([FakePredictor()] * 2), frames, masks)
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)


class Constant:
    """A session that always returns the same prediction."""

    def __init__(self, objects: tuple[int, ...], value: float) -> None:
        logits = np.full((len(objects), 2, 2), value, np.float32)
        self._prediction = Prediction(objects=objects, logits=logits)

    def session(self, video: Video, *, scale: float = 1.0) -> Constant:
        return self

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        return self._prediction


@pytest.mark.parametrize("limit", [np.inf, np.finfo(np.float32).max])
def test_an_infinite_logit_is_one_voice_among_others(
    frames: Frames, limit: float
) -> None:
    """Means of p = 1, 0 and σ(3) = 0.953; and of 0 and 0.5."""
    for values, wanted in (((limit, -limit, 3), 0.65086), ((-limit, 0), 0.25)):
        members: Any = [Constant((1,), value) for value in values]
        logits = MergedPredictor(members).session(VIDEO).step(frames[0], {}).logits
        logit = np.full((1, 2, 2), np.log(wanted / (1 - wanted)))
        np.testing.assert_allclose(logits, logit, atol=2e-4)


def test_where_all_members_are_sure_the_mean_is_as_sure(frames: Frames) -> None:
    for value in (-np.inf, -40, 40, np.inf):
        members: Any = [Constant((1,), value)] * 3
        logits = MergedPredictor(members).session(VIDEO).step(frames[0], {}).logits
        wanted = np.full((1, 2, 2), np.clip(value, -LOGIT_LIMIT, LOGIT_LIMIT))
        np.testing.assert_allclose(logits, wanted, rtol=1e-5)


def test_members_that_mix_up_their_objects_are_not_averaged(frames: Frames) -> None:
    members: Any = [Constant((1, 2), 0), Constant((2, 1), 0)]
    with pytest.raises(PredictorError, match=r"objects \[1, 2\], another \[2, 1\]; th"):
        MergedPredictor(members).session(VIDEO).step(frames[0], {})


def test_all_sessions_are_closed() -> None:
    inner = FakePredictor()
    tta = [Variant(hflip=True), Variant(scale=0.5)]
    augmented(inner, variant=Variant(hflip=True), tta=tta).session(VIDEO).close()
    assert [session.closed for session in inner.sessions] == [1, 1, 1]


def test_a_variant_takes_the_place_of_the_plain_video() -> None:
    inner = FakePredictor()
    assert augmented(inner, variant=None, tta=[]) is inner
    both = augmented(inner, variant=Variant(scale=0.5), tta=[Variant(scale=1.5)])
    both.session(VIDEO)
    assert [session.scale for session in inner.sessions] == [0.5, 1.5]


class Note:
    """A predictor that records the prompts it gets."""

    Options: ClassVar[type[Any]] = Options

    def __init__(self) -> None:
        self.told: list[Prompts] = []

    def describe(self) -> Description:
        return Description(model="note", licence="none")

    def session(self, video: Video, *, scale: float = 1.0) -> Any:
        return self

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        self.told.append(prompts)
        logits = np.zeros((len(prompts), 1, 1), np.float32)
        return Prediction(tuple(prompts), logits)


@pytest.mark.parametrize("text", ["hflip", "hflip+scale=0.5+gamma=0.8"])
def test_prompts_of_all_kinds_are_mirrored_with_the_frame(
    text: str, frames: Frames
) -> None:
    model = Note()
    pixels = np.zeros((VIDEO.height, VIDEO.width), bool)
    pixels[2:4, 1:5] = True
    prompts: Prompts = {
        1: Mask(pixels),
        2: Box(left=1, top=2, right=5, bottom=4),
        3: Points((Point(1, 2), Point(4, 3, inside=False))),
        4: Absent(),
    }
    AugmentedPredictor(model, parse_variant(text)).session(VIDEO).step(
        frames[0], prompts
    )
    (told,) = model.told
    one, two = told[1], told[2]
    assert isinstance(one, Mask)
    assert isinstance(two, Box)
    assert one.pixels.flags.c_contiguous
    np.testing.assert_array_equal(one.pixels, pixels[:, ::-1])
    np.testing.assert_array_equal(
        two.to_mask(VIDEO.height, VIDEO.width).pixels, pixels[:, ::-1]
    )
    assert told[3] == Points((Point(8, 2), Point(5, 3, inside=False)))
    assert told[4] == Absent()


def test_every_member_is_given_the_prompts(frames: Frames) -> None:
    one, other = Note(), Note()
    members: list[Any] = [one, AugmentedPredictor(other, Variant(hflip=True))]
    prompts = {5: Points((Point(0, 1),))}
    MergedPredictor(members).session(VIDEO).step(frames[0], prompts)
    assert one.told == [prompts]
    assert other.told == [{5: Points((Point(9, 1),))}]
