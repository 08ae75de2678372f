"""Memory policies against their authors' code, where it can be imported.

Each is a fork of the package `sam2`; put the one that is meant on PYTHONPATH and run

    python -m pytest -m reference tests/models/test_sam2_policies_reference.py

- DAM4SAM: jovanavidenovic/DAM4SAM @ 9c95450, its root folder, with vot-toolkit 0.7.1.
- SAMURAI: yangchris11/samurai @ 76ba195, its folder `sam2`.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from submit.predictors import Mask
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS
from submit_sam2.memory import Recall
from submit_sam2.predictor import _to_tensor
from tests.models.conftest import SCORE_BIAS, TINY, Clip
from tests.models.prompted import quieten, write_frames
from tests.models.test_sam2_reference import build_official

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

IOU_BIAS = "sam_mask_decoder.iou_prediction_head.layers.2.bias"


@dataclass
class Told:
    """The output of a predictor for one object.

    Attributes:
        logits: By frame, h×w.
        maps: By frame, which frames' memories it looked back to, with their places.
        pointers: By frame, how many pointers it looked back to.
        ious: By frame, predicted IoU of the mask that was chosen, where it is known.
    """

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    maps: list[list[tuple[int, int]]] = field(default_factory=list)
    pointers: list[int] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)


def film(make_clip: Callable[..., Clip], length: int) -> Clip:
    """Three discs that move back and forth; no two frames are equal."""
    clip = make_clip(length=24, objects=3)
    random = np.random.default_rng(0)
    turns = [index % 46 for index in range(length)]
    frames = [clip.frames[turn if turn < 24 else 46 - turn] for turn in turns]
    noisy = [
        (frame // 2 + random.integers(0, 60, frame.shape)).astype(np.uint8)
        for frame in frames
    ]
    return Clip(noisy, clip.masks)


def run_ours(session: Any, clip: Clip, key: int) -> Told:
    """Track one object, and watch what is recalled."""
    told = Told()
    tracker = session._tracker
    tokens = tracker._tokens

    def watch(keys: list[int], recalls: list[Recall]) -> Any:
        told.maps.append(sorted(recalls[0].maps))
        told.pointers.append(len(recalls[0].pointers))
        return tokens(keys, recalls)

    tracker._tokens = watch
    for index, frame in enumerate(clip.frames):
        given = {key: Mask(clip.masks[key])} if index == 0 else {}
        found = session.step(frame, given)
        told.logits.append(found.logits[0])
        told.ious.append(float(found.iou[0]))
    return told


def watch_official(predictor: Any, stores: Callable[[], Any], told: Told) -> None:
    """Record which stored memories a predictor uses."""

    def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        count = kwargs["num_obj_ptr_tokens"]
        memory, codes = kwargs["memory"][:, 0], kwargs["memory_pos"][:, 0]
        end = len(memory) - count
        side = predictor.image_size // 16
        found = []
        known = {
            frame: (
                out["maskmem_features"].flatten(2)[0].t(),
                out["maskmem_pos_enc"][-1].flatten(2)[0].t(),
            )
            for kind in stores().values()
            for frame, out in kind.items()
        }
        places = predictor.maskmem_tpos_enc[:, 0, 0]
        for start in range(0, end, side * side):
            block = slice(start, start + side * side)
            (frame,) = (
                number
                for number, (features, _) in known.items()
                if torch.equal(features.float(), memory[block].float())
            )
            time = (codes[block] - known[frame][1])[0]
            place = (places - time).abs().sum(1).argmin().item()
            found.append((frame, int(place)))
        told.maps.append(sorted(found))
        told.pointers.append(count // 4)

    predictor.memory_attention.register_forward_pre_hook(watch, with_kwargs=True)


def compare(ours: Told, theirs: Told) -> None:
    """The same frames, and logits within 1e-3 of each other."""
    assert ours.maps == theirs.maps
    assert ours.pointers == theirs.pointers
    assert len(ours.logits) == len(theirs.logits)
    if theirs.ious:
        np.testing.assert_allclose(ours.ious, theirs.ious, atol=1e-4)
    worst = max(
        float(np.abs(one - other).max())
        for one, other in zip(ours.logits, theirs.logits, strict=True)
    )
    assert worst <= 1e-3, worst


def draw_weights(state: dict[str, torch.Tensor], *, seed: int, gain: float) -> None:
    """Put other weights into the state: logits of about ±5 and good predicted IoU."""
    state.update(random_weights(TINY, seed=seed, gain=gain))
    quieten(state)
    state[IOU_BIAS] += 2.5


@pytest.fixture
def run_dam4sam(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Run the tracker of DAM4SAM, which wants a GPU, on the processor."""
    module = pytest.importorskip("dam4sam_tracker", reason="needs DAM4SAM")
    pytest.importorskip("vot", reason="needs vot-toolkit")

    class Torch(types.SimpleNamespace):
        device = staticmethod(lambda name: torch.device("cpu"))

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    monkeypatch.setattr(module, "torch", Torch())
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, **how: self)

    def run(predictor: Any, clip: Clip, key: int) -> Told:
        from PIL import Image

        told = Told()
        tracker = object.__new__(module.DAM4SAMTracker)
        tracker.img_mean = tracker.img_std = torch.zeros(3)
        tracker.predictor = predictor
        tracker._prepare_image = lambda image: _to_tensor(
            np.array(image), predictor.image_size
        )[0]
        watch_official(predictor, lambda: tracker.inference_state["output_dict"], told)
        first, *others = map(Image.fromarray, clip.frames)
        tracker.initialize(first, clip.masks[key])
        for image in others:
            tracker.track(image)
        stores = tracker.inference_state["output_dict"]
        for frame in range(len(clip.frames)):
            (out,) = (kind[frame] for kind in stores.values() if frame in kind)
            told.logits.append(out["pred_masks"][0, 0].numpy())
        return told

    return run


