"""The example notebook runs without errors and shows tables and pictures."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from submit.cli import cli
from tests.conftest import WriteSplit


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line is what a notebook shows."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_runs(
    repository: Path,
    write_split: WriteSplit,
    runner: CliRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [f"{number:05d}" for number in range(5)]
    write_split(frames=frames, annotated=5, root="work/sample")
    monkeypatch.chdir(tmp_path)
    command = ["predict", "work/sample", "--predictor", "static", "--name", "plain"]
    done = runner.invoke(cli, [*command, "--runs", "runs/sample", "--workers", "1"])
    assert done.exit_code == 0, done.output
    path = repository / "examples" / "looking.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    names: dict[str, Any] = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "clear the outputs before a commit"
            shown.append(run_cell("".join(cell["source"]), names))
    pictures = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert sum("data:image/jpeg" in html for html in pictures) == 2
    assert sum("J&amp;Ḟ" in html for html in pictures) == 2
    assert shown[-1] == (24, 32, 3)
