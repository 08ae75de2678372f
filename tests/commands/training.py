"""Rows of `train` and `trainers`, with a network of a few weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.rows import Row, Stage

__all__ = ["ROWS"]


def _toy(stage: Stage) -> None:
    """A recipe of the toy that tests of the training loop train."""
    from tests.training.toy import RECIPE, ToyTrainer

    stage.patch.setattr("submit.training.recipe.load", lambda name: ToyTrainer)
    Path("toy.toml").write_text(RECIPE.format(root="split"))


def _trained(stage: Stage) -> None:
    """The log of a training of two steps, with a validation, and an old figure."""
    pytest.importorskip("matplotlib")
    folder = Path("mine/t")
    folder.mkdir(parents=True)
    lines = [
        '{"step": 0, "validation": "weights", "jf_dot": 0.2, "interval": [0.1, 0.3]}',
        '{"step": 1, "loss": 3.0}',
        '{"step": 2, "loss": null}',
        '{"step": 2, "lo',
    ]
    (folder / "log.jsonl").write_text("\n".join(lines))
    Path("curves.svg").write_text("<?xml")


ROWS = (
    Row(
        "train toy.toml --name t -o schedule.steps=2 --workers 0 --device cpu --json",
        prepare=_toy,
        data={"steps": 2, "path": "trainings/t", "predictor": "toy"},
        files=["trainings/t/last.pt"],
    ),
    Row(
        "train toy.toml --name t --option schedule.steps=4 --until 2 --trainings mine"
        " --workers 0",
        prepare=_toy,
        stdout=["training", "mine/t"],
        files=["mine/t/last.pt"],
    ),
    Row(
        "train toy.toml --name t --estimate --workers 1 --device cpu --json",
        prepare=_toy,
        check=lambda done: done.at("memory.total") > 0,
    ),
    Row(
        "train toy.toml --name t --estimate --gpu-memory 0.5",
        prepare=_toy,
        stdout=["GPU memory", "does not fit into 500.0 MB", "-o clips.objects=1"],
    ),
    Row(
        "plot training t -o curves.svg --trainings mine --width 60 --font-size 7"
        " --force",
        prepare=_trained,
        stdout=["written", "curves.svg"],
        files=["curves.svg"],
    ),
    Row(
        "plot training t --output c.svg --trainings mine --json",
        prepare=_trained,
        data={"path": "c.svg", "data": {"t": 3}},
    ),
    Row("trainers", stdout=["sam2"]),
    Row("trainers sam2 --json", check=lambda done: len(done.at("")) > 0),
)
