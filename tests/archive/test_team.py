from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from submit.archive import read_team, team_problems
from submit.errors import ArchiveError
from tests.submissions import TEAM

AGREEMENT = next(iter(TEAM))
MEMBER = TEAM["members"][0]


def changed(**values: Any) -> dict[str, Any]:
    return {**copy.deepcopy(TEAM), **values}


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in TEAM.items() if key not in keys}


def test_a_team_file_with_every_key_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "team.json"
    path.write_text(json.dumps(changed(track="MOSEv2"), indent=4))
    assert read_team(path) == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "team_name is missing"),
        (without("email"), "email is missing"),
        (without("members", "email"), "members is missing"),
        (without(AGREEMENT), f'"{AGREEMENT}" is missing'),
        (
            {**without("team_name"), "teamname": "us"},
            "team_name is missing (found 'teamname')",
        ),
        (changed(**{AGREEMENT: False}), "expected true, found false"),
        (changed(**{AGREEMENT: "true"}), 'expected true, found "true"'),
        (changed(**{AGREEMENT: 1}), "expected true, found 1"),
        (changed(team_name=" "), "team_name is empty"),
        (changed(team_name=3), "team_name: expected text, found a number"),
        (changed(team_name="Put_your_team_name_here"), "is still the example's"),
        (changed(members=[]), "expected one object for each member, found none"),
        (changed(members="Ada"), "members: expected a list, found text"),
        (
            changed(members=["Ada"]),
            "member 1: expected an object with name and affiliation, found text",
        ),
        (changed(members=[MEMBER, {"name": "B"}]), "affiliation of member 2 is missi"),
        (changed(members=[{**MEMBER, "name": ""}]), "name of member 1 is empty"),
        (
            changed(members=[{**MEMBER, "affiliation": "University A"}]),
            "affiliation of member 1 is still the example's",
        ),
        (changed(email="ada"), "expected one address, found 'ada'"),
        (changed(email="a@b.de, c@d.de"), "expected one address"),
        (changed(email="your_email@example.edu"), "email is still the example's"),
        (changed(email="ada@example.com"), "is an example address"),
        (changed(email=None), "email: expected text, found null"),
        ([1], "expected a JSON object, found a list"),
    ],
)
def test_what_lsvos_asks_for_is_required(
    content: Any, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "team.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ArchiveError) as error:
        read_team(path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "data",
    [b"{", b"", b"\xff", b"[" * 100_000, json.dumps(TEAM).encode("utf-16")],
    ids=["cut off", "empty", "no text", "nested", "UTF-16"],
)
def test_what_is_no_json_is_said_in_one_line(data: bytes) -> None:
    (problem,) = team_problems(data)
    assert problem.startswith("expected a JSON object")
    assert "\n" not in problem


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "team.json"
    path.write_text("{}")
    with pytest.raises(ArchiveError) as error:
        read_team(path)
    for key in TEAM:
        assert key in str(error.value)


def test_a_byte_order_mark_is_left_out_when_packing_and_told_of_in_a_zip(
    tmp_path: Path,
) -> None:
    path = tmp_path / "team.json"
    path.write_text(json.dumps(TEAM), encoding="utf-8-sig")
    assert json.loads(read_team(path)) == TEAM
    assert team_problems(path.read_bytes()) == [
        "begins with a byte-order mark, which JSON readers refuse"
    ]


def test_the_example_names_every_value_that_is_to_be_filled_in(
    repository: Path,
) -> None:
    data = (repository / "examples" / "team.json").read_bytes()
    page = (repository / "docs" / "codabench.md").read_text("utf-8")
    assert data.decode() in page
    assert len(team_problems(data)) == 8
    assert all("still the example's" in each for each in team_problems(data))
