from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from submit.predictors import Mask, Prediction
from submit_sam2 import tracker
from submit_sam2.model import ABSENT
from submit_sam2.modeling.memory_encoder import MemoryEncoder

Open = Callable[..., Any]
Track = Callable[..., list[Prediction]]

# What the official predictors say of the moving discs with the weights of
# `tiny_state`: facebookresearch/sam2 @ 2b90b9f, and for RCMS (4 frames, quality above
# 0.45) MOSEv2/sam2_rcms of henghuiding/MOSE-api @ 241977a. Both were built with the
# numbers of `TINY`, given the frames as lossless files, and asked for
# `object_score_logits` and the mean and one pixel (row 5, column 9) of `pred_masks`.
SCORES = [
    [
        *(10.0, 0.09857, 0.53262, 0.62534, 0.54108, 0.3967, 0.68903, 0.4778, 0.13907),
        *(0.47718, 0.12191, 0.21728, 0.21484, 0.38317, 0.3315, -0.34624, -0.15002),
        *(-0.29195, -0.23718, -0.13704),
    ],
    [
        *(10.0, 0.10017, 0.53218, 0.62616, 0.54035, 0.39611, 0.68954, 0.47665, 0.13819),
        *(0.47927, 0.12246, 0.21937, 0.21605, 0.38379, 0.33308, -0.34413, -0.14845),
        *(-0.29025, -0.23584, -0.13427),
    ],
]
MEANS = [
    [
        *(-9.65332, -17.02456, 139.25259, 147.98587, 139.93333, -27.0895, 149.59727),
        *(-11.03861, -7.7608, -22.41491, -24.21194, -25.39585, -23.8537, 155.94333),
        *(-1.52694, -1024.0, -1024.0, -1024.0, -1024.0, -1024.0),
    ],
    [
        *(-9.42383, -16.87813, 139.19638, 148.07339, 139.91672, -27.00877, 149.62231),
        *(-10.90871, -7.56738, -22.30099, -24.11311, -25.2944, -23.73986, 156.06493),
        *(-1.35735, -1024.0, -1024.0, -1024.0, -1024.0, -1024.0),
    ],
]
PIXELS = [
    [
        *(-10.0, -20.55821, 148.95602, 160.85037, 146.81165, -31.60237, 155.82477),
        *(-16.28892, -15.80718, -24.02302, -34.35095, -32.41635, -34.55878, 150.74023),
        *(-12.97522, -1024.0, -1024.0, -1024.0, -1024.0, -1024.0),
    ],
    [
        *(-10.0, -20.41716, 148.89735, 160.9352, 146.79297, -31.53486, 155.85173),
        *(-16.16611, -15.60479, -23.91181, -34.25966, -32.33209, -34.44712, 150.84618),
        *(-12.80366, -1024.0, -1024.0, -1024.0, -1024.0, -1024.0),
    ],
]
#: With RCMS the last four frames differ, and both objects reappear in the very last.
RCMS_SCORES = [
    [-0.09546, -0.12904, -0.01553, 0.01356],
    [-0.0938, -0.12713, -0.01491, 0.01523],
]
RCMS_LAST_MEANS, RCMS_LAST_PIXELS = [-35.2472, -35.15507], [-34.70304, -34.61301]


