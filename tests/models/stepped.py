"""Steps of the optimiser as `submit train` takes them, to compare with the official."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from submit.training import ParameterGroup
from submit.training.maker import ClipSample
from submit.training.ranks import Ranks
from submit.training.recipe import TrainingRecipe, read_recipe
from submit.training.step import Stepper, rate_factor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, NARROW
from submit_sam2.model import Sam2Network
from submit_sam2.training import Sam2Trainer
from submit_sam2.training.groups import parameter_groups
from submit_sam2.training.options import ModelTable
from tests.models.conftest import SCORE_BIAS, TINY, State

__all__ = [
    "POINTS_OF_SCHEDULE",
    "SIDE",
    "make_sample",
    "rates",
    "read_mose",
    "step",
    "weights",
]

_MOSE = Path(__file__).parents[2] / "examples" / "train" / "mose.toml"
#: Side of the frames, in pixels.
SIDE = 64
#: Steps at the beginning, in the middle and at the end of the official recipe.
POINTS_OF_SCHEDULE = (0, 6240, 12_479)


def read_mose(*changes: str) -> TrainingRecipe:
    """Read the official recipe."""
    return read_recipe(_MOSE, changes)[0]


def rates(size: str, step: int) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter in a step of `mose`."""
    recipe = read_mose()
    table = recipe.options.model
    with torch.device("meta"):
        network = Sam2Network(MODELS[size])
    groups: Sequence[ParameterGroup] = parameter_groups(
        network,
        rate=recipe.optimiser.rate,
        encoder_rate=table.encoder_rate,
        layer_decay=table.layer_decay,
        decay=recipe.optimiser.decay,
    )
    factor = rate_factor(recipe, step)
    return {
        name: (group.rate * factor, group.decay)
        for group in groups
        for name in group.names
    }


def make_sample(seed: int = 0) -> ClipSample:
    """Noise with two rectangles that move; the second one is absent in a frame."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    labels = np.zeros((4, SIDE, SIDE), np.uint8)
    for time in range(4):
        labels[time, 8:30, 6 + 3 * time : 28 + 3 * time] = 1
        if time != 2:
            labels[time, 36 + time : 60, 20:44] = 2
    return ClipSample(images, labels, 2, f"clip {seed}")


def weights() -> State:
    """Weights of the small network with which objects are present."""
    state = random_weights(TINY)
    state[SCORE_BIAS] = state[SCORE_BIAS] + 5
    return {name: value.to(torch.get_default_dtype()) for name, value in state.items()}


def step(count: int, *changes: str) -> Sam2Network:
    """Take steps of a short `mose` with the small network, without dropout.

    Args:
        count: Steps.
        changes: Further values of the recipe.
    """
    recipe = read_mose(f"schedule.steps={count}", "schedule.clips=1", *changes)
    table = ModelTable(
        name=NARROW, scratch=True, image_size=SIDE, dropout=0.0, drop_path=0.0
    )
    trainer = Sam2Trainer(
        dataclasses.replace(recipe.options, model=table), device="cpu"
    )
    with patch.dict(MODELS, {NARROW: TINY}):
        network: Any = trainer.build()
        network.load_state_dict(weights())
        stepper = Stepper(recipe, trainer, network, Ranks(0, 1, "cpu"))
        clips = iter([make_sample(seed) for seed in range(count)])
        for number in range(count):
            stepper.take(number, clips, stop=False)
    assert isinstance(network, Sam2Network)
    return network
