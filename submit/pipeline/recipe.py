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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..augment import parse_variant
from ..ensemble import MergeSettings, read_ensemble_table
from ..errors import OptionError, RecipeError, RunError, SettingsError
from ..runs import require_run_name
from ..system.files import user_path
from ..system.tables import read_toml

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
    size: tuple[int, int] = (480, 270)
    seed: int = 0


@dataclass(frozen=True)
class PredictStep:
    """Run a model over the split; see `submit predict`."""

    name: str
    predictor: str
    options: Mapping[str, Any] = field(default_factory=dict)
    variant: str | None = None
    tta: tuple[str, ...] = ()
    late_objects: bool = False


@dataclass(frozen=True)
class ImportStep:
    """Take in masks of another program; see `submit import`."""

    name: str
    path: Path


@dataclass(frozen=True)
class EnsembleStep:
    """Merge runs; see `submit ensemble`.

    In the recipe, `settings` is a settings file, and all keys of its table `[ensemble]`
    may stand here too: method, members, weights, gate, select and cascade. Those that
    stand here win.
    """

    name: str
    settings: MergeSettings
    missing: str = "fail"

    @property
    def members(self) -> tuple[str, ...]:
        """The runs to merge."""
        return self.settings.members


@dataclass(frozen=True)
class SubmissionStep:
    """Which run is handed in, post-processed by which settings, and as what file."""

    run: str
    zip: Path | None = None
    team: Path | None = None
    settings: Path | None = None


@dataclass(frozen=True)
class Recipe:
    """A whole chain.

    Attributes:
        split: Folder of the split.
        submission: What is handed in.
        runs: Where runs are kept; None for `runs/<name of the split>`.
        meta: The split's meta file; None to choose as `submit.data.read_split` does.
        sample: Write the split first, if it is not there.
        predict: Models to run, in order.
        imports: Masks to take in.
        ensemble: Runs to merge, in order; one may be a member of a later one.
    """

    split: Path
    submission: SubmissionStep
    runs: Path | None = None
    meta: Path | None = None
    sample: SampleStep | None = None
    predict: tuple[PredictStep, ...] = ()
    imports: tuple[ImportStep, ...] = ()
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
        """The file to hand in."""
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
        return dataclasses.replace(
            self,
            runs=self.runs_folder.with_name(f"{self.runs_folder.name}-{predictor}"),
            predict=tuple(
                dataclasses.replace(step, predictor=predictor, options=settings)
                for step in self.predict
            ),
        )


