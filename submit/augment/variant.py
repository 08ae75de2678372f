"""Variants: ways to look at a video, and how they are written."""

from __future__ import annotations

from ..errors import OptionError
from ..system.schema import settings_of
from .augmentation import AUGMENTATIONS, Augmentation

__all__ = ["Variant", "forms", "parse_variant"]


class Variant:
    """One way to look at a video: augmentations, each with its value.

    >>> str(Variant(hflip=True, scale=0.75))
    'hflip+scale=0.75'

    Args:
        values: The value of each augmentation by its name; True or False for one
            without a value.
    """

    def __init__(self, **values: float) -> None:
        made = []
        for name, kind in AUGMENTATIONS.items():
            if name not in values:
                continue
            takes = settings_of(kind)
            if not takes and values[name]:
                made.append(kind())
            elif takes and values[name] != takes[0].default:
                made.append(kind(values[name]))  # type: ignore[call-arg]
        self.augmentations: tuple[Augmentation, ...] = tuple(made)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variant) and self.augmentations == other.augmentations

    def __hash__(self) -> int:
        return hash(self.augmentations)

    def __str__(self) -> str:
        return "+".join(map(_written, self.augmentations)) or "plain"

    def __repr__(self) -> str:
        return f"Variant({str(self)!r})"

    @property
    def scale(self) -> float:
        """Input resolution of the model as a multiple of its usual one."""
        scale = 1.0
        for one in self.augmentations:
            scale *= one.scale
        return scale


def _written(one: Augmentation) -> str:
    for value in vars(one).values():
        # All digits, since this text identifies a run.
        return f"{one.name}={value!r}".removesuffix(".0")
    return one.name


def forms() -> str:
    """All that may be joined by `+`, for help and messages: `hflip, scale=F, …`."""
    return ", ".join(
        f"{name}={kind.metavar}" if kind.metavar else name
        for name, kind in AUGMENTATIONS.items()
    )


def parse_variant(text: str) -> Variant:
    """Read a variant as it is written on the command line.

    Raises:
        OptionError: A transform is unknown, given twice, or its value not legal.
    """
    values: dict[str, float] = {}
    for part in text.split("+"):
        name, equals, value = part.strip().partition("=")
        if name in values:
            raise OptionError(f"variant {text!r}: {name} is given twice")
        takes = settings_of(AUGMENTATIONS[name]) if name in AUGMENTATIONS else ()
        if takes:
            values[name] = _value(text, name, value)
        elif name in AUGMENTATIONS and not equals:
            values[name] = True
        elif name != "plain" or equals:
            raise OptionError(
                f"variant {text!r}: expected plain, or some of {forms()} joined by +, "
                f"found {part.strip()!r}"
            )
    return Variant(**values)


def _value(text: str, name: str, value: str) -> float:
    (one,) = settings_of(AUGMENTATIONS[name])
    try:
        number: float = one.type(value)
    except ValueError:
        number = float("nan")
    if not one.allows(number):
        raise OptionError(
            f"variant {text!r}: expected {name}=<{one.expected.removeprefix('a ')}>, "
            f"found {value!r}"
        )
    return number
