from __future__ import annotations

import pytest

from submit.errors import RunError
from submit.runs import require_run_name


@pytest.mark.parametrize(
    "name", ["a", "large-hflip", "a+b", "v2.1_hiera", "größe 2", "中", "x" * 200]
)
def test_the_name_of_a_folder_can_name_a_run(name: str) -> None:
    assert require_run_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "it is empty"),
        (".", "it begins with '.'"),
        ("..", "it begins with '.'"),
        (".hidden", "it begins with '.'"),
        ("-o", "it begins with '-'"),
        ("a/b", "it has '/' in it"),
        ("../x", "it begins with '.'"),
        ("/tmp/x", "it has '/' in it"),
        ("a\\b", "it has '\\\\' in it"),
        ("a,b", "it has ',' in it"),
        ("a ", "it begins or ends with a space"),
        ("a\nb", "it has a character that does not print"),
        ("a\udcff", "it has a character that does not print"),
        ("中" * 67, "it has 201 bytes, and 200 are allowed"),
    ],
)
def test_anything_else_cannot(name: str, problem: str) -> None:
    with pytest.raises(RunError) as caught:
        require_run_name(name)
    assert f": {problem}; choose a name" in str(caught.value)
