"""A network of a few weights that is trained and predicts, for tests of the loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from submit.predictors import Description, Prediction, Prompts, Video
from submit.training import (
    Batch,
    Losses,
    ParameterGroup,
    TrainerDescription,
    check,
    setting,
)
from submit.training.loop import TrainingResult, train
from submit.training.recipe import TrainingRecipe, read_recipe

NOT_A_NUMBER = "frames 00001"


@dataclass(frozen=True)
class ToyTable:
    """The toy's own table."""

    width: int = setting(4, "Channels.", low=1)
    dropout: float = setting(0.1, "Share of values dropped.", low=0, high=0.9)
    breaks: bool = setting(False, "Whether some clips have a loss that is no number.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ToyOptions:
    """The toy's tables."""

    toy: ToyTable = setting(factory=ToyTable)


class ToyNetwork(nn.Module):
    """Colours of a frame and the first mask to logits."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, width, 3, padding=1)
        self.last = nn.Conv2d(width, 1, 1)
        self.dropout = dropout

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """M×S×S×3 uint8 and M×S×S bool to M×S×S logits."""
        inputs = torch.cat((images.permute(0, 3, 1, 2) / 255, masks[:, None]), 1)
        hidden = self.first(inputs.float()).relu()
        hidden = nn.functional.dropout(hidden, self.dropout, self.training)
        found: Tensor = self.last(hidden)[:, 0]
        return found


class ToyTrainer:
    """Trains a toy. It is not good at anything."""

    Options: ClassVar[type[Any]] = ToyOptions

    def __init__(self, options: ToyOptions, *, device: str = "auto") -> None:
        self._table, self._device = options.toy, device

    def describe(self) -> TrainerDescription:
        return TrainerDescription("toy", "Apache-2.0", "toy", size=16, step=8)

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        self._network = ToyNetwork(self._table.width, self._table.dropout)
        return self._network.train().to(self._device)

    def groups(self, rate: float, decay: float) -> Sequence[ParameterGroup]:
        return [
            ParameterGroup(("first.weight", "first.bias"), rate, decay),
            ParameterGroup(("last.weight", "last.bias"), 2 * rate, 0.0),
        ]

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        total = torch.zeros((), device=batch.images.device)
        shift = float(random.random())
        for place, count in enumerate(batch.objects):
            images, labels = batch.images[:, place], batch.labels[:, place]
            for key in range(1, count + 1):
                truth = labels == key
                given = truth[:1].expand(len(images), -1, -1)
                logits = self._network(images, given) + 0.01 * shift
                total = total + nn.functional.binary_cross_entropy_with_logits(
                    logits, truth.float()
                )
        if self._table.breaks and any(NOT_A_NUMBER in name for name in batch.names):
            total = total * float("nan")
        return Losses(total, {"mask": total.detach()}, {"missed": torch.tensor(1.0)})

    def heaviest(self, frames: int) -> np.random.Generator:
        return np.random.default_rng(0)

    def weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(state)

    def export(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"model": dict(weights)}

    def predictor(self, weights: Mapping[str, Tensor]) -> ToyPredictor:
        network = ToyNetwork(self._table.width, 0)
        network.load_state_dict(dict(weights))
        return ToyPredictor(network.eval())


class ToyPredictor:
    """Predicts each frame from its colours and the first mask."""

    Options: ClassVar[type[Any]] = ToyTable

    def __init__(self, options: Any, *, device: str = "auto") -> None:
        del device
        self._network: ToyNetwork = options

    def describe(self) -> Description:
        return Description("toy", "Apache-2.0")

    def session(self, video: Video, *, scale: float = 1.0) -> ToySession:
        del video, scale
        return ToySession(self._network)


class ToySession:
    def __init__(self, network: ToyNetwork) -> None:
        self._network = network
        self._masks: dict[int, Tensor] = {}

    def step(self, frame: NDArray[np.uint8], prompts: Prompts) -> Prediction:
        for key, prompt in prompts.items():
            self._masks[key] = torch.from_numpy(np.array(prompt.pixels))  # type: ignore[union-attr]
        image = torch.from_numpy(np.array(frame))
        masks = torch.stack(list(self._masks.values()))
        with torch.no_grad():
            logits = self._network(image.expand(len(masks), -1, -1, -1), masks)
        return Prediction(tuple(self._masks), logits.numpy())

    def close(self) -> None:
        pass


RECIPE = """
trainer = "toy"
[[data]]
path = "{root}"
[clips]
length = 3
[schedule]
steps = 6
clips = 4
[optimiser]
rate = 1e-2
clip = 1.0
[run]
save = 2
"""


def read(root: Path, *changes: str, text: str = RECIPE) -> TrainingRecipe:
    """Read the toy's recipe with some changes."""
    path = root.parent / "recipe.toml"
    path.write_text(text.format(root=root))
    with patch("submit.training.recipe.load", lambda name: ToyTrainer):
        return read_recipe(path, changes)[0]


def run(
    root: Path, folder: Path, *changes: str, workers: int = 0, **more: Any
) -> TrainingResult:
    """Train the toy."""
    return train(
        read(root, *changes), ToyTrainer, folder, device="cpu", workers=workers, **more
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
