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
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ..augment import parse_variant
from ..ensemble import MergeSettings, read_ensemble_table
from ..errors import OptionError, RecipeError, RunError, SettingsError
from ..formats import ImportHints
from ..masks import ScoreKind
from ..predictors import PluginFile
from ..runs import require_run_name
from ..system.files import user_path
from ..system.schema import Scalar, WrongSettingError, check, read, setting
from ..system.tables import read_toml
from .conditions import Condition
from .direction import DIRECTIONS

__all__ = [
    "EnsembleStep",
    "ImportStep",
    "PredictStep",
    "Recipe",
    "RouteStep",
    "SampleStep",
    "Step",
    "SubmissionStep",
    "read_recipe",
]


@dataclass(frozen=True)
class SampleStep:
    """Write a synthetic split first; see `submit sample`."""

    videos: int = 6
    frames: int = 40
    size: tuple[int, int] = setting((480, 270), words="[width, height]")
    seed: int = 0


@dataclass(frozen=True)
class PredictStep:
    """Run a model over the split; see `submit predict`."""

    name: str
    predictor: str
    options: Mapping[str, Scalar] = setting(factory=dict)
    variant: str | None = None
    tta: tuple[str, ...] = ()
    late_objects: bool = False
    prompts: Path | None = None
    direction: str = setting(DIRECTIONS[0], choices=DIRECTIONS)
    prompter: str | None = None
    prompter_options: Mapping[str, Scalar] = setting(factory=dict)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ImportStep:
    """Import masks of another program; see `submit import`."""

    name: str
    path: Path
    format: str | None = None
    scores: str | None = setting(
        None, choices=tuple(kind.value for kind in ScoreKind), key="as"
    )
    object_key: str | None = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def hints(self) -> ImportHints:
        """What is said of the files.

        Raises:
            SettingsError: There is no such layout.
        """
        scores = None if self.scores is None else ScoreKind(self.scores)
        return ImportHints(self.format, scores, self.object_key)


@dataclass(frozen=True)
class RouteStep:
    """Take some objects of a run from another one, which is predicted for them.

    The objects are those that fulfil `when` (see `conditions`) in the run. Their videos
    are predicted another way, as the run `<name>-way`; `name` has these objects from
    there, and all others from `run`. Without `predictor`, the way is that of the run's
    own predict step with the `options` given here besides.
    """

    name: str
    run: str
    when: str
    against: tuple[str, ...] = ()
    predictor: str | None = None
    options: Mapping[str, Scalar] = setting(factory=dict)
    variant: str | None = None
    tta: tuple[str, ...] = ()
    prompts: Path | None = None
    direction: str = setting(DIRECTIONS[0], choices=DIRECTIONS)
    prompter: str | None = None
    prompter_options: Mapping[str, Scalar] = setting(factory=dict)

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs that are made before."""
        return (self.run, *self.against)

    @property
    def condition(self) -> Condition:
        """Which objects go the other way.

        Raises:
            SettingsError: `when` is not a condition.
        """
        return Condition.parse(self.when)

    def way(self, base: PredictStep | None) -> PredictStep:
        """How the objects are predicted, as a step of its own.

        Args:
            base: The step that predicts `run`; None if another kind of step makes it.

        Raises:
            SettingsError: There is no predictor.
        """
        predictor, options = self.predictor, self.options
        if predictor is None:
            if base is None:
                raise SettingsError(
                    f"run {self.run!r} is not made by [[predict]], so the route needs "
                    "a predictor of its own; add predictor"
                )
            predictor, options = base.predictor, {**base.options, **self.options}
        return PredictStep(
            name=f"{self.name}-way",
            predictor=predictor,
            options=options,
            variant=self.variant,
            tta=self.tta,
            late_objects=base is not None and base.late_objects,
            prompts=self.prompts,
            direction=self.direction,
            prompter=self.prompter,
            prompter_options=self.prompter_options,
        )


@dataclass(frozen=True)
class EnsembleStep:
    """Merge runs; see `submit ensemble`.

    In the recipe, `settings` is a settings file. All keys of its table `[ensemble]` may
    be given here too, and override the file: method, members, weights, gate, and the
    table of a method's settings, such as cascade.
    """

    name: str
    settings: MergeSettings = setting(key="")
    missing: str = setting("fail", choices=("fail", "reweight"))

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def prepare(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """Separate the keys of the merge settings, and add those of their file.

        Raises:
            SettingsError: The file cannot be read.
        """
        own = {key: table[key] for key in ("name", "missing") if key in table}
        rest = {key: value for key, value in table.items() if key not in own}
        file = rest.pop("settings", None)
        if file is not None:
            if not isinstance(file, str):
                raise WrongSettingError(("settings",), "expected a path", file)
            rest = {**read_ensemble_table(user_path(file)), **rest}
        return {**own, "settings": rest}

    @property
    def members(self) -> tuple[str, ...]:
        """The runs to merge."""
        return self.settings.members

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs that are made before."""
        return self.members


