"""Settings: frozen dataclasses whose fields declare legal values, read from TOML.

    >>> @dataclass(frozen=True)
    ... class Gate:
    ...     threshold: float = setting(0.5, "Absent below this.", low=0, high=1)
    >>> read(Gate, {"threshold": 2}, "a.toml", at=("gate",))
    Traceback (most recent call last):
    SettingsError: a.toml: [gate] threshold = 2: expected a number from 0 to 1

A field is a bool, int, float, str or `Path`, a tuple or a mapping of them, another such
dataclass or a tuple of those, or one of these or None. If a class has a classmethod
`prepare(table)`, that converts its table first, so that a file may be shorter than the
dataclass.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SettingsError, SubmitError
from .homes import user_path
from .tables import toml_key
from .urls import Place, is_url, place
from .words import did_you_mean

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "Scalar",
    "Setting",
    "WrongSettingError",
    "as_table",
    "check",
    "part",
    "read",
    "setting",
    "settings_of",
    "unknown_key",
]

Config = TypeVar("Config")
#: A simple value.
Scalar = str | int | float | bool
#: The place of a value: keys of tables and, in an array of tables, indices from 0.
Keys = tuple[str | int, ...]

_NOTHING: Any = object()
#: Longest value in a message, in characters.
_LONGEST_VALUE = 60

_WORDS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "truth values"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
    Place: ("a path or a URL", "paths and URLs"),
    Scalar: ("a text, a number, true or false", "texts, numbers and booleans"),
}


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Collection[str] = (),
    key: str | None = None,
    shown: str | None = None,
    words: str = "",
    factory: Any = dataclasses.MISSING,
    **more: Any,
) -> Any:
    """Declare one setting: a dataclass field with its legal values and its help.

    Args:
        default: The default value; without one, the setting is required.
        help: One sentence for people.
        low: Lowest legal value, or lowest one in a tuple or mapping.
        high: Highest legal value.
        choices: Legal texts, read at the first use; empty allows any.
        key: Its key in a file, if that is not the name of the field. Empty if `prepare`
            fills it from other keys.
        shown: Its name in messages. Default: `key`.
        words: The legal values in words, if the other arguments do not tell them.
        factory: Makes the default.
        more: Further metadata of the field.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "choices": choices,
        "key": key,
        "shown": shown,
        "words": words,
        **more,
    }
    return dataclasses.field(
        default=default, default_factory=factory, metadata=metadata
    )


@dataclass(frozen=True)
class Setting:
    """One setting, for messages, help and docs.

    Attributes:
        name: The field's.
        type: Its type without None; tuples and mappings with their element types.
        optional: Whether None is legal.
        default: The default value; `dataclasses.MISSING` if it is required.
        help: One sentence.
        low: Lowest legal value; None without a limit.
        high: Highest legal value; None without a limit.
        choices: Legal texts; empty where any is legal.
        key: Its key in a file; empty if it is filled from other keys.
        shown: Its name in messages; empty if they do not name it.
        words: The legal values in words, if the rest does not tell them.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    key: str = ""
    shown: str = ""
    words: str = ""

    @property
    def expected(self) -> str:
        """The legal values, in words.

        >>> Setting("size", int, False, 2, low=1, high=8).expected
        'a whole number from 1 to 8'
        """
        if self.words:
            return self.words
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"{_words(self.type)}{self.range}"

    @property
    def range(self) -> str:
        """The range in words, to follow a noun; empty without one."""
        if self.low is None:
            return "" if self.high is None else f" of at most {self.high:g}"
        if self.high is None:
            return f" of at least {self.low:g}"
        return f" from {self.low:g} to {self.high:g}"

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is legal."""
        if value is None:
            return self.optional
        if isinstance(value, tuple):
            return all(map(self.allows, value))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return (
                math.isfinite(value)
                and (self.low is None or value >= self.low)
                and (self.high is None or value <= self.high)
            )
        return not self.choices or value in self.choices


class WrongSettingError(SettingsError):
    """A setting has no legal value; the message begins with its name.

    Attributes:
        keys: Its place below the table that was read.
        value: The value that was found, if it is known.
        problem: The problem in words.
    """

    def __init__(self, keys: Keys, problem: str, value: Any = _NOTHING) -> None:
        super().__init__(_message(keys, problem, value))
        self.keys, self.problem, self.value = keys, problem, value


def settings_of(config: Any) -> tuple[Setting, ...]:
    """List the settings that a dataclass declares."""
    return _settings_of(config)


@functools.cache
def _settings_of(config: Any) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(config)
    found = []
    for field in dataclasses.fields(config):
        parts = typing.get_args(hints[field.name])
        optional = type(None) in parts
        kind = hints[field.name]
        if optional:
            kind = typing.Union[tuple(part for part in parts if part is not type(None))]  # noqa: UP007
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        known = {one.name for one in dataclasses.fields(Setting)}
        given = {k: v for k, v in field.metadata.items() if k in known}
        given["choices"] = tuple(field.metadata.get("choices", ()))
        key = field.metadata.get("key")
        given["key"] = field.name if key is None else key
        shown = field.metadata.get("shown")
        given["shown"] = given["key"] if shown is None else shown
        found.append(Setting(field.name, kind, optional, default, **given))
    return tuple(found)


