"""Clips for the training tests, and what the network's training says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from submit_sam2.build import random_weights
from submit_sam2.config import Sam2Config
from submit_sam2.memory import Sam2Memory
from submit_sam2.model import Sam2Network
from submit_sam2.training.losses import judge
from submit_sam2.training.options import LossTable, PromptTable
from submit_sam2.training.prompts import PromptPlan, draw_plan
from submit_sam2.training.unroll import ClipTensors, UnrollSettings, unroll
from tests.models.conftest import SCORE_BIAS, TINY, State

#: A mask in the first frame, as in the challenge.
MASK = PromptTable(points=0, frames=1)


@dataclass(frozen=True)
class Case:
    """One step of training.

    Attributes:
        seed: Of weights, clip, prompts and clicks.
        frames: Length of the clip.
        objects: Their number, over all clips.
        clips: Clips in the batch.
        score: Added to the presence scores.
        prompts: How objects are given.
        scale: Of the masks for the memory.
        bias: Of the masks for the memory.
        side: Of the images.
        config: Shape of the network.
        gain: See `random_weights`.
    """

    seed: int = 0
    frames: int = 8
    objects: int = 2
    clips: int = 1
    score: float = 5.0
    prompts: PromptTable = MASK
    scale: float = 20.0
    bias: float = -10.0
    side: int = 64
    config: Sam2Config = TINY
    gain: float = 1.0

    def weights(self) -> State:
        """Weights with which objects are present, or some of them."""
        state = random_weights(self.config, seed=self.seed, gain=self.gain)
        state[SCORE_BIAS] = state[SCORE_BIAS] + self.score
        return {
            key: tensor.to(torch.get_default_dtype()) for key, tensor in state.items()
        }

    def network(self, **options: Any) -> Sam2Network:
        """The network, in training mode."""
        network = Sam2Network(self.config, **options)
        network.load_state_dict(self.weights())
        return network.train()

    def clip(self) -> ClipTensors:
        """Noise with rectangles that move and now and then are absent."""
        random = np.random.default_rng(self.seed)
        side = self.side
        images = random.normal(size=(self.frames, self.clips, 3, side, side))
        masks = np.zeros((self.frames, self.objects, side, side), bool)
        for key in range(self.objects):
            y, x = random.integers(0, side // 2, 2)
            height, width = random.integers(side // 8, side // 2, 2)
            for time in range(self.frames):
                if not time or random.random() > 0.3:
                    masks[time, key, y + time :, x + time :][:height, :width] = True
        return ClipTensors(
            torch.from_numpy(images).to(torch.get_default_dtype()),
            torch.from_numpy(masks),
            torch.arange(self.objects) % self.clips,
        )

    def plan(self) -> PromptPlan:
        return draw_plan(np.random.default_rng(self.seed), self.frames, self.prompts)

    def settings(self, **options: Any) -> UnrollSettings:
        return UnrollSettings(
            lambda pointers: Sam2Memory(
                memories=self.config.memories, pointers=pointers
            ),
            self.scale,
            self.bias,
            **options,
        )

    def losses(
        self,
        network: Sam2Network,
        *,
        clip: ClipTensors | None = None,
        table: LossTable | None = None,
        settings: UnrollSettings | None = None,
    ) -> torch.Tensor:
        """The four parts of the loss, per object, of one step."""
        clip, table = clip or self.clip(), table or LossTable()
        torch.manual_seed(self.seed)
        passes = unroll(network, clip, self.plan(), settings or self.settings())
        parts = [
            judge(one.logits, one.iou, one.presence, clip.masks[one.frame], table)
            for one in passes
        ]
        return torch.stack(parts).sum(0) / self.objects


def total(parts: torch.Tensor) -> torch.Tensor:
    """The loss, weighted as officially."""
    return 20 * parts[0] + parts[1] + parts[2] + parts[3]


def gradients(network: torch.nn.Module) -> dict[str, torch.Tensor | None]:
    """The gradient of each parameter by name."""
    return {name: value.grad for name, value in network.named_parameters()}


#: Prompts that are clicks and boxes, with corrections.
POINTS = PromptTable(points=1.0)
#: Cases that cover what the official trainer does.
CASES = {
    "mask": Case(),
    "three objects": Case(seed=1, objects=3),
    "some absent": Case(seed=0, score=0.0),
    "all absent": Case(seed=3, score=-9.0),
    "masks on two frames": Case(seed=0, score=2.0, prompts=PromptTable(points=0)),
    "boxes": Case(seed=4, prompts=PromptTable(points=1.0, boxes=1.0)),
    "clicks": Case(seed=5, prompts=PromptTable(points=1.0, boxes=0.0)),
    "boxes and clicks": Case(seed=6, prompts=POINTS),
    "18 frames, 7.5 and -4": Case(seed=7, frames=18, scale=7.5, bias=-4.0),
    "two clips": Case(seed=8, frames=4, objects=4, clips=2),
    "two clips by clicks": Case(seed=9, frames=4, objects=3, clips=2, prompts=POINTS),
}
