from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.training.estimate import (
    MemoryEstimate,
    Remedy,
    TimeEstimate,
    TrainingEstimate,
)

RECIPE = """
trainer = "sam2"
[model]
name = "sam2.1_narrow"
scratch = true
image_size = 64
[prompts]
points = 0
frames = 1
[[data]]
path = "split"
[clips]
length = 3
[schedule]
steps = 2
clips = 2
[average]
decay = 0.9
[validation]
split = "split"
every = 1
held_out = false
"""


def invoke(line: str) -> Result:
    before = torch.get_num_threads()
    done = CliRunner().invoke(cli, line.split())
    torch.set_num_threads(before)
    return done


def test_trainers_are_listed() -> None:
    done = invoke("trainers")
    assert done.exit_code == 0
    assert "sam2     mose-submit" in done.stdout
    (one,) = json.loads(invoke("trainers --json").stdout)
    assert one["name"] == "sam2"
    assert one["about"].startswith("Fine-tunes SAM 2.1")


def test_the_keys_of_a_recipe_are_explained() -> None:
    done = invoke("trainers sam2")
    assert done.exit_code == 0
    for words in (
        "[[data]]",
        "[schedule]",
        "steps",
        "12480",
        "[model]",
        "encoder_rate",
    ):
        assert words in done.stdout
    tables = json.loads(invoke("trainers sam2 --json").stdout)["tables"]
    (rate,) = [one for one in tables["[optimiser]"] if one["key"] == "rate"]
    assert rate["default"] == 5e-6
    (path,) = [one for one in tables["[[data]]"] if one["key"] == "path"]
    assert path["required"]
    assert all(one["help"] for keys in tables.values() for one in keys)


def test_an_unknown_trainer_is_an_error() -> None:
    done = invoke("trainers sam9")
    assert done.exit_code == 1
    assert "no trainer called 'sam9' is installed; did you mean 'sam2'? " in done.stderr


def test_a_wrong_recipe_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE)
    done = invoke(f"train {path} --name t -o schedule.steps=many")
    assert done.exit_code == 1
    assert done.stderr == (
        f'Error: {path}: [schedule] steps = "many": expected a whole number of at '
        "least 1\n"
    )


@pytest.mark.slow
def test_a_training_ends_with_the_command_that_predicts_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE)
    assert invoke("sample split --videos 2 --frames 5 --size 96x64").exit_code == 0
    done = invoke("train r.toml --name t --workers 0 --device cpu --json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["steps"] == 2
    options = " ".join(f"-o {option}" for option in result["options"])
    done = invoke(
        f"predict split --predictor {result['predictor']} --name t --device cpu "
        f"-o checkpoint={result['checkpoint']} {options}"
    )
    assert done.exit_code == 0, done.output
    done = invoke("score t --split split --json")
    # The number of the validation is that of the whole chain, to the last bit.
    assert json.loads(done.stdout)["totals"]["jf_dot"] == result["best"]["score"]


def test_the_estimate_names_what_makes_it_fit_and_what_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = "model.recompute=true", 'model.freeze=["encoder"]'
    remedies = (Remedy((few,), 30 * 10**9, False), Remedy((few, many), 10**9, True))
    memory = MemoryEstimate(1, 1, 1, 1, 40 * 10**9, 24 * 10**9)
    time = TimeEstimate(1, 1.0, False, 1.0, 1.0, 0, 0, 0.0, 1.0)

    def shown(*found: Remedy) -> str:
        estimate = TrainingEstimate(
            *("narrow", "cuda", "bfloat16", 1, 1, memory, found, 0, time, 1, 2)
        )
        monkeypatch.setattr(
            "submit.training.estimate.estimate", lambda *words, **more: estimate
        )
        return " ".join(invoke("train r.toml --name t --estimate").stdout.split())

    text = shown(*remedies)
    assert (
        f"to fit, add -o {few} -o 'model.freeze=[\"encoder\"]' (1.0 GB) "
        f"not enough -o {few} (30.0 GB)"
    ) in text
    assert "choose a smaller model or image size" in shown(remedies[0])
    assert "choose a smaller model or image size" in shown()
