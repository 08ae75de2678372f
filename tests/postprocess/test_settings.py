from __future__ import annotations

from pathlib import Path

import pytest

from submit.errors import SettingsError
from submit.postprocess import Postprocess, read_postprocess


def read(folder: Path, text: str) -> Postprocess:
    path = folder / "tuned.toml"
    path.write_text(text)
    return read_postprocess(path)


def test_nothing_is_done_by_default() -> None:
    assert Postprocess().is_off
    assert Postprocess().to_table() == {}


def test_a_table_has_what_is_asked_for_and_reads_back() -> None:
    settings = Postprocess(threshold=-0.5, holes=0.05, flicker=4, flicker_score=1.5)
    table = settings.to_table()
    assert list(table) == ["threshold", "holes", "flicker", "flicker_score"]
    assert Postprocess.from_table(table, "here") == settings


def test_whole_numbers_stand_for_numbers(tmp_path: Path) -> None:
    settings = read(tmp_path, "[postprocess]\nthreshold = 1\n")
    assert isinstance(settings["threshold"], float)


def test_tables_of_other_commands_are_left_alone(tmp_path: Path) -> None:
    text = '[ensemble]\nmethod = "vote"\n[postprocess]\ngaps = 3\n'
    assert read(tmp_path, text) == Postprocess(gaps=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[postprocess]\nhole = 0.1\n",
            r"\[postprocess\]: unknown key 'hole'; did you mean 'holes'\? Legal keys",
        ),
        (
            "[postprocess]\nholes = '1'\n",
            r'\[postprocess\] holes = "1": expected a number from 0 to 1',
        ),
        ("[postprocess]\nholes = true\n", "holes = true: expected a number from 0 to"),
        ("[postprocess]\ngaps = 2.0\n", "gaps = 2.0: expected a whole number from 0"),
        ("[postprocess]\nholes = 2\n", "holes = 2.0: expected a number from 0 to 1"),
        ("[postprocess]\nmin_area = -1\n", "min_area = -1: expected a whole number of"),
        ("[postprocess]\nthreshold = nan\n", "threshold = NaN: expected a number from"),
        ("[postprocess]\nflicker = 101\n", "flicker = 101: expected a whole number fr"),
        ("[ensemble]\n", "expected a table \\[postprocess\\], found none"),
        ("postprocess = 1\n", "expected a table \\[postprocess\\], found 1"),
        (
            "[post]\n",
            r"unknown key 'post'; did you mean 'postprocess'\? Expected the tables "
            r".*\[postprocess\]",
        ),
        ("[postprocess\n", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"tuned.toml: .*{message}"):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read \(No such"):
        read_postprocess(tmp_path / "none.toml")