Step = TypeVar("Step")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: The file is not there or not TOML, a key is unknown or missing, a
            value is not legal, or a step names a run that is not made before it.
    """
    content = read_toml(path, RecipeError)
    reader = _Reader(path)
    recipe = Recipe(
        split=user_path(reader.take(content, "split", str)),
        submission=reader.step(
            SubmissionStep, reader.take(content, "submission", dict), "submission"
        ),
        runs=reader.path(content, "runs"),
        meta=reader.path(content, "meta"),
        sample=None
        if (sample := reader.take(content, "sample", dict, required=False)) is None
        else reader.step(SampleStep, sample, "sample"),
        predict=reader.steps(PredictStep, content, "predict"),
        imports=reader.steps(ImportStep, content, "import"),
        ensemble=reader.ensembles(content),
    )
    if content:
        reader.fail(
            f"unknown key {min(content)!r}; expected split, runs, meta, sample, "
            "predict, import, ensemble or submission"
        )
    reader.check(recipe)
    return recipe


class _Reader:
    """Turns tables into steps, with errors that say where."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fail(self, message: str) -> NoReturn:
        raise RecipeError(f"{self._path}: {message}")

    def take(
        self, table: dict[str, Any], key: str, kind: type, *, required: bool = True
    ) -> Any:
        """Take a value out of a table."""
        if key not in table:
            if required:
                self.fail(f"expected the key {key!r}")
            return None
        value = table.pop(key)
        if not isinstance(value, kind):
            self.fail(f"{key}: expected {_WORDS[kind]}, found {value!r}")
        return value

    def path(self, table: dict[str, Any], key: str) -> Path | None:
        """Take a path out of a table, if it is there."""
        value = self.take(table, key, str, required=False)
        return None if value is None else user_path(value)

    def steps(
        self, kind: type[Step], content: dict[str, Any], key: str
    ) -> tuple[Step, ...]:
        """Read an array of tables, `[[key]]`."""
        tables = self.take(content, key, list, required=False) or []
        return tuple(
            self.step(kind, table, f"{key} {index}")
            for index, table in enumerate(tables, start=1)
        )

    def step(self, kind: type[Step], table: Any, where: str) -> Step:
        """Read one table."""
        if not isinstance(table, dict):
            self.fail(f"{where}: expected a table, found {table!r}")
        fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        if unknown := sorted(table.keys() - fields.keys()):
            self.fail(
                f"{where}: unknown key {unknown[0]!r}; it may have {', '.join(fields)}"
            )
        for name, one in fields.items():
            wanted = (
                one.default is dataclasses.MISSING
                and one.default_factory is dataclasses.MISSING
            )
            if wanted and name not in table:
                self.fail(f"{where}: expected the key {name!r}")
        return kind(
            **{
                name: self._value(value, str(fields[name].type), f"{where}: {name}")
                for name, value in table.items()
            }
        )

    def ensembles(self, content: dict[str, Any]) -> tuple[EnsembleStep, ...]:
        """Read `[[ensemble]]`: our own keys, and those of the settings."""
        tables = self.take(content, "ensemble", list, required=False) or []
        steps = []
        for index, given in enumerate(tables, start=1):
            where = f"ensemble {index}"
            if not isinstance(given, dict):
                self.fail(f"{where}: expected a table, found {given!r}")
            table = dict(given)
            try:
                name = self.take(table, "name", str)
                missing = self.take(table, "missing", str, required=False) or "fail"
                file = self.take(table, "settings", str, required=False)
                if file is not None:
                    table = {**read_ensemble_table(user_path(file)), **table}
                settings = MergeSettings.from_table(table, where=f"ensemble {name}")
            except SettingsError as error:
                self.fail(str(error))
            steps.append(EnsembleStep(name, settings, missing))
        return tuple(steps)

    def _value(self, value: Any, annotation: str, where: str) -> Any:
        """Check a value against a field's annotation, and convert lists and paths."""
        kind = _KINDS[annotation.removesuffix(" | None")]
        if not kind.fits(value):
            self.fail(f"{where}: expected {kind.words}, found {value!r}")
        return kind.convert(value)

    def check(self, recipe: Recipe) -> None:
        """Find what would make a step fail, perhaps after a night of the others."""
        for predict in recipe.predict:
            self._check_variants(predict)
        for ensemble in recipe.ensemble:
            self._check_ensemble(ensemble)
        self._check_names(recipe)

    def _check_variants(self, step: PredictStep) -> None:
        for text in (*step.tta, *([] if step.variant is None else [step.variant])):
            try:
                parse_variant(text)
            except OptionError as error:
                self.fail(f"predict {step.name}: {error}")

    def _check_ensemble(self, step: EnsembleStep) -> None:
        """There is something to merge."""
        if not step.members:
            self.fail(f"ensemble {step.name}: expected at least one member")
        if step.missing not in ("fail", "reweight"):
            self.fail(
                f"ensemble {step.name}: missing: expected 'fail' or 'reweight', found "
                f"{step.missing!r}"
            )

    def _check_names(self, recipe: Recipe) -> None:
        """Names are unique, and members are made before they are merged."""
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
                            f"ensemble {step.name}: member {member!r} is not made "
                            f"before it; there are {', '.join(sorted(made)) or 'none'}"
                        )
            if step.name in made:
                self.fail(f"two steps make a run called {step.name!r}")
            made.add(step.name)
        if recipe.submission.run not in made:
            self.fail(
                f"submission: no step makes the run {recipe.submission.run!r}; there "
                f"are {', '.join(sorted(made)) or 'none'}"
            )


class _Kind(NamedTuple):
    """What a key may hold: in words, as a test, and what becomes of it."""

    words: str
    fits: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _path(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


def _size(value: Any) -> bool:
    return _numbers(value) and [type(item) for item in value] == [int, int]


def _options(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(item, str) or _number(item) or isinstance(item, bool)
        for item in value.values()
    )


#: By the annotation of a step's field.
_KINDS = {
    "str": _Kind("a text", lambda value: isinstance(value, str)),
    "int": _Kind("a whole number", lambda value: type(value) is int),
    "bool": _Kind("true or false", lambda value: isinstance(value, bool)),
    "Path": _Kind("a path", _path, user_path),
    "tuple[str, ...]": _Kind("a list of texts", _texts, tuple),
    "tuple[int, int]": _Kind("[width, height]", _size, tuple),
    "Mapping[str, Any]": _Kind("a table of texts, numbers and booleans", _options),
}
#: By the type that a key outside of the steps has.
_WORDS: dict[type, str] = {str: "a text", dict: "a table", list: "an array of tables"}
