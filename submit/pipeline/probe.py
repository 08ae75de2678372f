"""What the steps of a recipe take: some frames of a few videos, with the real code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ..data import SplitVideo
from ..executors import Event, Finished, Job, Worker
from ..executors.base import Build
from ..executors.schedule import finish_times
from ..png.palette import encode
from ..system.machine import ProcessMemory, cores, process_memory

__all__ = [
    "Cost",
    "Fitted",
    "JobTiming",
    "OnceCost",
    "ProbeExecutor",
    "Shape",
    "StepCost",
    "ThreadCost",
    "beginning",
    "choose_videos",
]

#: Frames after which a model has filled its memory, so that frames cost the same.
_SETTLED = 8

#: Fewest videos to probe: the sizes of masks differ much from video to video.
_FEWEST = 6


@dataclass(frozen=True)
class Shape:
    """The facts about a video that its cost depends on.

    Attributes:
        frames: Number of frames.
        objects: Number of objects.
        pixels: Pixels of a frame, in millions.
        mask: Bytes of the first mask as a PNG, in thousands: how long the edges are.
    """

    frames: int
    objects: int
    pixels: float
    mask: float

    @classmethod
    def of(cls, video: SplitVideo) -> Shape:
        """The shape of a video.

        Raises:
            SubmitError: Its first frame or mask cannot be read.
        """
        return cls(
            video.length,
            len(video.objects),
            video.height * video.width / 1e6,
            len(encode(video.first_mask())) / 1e3,
        )

    @property
    def places(self) -> tuple[float, ...]:
        """What the time and the memory of a frame follow."""
        return 1.0, self.objects, self.pixels, self.objects * self.pixels

    @property
    def edges(self) -> tuple[float, ...]:
        """What the size of a frame's masks follows."""
        return 1.0, self.mask

    @property
    def both(self) -> tuple[float, ...]:
        """What the size of a frame's logits follows."""
        return *self.places, self.mask


class Fitted:
    """A quantity of a frame: a sum of parts, none of which is negative.

    Over all samples together it is right. Errors that count in relation to the values
    alone would favour small values: where the parts explain little, as with the masks
    of random weights, the sum came to a third of the truth.

    Args:
        samples: Shapes and the quantity that was measured there; at least one.
        terms: What each part is proportional to.
    """

    def __init__(
        self,
        samples: Sequence[tuple[Shape, float]],
        terms: Callable[[Shape], tuple[float, ...]] = lambda shape: shape.places,
    ) -> None:
        from scipy.optimize import nnls

        values = np.array([value for _, value in samples])
        # Errors count in relation to the value.
        weights = 1 / np.maximum(values, max(values.max() * 1e-3, 1e-12))
        rows = np.array([terms(shape) for shape, _ in samples])
        self._terms = terms
        parts = nnls(rows * weights[:, None], values * weights)[0]
        fitted = float((rows @ parts).sum())
        self._parts = parts * (values.sum() / fitted) if fitted > 0 else parts

    def __call__(self, shape: Shape) -> float:
        """The quantity of one frame."""
        return float(np.dot(self._parts, self._terms(shape)))


@dataclass(frozen=True)
class JobTiming:
    """The time of one video in a worker.

    Attributes:
        name: The video.
        frames: Its frames.
        total: Seconds in all.
        begin: Seconds beside its frames.
        frame: Seconds of a frame.
        processor: Processor seconds of a frame, on all cores.
        loaded: Processor seconds of the worker before the video.
        once: Processor seconds beside its frames.
        memory: The worker's memory at its most.
        gpu_memory: Bytes of a GPU that the worker has taken at most.
    """

    name: str
    frames: int
    total: float
    begin: float
    frame: float
    processor: float
    loaded: float
    once: float
    memory: ProcessMemory
    gpu_memory: int


