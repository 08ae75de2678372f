"""Recipes of trainings: one TOML file.

    trainer = "sam2"

    [model]
    checkpoint = "sam2.1_hiera_base_plus.pt"

    [[data]]
    path = "MOSEv2/train"

    [validation]
    split = "holdout"

Some keys and tables belong to the toolkit, the others to the trainer. Paths are
relative to the current folder, and may begin with `~`, the home folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..system.schema import check, read, setting, settings_of, unknown_key
from ..system.tables import read_toml
from .protocol import Trainer
from .registry import load
from .tables import AugmentTable, ClipTable, DataTable

__all__ = [
    "AverageTable",
    "OptimiserTable",
    "RunTable",
    "ScheduleTable",
    "TrainingRecipe",
    "ValidationTable",
    "plain",
    "read_recipe",
]


@dataclass(frozen=True)
class ScheduleTable:
    """How long training takes, `[schedule]`."""

    steps: int = setting(12_480, "Number of steps of the optimiser.", low=1)
    clips: int = setting(
        8, "Clips of a step, over all GPUs and all batches of one GPU.", low=1
    )
    batch: int = setting(
        1,
        "Clips that go through the network at once; the others of a step follow, and "
        "gradients are added up.",
        low=1,
    )
    warmup: int = setting(0, "Steps in which the learning rate rises from 0.", low=0)
    final: float = setting(
        0.1,
        "Learning rate at the end, relative to the start; it falls as a cosine.",
        low=0,
        high=1,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class OptimiserTable:
    """AdamW, `[optimiser]`."""

    rate: float = setting(5e-6, "Learning rate at the start.", low=0)
    decay: float = setting(0.1, "Weight decay.", low=0)
    betas: tuple[float, float] = setting(
        (0.9, 0.999), "Decay of the two running means.", low=0, high=1
    )
    clip: float | None = setting(
        0.1, "Largest norm of the gradient; larger ones are scaled down.", low=0
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class AverageTable:
    """Averages of weights, `[average]`."""

    decay: float = setting(
        0.0,
        "Decay of the moving average (EMA) of the weights, such as 0.999; 0 for none.",
        low=0,
        high=1,
    )
    method: str = setting(
        "none",
        "What is made of the validated checkpoints at the end: uniform is the mean of "
        "the best ones, greedy adds one after the other while the score rises.",
        choices=("none", "uniform", "greedy"),
    )
    keep: int = setting(5, "How many checkpoints are kept for it.", low=2)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ValidationTable:
    """Scores on a hold-out during training, `[validation]`."""

    split: Path | None = setting(
        None,
        "A split with ground truth: submit holdout makes one of the train set.",
        file=True,
    )
    every: int = setting(500, "Steps from one validation to the next.", low=1)
    videos: tuple[str, ...] = setting(
        (), "Shell patterns of the videos to score. Default: all."
    )
    held_out: bool = setting(
        True, "Whether videos of these names are left out of the data."
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RunTable:
    """How the machine is used, `[run]`."""

    dtype: str = setting(
        "auto",
        "Precision of products; auto takes bfloat16 on GPUs that multiply it fast.",
        choices=("auto", "float32", "bfloat16"),
    )
    save: int = setting(
        200,
        "Steps after which last.pt is written, to continue from.",
        low=1,
        decides=False,
    )
    bad_steps: int = setting(
        0,
        "How many steps whose loss is not finite are left out; then training stops.",
        low=0,
        decides=False,
    )
    tensorboard: bool = setting(
        False,
        "Whether the log is written for TensorBoard too, below the training's folder. "
        "Needs the extra [tensorboard]",
        decides=False,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TrainingRecipe:
    """A training.

    Attributes:
        trainer: Name of the trainer.
        data: The sources.
        seed: Seed of everything random.
        clips: How clips are cut out.
        augment: How they are changed.
        schedule: How long it takes.
        optimiser: AdamW.
        average: Averages of weights.
        validation: Scores during training.
        run: How the machine is used.
        options: The trainer's own options.
    """

    trainer: str = setting(help="Name of the trainer (see: submit trainers).")
    data: tuple[DataTable, ...] = setting(help="Sources of videos.")
    seed: int = setting(0, "Seed of everything random.", low=0)
    clips: ClipTable = setting(factory=ClipTable)
    augment: AugmentTable = setting(factory=AugmentTable)
    schedule: ScheduleTable = setting(factory=ScheduleTable)
    optimiser: OptimiserTable = setting(factory=OptimiserTable)
    average: AverageTable = setting(factory=AverageTable)
    validation: ValidationTable = setting(factory=ValidationTable)
    run: RunTable = setting(factory=RunTable)
    options: Any = setting(None, key="")

    def __post_init__(self) -> None:
        check(self)

    def deciding(self) -> dict[str, Any]:
        """All values that decide the weights, as plain data."""
        table = plain(self, deciding=True)
        assert isinstance(table, dict)
        return table


def plain(value: Any, *, deciding: bool = False) -> Any:
    """Settings as plain data: tables, lists, texts and numbers.

    Args:
        value: A dataclass of settings, or one value.
        deciding: Leave out settings that were declared with `decides=False`, and files,
            which count by their content.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name), deciding=deciding)
            for field in dataclasses.fields(value)
            if not deciding
            or (field.metadata.get("decides", True) and not field.metadata.get("file"))
        }
    if isinstance(value, Mapping):
        return {key: plain(each, deciding=deciding) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, deciding=deciding) for each in value]
    return str(value) if isinstance(value, Path) else value


