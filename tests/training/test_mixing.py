from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from submit.training.mixing import Mixture, apportion


def test_weights_hold_in_every_block_and_videos_occur_equally_often() -> None:
    mixture = Mixture([3, 1], [np.ones(50), np.ones(7)], seed=0)
    drawn = [mixture.draw(number) for number in range(4000)]
    for begin in range(0, 4000, 1000):
        sources = Counter(source for source, _ in drawn[begin : begin + 1000])
        assert sources == {0: 750, 1: 250}
    counts = Counter(video for source, video in drawn if source == 0)
    assert set(counts.values()) == {60}
    counts = Counter(video for source, video in drawn if source == 1)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_draw_does_not_depend_on_those_before() -> None:
    weights, factors = [2.0, 5.0], [np.array([1, 2.5, 1]), np.ones(11)]
    numbers = [7, 2500, 0, 999, 1000, 31_415]
    mixture = Mixture(weights, factors, seed=3)
    alone = [Mixture(weights, factors, seed=3).draw(number) for number in numbers]
    assert [mixture.draw(number) for number in numbers] == alone
    assert [Mixture(weights, factors, seed=4).draw(n) for n in numbers] != alone


def test_factors_say_how_often_a_video_occurs() -> None:
    mixture = Mixture([1], [np.array([1, 3, 1.5, 1])], seed=0)
    counts = Counter(mixture.draw(number)[1] for number in range(6500))
    for video, factor in enumerate((1, 3, 1.5, 1)):
        assert counts[video] / 1000 == pytest.approx(factor, rel=0.05)


def test_small_weights_are_not_lost() -> None:
    assert apportion([1, 1e-6, 0], 1000).tolist() == [999, 1, 0]
    assert apportion([1, 1, 1], 1000).sum() == 1000
    assert apportion([1] * 7, 10).sum() == 10
