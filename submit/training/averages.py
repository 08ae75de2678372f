"""Averages of weights: a moving one during training, and of checkpoints at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["MovingAverage", "greedy", "mean_of"]

Name = TypeVar("Name")
State = Mapping[str, "Tensor"]


class MovingAverage:
    """The exponential moving average of the weights that are trained.

    In the first steps the decay is smaller, (1 + step) / (10 + step), so that the start
    does not weigh more than what was learned.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = {
            name: value
            for name, value in module.named_parameters()
            if value.requires_grad
        }
        self.values = {
            name: value.detach().clone() for name, value in self._parameters.items()
        }

    def update(self, step: int) -> None:
        """Take the weights after a step, counted from 1."""
        import torch

        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.values.values()),
                [value.detach() for value in self._parameters.values()],
                1 - decay,
            )

    def restore(self, values: State) -> None:
        """Continue from values that were saved."""
        for name, value in self.values.items():
            value.copy_(values[name])

    def over(self, state: State) -> dict[str, Tensor]:
        """A state with the averages in place of the weights."""
        return {**state, **self.values}


def mean_of(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints, computed in double precision."""
    import torch

    first = states[0]
    return {
        name: value
        if not value.is_floating_point()
        else torch.stack([each[name].double() for each in states])
        .mean(0)
        .to(value.dtype)
        for name, value in first.items()
    }


def greedy(
    names: Sequence[Name],
    load: Callable[[Name], State],
    score: Callable[[State], float],
    best: float,
) -> tuple[list[Name], float]:
    """Add checkpoints to an average while its score rises.

    The greedy soup of Wortsman et al., "Model soups" (ICML 2022), algorithm 1.

    Args:
        names: The checkpoints, the best one first.
        load: Reads one.
        score: Scores weights; higher is better.
        best: The score of the first one.

    Returns:
        The checkpoints of the average, and its score.
    """
    chosen = [names[0]]
    for name in names[1:]:
        found = score(mean_of([load(each) for each in (*chosen, name)]))
        if found >= best:
            chosen, best = [*chosen, name], found
    return chosen, best
