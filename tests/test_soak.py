"""The tool that runs the chain under random faults finds nothing wrong."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.scripts import load_tool

soak = load_tool("soak")


@pytest.mark.slow
def test_a_build_that_is_killed_at_random_moments_ends_with_the_same_zip(
    tmp_path: Path,
) -> None:
    done = CliRunner().invoke(soak.main, [str(tmp_path), "--kills", "3"])
    assert done.exit_code == 0, done.output
    assert "at the end with the same bytes" in done.stdout


@pytest.mark.slow
def test_a_chain_under_random_faults_ends_with_the_same_bytes(tmp_path: Path) -> None:
    done = CliRunner().invoke(soak.main, [str(tmp_path), "--chains", "1"])
    assert done.exit_code == 0, done.output
    assert "1 times at the end with the same bytes" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler"
)
def test_a_clock_that_jumps_while_a_command_runs_changes_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "aside").mkdir()
    (tmp_path / "chain").mkdir()
    chain = soak.Soak(tmp_path / "chain", 1)
    chain.prepare(lines := soak._CHAIN[:2])
    wanted = soft_files(tmp_path)
    chain.restart()
    chain._clock = soak._moving_clock(tmp_path / "aside")
    row = soak.Row()
    for line in lines:
        chain._jump(row, line)
    assert row.wrong == []
    assert row.met == 2
    assert soft_files(tmp_path) == wanted


def soft_files(folder: Path) -> dict[str, bytes]:
    found = sorted(folder.glob("chain/runs/plain/soft/*.npz"))
    assert found
    return {path.name: path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_prediction_that_loses_nodes_ends_with_the_same_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    films = "sample split --videos 4 --frames 8 --size 120x68"
    monkeypatch.setattr(soak, "_FILMS", films)
    done = CliRunner().invoke(soak.main, [str(tmp_path), "--nodes", "1"])
    assert done.exit_code == 0, done.output
    assert "1 times at the end with the same bytes" in done.stdout


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("years of work")
    done = CliRunner().invoke(soak.main, [str(tmp_path), "--kills", "1"])
    assert done.exit_code == 1
    assert "is not empty; choose another folder" in done.output
