"""Memory policies against their authors' code, where it can be imported.

Each is a fork of the package `sam2`; put the one that is meant on PYTHONPATH and run

    python -m pytest -m reference tests/models/test_sam2_policies_reference.py

- DAM4SAM: jovanavidenovic/DAM4SAM @ 9c95450, its root folder, with vot-toolkit 0.7.1.
- SAMURAI: yangchris11/samurai @ 76ba195, its folder `sam2`.
- SAM2Long: Mark12Ding/SAM2Long @ 7193b77, its root folder.
"""

from __future__ import annotations

import inspect
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


@dataclass
class Branched:
    """The output of a predictor that follows several pathways.

    Attributes:
        logits: By frame, h×w.
        recalls: By frame from the second, what the pathways looked back to: frames with
            their places, and the number of pointers.
    """

    logits: list[NDArray[np.float32]] = field(default_factory=list)
    recalls: list[set[tuple[tuple[tuple[int, int], ...], int]]] = field(
        default_factory=list
    )


def run_branched(session: Any, clip: Clip, key: int, *, pathways: int) -> Branched:
    """Track one object, and watch what the pathways recall."""
    told = Branched()
    tracker = session._inner._tracker
    tokens = tracker._tokens

    def frame_of(number: int) -> int:
        return number if number >= 0 else (-number - 1) // pathways

    def watch(keys: list[int], recalls: list[Recall]) -> Any:
        for recall in recalls:
            maps = sorted((frame_of(number), place) for number, place in recall.maps)
            told.recalls[-1].add((tuple(maps), len(recall.pointers)))
        return tokens(keys, recalls)

    tracker._tokens = watch
    for index, frame in enumerate(clip.frames):
        told.recalls.append(set())
        found = session.step(frame, {} if index else {key: Mask(clip.masks[key])})
        told.logits += [one.logits[0] for one in found]
    told.logits += [one.logits[0] for one in session.finish()]
    told.recalls.pop(0)
    return told


@pytest.fixture
def run_sam2long(tmp_path: Path) -> Callable[..., Branched]:
    """Run the tracker of SAM2Long, whose number of tokens is that of 1024 pixels."""
    module = pytest.importorskip("sam2.modeling.memory_attention")
    source = inspect.getsource(module)
    if "object_frame_scores" not in source:
        pytest.skip("needs SAM2Long")

    def run(predictor: Any, clip: Clip, key: int, **options: Any) -> Branched:
        told = Branched()
        tokens = (predictor.image_size // 16) ** 2
        own: dict[str, Any] = {"__name__": module.__name__}
        exec(source.replace("4096", str(tokens)), own)
        for layer in predictor.memory_attention.layers:
            layer._forward_ca = types.MethodType(
                own["MemoryAttentionLayer"]._forward_ca, layer
            )
        write_frames(clip.frames, tmp_path)
        state = predictor.init_state(str(tmp_path))
        state.update(options)
        predictor.add_new_mask(state, 0, key, clip.masks[key])
        places = predictor.maskmem_tpos_enc[:, 0, 0]

        def stored() -> dict[int, list[torch.Tensor]]:
            found = {}
            for kind in state["output_dict"].values():
                for frame, out in kind.items():
                    every = out["maskmem_features"]
                    several = every.unbind(-1) if every.ndim == 5 else [every]
                    found[frame] = [one.flatten(2)[0].t() for one in several]
            return found

        def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            count = kwargs["num_obj_ptr_tokens"]
            memory, codes = kwargs["memory"][:, 0], kwargs["memory_pos"][:, 0]
            known = stored()
            grid = state["constants"]["maskmem_pos_enc"][-1].flatten(2)[0].t()
            maps = []
            for start in range(0, len(memory) - count, tokens):
                block = slice(start, start + tokens)
                (frame,) = (
                    frame
                    for frame, several in known.items()
                    if any(
                        torch.equal(one.float(), memory[block].float())
                        for one in several
                    )
                )
                time = (codes[block] - grid)[0]
                maps.append((frame, int((places - time).abs().sum(1).argmin())))
            frame = max(known) + 1
            while len(told.recalls) < frame:
                told.recalls.append(set())
            told.recalls[frame - 1].add((tuple(sorted(maps)), count // 4))

        predictor.memory_attention.register_forward_pre_hook(watch, with_kwargs=True)
        output = predictor._get_orig_video_res_output
        shown = []

        def show(state: Any, masks: torch.Tensor) -> Any:
            shown.append(masks)
            return output(state, masks)

        predictor._get_orig_video_res_output = show
        predictor.propagate_in_video(state)
        told.logits = [one[0, 0].numpy() for one in shown[-len(clip.frames) :]]
        return told

    return run


@pytest.mark.parametrize(
    ("seed", "score", "iou", "length", "options"),
    [
        (6, -2.0, 1.0, 70, {}),
        (12, -2.0, 0.0, 70, {}),
        (7, 1.0, 0.0, 70, {"pathway_iou": 0.5}),
        (7, -4.0, 0.0, 70, {"pathways": 4, "uncertain_presence": 1.0}),
        (10, -2.0, 0.0, 12, {"pathways": 2}),
    ],
    ids=["disappears", "decides late", "unreliable", "four pathways", "short"],
)
def test_sam2long_follows_the_pathways_of_its_authors_code(
    seed: int,
    score: float,
    iou: float,
    length: int,
    options: dict[str, Any],
    open_session: Callable[..., Any],
    make_clip: Callable[..., Clip],
    tiny_state: dict[str, torch.Tensor],
    run_sam2long: Callable[..., Branched],
) -> None:
    spread_weights(tiny_state, seed=seed, score=score, iou=iou)
    clip = film(make_clip, length)
    chosen = {"pathways": 3, "pathway_iou": 0.1, "uncertain_presence": 2.0, **options}
    session = open_session(memory="sam2long", length=length, delay=length, **chosen)
    predictor = build_official(
        MODELS["test_tiny"],
        64,
        kind=without_signs,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
    )
    predictor.load_state_dict(tiny_state)
    ours = run_branched(session, clip, 2, pathways=chosen["pathways"])
    theirs = run_sam2long(
        predictor,
        clip,
        2,
        num_pathway=chosen["pathways"],
        iou_thre=chosen["pathway_iou"],
        uncertainty=chosen["uncertain_presence"],
    )
    assert ours.recalls == theirs.recalls
    worst = max(
        float(np.abs(one - other).max())
        for one, other in zip(ours.logits, theirs.logits, strict=True)
    )
    assert worst <= 1e-3, worst


def without_signs(**constants: Any) -> Any:
    """Make the predictor of a fork without signed ages, which are not published."""
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    del constants["use_signed_tpos_enc_to_obj_ptrs"]
    return SAM2VideoPredictor(**constants)
