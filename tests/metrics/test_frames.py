from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.metrics.frames import (
    FrameScorer,
    FrameScores,
    ObjectScore,
    davis_score,
    object_score,
)
from submit.png.palette import decode_packed, encode

Labels = NDArray[np.uint8]


def blank(height: int, width: int) -> Labels:
    return np.zeros((height, width), np.uint8)


def with_disc(
    labels: Labels, y: float, x: float, radius: float, key: int = 1
) -> Labels:
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    result = labels.copy()
    result[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = key
    return result


def with_box(
    labels: Labels, top: int, left: int, height: int, width: int, key: int = 1
) -> Labels:
    result = labels.copy()
    result[top : top + height, left : left + width] = key
    return result


def scorer_for(labels: Labels, *objects: int, davis: bool = False) -> FrameScorer:
    height, width = labels.shape
    return FrameScorer(height, width, objects, davis=davis)


def pair(name: str) -> tuple[Labels, Labels]:
    """Truth and prediction of a golden case."""
    hd, sd, odd = blank(1080, 1920), blank(480, 854), blank(61, 67)
    return {
        "small object moved by 6": (
            with_disc(hd, 500, 700, 8),
            with_disc(hd, 500, 706, 8),
        ),
        "medium object moved by 12": (
            with_disc(hd, 500, 700, 25),
            with_disc(hd, 500, 712, 25),
        ),
        "large object moved by 18": (
            with_box(hd, 100, 100, 700, 900),
            with_box(hd, 100, 118, 700, 900),
        ),
        "large object moved back by 18": (
            with_box(hd, 100, 118, 700, 900),
            with_box(hd, 100, 100, 700, 900),
        ),
        "object across the right and lower borders": (
            with_disc(sd, 470, 850, 60),
            with_disc(sd, 452, 838, 55),
        ),
        "one false pixel": (sd, with_box(sd, 3, 5, 1, 1)),
        "many false pixels": (sd, with_disc(sd, 100, 100, 8)),
        "object lost": (with_disc(sd, 100, 100, 8), sd),
        "whole frame against half": (
            with_box(odd, 0, 0, 61, 67),
            with_box(odd, 0, 0, 30, 67),
        ),
        "frame too small for its disk": (
            with_box(blank(9, 12), 3, 3, 4, 4),
            with_box(blank(9, 12), 4, 4, 4, 4),
        ),
        "ultra wide": (
            with_box(blank(40, 6000), 5, 2000, 30, 1500),
            with_box(blank(40, 6000), 5, 2040, 30, 1520),
        ),
    }[name]


#: J, Ḟ and F of the official code for `pair(name)`: `db_eval_iou` and
#: `db_eval_boundary(…, bound_th=0.1, bound_mode="area")` of MOSE-api@241977a, run with
#: OpenCV 5.0 and scikit-image 0.26. tools/compare_scorer.py compares any other case.
OFFICIAL: dict[str, tuple[float, float, float]] = {
    "small object moved by 6": (0.36551724137931035, 0.3235294117647059, 1.0),
    "medium object moved by 12": (0.5376175548589341, 0.3137254901960784, 1.0),
    "large object moved by 18": (0.9607843747519845, 0.573125, 0.573125),
    "large object moved back by 18": (0.9607843747519845, 0.573125, 0.573125),
    "object across the right and lower borders": (
        0.7149045087615672,
        0.16827802456232033,
        0.20503481521156935,
    ),
    "one false pixel": (0.5, 0.0, 0.0),
    "many false pixels": (0.005050505050505051, 0.0, 0.0),
    "object lost": (0.005050505050505051, 0.0, 0.0),
    "whole frame against half": (0.4919275929549902, 0.0, 0.0),
    "frame too small for its disk": (
        0.4166666666666667,
        0.2222222222222222,
        0.2222222222222222,
    ),
    "ultra wide": (0.9358988055810773, 0.9724025974025974, 0.9917059684501546),
}

#: J and F of the same pairs by davis2017-evaluation@ac7c43f.
DAVIS: dict[str, tuple[float, float]] = {
    "small object moved by 6": (0.3633217993079585, 1.0),
    "medium object moved by 12": (0.537436299490396, 1.0),
    "large object moved by 18": (0.9607843137254902, 1.0),
    "large object moved back by 18": (0.9607843137254902, 1.0),
    "object across the right and lower borders": (
        0.7148483654982276,
        0.20503481521156935,
    ),
    "one false pixel": (0.0, 0.0),
    "many false pixels": (0.0, 0.0),
    "object lost": (0.0, 0.0),
    "whole frame against half": (0.4918032786885246, 0.0),
    "frame too small for its disk": (0.391304347826087, 0.9375),
    "ultra wide": (0.9358974358974359, 0.9917059684501546),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_frame_scores_as_the_official_code_scores_it(name: str) -> None:
    truth, prediction = pair(name)
    scores = scorer_for(truth, 1).score(truth, prediction)
    assert tuple(scores[0, :3].tolist()) == OFFICIAL[name]
    assert scores[0, 3] == (not truth.any())


@pytest.mark.parametrize("name", DAVIS)
def test_a_frame_scores_as_davis_scores_it(name: str) -> None:
    truth, prediction = pair(name)
    scores = scorer_for(truth, 1, davis=True).score(truth, prediction)
    j, f_dot, f, _ = scores[0].tolist()
    assert (j, f) == DAVIS[name]
    assert f_dot == f


# The same measure once more, slowly: sets of pixels and loops over the official steps.


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    around = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    east, south, corner = around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    edges: NDArray[np.bool_] = (mask != east) | (mask != south) | (mask != corner)
    return edges


def dilate(edges: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """What cv2.dilate makes of skimage's disk, pixel by pixel of the disk."""
    axis = np.arange(-radius, radius + 1)
    anchor = len(axis) // 2
    inside = [
        (i - anchor, j - anchor)
        for (i, y), (j, x) in itertools.product(enumerate(axis), repeat=2)
        if x**2 + y**2 <= radius**2
    ] or [(-anchor, -anchor)]
    height, width = edges.shape
    reach = len(axis)
    padded = np.pad(edges, reach)
    result = np.zeros_like(edges)
    for dy, dx in inside:
        result |= padded[reach + dy :, reach + dx :][:height, :width]
    return result


def f_measure(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], radius: float
) -> float:
    truth, prediction = boundary(truth), boundary(prediction)
    if not truth.any() or not prediction.any():
        return float(truth.any() == prediction.any())
    precision = (prediction & dilate(truth, radius)).sum() / prediction.sum()
    recall = (truth & dilate(prediction, radius)).sum() / truth.sum()
    if precision + recall == 0:
        return 0.0
    return float(2 * precision * recall / (precision + recall))


def slow_scores(truth: Labels, prediction: Labels, key: int) -> list[float]:
    t, p = truth == key, prediction == key
    j = ((t & p).sum() + 1) / ((t | p).sum() + 1)
    limit = 0.008 * math.hypot(*truth.shape)
    width = math.ceil(0.1 * math.sqrt(t.sum())) if t.any() else limit
    if width < limit:
        f, f_dot = f_measure(t, p, math.ceil(limit)), f_measure(t, p, width)
    else:
        f = f_dot = f_measure(t, p, limit)
    return [float(j), f_dot, f, float(not t.any())]


@st.composite
def label_pairs(draw: st.DrawFn) -> tuple[Labels, Labels]:
    """Two maps of boxes and single pixels, from one pixel to several words wide."""
    longest = draw(st.sampled_from([3, 20, 90, 300]))
    shape = (
        draw(st.integers(1, longest)),
        draw(st.integers(1, longest)),
    )
    maps = []
    for _ in range(2):
        labels = blank(*shape)
        for _ in range(draw(st.integers(0, 4))):
            top, left = draw(st.integers(0, shape[0])), draw(st.integers(0, shape[1]))
            size = draw(st.sampled_from([1, 2, 5, 40, 300]))
            labels = with_box(
                labels,
                top - size // 2 if top > size // 2 else 0,
                left - size // 3 if left > size // 3 else 0,
                size,
                draw(st.integers(1, size)),
                draw(st.integers(0, 3)),
            )
        maps.append(labels)
    return maps[0], maps[1]


@given(label_pairs())
@example((blank(1, 1), blank(1, 1)))
@example((blank(1, 1) + np.uint8(1), blank(1, 1)))
@example((blank(8, 64) + np.uint8(1), blank(8, 64) + np.uint8(2)))
@example((with_box(blank(3, 65), 0, 64, 3, 1), with_box(blank(3, 65), 0, 63, 3, 1)))
def test_scores_equal_a_slow_reference_to_the_last_bit(
    maps: tuple[Labels, Labels],
) -> None:
    truth, prediction = maps
    scores = scorer_for(truth, 2, 1, 3).score(truth, prediction)
    for row, key in zip(scores, (2, 1, 3), strict=True):
        assert row.tolist() == slow_scores(truth, prediction, key)


def test_a_scorer_keeps_nothing_of_the_frames_before() -> None:
    first, second = (
        pair("object across the right and lower borders"),
        pair("object lost"),
    )
    scorer = FrameScorer(480, 854, objects=(1,))
    fresh = FrameScorer(480, 854, objects=(1,)).score(*second)
    scorer.score(*first)
    assert scorer.score(*second).tolist() == fresh.tolist()


@pytest.mark.slow
@given(label_pairs(), st.sampled_from([1, 3, 12, 200]), st.booleans())
def test_packed_masks_score_as_their_pixels_do(
    maps: tuple[Labels, Labels], highest: int, grey: bool
) -> None:
    # The highest id decides how many bits of the file a pixel has.
    ids = np.array([0, 1, max(highest // 2, 1), highest], np.uint8)
    truth, prediction = (decode_packed(encode(ids[labels])) for labels in maps)
    if grey and truth.depth < 8:
        truth = replace(truth, step=255 // ((1 << truth.depth) - 1))
    labels = truth.unpack(), prediction.unpack()
    objects = sorted({1, highest, *np.unique(labels[0]).tolist()} - {0})
    scorer = FrameScorer(*truth.shape, objects)
    expected = scorer.score(*labels).tolist()
    assert scorer.score_packed(truth, prediction).tolist() == expected


def test_labels_may_be_views_or_read_only() -> None:
    truth, prediction = pair("whole frame against half")
    scorer = FrameScorer(61, 67, objects=(1,))
    expected = scorer.score(truth, prediction).tolist()
    wide = np.zeros((61, 80), np.uint8)
    wide[:, 3:70] = truth
    shifted = np.zeros(61 * 67 + 1, np.uint8)
    shifted[1:] = prediction.ravel()
    odd = shifted[1:].reshape(61, 67)
    odd.setflags(write=False)
    assert scorer.score(wide[:, 3:70], odd).tolist() == expected
    assert odd.tolist() == prediction.tolist()


def test_other_labels_are_background() -> None:
    truth, prediction = pair("object lost")
    scorer = FrameScorer(480, 854, objects=(1,))
    marked = np.where(truth == 0, np.uint8(9), truth)
    assert (
        scorer.score(marked, prediction).tolist()
        == scorer.score(truth, prediction).tolist()
    )


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected label maps of \(4, 5\)"):
        FrameScorer(4, 5, objects=(1,)).score(blank(4, 5), blank(5, 4))


@pytest.mark.parametrize("objects", [(0,), (256,), (1, 1)])
def test_ids_that_cannot_be_scored_are_refused(objects: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="different ids in 1…255"):
        FrameScorer(4, 5, objects)


# Averages over frames.


def frames_of(empty: str) -> FrameScores:
    """Scores that differ for each frame; `-` marks frames without the object."""
    count = len(empty)
    return FrameScores(
        j=np.linspace(0.1, 0.9, count),
        f_dot=np.linspace(0.9, 0.2, count) ** 2,
        f=np.linspace(0.5, 0.7, count),
        empty=np.array([mark == "-" for mark in empty]),
    )


#: What `merge_chunk_results` of MOSE-api@241977a returns for `frames_of(key)`: J, Ḟ and
#: F, then J and Ḟ over disappearances and over reappearances.
MERGED: dict[str, tuple[float | None, ...]] = {
    "......": (
        0.49999999999999994,
        0.35966666666666675,
        0.6000000000000001,
        None,
        None,
        None,
        None,
    ),
    "..--..": (
        0.49999999999999994,
        0.35966666666666675,
        0.6000000000000001,
        0.5,
        0.3074000000000001,
        0.8200000000000001,
        0.07780000000000004,
    ),
    "..--": (
        0.5,
        0.37055555555555564,
        0.6,
        0.7666666666666666,
        0.11388888888888893,
        None,
        None,
    ),
    "--....": (
        0.49999999999999994,
        0.35966666666666675,
        0.6000000000000001,
        None,
        None,
        0.66,
        0.19260000000000008,
    ),
    "--": (0.5, 0.42500000000000004, 0.6, None, None, None, None),
    "-.-.-.": (
        0.49999999999999994,
        0.35966666666666675,
        0.6000000000000001,
        0.5800000000000001,
        0.2500000000000001,
        0.58,
        0.2826666666666667,
    ),
    ".-.-.-": (
        0.49999999999999994,
        0.35966666666666675,
        0.6000000000000001,
        0.58,
        0.2826666666666667,
        0.5800000000000001,
        0.2500000000000001,
    ),
    "..-..--.": (
        0.5,
        0.35500000000000004,
        0.6,
        0.5285714285714287,
        0.3075000000000001,
        0.7,
        0.17250000000000004,
    ),
    "-..--..-": (
        0.5,
        0.35500000000000004,
        0.6,
        0.7,
        0.17250000000000004,
        0.5,
        0.3450000000000001,
    ),
    ".": (0.1, 0.81, 0.5, None, None, None, None),
    "-": (0.1, 0.81, 0.5, None, None, None, None),
    "--.--..": (
        0.5,
        0.35694444444444456,
        0.5999999999999999,
        0.5666666666666667,
        0.24513888888888896,
        0.6,
        0.2572916666666667,
    ),
}


@pytest.mark.parametrize("empty", MERGED)
def test_frames_are_averaged_as_the_official_code_averages_them(empty: str) -> None:
    score = object_score(frames_of(empty))
    assert (
        score.j,
        score.f_dot,
        score.f,
        score.disappear_j,
        score.disappear_f_dot,
        score.reappear_j,
        score.reappear_f_dot,
    ) == MERGED[empty]


def test_a_video_without_evaluated_frames_scores_zero() -> None:
    assert object_score(frames_of("")) == ObjectScore(0, 0, 0)


def test_sums_of_two_measures_are_their_means() -> None:
    score = ObjectScore(0.5, 0.25, 1.0, 0.5, 1.0, None, None)
    assert (score.jf_dot, score.jf) == (0.375, 0.75)
    assert (score.disappear, score.reappear) == (0.75, None)


#: `db_statistics` of davis2017-evaluation@ac7c43f, on J and on F of so many frames of
#: `frames_of`.
STATISTICS: dict[int, tuple[float, ...]] = {
    1: (0.1, 0.0, 0.0, 0.5, 0.0, 0.0),
    2: (0.5, 0.5, -0.8, 0.6, 0.5, -0.19999999999999996),
    5: (0.5, 0.4, -0.6000000000000001, 0.6, 0.8, -0.1499999999999999),
    8: (0.5, 0.5, -0.5714285714285714, 0.6, 0.875, -0.1428571428571428),
    17: (
        0.5,
        0.47058823529411764,
        -0.6000000000000001,
        0.6,
        0.9411764705882353,
        -0.15000000000000002,
    ),
    100: (
        0.49999999999999983,
        0.5,
        -0.597979797979798,
        0.6000000000000001,
        0.99,
        -0.14949494949494935,
    ),
}


@pytest.mark.parametrize("count", STATISTICS)
def test_davis_statistics_are_those_of_davis(count: int) -> None:
    score = davis_score(frames_of("." * count))
    assert (
        score.j,
        score.j_recall,
        score.j_decay,
        score.f,
        score.f_recall,
        score.f_decay,
    ) == STATISTICS[count]
    assert score.jf == (score.j + score.f) / 2


def test_the_davis_decay_of_a_long_video_is_that_of_its_quarters() -> None:
    values = np.repeat([1.0, 0.5, 0.5, 0.0], 100)
    frames = FrameScores(values, values, values, values < 0)
    assert davis_score(frames).j_decay == pytest.approx(1.0, abs=0.02)


def test_the_scores_of_several_objects_come_apart() -> None:
    rows = np.arange(24, dtype=np.float64).reshape(3, 2, 4)
    scores = FrameScores.from_rows(rows)
    assert scores.j.tolist() == rows[:, :, 0].tolist()
    second = scores.of(1)
    assert second.f_dot.tolist() == [5.0, 13.0, 21.0]
    assert second.f.tolist() == [6.0, 14.0, 22.0]
    assert second.empty.all()
