"""Rows of `train` and `trainers`, with a network of a few weights."""

from __future__ import annotations

from pathlib import Path

from tests.commands.rows import Row, Stage

__all__ = ["ROWS"]


def _toy(stage: Stage) -> None:
    """A recipe of the toy that tests of the training loop train."""
    from tests.training.toy import RECIPE, ToyTrainer

    stage.patch.setattr("submit.training.recipe.load", lambda name: ToyTrainer)
    Path("toy.toml").write_text(RECIPE.format(root="split"))


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
    Row("trainers", stdout=["sam2"]),
    Row("trainers sam2 --json", check=lambda done: len(done.at("")) > 0),
)
