"""Measure how long workers are idle at the end of a run, on MOSEv2 valid's lengths.

The 433 lengths are quantiles of the log-normal distribution whose sum is 66,526 frames
and whose longest is 7,825. The model is a stand-in that sleeps for each frame; all else
is the real executor with its processes. Idle time is the time that workers wait for the
last one, as a share of the time of all workers.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from submit.executors import Event, Finished, Job, LocalExecutor, Worker
from submit.executors.schedule import finish_times, least_time

__all__ = ["scheduling"]

_VIDEOS, _FRAMES, _LONGEST = 433, 66_526, 7_825


def valid_lengths() -> list[int]:
    """Frames of each video, descending."""
    places = [(place + 0.5) / _VIDEOS for place in range(_VIDEOS)]
    normal = [statistics.NormalDist().inv_cdf(place) for place in places]

    def lengths(spread: float) -> list[float]:
        found = [math.exp(spread * (each - normal[-1])) for each in normal]
        return [_LONGEST * each for each in found]

    low, high = 0.1, 5.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if sum(lengths(middle)) > _FRAMES else (low, middle)
    found = [max(round(each), 2) for each in reversed(lengths(low))]
    for place in range(abs(missing := _FRAMES - sum(found))):
        found[1 + place % (_VIDEOS - 1)] += 1 if missing > 0 else -1
    return found


@click.command()
@click.option(
    "--workers", "counts", multiple=True, type=int, default=(8, 16), show_default=True
)
@click.option(
    "--frame", "per_frame", default=2.0, show_default=True, help="Milliseconds each."
)
def scheduling(counts: Sequence[int], per_frame: float) -> None:
    """Run videos of 66,526 frames in all on some workers that sleep."""
    lengths = valid_lengths()
    click.echo(
        f"{len(lengths)} videos, {sum(lengths):,} frames, mean "
        f"{sum(lengths) / len(lengths):.1f}, median {statistics.median(lengths):g}, "
        f"longest {lengths[0]:,} and {lengths[1]:,}; {per_frame:g} ms a frame"
    )
    click.echo(f"{'':30}{'frames':>9}  {'of the bound':>12}  {'idle at the end':>15}")
    for workers in counts:
        bound = least_time(lengths, workers)
        click.echo(f"{workers} workers: bound {bound:26,.0f}")
        _show("  virtual time", finish_times(lengths, workers), bound)
        ends, waited = _run(lengths, workers, per_frame / 1000)
        _show("  real executor", ends, bound)
        click.echo(
            f"  (until its first video a worker needed {waited * per_frame / 1000:.2f} "
            "s more than the first one, which is not counted)"
        )


def _show(title: str, ends: Sequence[float], bound: float) -> None:
    last = max(ends)
    idle = sum(last - end for end in ends) / (len(ends) * last)
    click.echo(f"{title:30}{last:9,.0f}  {last / bound:12.3f}  {idle:15.2%}")


def _run(
    lengths: Sequence[int], workers: int, per_frame: float
) -> tuple[list[float], float]:
    """Run all on the real executor.

    Returns:
        The end of each worker after the start of the first one, and how much later the
        others started on average, both in frames.
    """
    spans: dict[int, list[tuple[float, float]]] = {}

    def hear(event: Event) -> None:
        if isinstance(event, Finished):
            assert event.error is None, event.error
            process, began, ended = event.result
            spans.setdefault(process, []).append((began, ended))

    jobs = [Job(f"v{n:03}", length, length) for n, length in enumerate(lengths)]
    build = partial(_build, per_frame=per_frame)
    LocalExecutor(workers=workers).map(build, jobs, hear)
    starts = [min(own)[0] for own in spans.values()]
    first = min(starts)
    ends = [(max(own)[1] - first) / per_frame for own in spans.values()]
    later = (statistics.mean(starts) - first) / per_frame
    return ends, later


def _build(device: str, *, per_frame: float) -> Worker:
    del device
    return partial(_sleep, per_frame)


def _sleep(per_frame: float, length: int, progress: Callable[[int], None]) -> Any:
    """Sleep for a video, and say when."""
    began = time.monotonic()
    for second in range(math.ceil(length * per_frame)):
        time.sleep(
            max(0, min(second + 1, length * per_frame) + began - time.monotonic())
        )
        progress(0)
    return os.getpid(), began, time.monotonic()
