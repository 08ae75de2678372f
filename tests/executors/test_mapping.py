from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from submit.errors import MaskError, PredictorError, StorageError
from submit.executors import (
    Event,
    Executor,
    Finished,
    Job,
    LocalExecutor,
    Postponed,
    Progressed,
    Warned,
    map_jobs,
)
from submit.predictors import Remark
from tests.inline import Inline

JOBS = [Job(name, cost, cost) for name, cost in (("b", 3), ("a", 7), ("c", 5))]


def square(number: int, progress: Callable[[int], None]) -> int:
    progress(1)
    progress(number - 1)
    return number**2


def refuse(number: int, progress: Callable[[int], None]) -> int:
    raise MaskError(f"{number}: is no mask")


def fill(number: int, progress: Callable[[int], None]) -> int:
    raise StorageError("the disk is full")


def fail(number: int, progress: Callable[[int], None]) -> int:
    raise ValueError(f"of {number}")


class Says:
    """An executor that says something of a job `a`, and then what came of it."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def map(
        self,
        build: Any,
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        for event in self._events:
            notify(event)


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(None, id="threads"),
        pytest.param(Inline(), id="executor"),
        pytest.param(LocalExecutor(workers=2), id="processes", marks=pytest.mark.slow),
    ],
)
def test_results_come_in_the_order_of_the_jobs(executor: Executor | None) -> None:
    told: Counter[str] = Counter()

    def progress(name: str, frames: int) -> None:
        told[name] += frames

    done = map_jobs(square, JOBS, executor=executor, progress=progress)
    assert done == [9, 49, 25]
    assert told == {"b": 3, "a": 7, "c": 5}


@pytest.mark.parametrize("executor", [None, Inline()], ids=["threads", "executor"])
def test_what_a_job_raises_is_raised(executor: Executor | None) -> None:
    with pytest.raises(MaskError, match="3: is no mask"):
        map_jobs(refuse, JOBS[:1], executor=executor)
    with pytest.raises(StorageError, match="the disk is full"):
        map_jobs(fill, JOBS[:1], executor=executor)


def test_a_bug_in_a_worker_is_said_with_its_place() -> None:
    with pytest.raises(PredictorError, match=r"(?s)b: ValueError: of 3 \(a bug.*fail"):
        map_jobs(fail, JOBS, executor=Inline())


def test_a_machine_without_the_files_ends_the_work(tmp_path: Path) -> None:
    masks = tmp_path / "masks.zip"
    masks.write_bytes(b"zip")

    class Elsewhere(Inline):
        """A machine on which the zip is missing, or another one."""

        def map(self, *args: Any, **more: Any) -> None:
            content = there.pop()
            if content is None:
                masks.unlink()
            else:
                masks.write_bytes(content)
            super().map(*args, **more)

    there = [None, b"other zip"]
    for what in ("is another file", "is not there"):
        with pytest.raises(PredictorError, match=rf"masks\.zip: {what} on "):
            map_jobs(square, JOBS, executor=Elsewhere(), needs=(masks, tmp_path))
        masks.write_bytes(b"zip")
    assert map_jobs(square, JOBS, executor=Inline(), needs=(masks, tmp_path))


def test_frames_of_a_second_attempt_count_once() -> None:
    told: list[int] = []
    says = Says(
        Progressed("a", 5),
        Postponed("a", "memory ran out"),
        Progressed("a", 7),
        Finished("a", result=1),
    )
    with pytest.warns(Remark, match="a: memory ran out; it is tried once more"):
        done = map_jobs(
            square,
            [Job("a", 7, 7)],
            executor=says,
            progress=lambda name, frames: told.append(frames),
        )
    assert done == [1]
    assert told == [5, -5, 7]


def test_what_a_worker_warns_of_is_passed_on() -> None:
    says = Says(Warned("a", "a: its node was lost"), Finished("a", result=1))
    with pytest.warns(Remark, match="a: its node was lost"):
        map_jobs(square, [Job("a", 7, 7)], executor=says)


def test_a_job_that_kills_its_worker_twice_ends_the_work() -> None:
    says = Says(Finished("a", error="its Ray actor died; it was tried once more"))
    with pytest.raises(PredictorError, match="a: its Ray actor died"):
        map_jobs(square, [Job("a", 7, 7)], executor=says)
