"""A model's options: declared as a dataclass, read from `key=value`."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OptionError, SettingsError, WeightsError
from ..system.files import digest
from ..system.homes import user_path
from ..system.schema import Setting, check, setting, settings_of
from ..system.tables import read_toml
from ..system.words import did_you_mean
from ..weights import resolve

__all__ = [
    "OptionInfo",
    "check_options",
    "expand_settings",
    "file_digest",
    "option",
    "option_infos",
    "parse_options",
    "sparing_settings",
    "weights_path",
]

T = TypeVar("T")


def option(
    default: T,
    help: str,
    *,
    choices: Collection[str] = (),
    low: float | None = None,
    high: float | None = None,
    metavar: str = "",
    decides: bool = True,
    file: bool = False,
    sparing: T | None = None,
) -> T:
    """Declare one option of a model: a dataclass field with its help.

    A run can only be continued with the same values of all options that decide its
    masks; the others, such as the size of a batch, may change.

    Args:
        default: The default value. Its annotation gives the type, one of int, float,
            bool, str and `… | None`.
        help: One sentence for `submit predictors NAME`.
        choices: Legal values of a str option; empty allows any.
        low: Lowest legal number.
        high: Highest legal number.
        metavar: Shown instead of the type's name.
        decides: Whether it decides the masks. False also for what only fills in other
            options, and for what the model's `Description.details` report in full.
        file: Whether it names a file or a folder, which then counts by its content at
            any path. The names of `submit weights` stand for their files.
        sparing: The value for a video that is tried again after memory ran out, for an
            option that does not decide the masks; None for the same one.
    """
    if sparing is not None and decides:
        raise TypeError("an option with a sparing value must have decides=False")
    value: T = setting(
        default,
        help,
        choices=choices,
        low=low,
        high=high,
        metavar=metavar,
        decides=decides,
        file=file,
        sparing=sparing,
    )
    return value


@dataclass(frozen=True)
class OptionInfo(Setting):
    """One option of a model, as shown to the user.

    Attributes:
        metavar: Placeholder for the value in help.
        decides: Whether it decides the masks.
        file: Whether it names a file or a folder.
        sparing: The value with which the model takes less memory; None for the same.
    """

    metavar: str = ""
    decides: bool = True
    file: bool = False
    sparing: Any = None

    def parse(self, text: str) -> Any:
        """Turn the text after `=` into a value.

        Raises:
            OptionError: The text is not a legal value.
        """
        if self.optional and text.lower() in ("none", ""):
            return None
        try:
            value: Any = (
                _BOOLEANS[text.lower()]
                if self.type is bool
                else self.type(weights_path(text, self.name) if self.file else text)
            )
        except (ValueError, KeyError):
            value = _NO_VALUE
        if value is _NO_VALUE or not self.allows(value):
            raise OptionError(f"option {self.name}={text}: expected {self.expected}")
        return value


def weights_path(text: str, name: str) -> str:
    """The path that a text names, or the file of the known weights of this name.

    Args:
        text: A path, or a name of `submit weights`.
        name: The option's name, for messages.

    Raises:
        OptionError: The weights are not on this machine.
    """
    try:
        return resolve(text)
    except WeightsError as error:
        raise OptionError(f"option {name}={text}: {error}") from error


_NO_VALUE = object()
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def option_infos(options: type[Any]) -> tuple[OptionInfo, ...]:
    """List the options that a model's `Options` dataclass declares."""
    fields = {field.name: field.metadata for field in dataclasses.fields(options)}
    return tuple(
        OptionInfo(
            **vars(one),
            metavar=fields[one.name].get("metavar") or one.type.__name__,
            decides=fields[one.name].get("decides", True),
            file=fields[one.name].get("file", False),
            sparing=fields[one.name].get("sparing"),
        )
        for one in settings_of(options)
    )


def check_options(options: Any) -> None:
    """Check the ranges and choices of a model's options; for `__post_init__`.

    Raises:
        OptionError: A value is out of its range or none of the choices.
    """
    try:
        check(options)
    except SettingsError as error:
        raise OptionError(f"option {error}") from error


def parse_options(name: str, options: type[T], settings: Iterable[str]) -> T:
    """Build a model's options from `key=value` texts.

    Args:
        name: The model's name, for messages.
        options: The model's `Options` dataclass.
        settings: Texts such as `image_size=512`, or `@FILE` for the options in a TOML
            file; the last one wins.

    Raises:
        OptionError: A key is unknown, a value not legal, or a file cannot be read.
    """
    known = {info.name: info for info in option_infos(options)}
    values: dict[str, Any] = {}
    for given in settings:
        inside = expand_settings([given])
        try:
            values.update(_parsed(name, known, text) for text in inside)
        except OptionError as error:
            if not given.startswith("@"):
                raise
            raise OptionError(f"{given[1:]}: {error}") from error
    try:
        return options(**values)
    except ValueError as error:
        raise OptionError(f"predictor {name}: {error}") from error


def sparing_settings(options: Any) -> tuple[str, ...]:
    """The `key=value` texts with which a model takes less memory than with `options`.

    They change no masks; see `option`.
    """
    return tuple(
        f"{info.name}={info.sparing}"
        for info in option_infos(type(options))
        if info.sparing not in (None, getattr(options, info.name))
    )


def expand_settings(settings: Iterable[str]) -> tuple[str, ...]:
    """Replace each `@FILE` by the `key=value` texts of the file.

    Raises:
        OptionError: A file cannot be read, or has other things than options.
    """
    found = []
    for given in settings:
        if not given.startswith("@"):
            found.append(given)
            continue
        path = user_path(given[1:])
        for key, value in read_toml(path, OptionError).items():
            if not isinstance(value, (str, bool, int, float)):
                raise OptionError(
                    f"{path}: {key}: expected a text, a number, true or false, found "
                    f"{'a table' if isinstance(value, dict) else 'another value'}"
                )
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found.append(f"{key}={text}")
    return tuple(found)


def _parsed(name: str, known: Mapping[str, OptionInfo], given: str) -> tuple[str, Any]:
    """The key and the value of a `key=value` text."""
    key, equals, text = given.partition("=")
    key = key.strip().replace("-", "_")
    if not equals:
        raise OptionError(f"option {given!r} of predictor {name}: expected key=value")
    if key not in known:
        rest = f"it has {', '.join(sorted(known)) or 'none'}"
        raise OptionError(
            f"predictor {name} has no option {key!r}{did_you_mean(key, known, rest)} "
            f"(see: submit predictors {name})"
        )
    return key, known[key].parse(text.strip())


def file_digest(path: Path | str) -> str:
    """The SHA-256 of a file in hex, or of a folder with all that is in it.

    It is computed once in a process, as long as the file stays as it is.

    Raises:
        OSError: It cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return digest(path)
    found = path.stat()
    return _file_digest(
        os.path.realpath(path), found.st_ino, found.st_size, found.st_mtime_ns
    )


@functools.lru_cache
def _file_digest(path: str, *changes: int) -> str:
    """Digest a file; the changes are only keys of the cache."""
    del changes
    return digest(Path(path))