#: A step that makes a run.
Step: TypeAlias = "PredictStep | ImportStep | RouteStep | EnsembleStep"


@dataclass(frozen=True)
class SubmissionStep:
    """The run to submit, its post-processing settings, and the zip."""

    run: str
    zip: Path | None = None
    team: Path | None = None
    settings: Path | None = None


@dataclass(frozen=True)
class Recipe:
    """A whole chain.

    Attributes:
        split: Folder of the split.
        submission: The run to submit.
        runs: Where runs are kept; None for `runs/<name of the split>`.
        meta: The split's meta file; None to choose as `submit.data.read_split` does.
        sample: Write the split first, if it does not exist.
        predict: Models to run, in order.
        imports: Masks to import.
        routes: Objects of a run to take from another one.
        ensemble: Runs to merge, in order; one may be a member of a later one.
    """

    split: Path
    submission: SubmissionStep
    runs: Path | None = None
    meta: Path | None = None
    sample: SampleStep | None = None
    predict: tuple[PredictStep, ...] = ()
    imports: tuple[ImportStep, ...] = setting((), key="import")
    routes: tuple[RouteStep, ...] = setting((), key="route")
    ensemble: tuple[EnsembleStep, ...] = ()

    @property
    def runs_folder(self) -> Path:
        """Where runs are kept."""
        return (
            self.runs
            if self.runs is not None
            else Path("runs") / os.path.basename(os.path.realpath(self.split))
        )

    @property
    def zip_path(self) -> Path:
        """The zip to upload."""
        return self.submission.zip or self.runs_folder / "submission.zip"

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps that make a run, in the order in which they are done.

        A route may be of an ensemble and an ensemble of a route, so each comes as soon
        as all runs are there that it needs; what never comes so far is at the end.
        """
        waiting: list[RouteStep | EnsembleStep] = [*self.routes, *self.ensemble]
        steps: list[Step] = [*self.predict, *self.imports]
        while waiting:
            made = {step.name for step in steps}
            ready = (one for one in waiting if made.issuperset(one.needs))
            waiting.remove(step := next(ready, waiting[0]))
            steps.append(step)
        return tuple(steps)

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
        return tuple(step.name for step in self.steps)

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
            routes=tuple(
                dataclasses.replace(step, predictor=predictor, options=settings)
                if step.predictor
                else step
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
        for predict in recipe.predict:
            self._check_variants(predict, f"[[predict]] {predict.name}")
        for imported in recipe.imports:
            try:
                _ = imported.hints
            except SettingsError as error:
                self.fail(f"[[import]] {imported.name}: {error}")
        for route in recipe.routes:
            self._check_route(recipe, route)
        for ensemble in recipe.ensemble:
            self._check_ensemble(ensemble)
        self._check_names(recipe)

    def _check_variants(self, step: PredictStep, where: str) -> None:
        for text in (*step.tta, *([] if step.variant is None else [step.variant])):
            try:
                parse_variant(text)
            except OptionError as error:
                self.fail(f"{where}: {error}")

    def _check_route(self, recipe: Recipe, step: RouteStep) -> None:
        """Check that a route has a condition and a way."""
        try:
            compared = step.condition.names
            self._check_variants(recipe.way(step), f"[[route]] {step.name}")
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
            if isinstance(step, (RouteStep, EnsembleStep)):
                kind, part = "route", "run"
                if isinstance(step, EnsembleStep):
                    kind, part = "ensemble", "member"
                for name in step.needs:
                    if name not in made:
                        self.fail(
                            f"[[{kind}]] {step.name}: {part} {name!r} is not made "
                            f"before it; there are {', '.join(sorted(made)) or 'none'}"
                        )
            ways = [f"{step.name}-way"] if isinstance(step, RouteStep) else []
            for name in (step.name, *ways):
                if name in made:
                    self.fail(f"two steps make a run called {name!r}")
                made.add(name)
        if recipe.submission.run not in made:
            self.fail(
                f"[submission]: no step makes the run {recipe.submission.run!r}; there "
                f"are {', '.join(sorted(made)) or 'none'}"
            )
