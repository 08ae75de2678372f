"""Variants: ways to look at a video, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import OptionError

__all__ = ["Variant", "parse_variant"]


@dataclass(frozen=True)
class Variant:
    """One way to look at a video.

    Attributes:
        hflip: Mirrored left to right.
        scale: Input resolution of the model as a multiple of its usual one.
        zoom: Small objects are tracked once more, in a window that follows them.
        gamma: Exponent of the brightness; below 1 is brighter.
        clahe: With equalised local contrast.
    """

    hflip: bool = False
    scale: float = 1.0
    zoom: bool = False
    gamma: float = 1.0
    clahe: bool = False

    def __str__(self) -> str:
        parts = []
        for name in ("hflip", "scale", "zoom", "gamma", "clahe"):
            value = getattr(self, name)
            if value is True:
                parts.append(name)
            elif value is not False and value != 1.0:
                # All digits, since runs are told apart by this text.
                parts.append(f"{name}={value!r}".removesuffix(".0"))
        return "+".join(parts) or "plain"


def parse_variant(text: str) -> Variant:
    """Read a variant as it is written on the command line.

    Raises:
        OptionError: A transform is unknown, given twice, or its value not legal.
    """
    values: dict[str, Any] = {}
    for part in text.split("+"):
        name, equals, value = part.strip().partition("=")
        if name in values:
            raise OptionError(f"variant {text!r}: {name} is given twice")
        if name in ("hflip", "zoom", "clahe") and not equals:
            values[name] = True
        elif name in ("scale", "gamma"):
            values[name] = _positive(text, name, value)
        elif name != "plain" or equals:
            raise OptionError(
                f"variant {text!r}: expected plain, hflip, scale=<factor>, zoom, "
                f"gamma=<exponent> or clahe, joined by +, found {part.strip()!r}"
            )
    return Variant(**values)


def _positive(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise OptionError(
            f"variant {text!r}: expected {name}=<positive number>, found {value!r}"
        )
    return number