class StepCost:
    """What a step takes that maps over videos.

    Args:
        start: Seconds until the first video began.
        timings: The videos, in the order in which they were done.
        shapes: The shape of each.
        delayed: Whether all predictions come at the end, so that only the times of two
            videos of different length tell frames from the beginning.
        passes: How often each frame is done.
    """

    def __init__(
        self,
        start: float,
        timings: Sequence[JobTiming],
        shapes: Mapping[str, Shape],
        *,
        delayed: bool = False,
        passes: int = 1,
    ) -> None:
        self._start, self._passes = start, passes
        if delayed:
            self._begin, timings = _apart(timings)
        else:
            self._begin = min(one.begin for one in timings)
            # The first video also loads what the others need.
            self._start += timings[0].begin - self._begin
        known = [(shapes[one.name], one) for one in timings]
        self._frame = Fitted([(shape, one.frame) for shape, one in known])
        self._processor = Fitted([(shape, one.processor) for shape, one in known])
        self._loaded = timings[0].loaded + timings[0].once
        self._once = min(one.once for one in timings)
        #: The memory of a worker, with the videos that take most.
        self.memory = ProcessMemory(
            own=max(one.memory.own for one in timings),
            shared=max(one.memory.shared for one in timings),
        )
        #: Bytes of a GPU that a worker takes.
        self.gpu_memory = max(one.gpu_memory for one in timings)

    def seconds(
        self, shapes: Sequence[Shape], workers: int, *, machines: int = 1
    ) -> float:
        """The time of the step for some videos.

        Args:
            shapes: The videos.
            workers: Workers of a machine.
            machines: How many machines as this one share the videos.
        """
        if not shapes:
            return 0.0
        beside = min(workers, -(-len(shapes) // machines))
        costs = [
            self._begin + self._frames(shape) * self._of_frame(shape, beside)
            for shape in shapes
        ]
        start = self._start * max(1.0, beside / cores())
        return start + finish_times(costs, beside * machines)[-1]

    def processor(self, shapes: Sequence[Shape], workers: int) -> float:
        """Processor seconds of all workers together for some videos."""
        frames = sum(self._frames(shape) * self._processor(shape) for shape in shapes)
        return (
            min(workers, len(shapes)) * self._loaded + len(shapes) * self._once + frames
        )

    def _frames(self, shape: Shape) -> int:
        return shape.frames * self._passes

    def _of_frame(self, shape: Shape, workers: int) -> float:
        """Seconds of a frame, where workers share the cores."""
        return max(self._frame(shape), self._processor(shape) * workers / cores())


class ThreadCost:
    """What a step takes whose videos are shared by threads of one process.

    It is done twice: once to load what it needs, and once more.

    Args:
        make: Does the step in one thread.
        units: How much of it each video is.
        shapes: The videos that it does.
        alone: Whether more threads do not make it faster.
    """

    def __init__(
        self,
        make: Callable[[], object],
        units: Callable[[Shape], float],
        shapes: Collection[Shape],
        *,
        alone: bool = False,
    ) -> None:
        (first, loaded), (again, used) = _clocked(make), _clocked(make)
        self._start, self._loaded = max(0.0, first - again), max(0.0, loaded - used)
        whole = sum(map(units, shapes))
        self._seconds, self._processor = again / whole, used / whole
        self._units, self._alone = units, alone

    def seconds(
        self, shapes: Sequence[Shape], workers: int, *, machines: int = 1
    ) -> float:
        """The time of the step for some videos; other machines do not help."""
        del machines
        share = sum(map(self._units, shapes)) * self._seconds
        return self._start + share / (1 if self._alone else min(workers, cores()))

    def processor(self, shapes: Sequence[Shape], workers: int) -> float:
        """Processor seconds of all threads together."""
        del workers
        return self._loaded + sum(map(self._units, shapes)) * self._processor


class OnceCost:
    """What a step takes that is the same for any videos.

    Args:
        make: Does the step.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self._seconds, self._processor = _clocked(make)

    def seconds(
        self, shapes: Sequence[Shape], workers: int, *, machines: int = 1
    ) -> float:
        """The time of the step."""
        return self._seconds

    def processor(self, shapes: Sequence[Shape], workers: int) -> float:
        """Its processor seconds."""
        return self._processor


Cost: TypeAlias = "StepCost | ThreadCost | OnceCost"


def _clocked(make: Callable[[], object]) -> tuple[float, float]:
    """Seconds and processor seconds of a call."""
    began, used = time.monotonic(), time.process_time()
    make()
    return time.monotonic() - began, time.process_time() - used


def _apart(timings: Sequence[JobTiming]) -> tuple[float, list[JobTiming]]:
    """Tell what a video takes at its beginning from what its frames take.

    Args:
        timings: Two of them are of the same video, the shorter one last.

    Returns:
        The seconds at the beginning, and the timings without it.
    """
    *longer, short = timings
    same = min(longer, key=lambda one: (not short.name.startswith(one.name), one.name))
    frames = max(same.frames - short.frames, 1)
    slope = max(same.total - short.total, 0.0) / frames
    begin = max(0.0, min(one.total for one in timings) - short.frames * slope)
    return begin, [
        replace(one, begin=begin, frame=max(one.total - begin, 0.0) / one.frames)
        for one in timings
    ]


class ProbeExecutor:
    """Runs jobs one by one in a process of its own, and keeps what they took.

    Args:
        device: Where the worker computes.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        #: Seconds until the first video of the last call began, and all its videos.
        self.start, self.timings = 0.0, list[JobTiming]()

    def map(
        self,
        build: Build,
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        """Run all jobs; see `Executor`."""
        from ..executors.local import LocalExecutor

        self.start, self.timings = 0.0, []
        began = time.monotonic()

        def hear(event: Event) -> None:
            if isinstance(event, Finished) and isinstance(event.result, _Timed):
                timed = event.result
                if not self.timings:
                    self.start = max(0.0, timed.began - began)
                self.timings.append(replace(timed.timing, name=event.name))
                event = replace(event, result=timed.result)
            notify(event)

        executor = LocalExecutor(workers=1, devices=(self._device,), processes=True)
        executor.map(_TimedBuild(build), jobs, hear, threads=threads)

    def cost(
        self, shapes: Mapping[str, Shape], *, delayed: bool = False, passes: int = 1
    ) -> StepCost:
        """What the last call says of other videos.

        Args:
            shapes: The shapes of its videos.
            delayed: See `StepCost`.
            passes: See `StepCost`.
        """
        return StepCost(
            self.start, self.timings, shapes, delayed=delayed, passes=passes
        )


@dataclass(frozen=True)
class _Timed:
    """What a worker returns for a video, and what it took."""

    result: Any
    began: float
    timing: JobTiming


@dataclass(frozen=True)
class _TimedBuild:
    """Makes workers that say what each video took."""

    build: Build

    def __call__(self, device: str) -> Worker:
        return partial(_timed, self.build(device))


def _timed(worker: Worker, payload: Any, progress: Callable[[int], None]) -> _Timed:
    """Do a job, with the clock beside it."""
    stamps = [(0, time.monotonic(), time.process_time())]

    def count(frames: int) -> None:
        done = stamps[-1][0] + frames
        stamps.append((done, time.monotonic(), time.process_time()))
        progress(frames)

    result = worker(payload, count)
    frames = max(stamps[-1][0], 1)
    settled = next(one for one in stamps if one[0] >= min(_SETTLED, frames // 2))
    began, total = stamps[0][1], time.monotonic() - stamps[0][1]
    later = frames - settled[0]
    frame = (began + total - settled[1]) / later
    now = time.process_time()
    used, processor = now - stamps[0][2], (now - settled[2]) / later
    return _Timed(
        result,
        began,
        JobTiming(
            name="",
            frames=frames,
            total=total,
            begin=max(0.0, total - frames * frame),
            frame=frame,
            processor=processor,
            loaded=stamps[0][2],
            once=max(0.0, used - frames * processor),
            memory=process_memory(),
            gpu_memory=_gpu_memory(),
        ),
    )


def _gpu_memory() -> int:
    """Most bytes of GPUs that this process has taken."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_reserved())


def choose_videos(shapes: Mapping[str, Shape], *, short: bool) -> list[str]:
    """The videos to probe: those with most and fewest objects and pixels, and others.

    Args:
        shapes: All videos.
        short: Whether the whole videos are probed, so that short ones are better.
    """
    ends: list[Callable[[Shape], tuple[float, float]]] = [
        lambda shape: (shape.objects, shape.pixels),
        lambda shape: (-shape.objects, shape.pixels),
        lambda shape: (shape.pixels, shape.objects),
        lambda shape: (-shape.pixels, -shape.objects),
    ]
    chosen: list[str] = []
    for end in ends:
        best = max(map(end, shapes.values()))
        alike = [name for name, shape in shapes.items() if end(shape) == best]
        if not set(alike) & set(chosen):
            sign = 1 if short else -1
            chosen.append(min(alike, key=lambda name: sign * shapes[name].frames))
    # Others as well, with masks of all sizes.
    others = sorted(
        (name for name in shapes if name not in chosen),
        key=lambda name: (shapes[name].mask, name),
    )
    count = min(_FEWEST - len(chosen), len(others))
    for index in range(count):
        start, stop = (len(others) * place // count for place in (index, index + 1))
        group = others[start:stop]
        shortest = min(group, key=lambda name: shapes[name].frames)
        chosen.append(shortest if short else group[len(group) // 2])
    return chosen


def beginning(video: SplitVideo, frames: int, *, name: str | None = None) -> SplitVideo:
    """The first frames of a video, as a video of its own."""
    kept = video.frames[:frames]
    return replace(
        video,
        name=name or video.name,
        frames=kept,
        images={one: video.images[one] for one in kept if one in video.images},
        masks={one: video.masks[one] for one in kept if one in video.masks},
        meta=None,
    )
