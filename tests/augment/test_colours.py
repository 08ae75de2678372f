"""Variants that change colours: gamma and local contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from submit.augment import AugmentedPredictor, Variant, parse_variant
from submit.predictors import Description, Frame, Prediction, Prompts, Video

VIDEO = Video("v", height=6, width=10, length=4)


@dataclass(frozen=True)
class Options:
    """None."""


class Watcher:
    """A predictor that records the frames it gets."""

    Options: ClassVar[type[Any]] = Options

    def __init__(self, seen: list[Frame]) -> None:
        self._seen = seen

    def describe(self) -> Description:
        return Description(model="watcher", licence="none")

    def session(self, video: Video, *, scale: float = 1.0) -> Any:
        return self

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        self._seen.append(frame)
        return Prediction(objects=(), logits=np.zeros((0, 1, 1), np.float32))


@pytest.mark.parametrize(
    ("gamma", "brighter"), [(0.8, True), (2.0, False)], ids=["brighter", "darker"]
)
def test_gamma_changes_the_brightness_and_nothing_else(
    gamma: float, brighter: bool
) -> None:
    seen: list[Frame] = []
    predictor: Any = AugmentedPredictor(Watcher(seen), Variant(gamma=gamma))
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    predictor.session(VIDEO).step(ramp, {})
    levels = seen[0][..., 0].ravel().astype(int)
    assert seen[0].dtype == np.uint8
    assert (np.diff(levels) >= 0).all()
    assert (levels[0], levels[-1]) == (0, 255)
    assert (levels[128] > 128) == brighter
    np.testing.assert_array_equal(
        levels, np.rint(255 * (np.arange(256) / 255) ** gamma)
    )


def test_clahe_brings_contrast_into_fog() -> None:
    seen: list[Frame] = []
    session = AugmentedPredictor(Watcher(seen), Variant(clahe=True)).session(VIDEO)
    random = np.random.default_rng(0)
    fog = np.full((64, 64, 3), 180, np.uint8)
    fog[16:48, 16:48] += random.integers(0, 12, (32, 32, 1), dtype=np.uint8)
    before = fog.copy()
    session.step(fog, {})
    session.step(fog, {})
    assert seen[0].shape == fog.shape
    assert seen[0].std() > 1.5 * fog.std()
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(fog, before)


def test_colours_and_geometry_may_be_combined() -> None:
    seen: list[Frame] = []
    frame = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    predictor = AugmentedPredictor(Watcher(seen), parse_variant("hflip+gamma=0.5"))
    predictor.session(VIDEO).step(frame, {})
    levels = np.rint(255 * (np.arange(256) / 255) ** 0.5)
    np.testing.assert_array_equal(seen[0], levels[frame[:, ::-1]])
