"""Judging the weights of a training on a hold-out, and keeping the best ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..data import Split
from .averages import greedy, mean_of
from .folder import cpu_copy
from .keeper import AVERAGE, EMA, WEIGHTS, Best, Keeper
from .progress import TrainingProgress
from .ranks import Ranks
from .recipe import AverageTable
from .validation import Validated, validate

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Judge"]


class Judge:
    """Scores weights, and keeps the best ones.

    Args:
        keeper: Writes checkpoints.
        holdout: The split to score; None for no scores.
        table: How checkpoints are averaged.
        ranks: This process among all.
    """

    def __init__(
        self, keeper: Keeper, holdout: Split | None, table: AverageTable, ranks: Ranks
    ) -> None:
        self._keeper, self._holdout = keeper, holdout
        self._table, self._ranks = table, ranks

    def judge(self, bar: TrainingProgress) -> None:
        """Score the weights and their moving average."""
        keeper = self._keeper
        if self._holdout is None:
            return
        names = [WEIGHTS]
        if keeper.average is not None and keeper.state.step:
            names.append(EMA)
        for name in names:
            weights = keeper.weights(name)
            found = self._score(bar, weights)
            self._consider(bar, name, weights, found)
        if self._table.method != "none" and keeper.state.step:
            # The moving average, where there is one.
            self._keep_candidate(weights, found)

    def average(self, bar: TrainingProgress) -> None:
        """Make the mean of the best checkpoints, and keep it if it is better."""
        state, method = self._keeper.state, self._table.method
        if method == "none" or len(state.candidates) < 2:
            return

        def load(step: int) -> dict[str, Tensor]:
            return self._keeper.folder.load(self._candidate(step))

        steps = [step for step, _ in state.candidates]
        if method == "greedy":
            steps, _ = greedy(
                steps,
                load,
                lambda weights: self._score(bar, weights).totals.jf_dot,
                state.candidates[0][1],
            )
        weights = mean_of([load(step) for step in steps])
        bar.note(f"average of steps {', '.join(map(str, steps))}")
        found = self._score(bar, weights)
        facts = {"weights": AVERAGE, "of": steps, "scores": found.as_data()}
        self._keeper.export(self._keeper.folder.average, weights, facts)
        self._consider(bar, AVERAGE, weights, found)

    def _score(self, bar: TrainingProgress, weights: Mapping[str, Tensor]) -> Validated:
        assert self._holdout is not None
        return validate(
            self._keeper.trainer.predictor(weights),
            self._holdout,
            self._ranks,
            progress=lambda video, frames: bar.describe(f"validation: {video}"),
        )

    def _consider(
        self,
        bar: TrainingProgress,
        name: str,
        weights: Mapping[str, Tensor],
        found: Validated,
    ) -> None:
        """Note a score, and write the weights if it is the best one."""
        state, score = self._keeper.state, found.totals.jf_dot
        self._keeper.log({"step": state.step, "validation": name, **found.as_data()})
        best = state.best
        bar.note(_about(state.step, name, found, best))
        if best is not None and score <= best.score:
            return
        state.best = Best(
            step=state.step,
            weights=name,
            score=score,
            interval=found.interval,
            start=score if best is None else best.start,
        )
        facts = {"weights": name, "scores": found.as_data(), "videos": found.videos}
        self._keeper.export(self._keeper.folder.best, weights, facts)

    def _keep_candidate(self, weights: Mapping[str, Tensor], found: Validated) -> None:
        """Keep the best checkpoints for their mean."""
        state = self._keeper.state
        ranked = [*state.candidates, (state.step, found.totals.jf_dot)]
        ranked.sort(key=lambda one: (-one[1], one[0]))
        kept, dropped = ranked[: self._table.keep], ranked[self._table.keep :]
        if self._ranks.first:
            self._keeper.folder.candidates.mkdir(exist_ok=True)
            if any(step == state.step for step, _ in kept):
                path = self._candidate(state.step)
                self._keeper.folder.save(path, cpu_copy(weights))
            for step, _ in dropped:
                self._candidate(step).unlink(missing_ok=True)
        state.candidates = kept

    def _candidate(self, step: int) -> Path:
        return self._keeper.folder.candidates / f"step-{step:06d}.pt"


def _about(step: int, name: str, found: Validated, best: Best | None) -> str:
    """A line about a validation, in the numbers of the leaderboard."""
    text = f"step {step:,}, {name}: J&Ḟ {100 * found.totals.jf_dot:.2f}"
    if found.interval is not None:
        low, high = found.interval
        text += f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
    for label, value in (
        ("J", found.totals.j),
        ("Ḟ", found.totals.f_dot),
        ("J&Ḟ_d", found.totals.disappear),
        ("J&Ḟ_r", found.totals.reappear),
    ):
        if value is not None:
            text += f", {label} {100 * value:.2f}"
    if best is None:
        return text
    if found.totals.jf_dot > best.score:
        return f"{text}; the best so far"
    return f"{text}; best: {100 * best.score:.2f} at step {best.step:,}"
