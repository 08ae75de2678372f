"""One step of a training: clips in, gradients, new weights.

Equal global batches give equal steps on one processor and on many: the loss is divided
by the number of objects of the whole step, and random numbers belong to clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from .maker import ClipSample
from .mixing import generator
from .protocol import Batch, Losses, Trainer
from .ranks import Ranks
from .recipe import TrainingRecipe

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "StepReport",
    "Stepper",
    "make_batch",
    "precision_of",
    "rate_factor",
    "require_shares",
    "step_numbers",
]

#: What a random number is for, beside those of `mixing` and `maker`.
_PROMPTS, _TORCH = 5, 6


@dataclass(frozen=True)
class StepReport:
    """What happened in a step.

    Attributes:
        step: Number of the step, from 1.
        loss: The loss: the mean over objects of the weighted sum.
        parts: What it is made of, as means over objects.
        counts: Further counts.
        objects: Number of objects.
        norm: Norm of the gradient before it was limited.
        rate: Learning rate, relative to the start.
        bad: Clips whose loss was not finite, so that the step was left out.
        problems: Why clips of this process were replaced by others.
    """

    step: int
    loss: float
    parts: dict[str, float]
    counts: dict[str, float]
    objects: int
    norm: float
    rate: float
    bad: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """As the log has it."""
        data: dict[str, Any] = {
            "step": self.step,
            "loss": _number(self.loss),
            **{name: _number(value) for name, value in self.parts.items()},
            **{name: round(value) for name, value in self.counts.items()},
            "objects": self.objects,
            "norm": _number(self.norm),
            "rate": _number(self.rate),
        }
        for name in ("bad", "problems"):
            if found := getattr(self, name):
                data[name] = list(found)
        return data


def _number(value: float) -> float | None:
    """A number as JSON has it, with the digits that are worth reading."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def rate_factor(recipe: TrainingRecipe, step: int) -> float:
    """The learning rate of a step, counted from 0, relative to the start.

    A cosine from 1 to `final` over all steps, as `CosineParamScheduler` of fvcore; with
    a linear rise in front.
    """
    schedule = recipe.schedule
    where = step / schedule.steps
    cosine = (1 + math.cos(math.pi * where)) / 2
    factor = schedule.final + (1 - schedule.final) * cosine
    return factor * min(1.0, (step + 1) / (schedule.warmup + 1))


def step_numbers(recipe: TrainingRecipe, ranks: Ranks, begin: int) -> list[int]:
    """The numbers of all clips that a process needs from a step on, in order."""
    schedule = recipe.schedule
    batches = schedule.clips // schedule.batch
    return [
        step * schedule.clips + batch * schedule.batch + place
        for step in range(begin, schedule.steps)
        for batch in range(ranks.rank, batches, ranks.world)
        for place in range(schedule.batch)
    ]


def require_shares(recipe: TrainingRecipe, ranks: Ranks) -> None:
    """Check that the clips of a step can be shared among the processes.

    Raises:
        TrainingError: They cannot.
    """
    schedule = recipe.schedule
    batches = schedule.clips // schedule.batch
    if batches % ranks.world:
        raise TrainingError(
            f"[schedule] clips = {schedule.clips} in batches of {schedule.batch} "
            f"cannot be shared by {ranks.world} processes; choose clips as a multiple "
            f"of {schedule.batch * ranks.world}, or another number of processes"
        )


@dataclass
class _Sums:
    """Numbers of one process in one step, added up over its batches."""

    totals: list[Any] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)

    def add(self, losses: Losses) -> None:
        self.totals.append(losses.total.detach())
        for mine, theirs in ((self.parts, losses.parts), (self.counts, losses.counts)):
            for name, value in theirs.items():
                mine[name] = (
                    mine[name] + value.detach() if name in mine else value.detach()
                )