@pytest.mark.parametrize("limit", [4, 2])
@pytest.mark.parametrize(
    ("seed", "gain", "score", "length"),
    [(4, 1.5, 0.162, 70), (3, 1.5, 2.91, 70), (0, 1.0, 0.363, 70), (4, 1.5, 5.0, 12)],
    ids=["returns", "distractors", "disappears", "short"],
)
def test_dam4sam_remembers_what_its_authors_code_does(
    limit: int,
    seed: int,
    gain: float,
    score: float,
    length: int,
    open_session: Callable[..., Any],
    make_clip: Callable[..., Clip],
    tiny_state: dict[str, torch.Tensor],
    run_dam4sam: Callable[..., Told],
) -> None:
    draw_weights(tiny_state, seed=seed, gain=gain)
    clip = film(make_clip, length)
    session = open_session(
        memory="dam4sam", score=score, length=length, distractor_frames=limit
    )
    predictor = build_official(
        MODELS["test_tiny"],
        64,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        memory_temporal_stride_for_eval=5,
        max_cond_frames_in_attn=limit,
        add_all_frames_to_correct_as_cond=True,
        binarize_mask_from_pts_for_mem_enc=True,
    )
    bias = tiny_state[SCORE_BIAS] + score
    predictor.load_state_dict({**tiny_state, SCORE_BIAS: bias})
    compare(run_ours(session, clip, 2), run_dam4sam(predictor, clip, 2))


@pytest.fixture
def run_samurai(tmp_path: Path) -> Callable[..., Told]:
    """Run the tracker of SAMURAI."""
    pytest.importorskip("sam2.utils.kalman_filter", reason="needs SAMURAI")

    def run(predictor: Any, clip: Clip, key: int) -> Told:
        told = Told()
        write_frames(clip.frames, tmp_path)
        state = predictor.init_state(str(tmp_path))
        predictor.add_new_mask(state, 0, key, clip.masks[key])
        watch_official(predictor, lambda: state["output_dict"], told)
        for _ in predictor.propagate_in_video(state):
            pass
        stores = state["output_dict"]
        for frame in range(len(clip.frames)):
            (out,) = (kind[frame] for kind in stores.values() if frame in kind)
            told.logits.append(out["pred_masks"][0, 0].numpy())
            told.ious.append(float(out.get("best_iou_score", 1.0)))
        return told

    return run


def spread_weights(
    state: dict[str, torch.Tensor], *, seed: int, score: float, iou: float
) -> None:
    """Put weights into the state whose presence and predicted IoU vary much."""
    state.update(random_weights(TINY, seed=seed, gain=2.0))
    quieten(state)
    for head in ("iou_prediction_head", "pred_obj_score_head"):
        for kind in ("weight", "bias"):
            state[f"sam_mask_decoder.{head}.layers.2.{kind}"] *= 4
    state[SCORE_BIAS][:] = score
    state[IOU_BIAS] += iou - 8


@pytest.mark.parametrize(
    ("seed", "score", "iou"),
    [(0, 9.656, 0.4), (6, -4.578, 0.8), (7, -12.549, 1.2), (8, 19.568, 0.4)],
    ids=["motion decides", "mostly away", "uncertain", "between the thresholds"],
)
def test_samurai_remembers_what_its_authors_code_does(
    seed: int,
    score: float,
    iou: float,
    open_session: Callable[..., Any],
    make_clip: Callable[..., Clip],
    tiny_state: dict[str, torch.Tensor],
    run_samurai: Callable[..., Told],
) -> None:
    spread_weights(tiny_state, seed=seed, score=score, iou=iou)
    clip = film(make_clip, 70)
    session = open_session(memory="samurai", length=70)
    predictor = build_official(
        MODELS["test_tiny"],
        64,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        samurai_mode=True,
        kf_score_weight=0.25,
    )
    predictor.load_state_dict(tiny_state)
    compare(run_ours(session, clip, 2), run_samurai(predictor, clip, 2))
