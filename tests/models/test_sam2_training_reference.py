"""The same losses, gradients and steps as the official trainer, where it is installed.

It is the package `training` in the distribution `sam2` on PyPI (or
facebookresearch/sam2 @ 2b90b9f). In double precision nothing differs beyond its
rounding. In single precision a ReLU or a maximum may fall to the other side of a tie,
which changes one weight's gradient and no loss.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from submit_sam2.config import MODELS
from submit_sam2.training.unroll import ClipTensors
from tests.models.test_sam2_reference import build_official
from tests.models.unrolled import CASES, MASK, POINTS, Case, gradients, total

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


def build_trainer(case: Case) -> Any:
    """The official network for training, without dropout."""
    pytest.importorskip("training.model.sam2", reason="not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from training.model.sam2 import SAM2Train

    prompts = case.prompts
    network = build_official(
        case.config,
        case.side,
        kind=SAM2Train,
        sigmoid_scale_for_mem_enc=case.scale,
        sigmoid_bias_for_mem_enc=case.bias,
        prob_to_use_pt_input_for_train=prompts.points,
        prob_to_use_box_input_for_train=prompts.boxes,
        num_init_cond_frames_for_train=prompts.frames,
        num_frames_to_correct_for_train=prompts.corrected,
        rand_frames_to_correct_for_train=True,
        rand_init_cond_frames_for_train=True,
        add_all_frames_to_correct_as_cond=True,
        num_correction_pt_per_frame=prompts.clicks,
        prob_to_sample_from_gt_for_train=prompts.from_truth,
    )
    for module in network.modules():
        for name in ("p", "dropout_p"):
            if hasattr(module, name):
                setattr(module, name, 0.0)
    network.load_state_dict(case.weights())
    return network.train()


def official_losses(network: Any, clip: ClipTensors, seed: int) -> dict[str, Any]:
    """The parts of the official loss, and their sum as `core_loss`."""
    from training.loss_fns import MultiStepMultiMasksAndIous

    network.rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    batch = types.SimpleNamespace(
        # Frames of a clip stand together.
        flat_img_batch=clip.images.transpose(0, 1).flatten(0, 1),
        masks=clip.masks,
        num_frames=clip.length,
        flat_obj_to_img_idx=torch.stack(
            [clip.clip_of * clip.length + time for time in range(clip.length)]
        ),
    )
    judge = MultiStepMultiMasksAndIous(
        {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1},
        supervise_all_iou=True,
        iou_use_l1_loss=True,
        pred_obj_scores=True,
        focal_gamma_obj_score=0.0,
        focal_alpha_obj_score=-1.0,
    )
    losses: dict[str, Any] = judge(network(batch), clip.masks)
    return losses


@pytest.fixture
def in_doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let both programs compute in double precision, also where they say `float`."""
    encoding = pytest.importorskip("sam2.modeling.position_encoding")
    random_grid = encoding.PositionEmbeddingRandom
    plain_to, plain_arange = torch.Tensor.to, torch.arange
    plain_encode = random_grid._pe_encoding

    def widened(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    def to(self: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        options = {key: widened(value) for key, value in options.items()}
        return plain_to(self, *map(widened, args), **options)

    def arange(*args: Any, **options: Any) -> torch.Tensor:
        return plain_arange(*args, **{k: widened(v) for k, v in options.items()})

    monkeypatch.setattr(torch.Tensor, "float", lambda self, **_: self.double())
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch, "arange", arange)
    monkeypatch.setattr(
        random_grid, "_pe_encoding", lambda self, x: plain_encode(self, x.double())
    )
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def compare(case: Case) -> tuple[float, float]:
    """Relative difference of the loss, and of the gradient by its norm."""
    theirs, ours, clip = build_trainer(case), case.network(), case.clip()
    expected = official_losses(theirs, clip, case.seed)
    torch.autograd.backward(expected["core_loss"])
    parts = case.losses(ours, clip=clip)
    torch.autograd.backward(total(parts))
    for name, part in zip(
        ("loss_mask", "loss_dice", "loss_iou", "loss_class"), parts, strict=True
    ):
        assert part.item() == pytest.approx(expected[name].item(), rel=1e-5, abs=1e-6)
    wanted, found = gradients(theirs), gradients(ours)
    assert wanted.keys() == found.keys()
    off, size = 0.0, 0.0
    for name, gradient in wanted.items():
        other = found[name]
        # AdamW passes over what has no gradient, and decays what has a gradient of 0.
        assert (gradient is None) == (other is None), name
        if gradient is not None and other is not None:
            off += float((gradient - other).double().square().sum())
            size += float(gradient.double().square().sum())
    loss = expected["core_loss"].item()
    return abs(total(parts).item() - loss) / abs(loss), float((off / size) ** 0.5)


@pytest.mark.usefixtures("in_doubles")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_losses_and_gradients_are_equal_in_double_precision(case: Case) -> None:
    loss, gradient = compare(case)
    assert loss < 1e-13
    assert gradient < 1e-12


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_losses_and_gradients_are_equal_in_single_precision(case: Case) -> None:
    loss, gradient = compare(case)
    assert loss < 1e-5
    assert gradient < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tiny", "base_plus"])
@pytest.mark.parametrize("prompts", [MASK, POINTS], ids=["mask", "points"])
def test_losses_and_gradients_of_published_sizes_are_equal(
    size: str, prompts: Any
) -> None:
    case = Case(
        frames=4, side=128, config=MODELS[f"sam2.1_hiera_{size}"], prompts=prompts
    )
    loss, gradient = compare(case)
    assert loss < 1e-5
    assert gradient < 1e-6


@pytest.mark.slow
@pytest.mark.usefixtures("in_doubles")
@pytest.mark.parametrize("seed", range(10, 20))
def test_they_are_equal_for_any_seed(seed: int) -> None:
    for prompts in (MASK, POINTS):
        loss, gradient = compare(replace(Case(seed=seed, score=1.0), prompts=prompts))
        assert loss < 1e-13
        assert gradient < 1e-12
