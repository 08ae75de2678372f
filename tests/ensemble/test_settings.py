"""Settings of ensembles: tables, files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.ensemble import (
    METHODS,
    Gate,
    MergeSettings,
    read_ensemble_table,
    read_weights,
)
from submit.ensemble.methods.cascade import Cascade
from submit.ensemble.methods.select import Select
from submit.errors import SettingsError
from submit.system.tables import to_toml

FULL = """
[ensemble]
method = "select"
members = ["plain", "flipped", "a b"]

[ensemble.weights]
plain = 2.0
flipped = 1
"a b" = 0.5

[ensemble.weights."4vznweiu"]
flipped = 0.5

[ensemble.weights."4vznweiu/3"]
plain = 0.0

[ensemble.gate]
threshold = 0.4
return_threshold = 0.6
drop_blind = false

[ensemble.gate.weights]
plain = 1.0

[ensemble.select]
by = ["iou"]

[postprocess]
fill_holes = 20
"""

SETTINGS = MergeSettings(
    method="select",
    members=("plain", "flipped", "a b"),
    weights={"plain": 2, "flipped": 1, "a b": 0.5},
    overrides={"4vznweiu": {"flipped": 0.5}, "4vznweiu/3": {"plain": 0}},
    gate=Gate(
        weights={"plain": 1}, threshold=0.4, return_threshold=0.6, drop_blind=False
    ),
    merging=Select(by=("iou",)),
)


def read(path: Path, text: str) -> MergeSettings:
    path.write_text(text, encoding="utf-8")
    return MergeSettings.from_table(
        read_ensemble_table(path), where=str(path), at=("ensemble",)
    )


def test_a_full_file_is_read(tmp_path: Path) -> None:
    assert read(tmp_path / "tuned.toml", FULL) == SETTINGS


def test_a_table_without_anything_is_the_mean_of_probabilities() -> None:
    assert MergeSettings.from_table({}) == MergeSettings()
    assert MergeSettings().to_table() == {"method": "mean_probabilities"}


numbers = st.floats(0.01, 100)
names = ("a", "b c", "ü")
settings = st.builds(
    MergeSettings,
    method=st.sampled_from(sorted(METHODS)),
    members=st.just(names),
    weights=st.fixed_dictionaries(dict.fromkeys(names, numbers)) | st.just({}),
    overrides=st.dictionaries(
        st.sampled_from(("v", "v/1", "w.x/2")),
        st.dictionaries(st.sampled_from(names), numbers, min_size=1),
    ),
    gate=st.none()
    | st.builds(
        Gate,
        weights=st.dictionaries(st.sampled_from(names), numbers),
        threshold=st.floats(0, 1),
        return_threshold=st.none() | st.floats(0, 1),
        evidence=st.sampled_from(("score", "mask")),
        drop_blind=st.booleans(),
    ),
)


@pytest.mark.slow
@given(wanted=settings)
def test_what_is_written_is_read_again(
    wanted: MergeSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("settings") / "tuned.toml"
    assert read(path, to_toml({"ensemble": wanted.to_table()})) == wanted


def test_parameters_of_other_methods_are_not_part_of_the_settings() -> None:
    table = MergeSettings(merging=Cascade(margin=3.0)).to_table()
    assert "cascade" not in table
    assert "cascade" in MergeSettings(method="cascade").to_table()


def test_equal_settings_have_one_full_form() -> None:
    one = MergeSettings(weights={"b": 2, "a": 2}).for_members(("b", "a"))
    assert one == MergeSettings().for_members(("a", "b"))
    assert one.members == ("a", "b")
    assert one.weights == {"a": 0.5, "b": 0.5}
    assert one.for_members(("a", "b")) == one
    cascade = MergeSettings(method="cascade").for_members(("b", "a"))
    assert cascade.members == ("b", "a")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("[ensemble]\n", "[ensemble]\nmehtod = 1\n"),
            "unknown key 'mehtod'; did you mean 'me",
        ),
        (('"select"', '"mean"'), '[ensemble] method = "mean": expected one of mean_p'),
        (
            ('"select"', "3"),
            "[ensemble] method = 3: expected one of mean_probabilities,",
        ),
        (('"a b"]', '"plain"]'), "members: a run is a member twice"),
        (('"a b"]', "4]"), 'flipped", 4]: expected a list of texts'),
        (
            ("plain = 2.0", "plain = -2.0"),
            "plain = -2.0: expected a number of at l",
        ),
        (
            ("plain = 2.0", 'plain = "2"'),
            'ensemble.weights] plain = "2": expected a n',
        ),
        (("plain = 2.0\n", ""), "weights: expected one for each member, found none"),
        (
            ("plain = 2.0", "plain = 2\nother = 1"),
            "weights: 'other' is not a member; t",
        ),
        (
            ("flipped = 0.5", "other = 0.5"),
            "weights: 4vznweiu: 'other' is not a member; those are plain, flipped, a b",
        ),
        (("flipped = 0.5", "flipped = inf"), "4vznweiu] flipped = Infinity: expected"),
        (
            ("threshold = 0.4", "threshold = 4"),
            "[ensemble.gate] threshold = 4.0: ex",
        ),
        (
            ("threshold = 0.4", "limit = 0"),
            "[ensemble.gate]: unknown key 'limit'; l",
        ),
        (("= false", "= 0"), "[ensemble.gate] drop_blind = 0: expected true or false"),
        (
            ("[ensemble.gate.weights]\nplain", "[ensemble.gate.weights]\nother"),
            "gate: weights: 'other' is not a member",
        ),
        (
            ('by = ["iou"]', "by = []"),
            "[ensemble.select] by = []: expected some of iou",
        ),
        (('["iou"]', '["clip"]'), 'select] by = ["clip"]: expected one of iou, presen'),
        (("[postprocess]", "[other]"), "unknown key 'other'; expected the tables"),
        (("[ensemble]\n", "[ensemble\n"), "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_said(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in FULL
    path = tmp_path / "tuned.toml"
    with pytest.raises(SettingsError) as caught:
        read(path, FULL.replace(*change, 1))
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_file_without_the_table_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    with pytest.raises(SettingsError, match="cannot be read"):
        read_ensemble_table(path)
    path.write_text("[postprocess]\n")
    with pytest.raises(SettingsError, match=r"expected a table \[ensemble\], found no"):
        read_ensemble_table(path)


def test_a_weights_file_is_the_table_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.toml"
    path.write_text('plain = 2\nflipped = 1\n["v/3"]\nplain = 0\n')
    table: dict[str, Any] = {"weights": read_weights(path)}
    assert MergeSettings.from_table(table) == MergeSettings(
        weights={"plain": 2, "flipped": 1}, overrides={"v/3": {"plain": 0}}
    )


def test_settings_for_other_members_are_refused() -> None:
    settings = MergeSettings(members=("a", "b"))
    with pytest.raises(
        SettingsError, match="settings are for a, b, the members are a,"
    ):
        settings.for_members(("a", "c"))
    with pytest.raises(SettingsError, match="'b' is not a member; those are a, c"):
        MergeSettings(weights={"a": 1, "b": 1}).for_members(("a", "c"))
