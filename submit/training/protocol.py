"""The trainer protocol: what a model must do to be trained, and what it can rely on.

A trainer is a class registered under the entry-point group `submit.trainers`:

    [options.entry_points]
    submit.trainers =
        mymodel = my_package:MyTrainer

The toolkit reads the recipe, makes the clips, owns optimiser, schedule, averages,
checkpoints and validation, and runs on one processor or on many GPUs. A trainer brings
the network, says what it learns from a clip, and writes its weights as its predictor
reads them:

    trainer = MyTrainer(MyTrainer.Options(), device="cpu")
    module = trainer.build()
    losses = trainer.losses(batch, numpy_generator)
    losses.total.backward()
    torch.save(trainer.export(trainer.weights(module.state_dict())), "best.pt")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    # No heavy imports here, so that `submit --help` is fast.
    import numpy as np
    from torch import Tensor, nn

    from ..predictors import Predictor

__all__ = ["Batch", "Losses", "ParameterGroup", "Trainer", "TrainerDescription"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips that go through a network at once, on its device.

    Attributes:
        images: T×B×S×S×3 uint8, red, green, blue.
        labels: T×B×S×S uint8; 1 to N are the objects of the clip, all visible in the
            first frame; 0 is everything else.
        objects: N of each clip.
        names: The clips' names, for messages.
    """

    images: Tensor
    labels: Tensor
    objects: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Losses:
    """What a batch says of the network: sums over its objects.

    The toolkit divides by the number of objects of the whole step, over all batches and
    GPUs.

    Attributes:
        total: The weighted sum, from which gradients are computed.
        parts: What it is made of, without gradients, by name.
        counts: Further counts for the log, by name, such as `missed`.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that are trained alike.

    Attributes:
        names: Their names in the module.
        rate: Learning rate at the start of the schedule.
        decay: Weight decay.
    """

    names: tuple[str, ...]
    rate: float
    decay: float


@dataclass(frozen=True)
class TrainerDescription:
    """The facts about a trainer and its network.

    Attributes:
        model: Name of the architecture.
        licence: Licence of code and weights.
        predictor: Name of the predictor that reads the checkpoints.
        predict: Options that it needs beside the checkpoint, as `key=value`.
        size: Side in pixels of the square that frames become.
        step: The side must be a multiple of this.
        checkpoint: SHA-256 of the weights that training starts from; None if there are
            none.
        threads: Processor threads that it computes with.
        thrifty: Changes of the recipe, as `key=value`, that take less memory; first
            those that change the result the least.
    """

    model: str
    licence: str
    predictor: str
    size: int
    predict: tuple[str, ...] = ()
    step: int = 1
    checkpoint: str | None = None
    threads: int = 1
    thrifty: tuple[str, ...] = ()


@runtime_checkable
class Trainer(Protocol):
    """A model that can be trained.

    `Options` is a frozen dataclass whose fields were made with `setting`. They are
    further keys and tables of the recipe, and read, checked and explained with it.

    On the device `meta` tensors have shapes and no values. `submit train --estimate`
    builds the network there and takes a step, to count bytes and operations; `build`
    reads no weights then.
    """

    Options: ClassVar[type[Any]]

    def __init__(self, options: Any, *, device: str = "auto") -> None: ...

    def describe(self) -> TrainerDescription:
        """Say what is trained; without reading weights."""
        ...

    def build(self) -> nn.Module:
        """Make the network on its device, in training mode, weights loaded; once.

        Parameters that are not to be trained have `requires_grad` False. The weights
        are in float32.

        Raises:
            PredictorError: The weights do not fit, or the device is not there.
        """
        ...

    def groups(self, rate: float, decay: float) -> Sequence[ParameterGroup]:
        """Assign all parameters that are trained to groups.

        Args:
            rate: The recipe's learning rate.
            decay: Its weight decay.
        """
        ...

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        """Send clips through the network.

        Args:
            batch: The clips.
            random: Random numbers of the step, the same for all batches and GPUs.
                Numbers from PyTorch differ; the toolkit has set its seed. There must be
                no other source of chance.
        """
        ...

    def heaviest(self, frames: int) -> np.random.Generator:
        """Random numbers with which `losses` takes the most memory, for an estimate.

        Args:
            frames: Length of the clip.
        """
        ...

    def weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The plain weights of a state of the module, under their published names.

        Args:
            state: As of `build().state_dict()`, perhaps averaged over steps.
        """
        ...

    def export(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The content of a checkpoint as `torch.save` writes it for the predictor.

        Args:
            weights: From `weights`, perhaps the mean of several.
        """
        ...

    def predictor(self, weights: Mapping[str, Tensor]) -> Predictor:
        """Make the predictor with these weights, on the device, for validation."""
        ...
