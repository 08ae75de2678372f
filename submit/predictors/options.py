"""A model's options: declared as a dataclass, read from `key=value`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import OptionError

__all__ = ["OptionInfo", "option", "option_infos", "parse_options"]

T = TypeVar("T")


def option(
    default: T, help: str, *, choices: Iterable[str] = (), metavar: str = ""
) -> T:
    """Declare one option of a model: a dataclass field with its help.

    Args:
        default: Value when the user says nothing. Its annotation gives the type, one
            of int, float, bool, str and `… | None`.
        help: One sentence for `submit predictors NAME`.
        choices: Legal values of a str option; empty allows any.
        metavar: Shown instead of the type's name.
    """
    metadata = {"help": help, "choices": tuple(choices), "metavar": metavar}
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
    """

    name: str
    type: type[Any]
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    metavar: str

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
                value = self.type(text)
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