class Stepper:
    """Takes the steps of a training.

    Args:
        recipe: The recipe.
        trainer: Its trainer.
        module: The network that `trainer.build` made.
        ranks: This process among all.
    """

    def __init__(
        self, recipe: TrainingRecipe, trainer: Trainer, module: nn.Module, ranks: Ranks
    ) -> None:
        import torch

        self._recipe, self._trainer, self._ranks = recipe, trainer, ranks
        self._named = {
            name: value
            for name, value in module.named_parameters()
            if value.requires_grad
        }
        groups = trainer.groups(recipe.optimiser.rate, recipe.optimiser.decay)
        assigned = [name for group in groups for name in group.names]
        assert sorted(assigned) == sorted(self._named), "groups do not fit the network"
        self._rates = [group.rate for group in groups]
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [self._named[name] for name in group.names],
                    "lr": group.rate,
                    "weight_decay": group.decay,
                }
                for group in groups
            ],
            betas=recipe.optimiser.betas,
        )
        self._dtype = precision_of(recipe.run.dtype, ranks.device)

    @property
    def precision(self) -> str:
        """The precision of products: `float32` or `bfloat16`."""
        return str(self._dtype).removeprefix("torch.")

    def state(self) -> dict[str, Any]:
        """The state of the optimiser, to be saved."""
        return self._optimizer.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with a state that was saved."""
        self._optimizer.load_state_dict(state)

    def take(
        self, step: int, clips: Iterator[ClipSample], *, stop: bool
    ) -> tuple[StepReport, bool]:
        """Take a step.

        Args:
            step: Its number, from 0.
            clips: The clips of this process, from this step on.
            stop: Whether this process was asked to stop.

        Returns:
            What happened, and whether any process was asked to stop. The weights are
            unchanged where the report names bad clips.
        """
        import torch

        recipe, ranks = self._recipe, self._ranks
        size = recipe.schedule.batch
        mine = recipe.schedule.clips // ranks.world
        own = [next(clips) for _ in range(mine)]
        objects = sum(clip.objects for clip in own)
        objects = round(
            ranks.add(torch.tensor(float(objects), device=ranks.device)).item()
        )
        batches = [own[begin : begin + size] for begin in range(0, mine, size)]
        sums = _Sums()
        for index, batch in enumerate(batches):
            # The place of the batch among those of all processes.
            number = (
                step * recipe.schedule.clips + (index * ranks.world + ranks.rank) * size
            )
            sums.add(self._losses(step, number, batch, objects))
        totals, parts, counts, stops = self._summed(sums, stop)
        ranks.add_gradients(list(self._named.values()))
        norm = self._limit()
        bad = [
            clip.name
            for batch, total in zip(batches, sums.totals, strict=True)
            for clip in batch
            if not math.isfinite(float(total))
        ]
        factor = rate_factor(recipe, step)
        ok = math.isfinite(totals) and math.isfinite(norm)
        if ok:
            for group, rate in zip(
                self._optimizer.param_groups, self._rates, strict=True
            ):
                group["lr"] = rate * factor
            self._optimizer.step()
        else:
            bad = [name for names in ranks.gather(bad) for name in names] or [
                clip.name for batch in ranks.gather(own) for clip in batch
            ]
        self._optimizer.zero_grad()
        return (
            StepReport(
                step=step + 1,
                loss=totals / max(objects, 1),
                parts={name: value / max(objects, 1) for name, value in parts.items()},
                counts=counts,
                objects=objects,
                norm=norm,
                rate=factor,
                bad=() if ok else tuple(bad),
                problems=tuple(text for clip in own for text in clip.problems),
            ),
            stops,
        )

    def _losses(
        self, step: int, number: int, clips: Sequence[ClipSample], objects: int
    ) -> Losses:
        """Send a batch through the network, and add its gradients to the others."""
        import torch

        seed = self._recipe.seed
        torch.manual_seed(int(generator(seed, _TORCH, number).integers(2**62)))
        device = torch.device(self._ranks.device)
        with torch.autocast(
            device.type, self._dtype, enabled=self._dtype != torch.float32
        ):
            losses = self._trainer.losses(
                make_batch(clips, self._ranks.device), generator(seed, _PROMPTS, step)
            )
        if losses.total.requires_grad:
            torch.autograd.backward(losses.total / max(objects, 1))
        return losses

    def _summed(
        self, sums: _Sums, stop: bool
    ) -> tuple[float, dict[str, float], dict[str, float], bool]:
        """Numbers of all processes: the total, parts, counts, and whether to stop."""
        import torch

        values = [sum(sums.totals), *sums.parts.values(), *sums.counts.values()]
        numbers = torch.stack(
            [
                torch.as_tensor(value, device=self._ranks.device).double()
                for value in (*values, float(stop))
            ]
        )
        total, *rest = self._ranks.add(numbers).tolist()
        parts = dict(zip(sums.parts, rest, strict=False))
        counts = dict(zip(sums.counts, rest[len(parts) :], strict=False))
        return total, parts, counts, rest[-1] > 0

    def _limit(self) -> float:
        """Scale a gradient down whose norm is too large; returns the norm."""
        import torch

        most = self._recipe.optimiser.clip
        norm = torch.nn.utils.clip_grad_norm_(
            list(self._named.values()), math.inf if most is None else most
        )
        return float(norm)


def make_batch(clips: Sequence[ClipSample], device: str) -> Batch:
    """Bring clips of equal length to a device."""
    import torch

    def stacked(arrays: list[Any]) -> torch.Tensor:
        tensors = [torch.from_numpy(array) for array in arrays]
        return torch.stack(tensors, 1).to(device, non_blocking=True)

    return Batch(
        images=stacked([clip.images for clip in clips]),
        labels=stacked([clip.labels for clip in clips]),
        objects=tuple(clip.objects for clip in clips),
        names=tuple(clip.name for clip in clips),
    )


def precision_of(name: str, device: str) -> torch.dtype:
    """Choose the precision of products.

    Args:
        name: `float32`, `bfloat16`, or `auto` for bfloat16 where a GPU multiplies it
            fast.
        device: `cpu` or `cuda:N`; `cuda` for a recent GPU that is not at hand.
    """
    import torch

    if name != "auto":
        found: torch.dtype = getattr(torch, name)
        return found
    fast = device == "cuda" or (
        device.startswith("cuda") and torch.cuda.get_device_capability(device) >= (8, 0)
    )
    return torch.bfloat16 if fast else torch.float32