def arrays(found: list[Prediction]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits T×N×h×w and presence T×N."""
    presence = [p.presence for p in found if p.presence is not None]
    return np.stack([p.logits for p in found]), np.stack(presence)


def test_masks_and_scores_are_those_of_the_official_predictor(
    open_session: Open, track: Track, clip: Any
) -> None:
    logits, presence = arrays(track(open_session(), clip))
    np.testing.assert_allclose(presence.T, SCORES, atol=1e-3)
    np.testing.assert_allclose(logits.mean((2, 3)).T, MEANS, atol=5e-3)
    np.testing.assert_allclose(logits[:, :, 5, 9].T, PIXELS, atol=5e-3)


@pytest.mark.slow
def test_with_rcms_they_are_those_of_the_official_fork(
    open_session: Open, track: Track, clip: Any
) -> None:
    session = open_session(memory="rcms", quality=0.45)
    logits, presence = arrays(track(session, clip))
    scores, means, pixels = np.array(SCORES), np.array(MEANS), np.array(PIXELS)
    scores[:, -4:] = RCMS_SCORES
    means[:, -1], pixels[:, -1] = RCMS_LAST_MEANS, RCMS_LAST_PIXELS
    np.testing.assert_allclose(presence.T, scores, atol=1e-3)
    np.testing.assert_allclose(logits.mean((2, 3)).T, means, atol=5e-3)
    np.testing.assert_allclose(logits[:, :, 5, 9].T, pixels, atol=5e-3)


def test_a_prediction_covers_all_objects_in_their_order(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=3, objects=3)
    clip.masks[7] = clip.masks.pop(1)
    for prediction in track(open_session(), clip):
        assert prediction.objects == (2, 3, 7)
        assert prediction.logits.shape == (3, 16, 16)
        assert prediction.logits.dtype == np.float32
        assert prediction.iou is not None
        assert prediction.iou.shape == (3,)
        assert ((prediction.iou >= 0) & (prediction.iou <= 1)).all()


def test_an_absent_object_has_no_mask(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=5)
    logits, presence = arrays(track(open_session(score=-9.0), clip))
    assert (presence[1:] < 0).all()
    assert (logits[1:] == ABSENT).all()


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["sam2", "rcms"])
def test_an_object_does_not_depend_on_those_beside_it(
    memory: str, open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=10, objects=3)
    options = {"memory": memory, "quality": 0.45}
    together, _ = arrays(track(open_session(**options), clip))
    by_two, _ = arrays(track(open_session(batch=2, **options), clip))
    np.testing.assert_allclose(by_two, together, atol=1e-3)
    masks = dict(clip.masks)
    for index, key in enumerate(masks):
        clip.masks.clear()
        clip.masks[key] = masks[key]
        alone, _ = arrays(track(open_session(**options), clip))
        np.testing.assert_allclose(alone[:, 0], together[:, index], atol=1e-3)


@pytest.mark.slow
def test_an_object_that_is_added_later_is_tracked_as_if_it_were_alone(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=12, objects=3)
    late = {6: {3: clip.masks.pop(3)}}
    found = track(open_session(), clip, late)
    assert [len(p.objects) for p in found] == [2] * 6 + [3] * 6
    assert found[-1].objects == (1, 2, 3)

    rest = type(clip)(clip.frames[6:], late[6])
    alone, _ = arrays(track(open_session(), rest))
    logits = np.stack([p.logits[2] for p in found[6:]])
    np.testing.assert_allclose(logits, alone[:, 0], atol=1e-3)
    # The others go on as they would have without it.
    before, _ = arrays(track(open_session(), clip))
    np.testing.assert_allclose(
        np.stack([p.logits[:2] for p in found]), before, atol=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["sam2", "rcms"])
def test_forgetting_does_not_change_a_bit(
    memory: str,
    open_session: Open,
    track: Track,
    clip: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"memory": memory, "quality": 0.45}
    session = open_session(**options)
    forgetting, _ = arrays(track(session, clip))
    for one in session._tracker._tracks.values():
        assert len(one.maps) <= 7 + 4
        assert len(one.pointers) <= 16 + 4

    def keep_all(
        self: tracker.Track, frame: int, memory: torch.Tensor, pointer: torch.Tensor
    ) -> None:
        self.maps[frame], self.pointers[frame] = memory, pointer

    monkeypatch.setattr(tracker.Track, "keep", keep_all)
    hoarding, _ = arrays(track(open_session(**options), clip))
    np.testing.assert_array_equal(forgetting, hoarding)


@pytest.mark.slow
def test_the_same_video_gives_the_same_bytes(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=4)
    first, _ = arrays(track(open_session(), clip))
    second, _ = arrays(track(open_session(), clip))
    np.testing.assert_array_equal(first, second)


def test_an_empty_given_mask_is_tracked_too(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=5)
    clip.masks[2][:] = False
    logits, presence = arrays(track(open_session(), clip))
    np.testing.assert_allclose(logits[0, 1], -10, rtol=1e-5)
    assert presence[0].tolist() == [10, -10]
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("options", "scale", "bias"),
    [
        ({}, 20.0, -10.0),
        ({"preset": "masseg"}, 7.5, -4.0),
        ({"preset": "rcms", "mask_bias": -3.0}, 7.5, -3.0),
    ],
    ids=["sam2", "masseg", "rcms with another bias"],
)
def test_mask_scale_and_bias_reach_the_memory_encoder(
    options: dict[str, Any],
    scale: float,
    bias: float,
    open_session: Open,
    clip: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, seen = MemoryEncoder.forward, []

    def watch(
        self: MemoryEncoder, projected: torch.Tensor, masks: torch.Tensor
    ) -> torch.Tensor:
        seen.append(masks)
        return encode(self, projected, masks)

    monkeypatch.setattr(MemoryEncoder, "forward", watch)
    masks = {key: Mask(mask) for key, mask in clip.masks.items()}
    open_session(**options).step(clip.frames[0], masks)
    assert seen[0].max().item() == pytest.approx(scale + bias, abs=1e-2)
    assert seen[0].min().item() == pytest.approx(bias, abs=1e-2)


def test_sam_2_0_has_pointers_without_age(
    open_session: Open,
    track: Track,
    make_clip: Callable[..., Any],
    tiny_state: dict[str, torch.Tensor],
) -> None:
    del tiny_state["no_obj_embed_spatial"]
    del tiny_state["obj_ptr_tpos_proj.weight"]
    del tiny_state["obj_ptr_tpos_proj.bias"]
    found = track(open_session(model="test_tiny_2.0"), make_clip(length=5))
    assert all(np.isfinite(p.logits).all() for p in found)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    # Scores far from the threshold: rounding shall not decide what is present.
    clip = make_clip(length=8)
    exact, _ = arrays(track(open_session(score=5.0), clip))
    rounded, _ = arrays(track(open_session(score=5.0, dtype="bfloat16"), clip))
    assert rounded.dtype == np.float32
    agree = ((exact[1:] > 0) == (rounded[1:] > 0)).mean((2, 3))
    assert np.median(agree) > 0.9


def test_frames_and_masks_are_not_written_into(
    open_session: Open, track: Track, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(length=3)
    for array in (*clip.frames, *clip.masks.values()):
        array.flags.writeable = False
    track(open_session(), clip)
