"""What is left to do of a recipe, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..data import Split, read_prompts
from ..predictors import Predictor
from ..runs import Identity, Run
from .build import Builder
from .recipe import Recipe
from .steps import AnchorsStep, PredictStep, Step

__all__ = ["Obstacle", "Remaining"]


@dataclass(frozen=True)
class Obstacle:
    """What will not go well.

    Attributes:
        what: What is wrong, with what was expected and found.
        remedy: What to do.
    """

    what: str
    remedy: str


class Remaining:
    """The videos that each step of a recipe will still make.

    Args:
        recipe: The recipe.
        split: Its split.
        builder: Runs its steps.
        models: The model of each step that predicts, by the step's name.

    Attributes:
        lacking: By step, the videos that it will make.
        needed: The steps that do something: for themselves, or for a later one.
        problems: What stands in the way of continuing.
    """

    def __init__(
        self,
        recipe: Recipe,
        split: Split,
        builder: Builder,
        models: Mapping[str, Predictor],
    ) -> None:
        self._recipe, self._split, self._builder = recipe, split, builder
        self._models = models
        self.problems: list[Obstacle] = []
        self.lacking: dict[str, set[str]] = {}
        for step in recipe.steps:
            self.lacking[step.name] = self._lacks(step)
        self.needed = self._find_needed()

    @property
    def exported(self) -> list[str]:
        """The runs whose masks are exported."""
        names = [
            step.name
            for step in self._recipe.steps
            if not isinstance(step, AnchorsStep)
        ]
        return names if self._builder.has_truth else [self._recipe.submission.run]

    def unexported(self, name: str) -> set[str]:
        """The videos of a run whose masks will be exported."""
        run = self._existing(name)
        if run is None:
            return set(self._split.videos)
        if not run.is_soft:
            return set(self.lacking[name])
        record, wanted = self._builder.exports(run)
        if record.postprocess.effective() != wanted.effective():
            return set(self._split.videos)
        return self.lacking[name] | {
            video
            for video, entry in run.videos.items()
            if not record.has(video, source=entry.digest)
        }

    def is_unscored(self, name: str) -> bool:
        """Whether the masks of a run are still to be scored."""
        run = self._existing(name)
        if not self._builder.has_truth:
            return False
        return (
            run is None
            or bool(self.lacking[name] or self.unexported(name))
            or not self._builder.is_scored(run)
        )

    @cached_property
    def is_open(self) -> bool:
        """Whether the zip is still to be made."""
        name = self._recipe.submission.run
        run = self._existing(name)
        return (
            run is None
            or bool(self.lacking[name] or self.unexported(name))
            or not self._builder.is_submitted(run)
        )

    def _lacks(self, step: Step) -> set[str]:
        """The videos that a step will make."""
        if isinstance(step, AnchorsStep):
            later = any(self.lacking[name] for name in step.runs)
            there = self._recipe.anchors_path(step.name).is_file() and not later
            return set() if there else set(self._split.videos)
        run = self._existing(step.name)
        found = {
            name
            for name in self._split.videos
            if run is None
            or name not in run.videos
            or not run.stored(name).path.exists()
        }
        if isinstance(step, PredictStep):
            if run is not None and run.videos:
                self._require_same(run, step)
        else:
            found.update(*(self.lacking[name] for name in step.needs))
        return found

    def _existing(self, name: str) -> Run | None:
        path = self._recipe.runs_folder / name
        return Run.open(path) if Run.exists(path) else None

    def _require_same(self, run: Run, step: PredictStep) -> None:
        """Note that a run was made in another way, so that it is not continued."""
        plan = self._builder.plan(step)
        if step.anchors is not None:
            return  # What they are is known when they have been chosen.
        given = (
            None if plan.prompts is None else read_prompts(plan.prompts, self._split)
        )
        settings, _ = plan.located().settings(self._models[step.name], given)
        wanted = Identity.of("predict", settings, self._split)
        if found := run.origin.differences(wanted):
            self.problems.append(
                Obstacle(
                    f"{run.path}: this run was made with other settings ("
                    f"{'; '.join(found)}), so that build refuses to continue it",
                    "give the step another name, or delete the folder",
                )
            )

    def _find_needed(self) -> set[str]:
        """The steps that do something: for themselves, or for a later one."""
        needed: set[str] = set()
        if self.is_open:
            needed.add(self._recipe.submission.run)
        for step in reversed(self._recipe.steps):
            own = self.lacking[step.name] or (
                not isinstance(step, AnchorsStep)
                and step.name in self.exported
                and (self.unexported(step.name) or self.is_unscored(step.name))
            )
            if own:
                needed.add(step.name)
            if step.name in needed and not isinstance(step, PredictStep):
                needed.update(step.needs)
        return needed