def read_recipe(
    path: Path, changes: Sequence[str] = ()
) -> tuple[TrainingRecipe, type[Trainer]]:
    """Read and check a recipe.

    Args:
        path: The file.
        changes: Values in place of the file's, as `table.key=value`; the value is
            written as in TOML, and may be a text without quotes. Keys of `data` count
            for all sources.

    Returns:
        The recipe, and the trainer that it names.

    Raises:
        RecipeError: The file is missing or not TOML, a key is unknown or missing, or a
            value is not legal.
        TrainingError: There is no such trainer.
    """
    content = read_toml(path, RecipeError)
    for text in changes:
        _change(content, text)
    name = content.get("trainer")
    if not isinstance(name, str):
        raise RecipeError(
            f'{path}: expected a key trainer, such as trainer = "sam2", found '
            f"{'none' if name is None else repr(name)}"
        )
    kind = load(name)
    own = {one.key for one in settings_of(TrainingRecipe) if one.key}
    theirs = {one.key for one in settings_of(kind.Options) if one.key}
    if unknown := sorted(content.keys() - own - theirs):
        error = unknown_key(unknown[0], sorted(own | theirs))
        raise RecipeError(f"{path}: {error}")
    options = {key: content.pop(key) for key in theirs & content.keys()}
    recipe = read(TrainingRecipe, content, str(path), error=RecipeError)
    if recipe.average.method != "none" and recipe.validation.split is None:
        raise RecipeError(
            f'{path}: [average] method = "{recipe.average.method}" needs scores: name '
            "a hold-out in [validation] split"
        )
    if recipe.schedule.clips % recipe.schedule.batch:
        raise RecipeError(
            f"{path}: [schedule] batch = {recipe.schedule.batch}: expected a divisor "
            f"of clips = {recipe.schedule.clips}"
        )
    found = read(kind.Options, options, str(path), error=RecipeError)
    return dataclasses.replace(recipe, options=found), kind


def _change(content: dict[str, Any], text: str) -> None:
    """Put a value of the command line into the content of a file.

    Raises:
        RecipeError: It is not `key=value`.
    """
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    key, equals, value = text.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(
            f"option {text!r}: expected table.key=value, such as schedule.steps=1000"
        )
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        found = value.strip()
    places: list[Any] = [content]
    for each in keys[:-1]:
        inner: list[Any] = []
        for place in places:
            below = place.setdefault(each, {}) if isinstance(place, dict) else {}
            inner += below if isinstance(below, list) else [below]
        places = inner
    for place in places:
        if not isinstance(place, dict):
            raise RecipeError(f"option {text!r}: {'.'.join(keys[:-1])} is no table")
        place[keys[-1]] = found
