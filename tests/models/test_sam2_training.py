from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from submit_sam2.memory import Noted, RcmsMemory, Sam2Memory
from submit_sam2.modeling.attention import attend_blocks
from submit_sam2.modeling.layers import DropPath
from submit_sam2.modeling.memory_attention import MemoryTokens
from submit_sam2.training.losses import judge, pooled, similarity
from submit_sam2.training.options import LossTable, PromptTable
from submit_sam2.training.prompts import draw_box, draw_click, draw_plan
from submit_sam2.training.unroll import UnrollSettings, unroll
from tests.models.unrolled import CASES, POINTS, Case, gradients, total


class Golden(NamedTuple):
    """What the official trainer says of a case.

    Attributes:
        parts: `loss_mask`, `loss_dice`, `loss_iou` and `loss_class`.
        norms: Norms of the gradients of `PARTS`.
    """

    parts: tuple[float, float, float, float]
    norms: tuple[float, float, float, float, float, float]


PARTS = (
    *("image_encoder", "memory_attention", "memory_encoder", "sam_mask_decoder"),
    *("obj_ptr", "sam_prompt_encoder"),
)

# Made with `SAM2Train` and `MultiStepMultiMasksAndIous` of the package `training`
# (facebookresearch/sam2 @ 2b90b9f, sam2 1.1.0 on PyPI) by the functions of
# test_sam2_training_reference.py, in single precision and without dropout.
GOLDEN = {
    "mask": Golden(
        (0.437323, 5.24795, 5.04178, 4.7806),
        (48.0008, 23.1831, 14.703, 148.992, 2.74452, 4.40695),
    ),
    "three objects": Golden(
        (0.702923, 5.16665, 4.96143, 5.44594),
        (56.6463, 19.9006, 16.9469, 157.823, 1.55789, 4.47755),
    ),
    "some absent": Golden(
        (108.438, 5.97819, 5.42969, 5.63401),
        (8.26588, 5.25247, 4.0519, 31.5457, 0.605533, 1.10073),
    ),
    "all absent": Golden(
        (85.9688, 4.48558, 3.67408, 44.07),
        (40.5707, 12.7533, 13.0643, 64.1171, 0.378154, 3.34791),
    ),
    "masks on two frames": Golden(
        (0.372385, 4.37229, 4.18533, 2.70784),
        (41.3126, 20.8494, 13.455, 128.816, 2.58902, 3.85006),
    ),
    "boxes": Golden(
        (3.63634, 15.2914, 15.9963, 15.9689),
        (1858.11, 5.42693, 6.02125, 2545.44, 0.118243, 57.8423),
    ),
    "clicks": Golden(
        (4.44135, 13.4537, 12.7947, 33.3909),
        (625.845, 56.271, 42.7744, 1390.48, 7.57187, 45.0814),
    ),
    "boxes and clicks": Golden(
        (2.23785, 16.9506, 15.6957, 8.28379),
        (466.335, 34.8485, 30.3587, 873.806, 4.29783, 15.7855),
    ),
    "18 frames, 7.5 and -4": Golden(
        (1.20647, 9.17006, 8.8238, 24.3565),
        (196.223, 60.7363, 57.9029, 499.669, 8.04962, 20.5893),
    ),
    "two clips": Golden(
        (0.195776, 2.17906, 2.16577, 1.29845),
        (13.1896, 4.7879, 2.91097, 30.7303, 0.19864, 1.37432),
    ),
    "two clips by clicks": Golden(
        (2.35296, 12.4392, 11.355, 16.7377),
        (260.848, 8.30273, 6.13122, 412.423, 0.519547, 8.62651),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_those_of_the_official_trainer(name: str) -> None:
    case, golden = CASES[name], GOLDEN[name]
    network = case.network()
    parts = case.losses(network)
    assert parts.tolist() == pytest.approx(golden.parts, rel=1e-3)
    torch.autograd.backward(total(parts))
    found = gradients(network)
    norms = [
        sum(
            float(gradient.double().square().sum())
            for key, gradient in found.items()
            if gradient is not None and key.startswith(part)
        )
        ** 0.5
        for part in PARTS
    ]
    assert norms == pytest.approx(golden.norms, rel=5e-3)


def test_a_step_of_the_optimiser_changes_what_the_encoder_says() -> None:
    case = Case()
    network, image = case.network().eval(), case.clip().images[0]

    def encode() -> torch.Tensor:
        grids = network.grids(case.side)
        return network.encode_image(image, grids, reads_memory=False).pixels

    with torch.inference_mode():
        before = encode()
    copy.deepcopy(network)
    torch.autograd.backward(encode().square().sum())
    learned = network.image_encoder.trunk.pos_embed
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0
    torch.optim.SGD([learned], lr=1.0).step()
    assert not torch.equal(encode(), before)


@pytest.mark.slow
def test_recomputation_changes_no_gradient() -> None:
    case = replace(CASES["boxes and clicks"], frames=4)
    plain, thrifty = case.network(), case.network()
    thrifty.image_encoder.trunk.recompute = True
    thrifty.memory_attention.recompute = True
    torch.autograd.backward(total(case.losses(plain)))
    torch.autograd.backward(
        total(case.losses(thrifty, settings=case.settings(recompute=True)))
    )
    found = gradients(thrifty)
    for name, gradient in gradients(plain).items():
        other = found[name]
        if gradient is None or other is None:
            assert gradient is other, name
        else:
            torch.testing.assert_close(other, gradient, msg=name)


@pytest.mark.slow
def test_recomputation_repeats_the_same_dropout() -> None:
    case = Case(frames=3)
    plain, thrifty = (case.network(dropout=0.3, drop_path=0.3) for _ in range(2))
    thrifty.image_encoder.trunk.recompute = True
    thrifty.memory_attention.recompute = True
    losses = []
    for network in (plain, thrifty):
        loss = total(case.losses(network))
        torch.autograd.backward(loss)
        losses.append(loss)
    torch.testing.assert_close(losses[0], losses[1])
    name = "memory_attention.layers.0.linear1.weight"
    torch.testing.assert_close(gradients(thrifty)[name], gradients(plain)[name])


@pytest.mark.slow
def test_dropout_of_zero_and_evaluation_are_the_same_and_dropout_is_not() -> None:
    case = Case(frames=3)
    with torch.no_grad():
        expected = case.losses(case.network())
        evaluated = case.losses(case.network(dropout=0.5, drop_path=0.5).eval())
        dropped = case.losses(case.network(dropout=0.5))
        skipped = case.losses(case.network(drop_path=0.5))
    torch.testing.assert_close(evaluated, expected)
    assert not torch.allclose(dropped, expected)
    assert not torch.allclose(skipped, expected)


@pytest.mark.slow
def test_dropout_keeps_the_mean_of_what_memories_say() -> None:
    # Where weights are dropped, the bias of the values must be dropped with them.
    case = Case(frames=2)
    network = case.network(dropout=0.2)
    layer: Any = network.memory_attention.layers[0]
    network.requires_grad_(False)
    layer.cross_attn_image.v_proj.bias.fill_(3.0)
    grids = network.grids(case.side)
    random = np.random.default_rng(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.normal(size=shape)).float()

    cells, narrow = grids.side**2, case.config.memory_channels
    memory = MemoryTokens(
        [draw(1, cells, narrow)],
        [draw(1, 1, narrow)],
        draw(1, 4, narrow),
        draw(1, 4, narrow),
    )
    queries = draw(1, cells, case.config.channels)
    network.eval()
    expected = layer.look_back(queries, memory, grids)
    network.train()
    torch.manual_seed(0)
    mean = sum(layer.look_back(queries, memory, grids) for _ in range(600)) / 600
    assert (mean - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_drop_path_skips_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    network: Any = Case().network(drop_path=0.1)
    shares = [block.drop_path.share for block in network.image_encoder.trunk.blocks]
    assert shares == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


def test_attention_has_a_gradient_and_the_same_values_with_and_without() -> None:
    random = torch.Generator().manual_seed(0)
    q = torch.randn(2, 30, 8, generator=random)
    keys = [torch.randn(2, size, 8, generator=random) for size in (5, 40)]
    values = [torch.randn(2, size, 3, generator=random) for size in (5, 40)]
    plain = attend_blocks(q, keys, values)
    found = attend_blocks(q.requires_grad_(), keys, values)
    torch.testing.assert_close(found, plain)
    torch.autograd.backward(found.sum())
    assert q.grad is not None


def test_all_masks_are_those_drawn_one_by_one() -> None:
    network = Case().network().eval()
    random = torch.Generator().manual_seed(0)
    decoder, channels = network.sam_mask_decoder, 32
    image = torch.randn(3, 16, channels, generator=random)
    masks = torch.randn(3, 4, channels, generator=random)
    fine = torch.randn(1, channels // 8, 16, 16, generator=random)
    middle = torch.randn(1, channels // 4, 8, 8, generator=random)
    drawn = decoder.draw_all(image, masks, fine, middle)
    for index in range(4):
        choice = torch.full((3,), index)
        one = decoder.draw(image, masks[:, index], choice, fine, middle)
        torch.testing.assert_close(drawn[:, index], one)


def test_no_point_is_embedded_like_the_constant_of_inference() -> None:
    prompts = Case().network().sam_prompt_encoder
    none = prompts.points(torch.zeros(1, 1, 2), torch.full((1, 1), -1), 64)
    assert torch.equal(none, prompts.no_points())


@pytest.mark.slow
def test_rcms_promotes_inside_a_clip_object_by_object() -> None:
    case = Case(objects=3, seed=5, gain=2.0, score=-6.01)
    policies: list[RcmsMemory] = []

    def rcms(pointers: int) -> RcmsMemory:
        policies.append(RcmsMemory(pointers=pointers, quality=0.0, promote=2))
        return policies[-1]

    settings = UnrollSettings(rcms)
    network = case.network()
    mixed = total(case.losses(network, settings=settings))
    torch.autograd.backward(mixed)
    recalled = {policy.recall(8) for policy in policies}
    assert len(recalled) > 1, "all objects do the same: choose another seed"
    # Each object alone is tracked the same way.
    whole = case.clip()
    alone = 0.0
    for key in range(3):
        clip = replace(
            whole, masks=whole.masks[:, key : key + 1], clip_of=whole.clip_of[:1]
        )
        alone += total(case.losses(network, clip=clip, settings=settings)).item()
    assert mixed.item() == pytest.approx(alone, rel=1e-4)


def test_a_missed_object_is_counted_and_can_be_given_a_gradient() -> None:
    truth = torch.zeros(1, 16, 16, dtype=torch.bool)
    truth[0, 4:8, 4:8] = True
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    iou, presence = torch.full((1, 3), 0.5), torch.tensor([-2.0])
    gated = judge(logits, iou, presence, truth, LossTable())
    # 256 times the share of the area that is missed, and then weighted by 20.
    assert gated[0].item() == pytest.approx(256 / 16, rel=1e-3)
    torch.autograd.backward(gated[:3].sum())
    assert logits.grad is None or not logits.grad.any()
    open_gate = judge(logits, iou, presence, truth, LossTable(gate=False))
    torch.autograd.backward(open_gate[:3].sum())
    assert logits.grad is not None
    assert logits.grad.any()


def test_cross_entropy_takes_the_place_of_the_focal_loss() -> None:
    truth = torch.ones(1, 8, 8, dtype=torch.bool)
    logits = torch.full((1, 1, 8, 8), -1.0)
    inputs = (logits, torch.ones(1, 1), torch.ones(1), truth)
    plain = judge(*inputs, LossTable(focal=False))[0].item()
    assert plain == pytest.approx(np.log1p(np.e), rel=1e-6)
    wrong = 1 / (1 + np.exp(-1))
    focal = judge(*inputs, LossTable())[0].item()
    assert focal == pytest.approx(0.25 * wrong**2 * plain, rel=1e-6)


def test_similarity_is_nought_where_features_point_the_same_way() -> None:
    truth = torch.zeros(2, 32, 32, dtype=torch.bool)
    truth[0, :16, :16] = True
    image = torch.zeros(2, 4, 3)  # 2×2 cells
    image[0, 0] = torch.tensor([1.0, 2.0, 3.0])
    image[0, 1:] = -5.0
    features = pooled(image, truth)
    assert features[0].tolist() == pytest.approx([1, 2, 3])
    assert features[1].tolist() == [0, 0, 0]
    counts = torch.tensor([True, False])
    same = similarity(features, 2 * features, counts).item()
    assert same == pytest.approx(0, abs=1e-6)
    assert similarity(features, -features, counts).item() == pytest.approx(2)


def test_a_quarter_of_the_official_steps_are_the_task_of_the_challenge() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(4000):
        plan = draw_plan(np.random.default_rng(seed), 8, PromptTable())
        kinds[f"{'masks' if plan.masks else 'points'} {len(plan.given)}"] += 1
        assert plan.given[0] == 0
        assert len(set(plan.given)) == len(plan.given)
        if plan.masks:
            assert not plan.corrected
        else:
            assert set(plan.given) <= set(plan.corrected)
            assert {len(clicks) for clicks in plan.corrected.values()} == {7}
    assert kinds["masks 1"] / 4000 == pytest.approx(0.25, abs=0.03)
    assert kinds["masks 2"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_still_image_is_given_by_points() -> None:
    plan = draw_plan(np.random.default_rng(0), 1, PromptTable(points=0.0))
    assert not plan.masks
    assert plan.given == (0,)


def test_further_prompts_stand_in_the_frames_allowed() -> None:
    table = replace(POINTS, points=0.0)
    for seed in range(20):
        random = np.random.default_rng(seed)
        assert set(draw_plan(random, 8, table, visible=[3]).given) <= {0, 3}
        assert draw_plan(random, 8, table, visible=[]).given == (0,)


@pytest.mark.parametrize(
    ("predicted", "kind", "place"),
    [
        ("nothing", 1, (5, 2)),
        ("too much", 0, (0, 0)),
        ("right", 0, None),
    ],
)
def test_a_click_is_where_the_prediction_is_wrong(
    predicted: str, kind: int, place: tuple[int, int] | None
) -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[0, 2, 5] = True
    guess = truth.clone() if predicted != "nothing" else torch.zeros_like(truth)
    if predicted == "too much":
        guess[0, 0, 0] = True
    click = draw_click(truth, guess)
    assert click.kinds.tolist() == [[kind]]
    x, y = click.places[0, 0].int().tolist()
    if place is None:
        assert not truth[0, y, x]
    else:
        assert (x, y) == place


def test_a_box_lies_around_the_object_within_a_tenth_of_its_sides() -> None:
    truth = torch.zeros(1, 64, 64, dtype=torch.bool)
    truth[0, 10:31, 20:61] = True
    for _ in range(20):
        box = draw_box(truth)
        assert box.kinds.tolist() == [[2, 3]]
        (left, top), (right, bottom) = box.places[0].tolist()
        assert abs(left - 20) <= 4
        assert abs(right - 60) <= 4
        assert right <= 63
        assert abs(top - 10) <= 2
        assert abs(bottom - 30) <= 2


def test_memories_of_given_masks_are_made_at_full_resolution() -> None:
    case = Case(frames=2)
    network = case.network()
    seen: list[torch.Tensor] = []
    remember: Callable[..., torch.Tensor] = network.remember

    def watch(features: Any, logits: torch.Tensor, *rest: Any, **how: Any) -> Any:
        seen.append(logits)
        return remember(features, logits, *rest, **how)

    network.remember = watch  # type: ignore[method-assign]
    unroll(network, case.clip(), case.plan(), case.settings())
    assert seen[0].shape[1:] == (64, 64)
    assert set(seen[0].flatten().tolist()) == {-10.0, 10.0}


def test_the_age_of_pointers_is_relative_to_the_clip() -> None:
    ages = []
    for frames in (8, 18):
        policy = Sam2Memory(pointers=min(frames, 16))
        policy.given(0)
        for frame in range(1, frames - 1):
            policy.tracked(frame, Noted())
        ages.append(max(age for _, age in policy.recall(frames - 1).pointers[1:]))
    assert ages == [6, 15]
