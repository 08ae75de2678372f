"""Recipes: the whole chain in one TOML file.

    split = "MOSEv2/valid"

    [[predict]]
    name = "plain"
    predictor = "sam2"
    options = { checkpoint = "sam2.1_hiera_large.pt" }

    [[predict]]
    name = "flipped"
    predictor = "sam2"
    options = { checkpoint = "sam2.1_hiera_large.pt" }
    variant = "hflip"

    [[route]]                            # small objects go another way
    name = "routed"
    run = "plain"
    when = "area < 0.002"
    variant = "zoom"

    [[ensemble]]
    name = "both"
    members = ["routed", "flipped"]

    [submission]
    run = "both"

Paths are relative to the current folder, as they are on the command line, and may begin
with `~`, the home folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..augment import parse_variant
from ..errors import OptionError, RecipeError, RunError, SettingsError
from ..predictors import PluginFile
from ..runs import require_run_name
from ..system.schema import read, setting
from ..system.tables import read_toml
from ..system.urls import Place
from .steps import (
    AnchorsStep,
    EnsembleStep,
    ImportStep,
    PredictStep,
    RouteStep,
    SampleStep,
    Step,
    SubmissionStep,
)

__all__ = ["Recipe", "read_recipe"]

#: The tables of steps in a recipe, and what a step calls what it needs.
_TABLES: Mapping[type[Step], tuple[str, str]] = {
    PredictStep: ("predict", "anchors"),
    ImportStep: ("import", ""),
    AnchorsStep: ("anchors", "run"),
    RouteStep: ("route", "run"),
    EnsembleStep: ("ensemble", "member"),
}


@dataclass(frozen=True)
class Recipe:
    """A whole chain.

    Attributes:
        split: Folder of the split, or its URL.
        submission: The run to submit.
        runs: Where runs are kept; None for `runs/<name of the split>`.
        meta: The split's meta file; None to choose as `submit.data.read_split` does.
        sample: Write the split first, if it does not exist.
        predict: Models to run, in order.
        imports: Masks to import.
        anchors: Prompts to choose from runs.
        routes: Objects of a run to take from another one.
        ensemble: Runs to merge, in order; one may be a member of a later one.
    """

    split: Place
    submission: SubmissionStep
    runs: Path | None = None
    meta: Path | None = None
    sample: SampleStep | None = None
    predict: tuple[PredictStep, ...] = ()
    imports: tuple[ImportStep, ...] = setting((), key="import")
    anchors: tuple[AnchorsStep, ...] = ()
    routes: tuple[RouteStep, ...] = setting((), key="route")
    ensemble: tuple[EnsembleStep, ...] = ()

    @property
    def runs_folder(self) -> Path:
        """Where runs are kept."""
        return (
            self.runs
            if self.runs is not None
            else Path("runs") / self.split.resolve().name
        )

    @property
    def sample_folder(self) -> Path | None:
        """The folder for the sample; None if the recipe asks for none."""
        if self.sample is None or not isinstance(self.split, Path):
            return None
        return self.split

    @property
    def zip_path(self) -> Path:
        """The zip to upload."""
        return self.submission.zip or self.runs_folder / "submission.zip"

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps before the submission, in the order in which they are done.

        A route may be of an ensemble, an ensemble of a route, and a prediction may get
        anchors of runs: each step is done as soon as all is made that it needs, and one
        for which something is never made is at the end.
        """
        first: tuple[Step, ...] = (*self.predict, *self.imports)
        waiting = [*first, *self.anchors, *self.routes, *self.ensemble]
        steps: list[Step] = []
        while waiting:
            made = {step.name for step in steps}
            ready = (one for one in waiting if made.issuperset(one.needs))
            waiting.remove(step := next(ready, waiting[0]))
            steps.append(step)
        return tuple(steps)

    def prompts_of(self, step: PredictStep) -> Path | None:
        """The file or folder of a step's prompts."""
        return step.prompts if step.anchors is None else self.anchors_path(step.anchors)

    def anchors_path(self, name: str) -> Path:
        """The file that anchors are written to."""
        return self.runs_folder / f"{name}.json"

    def way(self, route: RouteStep) -> PredictStep:
        """How the objects of a route are predicted.

        Raises:
            SettingsError: There is no predictor.
        """
        bases = (step for step in self.predict if step.name == route.run)
        return route.way(next(bases, None))

    @property
    def names(self) -> tuple[str, ...]:
        """All runs, in the order in which they are made."""
        return tuple(
            step.name for step in self.steps if not isinstance(step, AnchorsStep)
        )

    def with_predictor(self, predictor: str, settings: Mapping[str, str]) -> Recipe:
        """The same chain with another model in every predict step."""
        file = PluginFile.parse(predictor)
        label = predictor if file is None else f"{file.path.stem}-{file.kind}"
        return dataclasses.replace(
            self,
            runs=self.runs_folder.with_name(f"{self.runs_folder.name}-{label}"),
            predict=tuple(
                dataclasses.replace(step, predictor=predictor, options=settings)
                for step in self.predict
            ),
            # A route has no options of its own then: they are those of another model.
            routes=tuple(
                dataclasses.replace(step, predictor=predictor, options=settings)
                for step in self.routes
            ),
        )


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: The file is not there or not TOML, a key is unknown or missing, a
            value is not legal, or a step names a run that is not made before it.
    """
    content = read_toml(path, RecipeError)
    recipe = read(Recipe, content, str(path), error=RecipeError)
    _Checks(path).check(recipe)
    return recipe


class _Checks:
    """Checks that the steps fit together."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fail(self, message: str) -> NoReturn:
        raise RecipeError(f"{self._path}: {message}")

    def check(self, recipe: Recipe) -> None:
        """Find errors that would make a step fail, perhaps after hours."""
        if recipe.sample is not None and recipe.sample_folder is None:
            self.fail(
                f"split: {recipe.split} is a URL, and a sample is written to a folder "
                "of this machine; name a path, or leave [sample] out"
            )
        for predict in recipe.predict:
            self._check_predict(predict, f"[[predict]] {predict.name}")
        for imported in recipe.imports:
            try:
                _ = imported.hints
            except SettingsError as error:
                self.fail(f"[[import]] {imported.name}: {error}")
        for anchors in recipe.anchors:
            if not anchors.runs:
                self.fail(f"[[anchors]] {anchors.name}: expected at least one run")
        for route in recipe.routes:
            self._check_route(recipe, route)
        for ensemble in recipe.ensemble:
            self._check_ensemble(ensemble)
        self._check_names(recipe)

    def _check_predict(self, step: PredictStep, where: str) -> None:
        """Check the variants of a prediction and where its prompts are from."""
        if step.prompts is not None and step.anchors is not None:
            self.fail(f"{where}: has both prompts and anchors; leave one of them out")
        for text in (*step.tta, *([] if step.variant is None else [step.variant])):
            try:
                parse_variant(text)
            except OptionError as error:
                self.fail(f"{where}: {error}")

    def _check_route(self, recipe: Recipe, step: RouteStep) -> None:
        """Check that a route has a condition and a way."""
        try:
            compared = step.condition.names
            self._check_predict(recipe.way(step), f"[[route]] {step.name}")
        except SettingsError as error:
            self.fail(f"[[route]] {step.name}: {error}")
        if ("agreement" in compared) != bool(step.against):
            self.fail(
                f"[[route]] {step.name}: agreement is that with other runs; write both "
                "agreement in when and the runs in against, or neither"
            )

    def _check_ensemble(self, step: EnsembleStep) -> None:
        """Check that an ensemble has members."""
        if not step.members:
            self.fail(f"[[ensemble]] {step.name}: expected at least one member")

    def _check_names(self, recipe: Recipe) -> None:
        """Check that names are unique, and members made before they are merged."""
        made: set[str] = set()
        for step in recipe.steps:
            try:
                require_run_name(step.name)
            except RunError as error:
                self.fail(str(error))
            kind, part = _TABLES[type(step)]
            for name in step.needs:
                if name not in made:
                    self.fail(
                        f"[[{kind}]] {step.name}: {part} {name!r} is not made before "
                        f"it; there are {', '.join(sorted(made)) or 'none'}"
                    )
            ways = [f"{step.name}-way"] if isinstance(step, RouteStep) else []
            for name in (step.name, *ways):
                if name in made:
                    self.fail(f"two steps make a run called {name!r}")
                made.add(name)
        if recipe.submission.run not in recipe.names:
            self.fail(
                f"[submission]: no step makes the run {recipe.submission.run!r}; there "
                f"are {', '.join(sorted(recipe.names)) or 'none'}"
            )
