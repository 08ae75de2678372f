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

    [[ensemble]]
    name = "both"
    members = ["plain", "flipped"]

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
from typing import Any, NoReturn

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
from .direction import DIRECTIONS

__all__ = [
    "EnsembleStep",
    "ImportStep",
    "PredictStep",
    "Recipe",
    "SampleStep",
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
        ensemble: Runs to merge, in order; one may be a member of a later one.
    """

    split: Path
    submission: SubmissionStep
    runs: Path | None = None
    meta: Path | None = None
    sample: SampleStep | None = None
    predict: tuple[PredictStep, ...] = ()
    imports: tuple[ImportStep, ...] = setting((), key="import")
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
    def steps(self) -> tuple[PredictStep | ImportStep | EnsembleStep, ...]:
        """All steps that make a run, in the order in which they are done."""
        return (*self.predict, *self.imports, *self.ensemble)

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
            self._check_variants(predict)
        for imported in recipe.imports:
            try:
                _ = imported.hints
            except SettingsError as error:
                self.fail(f"[[import]] {imported.name}: {error}")
        for ensemble in recipe.ensemble:
            self._check_ensemble(ensemble)
        self._check_names(recipe)

    def _check_variants(self, step: PredictStep) -> None:
        for text in (*step.tta, *([] if step.variant is None else [step.variant])):
            try:
                parse_variant(text)
            except OptionError as error:
                self.fail(f"[[predict]] {step.name}: {error}")

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
            if isinstance(step, EnsembleStep):
                for member in step.members:
                    if member not in made:
                        self.fail(
                            f"[[ensemble]] {step.name}: member {member!r} is not made "
                            f"before it; there are {', '.join(sorted(made)) or 'none'}"
                        )
            if step.name in made:
                self.fail(f"two steps make a run called {step.name!r}")
            made.add(step.name)
        if recipe.submission.run not in made:
            self.fail(
                f"[submission]: no step makes the run {recipe.submission.run!r}; there "
                f"are {', '.join(sorted(made)) or 'none'}"
            )
