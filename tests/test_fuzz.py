"""Damaged and hostile files of every kind are accepted or refused, and no more."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.scripts import load_tool

mutations = load_tool("fuzz_mutations")
kind = load_tool("fuzz_kind")
load_tool("fuzz_ours")
load_tool("fuzz_foreign")
load_tool("fuzz_parts")
tool = load_tool("fuzz")

#: Inputs of each kind; `python tools/fuzz.py` reads more.
INPUTS = 60


@pytest.mark.slow
def test_hostile_files_of_every_kind_are_accepted_or_refused(tmp_path: Path) -> None:
    found = tool.fuzz(
        tool.all_kinds(tmp_path).values(), INPUTS, tmp_path / "case", seed=2
    )
    faults = [
        f"{fault.seed}: {fault.what}"
        for outcome in found.values()
        for fault in outcome.faults
    ]
    assert faults == []
    assert len(found) > 40
    assert sum(outcome.refused for outcome in found.values()) > INPUTS


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("import warnings; warnings.warn('old')", "UserWarning"),
        ("raise SubmitError('it is wrong')", "does not name the file"),
        ("raise SubmitError(f'{path}: is\\nwrong')", "several lines"),
    ],
    ids=["traceback", "warning", "nameless", "two lines"],
)
def test_the_fuzzer_notices(read: str, fault: str, tmp_path: Path) -> None:
    def bad(path: Path) -> None:
        exec(read, {"path": path, "SubmitError": tool.SubmitError})

    made = kind.Kind("x", "x.json", b"{}", mutations.damaged_json, bad)
    good, what = tool.examine(made, b"{}", tmp_path / "case")
    assert not good
    assert fault in what


def test_an_input_is_made_again_from_its_seed() -> None:
    data = b'{"a": [1, {"b": "c"}]}'
    made = [mutations.damaged_json(Random("x/0/7"), data) for _ in range(2)]
    assert made[0] == made[1] != data
