"""`submit trainers`: what can be trained, and the keys of a recipe."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from ..errors import TrainingError
from ..system.schema import Setting, settings_of
from ..training import Trainer, installed, load
from ._completion import complete_trainers
from ._options import json_option
from ._output import emit, facts, number, stack, table


@click.command()
@click.argument("name", required=False, shell_complete=complete_trainers)
@json_option
def trainers(name: str | None, as_json: bool) -> None:
    """List what can be trained, or explain the keys of a recipe.

    NAME is a trainer: all keys that its recipes may have are listed by their tables,
    with what is legal and the default.

    \b
    Example:
      submit trainers sam2
    """
    if name is None:
        found = [_list(point) for point in installed().values()]
        emit(_list_view(found), found, as_json=as_json)
        return
    from ..training.recipe import TrainingRecipe

    kind = load(name)
    tables = {**_tables(TrainingRecipe), **_tables(kind.Options)}
    described = {"name": name, "about": _about(kind)}
    emit(
        _view(described, tables),
        {
            **described,
            "tables": {
                title: [_data(one) for one in keys] for title, keys in tables.items()
            },
        },
        as_json=as_json,
    )


def _list(point: EntryPoint) -> dict[str, str | None]:
    try:
        about = _about(load(point.name))
    except TrainingError as error:
        # A broken plugin does not hide the others.
        about = str(error).partition("\n")[0]
    package = None if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return {"name": point.name, "package": package, "about": about}


def _about(kind: type[Trainer]) -> str:
    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")


def _list_view(found: list[dict[str, str | None]]) -> RenderableType:
    return table(
        ["trainer", "package", "about"],
        [[one["name"], one["package"], one["about"]] for one in found],
    )


def _tables(options: type[Any]) -> dict[str, list[Setting]]:
    """All settings by the header of their table; top-level keys under an empty one."""
    found: dict[str, list[Setting]] = {"": []}
    for one in settings_of(options):
        inner = one.type
        if typing.get_origin(inner) is tuple and dataclasses.is_dataclass(
            typing.get_args(inner)[0]
        ):
            found[f"[[{one.key}]]"] = list(settings_of(typing.get_args(inner)[0]))
        elif dataclasses.is_dataclass(inner):
            found[f"[{one.key}]"] = list(settings_of(inner))
        elif one.key:
            found[""].append(one)
    return {title: keys for title, keys in found.items() if keys}


def _view(
    described: dict[str, str], tables: dict[str, list[Setting]]
) -> RenderableType:
    return stack(
        facts({"trainer": described["name"], "about": described["about"]}),
        *(
            table(
                [title or "key", "value", number("default"), "help"],
                [[one.key, one.expected, _default(one), one.help] for one in keys],
            )
            for title, keys in tables.items()
        ),
    )


def _default(one: Setting) -> str:
    value = one.default
    if value is dataclasses.MISSING:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]"
    return "{}" if value == {} else str(value)


def _data(one: Setting) -> dict[str, Any]:
    required = one.default is dataclasses.MISSING
    return {
        "key": one.key,
        "expected": one.expected,
        "required": required,
        "default": None
        if required
        else str(one.default)
        if isinstance(one.default, Path)
        else one.default,
        "help": one.help,
    }