def check(config: Any) -> None:
    """Check the ranges and choices of a dataclass's fields; for `__post_init__`.

    Raises:
        WrongSettingError: A value is out of its range or none of the choices.
    """
    for one in settings_of(type(config)):
        _check(one, (one.shown or one.name,), getattr(config, one.name))


def _check(one: Setting, keys: Keys, value: Any) -> None:
    if one.type is Any:
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check(one, (*keys, key), each)
    elif not dataclasses.is_dataclass(value) and not one.allows(value):
        words = f"{_WORDS[float][0]}{one.range}" if len(keys) > 1 else one.expected
        raise WrongSettingError(keys, f"expected {words}", value)


def read(
    config: type[Config],
    table: Any,
    where: str,
    *,
    at: tuple[str, ...] = (),
    error: type[SubmitError] = SettingsError,
) -> Config:
    """Read a dataclass from a table.

    Args:
        config: The dataclass.
        table: The table, as `read_toml` gives it.
        where: The file, or another source of the table, for messages.
        at: Keys of the tables around it in the file.
        error: The class of the error to raise.

    Raises:
        SubmitError: A key is unknown or missing, or a value is not legal; the message
            names `where`, the key, the value and what is legal.
    """
    from cattrs.errors import BaseValidationError

    try:
        return _converter().structure(table, config)
    except (BaseValidationError, SettingsError) as caught:
        keys, wrong = _located(caught, config)
        if isinstance(wrong, WrongSettingError):
            keys, problem, value = (*keys, *wrong.keys), wrong.problem, wrong.value
        else:
            problem, value = str(wrong), _NOTHING
        said = _message((*at, *_named(keys, table)), problem, value)
        raise error(f"{where}: {said}") from caught


def part(config: type[Config], table: Any, key: str) -> Config:
    """Read a table within the one that a `prepare` got.

    Raises:
        WrongSettingError: A key is unknown or a value not legal.
    """
    from cattrs.errors import BaseValidationError

    try:
        return _converter().structure(table, config)
    except (BaseValidationError, SettingsError) as caught:
        keys, wrong = _located(caught, config)
        if isinstance(wrong, WrongSettingError):
            found = (key, *keys, *wrong.keys)
            raise WrongSettingError(found, wrong.problem, wrong.value) from caught
        raise WrongSettingError((key, *keys), str(wrong)) from caught


def as_table(config: Any) -> dict[str, Any]:
    """A dataclass as a TOML table: no nulls, no empty tables."""
    values = dataclasses.asdict(config)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None and value != {}
    }


@functools.cache
def _converter() -> Converter:
    """The converter: cattrs, with our types only and without implicit conversions."""
    from cattrs import Converter
    from cattrs.cols import is_mapping, mapping_structure_factory
    from cattrs.gen import make_dict_structure_fn, override

    converter = Converter(forbid_extra_keys=True, detailed_validation=True)

    def simple(kind: Any, make: Any) -> None:
        words = _words(kind)

        def structure(value: Any, _: Any) -> Any:
            if _is(kind, value):
                return make(value)
            raise WrongSettingError((), f"expected {words}", value)

        converter.register_structure_hook(kind, structure)

    for kind in (bool, int, float, str):
        simple(kind, kind)
    simple(Path, user_path)
    simple(Place, place)
    simple(Scalar, lambda value: value)

    @converter.register_structure_hook_factory(dataclasses.is_dataclass)
    def dataclass_factory(config: Any) -> Any:
        overrides = {
            one.name: override(rename=one.key)
            for one in settings_of(config)
            if one.key not in ("", one.name)
        }
        structure = make_dict_structure_fn(config, converter, **overrides)  # type: ignore[arg-type]
        prepare = getattr(config, "prepare", dict)

        def read_table(table: Any, kind: Any) -> Any:
            if not isinstance(table, Mapping):
                raise WrongSettingError((), "expected a table", table)
            return structure(prepare(table), kind)

        return read_table

    def is_tuple(kind: Any) -> bool:
        return typing.get_origin(kind) is tuple

    @converter.register_structure_hook_factory(is_tuple)
    def tuple_factory(kind: Any) -> Any:
        inner, *rest = typing.get_args(kind)
        if dataclasses.is_dataclass(inner):

            def read_tables(value: Any, kind: Any) -> Any:
                if not isinstance(value, (list, tuple)):
                    raise WrongSettingError((), f"expected {_words(kind)}", value)
                return tuple(converter.structure(value, list[inner]))  # type: ignore[valid-type]

            return read_tables

        def read_values(value: Any, kind: Any) -> Any:
            if (
                not isinstance(value, (list, tuple))
                or not all(_is(inner, item) for item in value)
                or (rest != [...] and len(value) != 1 + len(rest))
            ):
                raise WrongSettingError((), f"expected {_words(kind)}", value)
            return tuple(converter.structure(item, inner) for item in value)

        return read_values

    @converter.register_structure_hook_factory(is_mapping)
    def mapping_factory(kind: Any) -> Any:
        structure = mapping_structure_factory(kind, converter)

        def read_mapping(value: Any, _: Any) -> Any:
            if not isinstance(value, Mapping):
                raise WrongSettingError((), f"expected {_words(kind)}", value)
            return structure(value, kind)

        return read_mapping

    return converter


