"""Continuous integration: what its file runs is there, and the lowest versions."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import load_tool


@pytest.fixture
def workflow(repository: Path) -> dict[str, Any]:
    yaml: Any = pytest.importorskip("yaml")
    text = (repository / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def commands(workflow: dict[str, Any]) -> list[str]:
    jobs = workflow["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_what_the_workflow_runs_is_there(
    workflow: dict[str, Any], repository: Path
) -> None:
    makefile = (repository / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    lines = commands(workflow)
    assert "bash .ci/run" in lines
    for line in lines:
        first, *words = line.split()
        if first == "make":
            named = [word for word in words if re.fullmatch("[a-z-]+", word)]
            assert named, line
            assert set(named) <= targets, line
        for path in re.findall(r"\b(?:tests|tools)/[\w/.]+", line):
            assert (repository / path).exists(), line


def test_the_wheel_is_tried_with_every_python(workflow: dict[str, Any]) -> None:
    pythons = workflow["jobs"]["smoke"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_jobs_that_need_more_than_a_machine_are_started_by_hand(
    workflow: dict[str, Any],
) -> None:
    jobs = workflow["jobs"]
    for name in ("gpu", "ray"):
        assert "workflow_dispatch" in jobs[name]["if"]
    assert "self-hosted" in jobs["gpu"]["runs-on"]


def test_the_smoke_test_is_a_program(repository: Path) -> None:
    path = repository / ".github" / "smoke"
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True)


def test_the_lowest_versions_are_those_of_setup_cfg(repository: Path) -> None:
    lowest = load_tool("lowest").lowest
    setup = repository / "setup.cfg"
    parser = configparser.ConfigParser()
    parser.read(setup, encoding="utf-8")
    required = parser.get("options", "install_requires").split()
    found = lowest(setup, [])
    assert "numpy==1.24" in found
    names = {line.split("==")[0] for line in found}
    assert {re.split("[>;]", line)[0] for line in required if ">=" in line} <= names
    # A package without a lowest version would be proven with the newest only.
    for line in parser.get("options", "install_requires").split("\n")[1:]:
        assert ">=" in line, line
    kept = lowest(setup, ["torch==2.13.0"])
    assert "torch==2.13.0" in kept
    assert len(kept) == len(found)


def test_a_requirement_in_another_form_is_named(tmp_path: Path) -> None:
    setup = tmp_path / "setup.cfg"
    setup.write_text(
        "[options]\ninstall_requires =\n    numpy~=1.24\n[options.extras_require]\n"
    )
    with pytest.raises(ValueError, match=r"numpy~=1\.24"):
        load_tool("lowest").lowest(setup, [])
