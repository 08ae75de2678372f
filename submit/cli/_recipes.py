"""What commands that take a recipe share: its arguments, and reading it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import OptionError
from ._completion import complete_predictors
from ._options import PATH, optional_split, settings_option
from ._splits import meta_file

if TYPE_CHECKING:
    from ..pipeline.recipe import Recipe
    from ..system.urls import Place

__all__ = ["chosen_recipe", "recipe_arguments"]

Command = TypeVar("Command", bound=Callable[..., Any])


def recipe_arguments(command: Command) -> Command:
    """Add RECIPE, --split, --meta, --predictor and -o; see `chosen_recipe`."""
    predictor = click.option(
        "--predictor",
        metavar="NAME",
        shell_complete=complete_predictors,
        help="Run this model in every predict step and route, with the -o given here. "
        "The runs then go to a folder of their own: the recipe's, with -NAME at its "
        "end.",
    )
    split = optional_split("Use this split instead of the recipe's.", meta=True)
    options = split(predictor(settings_option(command)))
    return click.argument("recipe", type=PATH)(options)


def chosen_recipe(
    path: Path,
    split: Place | None,
    predictor: str | None,
    settings: tuple[str, ...],
) -> Recipe:
    """Read a recipe, with the changes of the command line.

    Raises:
        RecipeError: See `read_recipe`.
        UsageError: There are options for a predictor, and it is not named.
    """
    from ..pipeline.recipe import read_recipe

    chain = read_recipe(path)
    if split is not None:
        chain = dataclasses.replace(chain, split=split, meta=None, sample=None)
    if (meta := meta_file()) is not None:
        chain = dataclasses.replace(chain, meta=meta)
    if predictor is not None:
        return chain.with_predictor(predictor, _pairs(settings))
    if settings:
        raise click.UsageError("-o needs --predictor")
    return chain


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise OptionError(f"option {setting!r}: expected key=value")
        pairs[key] = value
    return pairs
