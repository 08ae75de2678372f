"""Learning rates and steps of the optimiser, against frozen numbers of the official."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from submit.training.mixing import generator
from submit.training.step import _PROMPTS, _TORCH, make_batch
from submit_sam2.config import MODELS
from submit_sam2.training.trainer import _tensors
from tests.models.conftest import TINY
from tests.models.stepped import (
    POINTS_OF_SCHEDULE,
    SIDE,
    make_sample,
    rates,
    read_mose,
    step,
    weights,
)
from tests.models.test_sam2_reference import build_official
from tests.models.test_sam2_training import PARTS
from tests.models.test_sam2_training_reference import (  # noqa: F401
    in_doubles,
    official_losses,
    official_trainer,
)

SIZES = ("sam2.1_hiera_tiny", "sam2.1_hiera_base_plus")


def digest(table: dict[str, tuple[float, float]]) -> str:
    """A short digest of the learning rate and decay of each parameter."""
    lines = [f"{name} {rate:.6e} {decay:g}" for name, (rate, decay) in table.items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


# Made with `construct_optimizer` of training/optimizer.py (facebookresearch/sam2
# @ 2b90b9f) from sam2.1_hiera_b+_MOSE_finetune.yaml, by `official_rates` below.
GOLDEN_RATES = {
    ("sam2.1_hiera_tiny", 0): "cd5f3c3827d32cb9",
    ("sam2.1_hiera_tiny", 6240): "3a5620469598ea53",
    ("sam2.1_hiera_tiny", 12_479): "86a44474d801dcc2",
    ("sam2.1_hiera_base_plus", 0): "1aa84673855dcce8",
    ("sam2.1_hiera_base_plus", 6240): "d4749e87704814c3",
    ("sam2.1_hiera_base_plus", 12_479): "18ff25585c4bc887",
}


@pytest.mark.parametrize("point", POINTS_OF_SCHEDULE)
@pytest.mark.parametrize("size", SIZES)
def test_each_parameter_has_the_official_rate_and_decay(size: str, point: int) -> None:
    assert digest(rates(size, point)) == GOLDEN_RATES[size, point]


#: How objects are given.
PROMPTS = {"masks": "prompts.points=0", "points": "prompts.points=1"}
# Norms of what three steps change in `PARTS`, by `official_step` below.
GOLDEN_CHANGES = {
    "masks": (
        *(0.0012741084, 0.0013231292, 0.0037474454),
        *(0.0043487652, 0.00041261435, 0.00026954771),
    ),
    "points": (
        *(0.0013169806, 0.0012859889, 0.0031178146),
        *(0.0048436297, 0.00044239872, 0.00031045991),
    ),
}


def changes(network: torch.nn.Module) -> list[float]:
    """How much each part of the network has changed: norms."""
    state = network.state_dict()
    return [
        sum(
            float((state[name] - value).square().sum())
            for name, value in weights().items()
            if name.startswith(part)
        )
        ** 0.5
        for part in PARTS
    ]


# In double precision, since AdamW makes equal steps of noise where a gradient is 0.
@pytest.mark.slow
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("prompts", PROMPTS)
def test_three_steps_change_the_weights_as_the_official_optimiser(prompts: str) -> None:
    assert changes(step(3, PROMPTS[prompts])) == pytest.approx(
        GOLDEN_CHANGES[prompts], rel=1e-6
    )


# Against the package itself.


def optimiser(network: Any) -> Any:
    """The optimiser of the official recipe for a network."""
    pytest.importorskip("training.optimizer", reason="not installed")
    from pathlib import Path

    import sam2
    from omegaconf import OmegaConf
    from training.optimizer import construct_optimizer
    from training.utils.train_utils import register_omegaconf_resolvers

    if not OmegaConf.has_resolver("divide"):
        register_omegaconf_resolvers()
    recipe = OmegaConf.load(
        Path(sam2.__file__).parent
        / "configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml"
    )
    table = recipe.trainer.optim
    return construct_optimizer(
        network, table.optimizer, table.options, table.param_group_modifiers
    )


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", SIZES)
def test_rates_are_those_of_the_official_optimiser(size: str) -> None:
    network = build_official(MODELS[size], 1024)
    names = {id(value): name for name, value in network.named_parameters()}
    found = optimiser(network)
    for point in POINTS_OF_SCHEDULE:
        found.step_schedulers(point / read_mose().schedule.steps, point)
        official = {
            names[id(value)]: (group["lr"], group["weight_decay"])
            for group in found.optimizer.param_groups
            for value in group["params"]
        }
        ours = rates(size, point)
        assert ours.keys() == official.keys()
        for name, expected in official.items():
            assert ours[name] == pytest.approx(expected, rel=1e-9), name
        assert digest(official) == GOLDEN_RATES[size, point]


def official_step(count: int, prompts: str) -> Any:
    """What `step` does, by the official trainer and optimiser."""
    from training.optimizer import GradientClipper

    recipe = read_mose(PROMPTS[prompts])
    network = official_trainer(TINY, SIDE, recipe.options.prompts, weights())
    taken, limit = optimiser(network), GradientClipper(recipe.optimiser.clip)
    for number in range(count):
        losses = official_losses(
            network,
            _tensors(make_batch([make_sample(number)], "cpu")),
            generator(recipe.seed, _PROMPTS, number),
            int(generator(recipe.seed, _TORCH, number).integers(2**62)),
        )
        taken.zero_grad()
        torch.autograd.backward(losses["core_loss"])
        limit(network)
        taken.step(number / count, number)
    return network


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("in_doubles")
@pytest.mark.parametrize("prompts", PROMPTS)
def test_weights_after_three_steps_are_those_of_the_official_trainer(
    prompts: str,
) -> None:
    pytest.importorskip("training.model.sam2", reason="not installed")
    theirs, start = official_step(3, prompts), weights()
    ours = step(3, PROMPTS[prompts]).state_dict()
    for name, value in theirs.state_dict().items():
        change = (value - start[name]).abs().max()
        # Biases of keys have no gradient but rounding, since softmax ignores them.
        assert (ours[name] - value).abs().max() <= 1e-6 * change + 1e-15, name
    assert changes(theirs) == pytest.approx(GOLDEN_CHANGES[prompts], rel=1e-6)
