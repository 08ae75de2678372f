"""Conditions on objects, as a recipe writes them: `area < 0.002 and not returns`.

    condition   part {"or" part}
    part        term {"and" term}
    term        "not" term | "(" condition ")" | NAME | NAME comparison NUMBER
    comparison  < | <= | > | >=

They are read by the few rules above and not by Python, so that a recipe of a stranger
can do nothing but compare numbers.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from ..errors import SettingsError

__all__ = ["FLAGS", "NUMBERS", "Condition"]

#: What can be compared with a number.
NUMBERS = {
    "area": "mean share of the frame that its mask covers where it has one",
    "absent": "share of the frames in which it has no mask",
    "agreement": "mean IoU between its masks in the runs, from 0 to 1",
    "length": "number of frames of the video",
    "objects": "number of objects of the video",
}
#: What is true or false.
FLAGS = {
    "disappears": "it has no mask in a frame after one with a mask",
    "returns": "it has a mask again after that",
}

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|[0-9.]+(?:[eE][+-]?[0-9]+)?|<=|>=|[<>()]|\S)")
#: More terms inside each other than a recipe has, and than Python can follow.
_DEEPEST = 50

_Test = Callable[[Mapping[str, float]], bool]


@dataclass(frozen=True)
class Condition:
    """A condition.

    Attributes:
        text: As it was written.
        names: The numbers and flags that decide it.
    """

    text: str
    names: frozenset[str]
    _test: _Test

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            SettingsError: It is not one.
        """
        reader = _Reader(text)
        return cls(text, frozenset(reader.names), reader.test)

    def holds(self, traits: Mapping[str, float]) -> bool:
        """Whether an object with these numbers and flags fulfils it."""
        return self._test(traits)


class _Reader:
    """Reads a condition from its text.

    Attributes:
        names: What it compares.
        test: The test of the whole text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._place = 0
        self._depth = 0
        self.names: set[str] = set()
        self.test = self._either()
        if self._next is not None:
            self._fail("and, or, or the end", self._next)

    @property
    def _next(self) -> str | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self, token: str) -> bool:
        """Whether this is the next token, which is then passed."""
        found = self._next == token
        self._place += found
        return found

    def _either(self) -> _Test:
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        return lambda traits: any(test(traits) for test in tests)

    def _all(self) -> _Test:
        tests = [self._term()]
        while self._take("and"):
            tests.append(self._term())
        return lambda traits: all(test(traits) for test in tests)

    def _term(self) -> _Test:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail(f"at most {_DEEPEST} terms inside each other", "more")
        test = self._innermost()
        self._depth -= 1
        return test

    def _innermost(self) -> _Test:
        if self._take("not"):
            test = self._term()
            return lambda traits: not test(traits)
        if self._take("("):
            test = self._either()
            if not self._take(")"):
                self._fail("a closing bracket", self._next)
            return test
        name = self._next
        if name in FLAGS:
            self._place += 1
            self.names.add(name)
            return lambda traits: bool(traits[name])
        if name not in NUMBERS:
            self._fail(f"one of {', '.join([*NUMBERS, *FLAGS])}", name)
        self._place += 1
        self.names.add(name)
        if (sign := self._next) not in _COMPARISONS:
            self._fail(f"{name} <, <=, > or >= a number", sign)
        self._place += 1
        number = self._number()
        compare = _COMPARISONS[sign]
        return lambda traits: compare(traits[name], number)

    def _number(self) -> float:
        token = self._next
        try:
            number = float(token or "")
        except ValueError:
            self._fail("a number", token)
        if token is None or not token[0].isdecimal():
            self._fail("a number such as 0.5", token)
        self._place += 1
        return number

    def _fail(self, expected: str, found: str | None) -> NoReturn:
        shown = "the end" if found is None else repr(found)
        raise SettingsError(
            f"when = {self._text!r}: expected {expected}, found {shown}; a condition "
            "is such as 'area < 0.002 and disappears'"
        )