def _is(kind: Any, value: Any) -> bool:
    """Whether a value of a TOML file is of a type."""
    if kind == Scalar:
        return isinstance(value, (str, int, float))
    if kind in (Path, Place):
        there = isinstance(value, str) and value != "" and "\0" not in value
        return there and (kind is not Path or not is_url(value))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is kind


def _words(kind: Any) -> str:
    """Name a type in words."""
    if kind in _WORDS:
        return _WORDS[kind][0]
    if dataclasses.is_dataclass(kind):
        return "a table"
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is not tuple:
        return f"a table of {_WORDS[inner[1]][1]}"
    if dataclasses.is_dataclass(inner[0]):
        return "an array of tables"
    count = "" if inner[1:] == (...,) else f"{len(inner)} "
    return f"a list of {count}{_WORDS[inner[0]][1]}"


def _located(error: Exception, config: Any) -> tuple[Keys, Exception]:
    """Find the first problem in an exception of cattrs, and its place."""
    from cattrs.errors import (
        BaseValidationError,
        ClassValidationError,
        ForbiddenExtraKeysError,
        IterableValidationError,
    )

    if not isinstance(error, BaseValidationError):
        return (), error
    assert isinstance(error, (ClassValidationError, IterableValidationError))
    noted, others = error.group_exceptions()
    for other in others:
        # A misspelt key is also missing; the error of the unknown key is more useful.
        if isinstance(other, ForbiddenExtraKeysError):
            return (), _unknown(other)
    if not noted:
        return _located(others[0], config)
    inner, note = noted[0]
    if not isinstance(error, ClassValidationError):
        keys, found = _located(inner, config)
        return (getattr(note, "index"), *keys), found  # noqa: B009
    (one,) = (one for one in settings_of(error.cl) if one.name == getattr(note, "name"))  # noqa: B009
    if isinstance(inner, KeyError):
        return (), SettingsError(f"expected the key {one.key!r}")
    keys, found = _located(inner, config)
    if isinstance(found, WrongSettingError) and not keys and not found.keys:
        found = WrongSettingError((), f"expected {one.expected}", found.value)
    return ((one.shown, *keys) if one.shown else keys), found


def _unknown(error: Any) -> SettingsError:
    """Name an unknown key of a table, and the nearest legal one."""
    keys = [one.key for one in settings_of(error.cl) if one.key]
    name = min(error.extra_fields)
    return unknown_key(name, keys)


def unknown_key(name: str, legal: Iterable[str]) -> SettingsError:
    """The error for an unknown key."""
    legal = list(legal)
    rest = f"legal keys are {', '.join(legal)}"
    return SettingsError(f"unknown key {name!r}{did_you_mean(name, legal, rest)}")


def _named(keys: Keys, table: Any) -> Keys:
    """Put a table's `name` in place of its number in an array of tables."""
    named: list[str | int] = []
    for key in keys:
        try:
            table = table[key]
        except (KeyError, IndexError, TypeError):
            table = None
        name = table.get("name") if isinstance(table, Mapping) else None
        known = isinstance(key, int) and isinstance(name, str)
        named.append(_Label(name) if known else key)
    return tuple(named)


class _Label(str):
    """The name of a table in an array of tables."""


def _message(keys: Keys, problem: str, value: Any = _NOTHING) -> str:
    """Make a message of a place, the value there, and its problem.

    >>> _message(("predict", 0, "tta"), "expected a list of texts", 3)
    '[[predict]] 1: tta = 3: expected a list of texts'
    """
    array = ""
    path: list[str] = []
    for key in keys:
        if isinstance(key, (int, _Label)):
            label = key + 1 if isinstance(key, int) else key
            array, path = f"[[{'.'.join(path)}]] {label}", []
        else:
            path.append(toml_key(key))
    if value is _NOTHING:
        place = ".".join(path) if array or not path else f"[{'.'.join(path)}]"
        return ": ".join(part for part in (array, place, problem) if part)
    shown = f" = {_shown(value)}: {problem}"
    if not path:
        return array + shown
    if array or len(path) == 1:
        return f"{array}{': ' if array else ''}{'.'.join(path)}{shown}"
    return f"[{'.'.join(path[:-1])}] {path[-1]}{shown}"


def _shown(value: Any) -> str:
    """Write a value as in a TOML file, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    if len(text) > _LONGEST_VALUE:
        return f"{text[:_LONGEST_VALUE]}…"
    return text
