"""Who gets which video: the real executor, on a clock that this file moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from submit.executors import Event, Finished, Job, LocalExecutor, Worker
from submit.executors.schedule import finish_times, least_time

#: Frames of videos whose longest needs as much as a fair share of all.
COSTS = (50, 31, 17, 9, 6, 5, 4, 3, 3, 2, 2, 1)


@pytest.mark.parametrize(
    ("costs", "workers", "ends"),
    [
        ((3, 9, 2, 4, 1), 2, [9, 10]),
        ((7,), 3, [0, 0, 7]),
        ((), 2, [0, 0]),
        (COSTS, 1, [sum(COSTS)]),
        # The longest is given out first, so that all others fit beside it.
        (COSTS, 3, [41, 42, 50]),
    ],
)
def test_a_free_worker_takes_the_longest_video_that_is_left(
    costs: tuple[float, ...], workers: int, ends: list[float]
) -> None:
    found = finish_times(costs, workers)
    assert found == ends
    assert found[-1] >= least_time(costs, workers)
    # No order of this kind is later than a video after the least time.
    assert found[-1] <= least_time(costs, workers) + max(costs, default=0)


def build(device: str) -> Worker:
    del device
    return work


def work(payload: tuple[Path, str], progress: Callable[[int], None]) -> Any:
    """Say that a video has begun, and wait until it may end."""
    folder, name = payload
    (folder / f"{name}.begun").touch()
    while not (folder / f"{name}.ends").exists():
        time.sleep(0.005)
    return threading.get_native_id()


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


@pytest.mark.slow
def test_the_executor_gives_videos_out_as_in_virtual_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.syspath_prepend(repository)
    costs = {f"v{place}": cost for place, cost in enumerate(COSTS)}
    ends: dict[str, float] = {}
    workers: dict[str, int] = {}

    def hear(event: Event) -> None:
        if isinstance(event, Finished):
            workers[event.name] = event.result

    def names(kind: str) -> set[str]:
        return {path.stem for path in tmp_path.glob(f"*.{kind}")}

    def running(count: int) -> set[str]:
        found = names("begun") - ends.keys()
        return found if len(found) == count else set()

    jobs = [Job(name, cost, (tmp_path, name)) for name, cost in costs.items()]
    jobs.reverse()
    executor = LocalExecutor(workers=3)
    thread = threading.Thread(target=partial(executor.map, build, jobs, hear))
    thread.start()
    now = 0.0
    begun: dict[str, float] = {}
    while len(ends) < len(costs):
        count = min(3, len(costs) - len(ends))
        here = until(partial(running, count))
        begun |= dict.fromkeys(here - begun.keys(), now)
        # Of those that end at the same time, the first: it is the same each time.
        first = min(here, key=lambda name: (begun[name] + costs[name], name))
        now = ends[first] = begun[first] + costs[first]
        (tmp_path / f"{first}.ends").touch()
        until(partial(workers.__contains__, first))
    thread.join()
    last = dict.fromkeys(workers.values(), 0.0)
    for name, worker in workers.items():
        last[worker] = max(last[worker], ends[name])
    assert sorted(last.values()) == finish_times(COSTS, 3)
    # They begin in falling order of their lengths.
    order = sorted(begun, key=lambda name: (begun[name], -costs[name]))
    assert [costs[name] for name in order] == sorted(COSTS, reverse=True)
