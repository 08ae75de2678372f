from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.errors import RecipeError, SettingsError
from submit.system.schema import (
    Scalar,
    WrongSettingError,
    as_table,
    check,
    read,
    setting,
    settings_of,
)
from submit.system.tables import read_toml, to_toml


@dataclass(frozen=True)
class Inner:
    share: float = setting(0.5, "A share.", low=0, high=1)
    limit: int | None = setting(None, "A count.", low=1)
    word: str = setting("one", "A word.", choices=("one", "two"))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Step:
    name: str
    inner: Inner = setting(factory=Inner)
    values: Mapping[str, float] = setting(factory=dict, low=0)
    free: Mapping[str, Scalar] = setting(factory=dict)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Whole:
    path: Path
    size: tuple[int, int] = setting((2, 3), words="[width, height]")
    names: tuple[str, ...] = ()
    off: bool = False
    inner: Inner | None = None
    steps: tuple[Step, ...] = setting((), key="step")


def test_a_table_is_read_with_its_tables_lists_and_defaults() -> None:
    table = {
        "path": "~/a",
        "size": [4, 5],
        "names": ["x", "y"],
        "inner": {"share": 1},
        "step": [
            {"name": "s", "values": {"a b": 2}, "inner": {"limit": 3}},
            {"name": "t", "free": {"a": 1, "b": "c", "d": 0.5, "e": True}},
        ],
    }
    found = read(Whole, table, "a.toml")
    assert found == Whole(
        Path.home() / "a",
        (4, 5),
        ("x", "y"),
        inner=Inner(share=1.0),
        steps=(
            Step("s", Inner(limit=3), {"a b": 2.0}),
            Step("t", free={"a": 1, "b": "c", "d": 0.5, "e": True}),
        ),
    )
    assert found.inner is not None
    assert type(found.inner.share) is float
    assert table["size"] == [4, 5]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "expected the key 'path'"),
        ({"path": ""}, 'path = "": expected a path'),
        ({"path": "a\0b"}, 'path = "a\\u0000b": expected a path'),
        (
            {"pat": "a"},
            "unknown key 'pat'; did you mean 'path'? Legal keys are path, size, names, "
            "off, inner, step",
        ),
        (
            {"path": "a", "zz": 1, "yy": 2},
            "unknown key 'yy'; legal keys are path, size, names, off, inner, step",
        ),
        ({"path": "a", "off": 1}, "off = 1: expected true or false"),
        ({"path": "a", "size": [1]}, "size = [1]: expected [width, height]"),
        (
            {"path": "a", "size": [1, True]},
            "size = [1, true]: expected [width, height]",
        ),
        ({"path": "a", "names": "ab"}, 'names = "ab": expected a list of texts'),
        ({"path": "a", "inner": []}, "inner = []: expected a table"),
        (
            {"path": "a", "inner": {"share": 2}},
            "[inner] share = 2.0: expected a number from 0 to 1",
        ),
        (
            {"path": "a", "inner": {"share": float("nan")}},
            "[inner] share = NaN: expected a number from 0 to 1",
        ),
        (
            {"path": "a", "inner": {"share": "much"}},
            '[inner] share = "much": expected a number from 0 to 1',
        ),
        (
            {"path": "a", "inner": {"limit": 0}},
            "[inner] limit = 0: expected a whole number of at least 1",
        ),
        (
            {"path": "a", "inner": {"limit": True}},
            "[inner] limit = true: expected a whole number of at least 1",
        ),
        (
            {"path": "a", "inner": {"word": "three"}},
            '[inner] word = "three": expected one of one, two',
        ),
        (
            {"path": "a", "step": {"name": "s"}},
            'step = {"name": "s"}: expected an array of tables',
        ),
        ({"path": "a", "step": [1]}, "[[step]] 1 = 1: expected a table"),
        (
            {"path": "a", "step": [{"name": "s"}, {}]},
            "[[step]] 2: expected the key 'name'",
        ),
        (
            {"path": "a", "step": [{"name": "s", "inner": {"share": -1}}]},
            "[[step]] s: inner.share = -1.0: expected a number from 0 to 1",
        ),
        (
            {"path": "a", "step": [{"name": "s", "values": {"a/b": -1}}]},
            '[[step]] s: values."a/b" = -1.0: expected a number of at least 0',
        ),
        (
            {"path": "a", "step": [{"name": "s", "free": {"a": [1]}}]},
            "[[step]] s: free.a = [1]: expected a text, a number, true or false",
        ),
    ],
)
def test_an_error_names_file_key_value_and_what_is_legal(
    table: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        read(Whole, table, "a.toml", error=RecipeError)
    assert str(caught.value) == f"a.toml: {said}"


def test_keys_of_the_tables_around_are_named_too() -> None:
    with pytest.raises(SettingsError) as caught:
        read(Inner, {"share": 2}, "a.toml", at=("big", "small"))
    assert str(caught.value).startswith("a.toml: [big.small] share = 2.0: ")
    with pytest.raises(SettingsError) as caught:
        read(Inner, {"shape": 2}, "a.toml", at=("big",))
    assert str(caught.value).startswith("a.toml: [big]: unknown key 'shape'; did you ")


def test_a_long_value_is_cut() -> None:
    with pytest.raises(SettingsError, match=r'"a{59}…: expected one of one, two$'):
        read(Inner, {"word": "a" * 1000}, "a.toml")


def test_made_in_code_the_same_ranges_hold() -> None:
    with pytest.raises(WrongSettingError, match=r"^share = 3: expected a number"):
        Inner(share=3)


def test_settings_describe_themselves() -> None:
    share, limit, word = settings_of(Inner)
    assert (share.help, share.default, share.optional) == ("A share.", 0.5, False)
    assert (limit.type, limit.optional) == (int, True)
    assert word.choices == ("one", "two")


@pytest.mark.slow
@given(
    st.builds(
        Step,
        name=st.text(st.characters(codec="utf-8"), min_size=1),
        inner=st.builds(
            Inner,
            share=st.floats(0, 1),
            limit=st.integers(1, 99),
            word=st.sampled_from(["one", "two"]),
        ),
        values=st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(0, 9)),
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, step: Step
) -> None:
    path = tmp_path_factory.mktemp("toml") / "a.toml"
    path.write_text(to_toml({"step": as_table(step)}), encoding="utf-8", newline="")
    assert read(Step, read_toml(path)["step"], "a.toml") == step
