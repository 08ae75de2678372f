"""The last score that is kept beside a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from submit.pipeline.last_score import last_score, remember_score
from submit.runs import Run
from submit.scoring import Totals
from tests.runs.making import add_soft, make_run

SPLIT: Any = SimpleNamespace(place=Path("split"), videos={"v": None})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = make_run(tmp_path / "r", "v")
    remember_score(run, SPLIT, Totals(*[0.5] * 7))
    return run


def test_a_score_is_kept_until_the_masks_change(run: Run) -> None:
    found = last_score(run)
    assert found is not None
    assert (found.split, found.videos, found.totals["jf_dot"]) == ("split", 1, 0.5)
    with run.writing():
        add_soft(run, "w", 1)
    assert last_score(Run.open(run.path)) is None


@pytest.mark.parametrize(
    "damage", [{"totals": {"jf_dot": "x"}}, {"videos": []}, {"split": None}]
)
def test_a_damaged_score_does_not_count(run: Run, damage: dict[str, Any]) -> None:
    path = run.path / ".score.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert last_score(run) is None
