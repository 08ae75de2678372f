"""The same bytes for any number of workers and any thread variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from submit.system.threads import variables
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS
from tests.conftest import WriteSplit

#: A model whose values show in which order sums were added up, and by how many threads.
STRANGER = """
from dataclasses import dataclass

import cv2
import numba
import numpy as np
import torch

from submit.predictors import Description, Prediction


@dataclass(frozen=True)
class Options:
    pass


def last_digits(value):
    return (abs(value) * 2**20) % 8 - 4


class Stranger:
    Options = Options

    def __init__(self, options, *, device="auto"):
        pass

    def describe(self):
        return Description("stranger", "none", cores=3, devices=("cpu",))

    def session(self, video, *, scale=1.0):
        return Session()


class Session:
    objects = ()

    def step(self, frame, prompts):
        self.objects += tuple(prompts)
        random = np.random.default_rng(int(frame.sum()))
        left, right = random.normal(size=(2, 300, 300)).astype(np.float32)
        values = [left @ right, np.linalg.solve(left, right)]
        left, right = torch.from_numpy(left), torch.from_numpy(right)
        values += [(left @ right).numpy(), torch.linalg.solve(left, right).numpy()]
        values += [np.full((300, 300), float(left.exp().sum()), np.float32)]
        logits = np.concatenate([last_digits(each) for each in values]).astype("f4")
        counts = torch.get_num_threads(), cv2.getNumThreads(), numba.get_num_threads()
        count = len(self.objects)
        return Prediction(
            self.objects,
            np.stack([logits] * count),
            presence=np.full(count, 100 * counts[0] + 10 * counts[1] + counts[2], "f4"),
        )

    def close(self):
        pass
"""

ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {f"{name}_NUM_THREADS": "2" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
    {
        "MKL_DOMAIN_NUM_THREADS": "MKL_BLAS=1",
        "OMP_DYNAMIC": "TRUE",
        "OMP_MAX_ACTIVE_LEVELS": "0",
        "OMP_THREAD_LIMIT": "1",
        "OMP_WAIT_POLICY": "passive",
    },
    {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "5", "OMP_PROC_BIND": "true"},
)

#: Variables about threads that a user may have set.
RULES = {
    *variables(1),
    *(name for environment in ENVIRONMENTS for name in environment),
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
}

Predict = Callable[..., dict[str, bytes]]


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], None]:
    """Make a module a package with a predictor `stranger`."""

    def write(source: str) -> None:
        (tmp_path / "stranger.py").write_text(source)
        info = tmp_path / "stranger-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[submit.predictors]\nstranger = stranger:Stranger\n"
        )

    return write


def start(
    root: Path, line: str, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a command with only these environment variables about threads."""
    quiet = {name: value for name, value in os.environ.items() if name not in RULES}
    return subprocess.Popen(
        [sys.executable, "-m", "submit", *line.split()],
        cwd=root,
        env={**quiet, "PYTHONPATH": str(root), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(root: Path, name: str) -> dict[str, bytes]:
    return {
        path.stem: path.read_bytes()
        for path in (root / "runs" / name / "soft").glob("*.npz")
    }


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """Predict the split, and return the bytes of the soft files."""

    def run(
        line: str, *, environment: Mapping[str, str] | None = None, name: str = "run"
    ) -> dict[str, bytes]:
        process = start(
            tmp_path, f"predict split --name {name} {line}", environment or {}
        )
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        return written(tmp_path, name)

    return run


@pytest.fixture
def split(write_split: WriteSplit) -> Path:
    return write_split(size=(48, 80), objects=(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "line"),
    [
        pytest.param("", "--predictor classical", id="classical"),
        pytest.param(STRANGER, "--predictor stranger", id="stranger"),
        pytest.param(
            STRANGER.replace("cores=3", "cores=1"),
            "--predictor stranger",
            id="stranger with one thread",
        ),
        pytest.param(
            "",
            "--predictor sam2 -o model=sam2.1_hiera_tiny -o checkpoint=weights.pt "
            "-o image_size=128 -o dtype=float32",
            id="sam2",
        ),
    ],
)
@pytest.mark.usefixtures("split")
def test_workers_and_the_environment_change_no_byte(
    source: str,
    line: str,
    install: Callable[[str], None],
    predict: Predict,
    tmp_path: Path,
) -> None:
    install(source)
    if "checkpoint" in line:
        weights = random_weights(MODELS["sam2.1_hiera_tiny"])
        torch.save({"model": weights}, tmp_path / "weights.pt")
    wanted = predict(f"{line} --workers 1", name="one")
    assert wanted.keys() == {"a", "b"}
    for workers, environment in enumerate(ENVIRONMENTS, 1):
        found = predict(
            f"{line} --workers {workers}",
            environment=environment,
            name=f"again{workers}",
        )
        assert found == wanted, environment


@pytest.mark.slow
def test_one_core_gives_the_bytes_of_many(
    split: Path, install: Callable[[str], None], predict: Predict
) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not bind processes to cores")
    install(STRANGER)
    wanted = predict("--predictor stranger", name="many")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        found = predict("--predictor stranger", name="one")
    finally:
        os.sched_setaffinity(0, allowed)
    assert found == wanted


@pytest.mark.slow
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    write_split: WriteSplit, predict: Predict, tmp_path: Path
) -> None:
    write_split("abc", size=(48, 80))
    line = "--predictor classical --workers"
    wanted = predict(f"{line} 4", name="undisturbed")
    assert wanted.keys() == set("abc")
    process = start(tmp_path, f"predict split --name killed {line} 2", {})
    while len(written(tmp_path, "killed")) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert predict(f"{line} 2", name="killed") == wanted
