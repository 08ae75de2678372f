"""Keeping a training: its state, and the weights at each point of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .averages import MovingAverage
from .board import TensorBoardLog
from .folder import Log, TrainingFolder
from .protocol import Trainer
from .ranks import Ranks
from .step import Stepper

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["AVERAGE", "EMA", "WEIGHTS", "Best", "Keeper", "State"]

#: The names that validated weights have.
WEIGHTS = "weights"
EMA = "ema"
AVERAGE = "average"


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes:
        step: Steps that they were trained.
        weights: `weights`, `ema` or `average`.
        score: Their J&Ḟ, as a fraction.
        interval: Its 95 % interval; None with a single video.
        start: J&Ḟ before the first step.
    """

    step: int
    weights: str
    score: float
    interval: tuple[float, float] | None
    start: float


@dataclass
class State:
    """What changes from step to step, beside weights.

    Attributes:
        step: Steps that are done.
        bad: Steps that were left out.
        best: The best weights so far.
        candidates: Step and score of the checkpoints that are kept for an average.
    """

    step: int = 0
    bad: int = 0
    best: Best | None = None
    candidates: list[tuple[int, float]] = field(default_factory=list)


class Keeper:
    """Writes and reads everything that a training leaves on the disk.

    Only the first process writes.

    Args:
        folder: The folder of the training.
        trainer: Its trainer.
        module: The network.
        stepper: Takes the steps.
        average: The moving average of the weights; None without one.
        ranks: This process among all.
        board: Whether the log is written for TensorBoard too.
    """

    def __init__(
        self,
        folder: TrainingFolder,
        trainer: Trainer,
        module: nn.Module,
        stepper: Stepper,
        average: MovingAverage | None,
        ranks: Ranks,
        *,
        board: bool = False,
    ) -> None:
        self.folder, self.trainer = folder, trainer
        self.state = State()
        self.average = average
        self._module, self._stepper, self._ranks = module, stepper, ranks
        self._log: Log | None = None
        self._wants_board = board
        self._board: TensorBoardLog | None = None

    def restore(self) -> None:
        """Continue from the latest save."""
        content = self.folder.load(self.folder.last)
        self._module.load_state_dict(content["model"])
        self._stepper.restore(content["optimizer"])
        if self.average is not None:
            self.average.restore(content["ema"])
        self.state = State(
            step=content["step"],
            bad=content["bad"],
            best=None if content["best"] is None else Best(**content["best"]),
            candidates=[(step, score) for step, score in content["candidates"]],
        )

    def save(self) -> None:
        """Write everything that is needed to continue, and what can be used at once."""
        if not self._ranks.first:
            return
        if self._log is not None:
            self._log.sync()
        if self._board is not None:
            self._board.sync()
        state = self.state
        self.folder.save(
            self.folder.last,
            {
                "step": state.step,
                "bad": state.bad,
                "best": None if state.best is None else vars(state.best),
                "candidates": state.candidates,
                "model": self._module.state_dict(),
                "optimizer": self._stepper.state(),
                "ema": {} if self.average is None else self.average.values,
            },
        )
        name = WEIGHTS if self.average is None else EMA
        self.export(self.folder.ema, self.weights(name), {"weights": name})

    def weights(self, name: str) -> dict[str, Tensor]:
        """The plain weights, or their moving average."""
        state: Mapping[str, Tensor] = self._module.state_dict()
        if name == EMA and self.average is not None:
            state = self.average.over(state)
        return self.trainer.weights(state)

    def export(
        self, path: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Write a checkpoint for the predictor, and what it does not say beside it."""
        if not self._ranks.first:
            return
        described = self.trainer.describe()
        self.folder.save(path, self.trainer.export(weights))
        self.folder.write_facts(
            path,
            {
                "predictor": described.predictor,
                "options": list(described.predict),
                "model": described.model,
                "licence": described.licence,
                "step": self.state.step,
                **facts,
            },
        )

    def open_log(self) -> None:
        """Open the log, without lines of steps that will be made again."""
        if self._ranks.first:
            self._log = Log(self.folder.log, self.state.step)
            if self._wants_board:
                self._board = TensorBoardLog(self.folder.board, self.state.step)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        if self._log is not None:
            self._log.add(entry)
        if self._board is not None:
            self._board.add(entry)

    def close_log(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._board is not None:
            self._board.close()
            self._board = None
