from __future__ import annotations

import random

import pytest

from submit.system.names import frame_number, in_natural_order, natural_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["f1", "f2", "f9", "f10", "f11", "f100"],
        ["8", "09", "10", "0099", "100"],
        ["00000", "00005", "00010"],
        ["-12", "-2", "-1", "0", "1", "10"],
        ["v1_f2", "v1_f10", "v2_f1", "v10_f1"],
        ["0.5", "0.25", "1.5"],
        ["a", "B", "c"],
        ["IMG_1", "img_2", "IMG_10"],
        ["1b", "-1b", "-2b"],
        ["x", "x1", "xa"],
        ["9" * 5000, "1" + "0" * 5000],
        ["-1" + "0" * 5000, "-" + "9" * 5000],
        ["é1", "é2", "é10"],
    ],
    ids=lambda names: names[0][:8],
)
def test_names_sort_as_people_number_them(ordered: list[str]) -> None:
    shuffled = random.Random(0).sample(ordered, len(ordered))
    # Numbers after a point are numbers of their own, as in versions.
    wanted = sorted(ordered, key=natural_key)
    assert in_natural_order(shuffled) == wanted
    if ordered[0] != "0.5":
        assert wanted == ordered


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "00001"),
        ("f1", "F01"),
        ("A", "a"),
        ("-0", "0"),
        ("\u00e9t\u00e9", "e\u0301te\u0301"),
        ("strasse1", "straße01"),
    ],
)
def test_names_that_mean_the_same_have_equal_keys(one: str, other: str) -> None:
    assert natural_key(one) == natural_key(other)
    assert in_natural_order([one, other]) == in_natural_order([other, one])


def test_names_that_differ_have_different_keys() -> None:
    names = ["1", "2", "11", "1_1", "1_", "_1", "-1", "a1", "1a", "", "1.1", "٣"]
    assert len({natural_key(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("stem", "number"),
    [
        ("00000", 0),
        ("7", 7),
        ("-3", -3),
        ("0" * 300 + "12", 12),
        ("9" * 20, 10**20 - 1),
    ],
)
def test_numbers_are_read(stem: str, number: int) -> None:
    assert frame_number(stem) == number


@pytest.mark.parametrize(
    "stem", ["", "-", "f1", "1.5", " 1", "+1", "1_0", "٣", "²", "1\n", "1" * 5000]
)
def test_other_names_are_no_numbers(stem: str) -> None:
    assert frame_number(stem) is None
