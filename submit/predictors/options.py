"""A model's options: declared as a dataclass, read from `key=value`."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OptionError
from ..system.files import digest

__all__ = ["OptionInfo", "file_digest", "option", "option_infos", "parse_options"]

T = TypeVar("T")


def option(
    default: T,
    help: str,
    *,
    choices: Iterable[str] = (),
    metavar: str = "",
    decides: bool = True,
    file: bool = False,
) -> T:
    """Declare one option of a model: a dataclass field with its help.

    A run is continued with the same values of all options that decide its masks; the
    others, such as the size of a batch, may change from one command to the next.

    Args:
        default: Value when the user says nothing. Its annotation gives the type, one
            of int, float, bool, str and `… | None`.
        help: One sentence for `submit predictors NAME`.
        choices: Legal values of a str option; empty allows any.
        metavar: Shown instead of the type's name.
        decides: Whether it decides the masks. False also for what only fills in other
            options, and for what the model's `Description.details` report in full.
        file: Whether it names a file or a folder, which counts by its content then,
            wherever it lies.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "metavar": metavar,
        "decides": decides,
        "file": file,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OptionInfo:
    """One option of a model, as shown to the user.

    Attributes:
        name: What stands before the `=`.
        type: int, float, bool or str.
        optional: Whether the word `none` is legal.
        default: Value when the user says nothing.
        help: One sentence.
        choices: Legal values; empty where any is legal.
        metavar: Placeholder for the value in help.
        decides: Whether it decides the masks.
        file: Whether it names a file or a folder.
    """

    name: str
    type: type[Any]
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    metavar: str
    decides: bool = True
    file: bool = False

    def parse(self, text: str) -> Any:
        """Turn the text after `=` into a value.

        Raises:
            OptionError: The text is not a legal value.
        """
        if self.optional and text.lower() in ("none", ""):
            return None
        expected = self.type.__name__
        try:
            if self.type is bool:
                value: Any = _BOOLEANS[text.lower()]
            else:
                value = self.type(os.path.expanduser(text) if self.file else text)
        except (ValueError, KeyError):
            raise OptionError(
                f"option {self.name}={text}: expected {expected}, found {text!r}"
            ) from None
        if self.choices and value not in self.choices:
            raise OptionError(
                f"option {self.name}={text}: expected one of "
                f"{', '.join(self.choices)}, found {text!r}"
            )
        return value


_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def option_infos(options: type[Any]) -> tuple[OptionInfo, ...]:
    """List the options that a model's `Options` dataclass declares."""
    hints = typing.get_type_hints(options)
    infos = []
    for field in dataclasses.fields(options):
        types = [
            t for t in typing.get_args(hints[field.name]) if t is not type(None)
        ] or [hints[field.name]]
        infos.append(
            OptionInfo(
                name=field.name,
                type=types[0],
                optional=type(None) in typing.get_args(hints[field.name]),
                default=field.default,
                help=field.metadata.get("help", ""),
                choices=field.metadata.get("choices", ()),
                metavar=field.metadata.get("metavar") or types[0].__name__,
                decides=field.metadata.get("decides", True),
                file=field.metadata.get("file", False),
            )
        )
    return tuple(infos)


def parse_options(name: str, options: type[T], settings: Iterable[str]) -> T:
    """Build a model's options from `key=value` texts.

    Args:
        name: The model's name, for messages.
        options: The model's `Options` dataclass.
        settings: Texts such as `image_size=512`; the last one wins.

    Raises:
        OptionError: A key is unknown or a value not legal.
    """
    known = {info.name: info for info in option_infos(options)}
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise OptionError(
                f"option {setting!r} of predictor {name}: expected key=value"
            )
        if key not in known:
            raise OptionError(
                f"predictor {name} has no option {key!r}; it has "
                f"{', '.join(sorted(known)) or 'none'} (see: submit predictors {name})"
            )
        values[key] = known[key].parse(text.strip())
    try:
        return options(**values)
    except ValueError as error:
        raise OptionError(f"predictor {name}: {error}") from error


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
    """Digest a file; whatever changes with it tells an answer from a stale one."""
    del changes
    return digest(Path(path))
