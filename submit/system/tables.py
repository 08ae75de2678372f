"""Tables of TOML files, read with errors that say where, and written."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ..errors import SettingsError, SubmitError
from .files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "as_table",
    "as_toml",
    "fail",
    "read_into",
    "read_toml",
    "require_known",
    "require_one_of",
    "require_share",
    "typed",
]

Config = TypeVar("Config")


def read_toml(path: Path, error: type[SubmitError] = SettingsError) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        error: What is raised when it is not there or not TOML.
    """
    try:
        text = read_text(path)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror})") from reason
    except ValueError as reason:
        raise error(str(reason)) from reason
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        raise error(f"{path}: is not valid TOML: {reason}") from reason
    except RecursionError as reason:
        raise error(f"{path}: is nested too deeply to be read") from reason


def read_into(kind: type[Config], table: Any, where: str) -> Config:
    """Read a table into a dataclass."""
    if not isinstance(table, dict):
        fail(f"{where}: expected a table, found {table!r}")
    fields = {one.name: str(one.type) for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    require_known(table, fields, f"{where}: ")
    return kind(**{k: typed(v, fields[k], f"{where}: {k}") for k, v in table.items()})


def require_known(table: Iterable[str], names: Iterable[str], where: str = "") -> None:
    """Refuse keys that a table may not have."""
    if unknown := sorted(set(table) - set(names)):
        fail(f"{where}unknown key {unknown[0]!r}; it may have {', '.join(names)}")


def typed(value: Any, annotation: str, where: str) -> Any:
    """Check a value against the annotation of a field."""
    annotation = annotation.removesuffix(" | None")
    if annotation == "float" and _is_number(value):
        return float(value)
    if annotation == "int" and _is_number(value) and isinstance(value, int):
        return value
    if annotation == "str" and isinstance(value, str):
        return value
    if annotation == "bool" and isinstance(value, bool):
        return value
    if (
        annotation == "tuple[str, ...]"
        and isinstance(value, (list, tuple))
        and all(isinstance(item, str) for item in value)
    ):
        return tuple(value)
    if (
        annotation == "Mapping[str, float]"
        and isinstance(value, dict)
        and all(map(_is_number, value.values()))
    ):
        return {str(key): float(number) for key, number in value.items()}
    fail(f"{where}: expected {_WORDS[annotation]}, found {value!r}")


_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "tuple[str, ...]": "a list of texts",
    "Mapping[str, float]": "a table of numbers",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def require_one_of(value: str, choices: Iterable[str], where: str) -> None:
    """Refuse a text that is none of the choices."""
    if value not in choices:
        fail(f"{where}: expected one of {', '.join(choices)}, found {value!r}")


def require_share(value: float, where: str) -> None:
    """Refuse a number outside of 0 … 1."""
    if not 0 <= value <= 1:
        fail(f"{where}: expected 0 to 1, found {value}")


def fail(message: str) -> NoReturn:
    """Raise a `SettingsError`."""
    raise SettingsError(message)


def as_table(config: Any) -> dict[str, Any]:
    """A dataclass as a TOML table: no nulls, no empty tables."""
    values = dataclasses.asdict(config)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None and value != {}
    }


def as_toml(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Lines of a table: its values, then the tables in it."""
    heading = ".".join(_key(part) for part in path)
    lines = [f"[{heading}]"]
    # JSON writes texts, numbers, booleans and lists of them as TOML does.
    lines += [
        f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in table.items()
        if not isinstance(value, dict)
    ]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", *as_toml(value, (*path, key))]
    return lines


def _key(text: str) -> str:
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else json.dumps(text, ensure_ascii=False)
