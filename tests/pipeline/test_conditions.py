from __future__ import annotations

import pytest

from submit.errors import SettingsError
from submit.pipeline.conditions import Condition

SMALL = {"area": 0.001, "length": 400, "disappears": True, "returns": False}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("area < 0.002", True),
        ("area<1e-3", False),
        ("area <= 0.0009", False),
        ("length > 300", True),
        ("length >= 400 and disappears", True),
        ("not disappears", False),
        ("not not disappears", True),
        ("returns or disappears and length > 500", False),
        ("(returns or disappears) and length > 300", True),
        ("not (returns or area > 0.5)", True),
    ],
)
def test_a_condition_compares_numbers_and_flags(text: str, holds: bool) -> None:
    assert Condition.parse(text).holds(SMALL) is holds


def test_it_says_what_it_compares() -> None:
    condition = Condition.parse("area < 0.1 and (returns or not agreement > 0.5)")
    assert condition.names == {"area", "returns", "agreement"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one of area, absent, agreement, "),
        ("size < 3", "found 'size'; a condition is such as 'area < 0.002"),
        ("area", "expected area <, <=, > or >= a number, found the end"),
        ("area == 3", "expected area <, <=, > or >= a number, found '='"),
        ("area <", "expected a number, found the end"),
        ("area < -1", "expected a number, found '-'"),
        ("area < inf", "expected a number such as 0.5, found 'inf'"),
        ("area < 1.2.3", "expected a number, found '1.2.3'"),
        ("area < 1 or", "found the end"),
        ("(returns", "expected a closing bracket, found the end"),
        ("returns returns", "expected and, or, or the end, found 'returns'"),
        ("__import__('os')", "found '__import__'"),
        ("(" * 99 + "returns" + ")" * 99, "expected at most 50 terms inside each"),
        ("not " * 9999 + "returns", "expected at most 50 terms inside each"),
    ],
)
def test_what_is_not_a_condition_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Condition.parse(text)
    assert said in str(caught.value)
