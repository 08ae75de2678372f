"""A model in one file is used by its path and class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.errors import PredictorError
from submit.predictors import Mask, PluginFile, Video, build, immediate, load
from tests.submissions import VIDEOS, write_split

MODEL = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from submit.predictors import Description, Prediction, option

@dataclass(frozen=True)
class Options:
    logit: float = option(3.0, "Logit of every pixel.")

class Everywhere:
    """Sees every object everywhere."""
    Options = Options
    def __init__(self, options, *, device="auto"):
        self.options = options
    def describe(self):
        return Description("everywhere", "MIT")
    def session(self, video, *, scale=1.0):
        return Session(self.options.logit)

class Session:
    def __init__(self, logit):
        self.logit, self.known = logit, []
    def step(self, frame, prompts):
        self.known += prompts
        shape = (len(self.known), *frame.shape[:2])
        return Prediction(tuple(self.known), np.full(shape, self.logit, np.float32))
    def close(self):
        pass
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    return path


@pytest.fixture
def predict(runner: CliRunner, tmp_path: Path) -> Callable[..., Any]:
    split = write_split(tmp_path / "split")

    def invoke(predictor: object, *arguments: object) -> Any:
        command = ["predict", split, "--predictor", predictor, "--name", "r"]
        runs = ["--runs", tmp_path / "runs", "--device", "cpu"]
        return runner.invoke(cli, [*map(str, (*command, *runs, *arguments))])

    return invoke


def test_a_file_has_options_and_sessions(file: Path) -> None:
    model = build(f"{file}:Everywhere", ["logit=7"])
    session = immediate(model.session(Video("v", 4, 6, 2)))
    mask = Mask(np.ones((4, 6), bool))
    found = session.step(np.zeros((4, 6, 3), np.uint8), {5: mask})
    assert found.objects == (5,)
    assert (found.logits == 7).all()


def test_a_changed_file_is_imported_again(file: Path) -> None:
    before = load(f"{file}:Everywhere")
    assert load(f"{file}:Everywhere") is before
    file.write_text(MODEL.replace('"everywhere"', '"elsewhere"'))
    assert build(f"{file}:Everywhere", []).describe().model == "elsewhere"


@pytest.mark.slow
def test_workers_in_other_processes_import_the_file(
    predict: Callable[..., Any],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(file.parent)
    result = predict("mine.py:Everywhere", "--workers", 2)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((tmp_path / "runs" / "r" / "manifest.json").read_text())
    assert sorted(manifest["videos"]) == sorted(VIDEOS)


def test_a_run_is_continued_from_another_place_and_not_with_another_content(
    predict: Callable[..., Any], file: Path, tmp_path: Path
) -> None:
    assert predict(f"{file}:Everywhere").exit_code == 0
    (tmp_path / "moved").mkdir()
    moved = file.rename(tmp_path / "moved" / file.name)
    again = predict(f"{moved}:Everywhere", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["done"] == []
    moved.write_text(MODEL + "# changed\n")
    refused = predict(f"{moved}:Everywhere")
    assert refused.exit_code == 1
    assert "predictor_file" in refused.stderr


def test_its_page_shows_its_options(runner: CliRunner, file: Path) -> None:
    result = runner.invoke(cli, ["predictors", f"{file}:Everywhere", "--json"])
    page = json.loads(result.stdout)
    assert page["about"] == "Sees every object everywhere"
    assert [one["name"] for one in page["options"]] == ["logit"]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (MODEL, "mine.py", "expected a file and a class, such as mine.py:MyPredictor"),
        (MODEL, "mine.py:", "found no name of a class"),
        (MODEL, "none.py:M", "none.py: cannot be read (No such file or directory)"),
        (MODEL, "mine.py:Every", "has no class Every; its models: Everywhere"),
        (MODEL, "mine.py:Session", "no Options and no describe and no session"),
        ("1 / 0", "mine.py:M", "cannot be imported: ZeroDivisionError: division by"),
        ("x =", "mine.py:M", "cannot be imported: SyntaxError: invalid syntax"),
        ("exit(3)", "mine.py:M", "cannot be imported: SystemExit: 3"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    text: str, name: str, words: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(text)
    monkeypatch.chdir(file.parent)
    with pytest.raises(PredictorError) as caught:
        load(name)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["static", "a:b", "model.pyc:M"])
def test_other_names_are_no_files(name: str) -> None:
    assert PluginFile.parse(name) is None
