"""What the cluster executor makes of Ray's errors, without Ray."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from submit.executors import Event, Finished, Job, Warned
from submit.executors.ray import _Cluster


class RayActorError(Exception):
    """As in Ray: none of these three is a kind of another one."""


class OutOfMemoryError(Exception):
    pass


class ObjectLostError(Exception):
    pass


class FakeRay:
    """One actor after another; a reference is an outcome that is raised or returned.

    Attributes:
        exceptions: As Ray names them.
        killed: How many actors were ended.
    """

    exceptions = SimpleNamespace(
        RayActorError=RayActorError,
        OutOfMemoryError=OutOfMemoryError,
        ObjectLostError=ObjectLostError,
    )

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.killed = 0

    def start(self) -> Any:
        return SimpleNamespace(
            ready=SimpleNamespace(remote=lambda: ("ready", object())),
            do=SimpleNamespace(remote=lambda job, number: (job, number)),
        )

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], Any]:
        del timeout
        return references[:1], None

    def get(self, reference: Any) -> Any:
        if reference[0] == "ready":
            return None
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return Finished(reference[0].name, result=(outcome, reference[1]))

    def kill(self, worker: Any) -> None:
        del worker
        self.killed += 1

    def nodes(self) -> list[Any]:
        return []


def run(ray: FakeRay) -> list[Event]:
    """Do one job; returns what was said."""
    said: list[Event] = []
    events: Any = SimpleNamespace(
        begin=lambda name, number: None, pass_on=lambda: None, say=said.append
    )
    cluster = _Cluster(ray, ray.start, events, count=1, needs="num_cpus=1")
    cluster.run([Job("a", cost=1, payload=None)])
    return said


def test_actor_that_ray_ends_for_its_memory_costs_its_job_only() -> None:
    (ended,) = run(FakeRay(OutOfMemoryError("the node runs low on memory")))
    assert isinstance(ended, Finished)
    assert ended.again == "its Ray actor died (the node runs low on memory)"
    assert "fewer --workers" in str(ended.error)


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_job_whose_result_was_lost_with_its_node_is_done_again(losses: int) -> None:
    ray = FakeRay(*[ObjectLostError("lost")] * losses, "found")
    *before, ended = run(ray)
    assert all(isinstance(one, Warned) for one in before)
    assert isinstance(ended, Finished)
    if losses < 3:
        assert ended.result == ("found", losses)
    else:
        assert "3 nodes of the Ray cluster were lost" in str(ended.error)
    assert ray.killed >= losses
