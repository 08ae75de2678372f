"""The cluster executor, where Ray is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from submit.errors import PredictorError
from submit.executors import Event, Finished, Job, Progressed, Worker

ray = pytest.importorskip("ray")

from submit.executors.ray import RayExecutor  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True, scope="module")
def cluster() -> Iterator[None]:
    yield
    ray.shutdown()


def build(device: str) -> Worker:
    def work(payload: Any, progress: Callable[[int], None]) -> Any:
        if payload == "die":
            os._exit(3)
        if payload == "refuse":
            raise PredictorError("no")
        if payload == "threads":
            return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]
        progress(2)
        return f"{payload} on {device}"

    return work


def refuse(device: str) -> Worker:
    raise PredictorError(f"cannot be built on {device}")


def test_an_actor_that_dies_costs_its_job_and_no_other() -> None:
    heard: list[Event] = []
    jobs = [Job(name, cost=1, payload=name) for name in ("a", "die", "refuse", "b")]
    RayExecutor(workers=1, device="cpu").map(build, jobs, heard.append)
    ended = {event.name: event for event in heard if isinstance(event, Finished)}
    assert ended["a"].result == "a on cpu"
    assert ended["b"].result == "b on cpu"
    assert ended["refuse"].error == "no"
    assert "its Ray actor died" in str(ended["die"].error)
    assert Progressed("a", 2) in heard


def test_actors_have_the_threads_of_their_jobs() -> None:
    heard: list[Event] = []
    executor = RayExecutor(device="cpu")
    executor.map(build, [Job("a", 1, "threads")], heard.append, threads=3)
    (ended,) = (event for event in heard if isinstance(event, Finished))
    assert ended.result == ("3", "1")


def test_what_no_job_can_survive_ends_everything() -> None:
    with pytest.raises(PredictorError, match="cannot be built on cpu"):
        RayExecutor(workers=1, device="cpu").map(
            refuse, [Job("a", cost=1, payload=None)], lambda event: None
        )
