from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from submit.errors import TrainingError
from submit.training import Batch, Losses
from submit.training.estimate import TrainingEstimate, estimate
from submit.training.meter import Meter, as_on, backward
from tests.training.conftest import WriteVideos
from tests.training.toy import RECIPE, ToyTrainer, run


def shapes(*shape: int, **options: Any) -> torch.Tensor:
    return torch.empty(*shape, device="meta", **options)


def test_bytes_are_counted_while_tensors_live() -> None:
    with Meter() as meter:
        one = shapes(100)
        view = one[:50]
        assert meter.live == 400
        two = one + 1
        assert meter.live == meter.peak == 800
        del one, two
        assert meter.live == 400, "the view holds what it is a part of"
        del view
    assert (meter.live, meter.peak) == (0, 800)


def test_products_are_counted_forward_and_backward() -> None:
    with Meter() as meter:
        weight = shapes(4, 8, requires_grad=True)
        found = F.linear(shapes(16, 8), weight).sum()
        assert meter.operations == 2 * 16 * 8 * 4
        backward(found)
        assert weight.grad is not None
    assert meter.operations == 2 * 2 * 16 * 8 * 4


@pytest.mark.parametrize(
    ("device", "dropout", "scores"),
    [("cuda", 0.1, False), ("cpu", 0.0, False), ("cpu", 0.1, True)],
)
def test_only_attention_that_is_not_fused_stores_scores(
    device: str, dropout: float, scores: bool
) -> None:
    with Meter() as meter, as_on(device, torch.float32, meter):
        q = shapes(1, 1, 1000, 8, requires_grad=True)
        found = F.scaled_dot_product_attention(q, q, q, dropout_p=dropout)
        assert found.shape == q.shape
        assert (meter.live > 4 * 1000**2) == scores
        backward(found.sum())
        assert q.grad is not None
        assert meter.operations >= 6 * 2 * 8 * 1000**2


def test_products_are_narrow_and_sums_are_wide_as_with_autocast() -> None:
    with Meter() as meter, as_on("cuda", torch.bfloat16, meter):
        weight = shapes(8, 8, requires_grad=True)
        found = F.linear(shapes(2, 8), weight)
        assert found.dtype == torch.bfloat16
        again = F.linear(found, weight)
        assert F.layer_norm(again, (8,)).dtype == torch.float32
        # The weight was made narrow once.
        narrowed = meter.live
        F.linear(again, weight)
        assert meter.live == narrowed


@pytest.fixture
def root(write_videos: WriteVideos) -> Path:
    return write_videos((8, 9))


def estimated(
    root: Path, folder: Path, *changes: str, kind: type[Any] = ToyTrainer, **more: Any
) -> TrainingEstimate:
    recipe = root.parent / "recipe.toml"
    recipe.write_text(RECIPE.format(root=root))
    with patch("submit.training.recipe.load", lambda name: kind):
        return estimate(recipe, changes, folder, **{"device": "cpu", **more})


@pytest.mark.slow
def test_an_estimate_has_memory_time_and_disk(root: Path, tmp_path: Path) -> None:
    found = estimated(root, tmp_path / "t", "average.decay=0.9", workers=1)
    memory = found.memory
    weights = 4 * (4 * 4 * 9 + 4 + 4 + 1)
    assert memory.weights == weights
    assert memory.optimiser == 4 * weights
    assert memory.total == (
        memory.weights + memory.optimiser + memory.clips + memory.program
    )
    assert memory.fits
    assert found.remedies == ()
    time = found.time
    # Forward once, backward twice but for the pixels, which need no gradient.
    assert time.operations > 2 * 2 * 3 * 16**2 * weights / 4
    assert time.measured
    assert time.total >= 6 * time.step > 0
    assert (time.loaders, time.validations) == (1, 0)


@pytest.mark.slow
def test_the_folder_takes_no_more_disk_than_estimated(
    root: Path, write_videos: WriteVideos, tmp_path: Path
) -> None:
    holdout = write_videos((5,), root="holdout")
    changes = (
        *("average.decay=0.9", "average.method=uniform", "validation.held_out=false"),
        *(f"validation.split={holdout}", "validation.every=2", "toy.width=300"),
    )
    found = estimated(root, tmp_path / "t", *changes)
    assert found.time.validations == 4
    run(root, tmp_path / "t", *changes)
    files = [each for each in (tmp_path / "t").rglob("*") if each.is_file()]
    last = (tmp_path / "t" / "last.pt").stat().st_size
    # It is written a second time before the first one is replaced.
    most = sum(each.stat().st_size for each in files) + last
    assert 0.5 * found.disk < most <= 1.1 * found.disk
    # What is there already may be replaced.
    assert estimated(root, tmp_path / "t", *changes).free > found.free - (64 << 20)


@pytest.mark.slow
def test_what_does_not_fit_gets_less_until_it_fits(root: Path, tmp_path: Path) -> None:
    changes = ("clips.size=256", "schedule.batch=4", "toy.width=64")
    whole = estimated(root, tmp_path / "t", *changes, gpu_memory=100)
    assert whole.device == "cuda"
    assert whole.precision == "bfloat16"
    assert not whole.time.measured
    few = whole.memory.program + (whole.memory.total - whole.memory.program) // 8
    found = estimated(root, tmp_path / "t", *changes, gpu_memory=few / 1e9)
    assert not found.memory.fits
    assert found.remedies[0].options == ("schedule.batch=1",)
    assert [one.fits for one in found.remedies] == (
        [False] * (len(found.remedies) - 1) + [True]
    )
    totals = [one.total for one in found.remedies]
    assert totals == sorted(totals, reverse=True)
    none = estimated(root, tmp_path / "t", *changes, gpu_memory=0.001)
    assert not none.remedies[-1].fits


class Looking(ToyTrainer):
    """A trainer that looks at values."""

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        if bool((batch.labels > 0).any()):
            raise AssertionError("there are none")
        return super().losses(batch, random)


def test_a_step_that_looks_at_values_is_an_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no estimate is possible"):
        estimated(root, tmp_path / "t", kind=Looking)
