"""`submit plan`: what a recipe will take, from a short probe of all its steps.

The steps are done with the real code, in a temporary folder, with the first frames of a
few videos of the split. What a frame takes there, in time, memory and bytes, follows
objects and pixels (see `probe.Fitted`); the rest follows the number of frames.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..predictors import Predictor
from ..system.machine import memory_available, process_memory
from ..system.urls import Place
from ..system.words import format_bytes
from .outcome import Monitor, silent
from .probe import Shape
from .recipe import Recipe
from .rehearsal import Rehearsal, Rehearsed
from .remaining import Obstacle

__all__ = [
    "ForecastStep",
    "RecipeForecast",
    "WorkersForecast",
    "forecast",
]

#: Frames of each probed video.
PROBE_FRAMES = 20

#: Steps in which other machines can help.
_SHARED = ("predict",)


@dataclass(frozen=True)
class ForecastStep:
    """What one step will take.

    Attributes:
        name: The run.
        does: `sample`, `predict`, `import`, `anchors`, `route`, `ensemble`, `export`,
            `score`, `pack` or `check`.
        videos: Videos that it will make; 0 if all is done.
        frames: Their frames.
        seconds: Its time with the default number of workers.
        processor: Processor seconds of all its processes.
        workers: The default number of workers.
        memory: Bytes of all its processes.
        disk: Bytes that it will write.
        remark: What is not certain; empty if nothing.
    """

    name: str
    does: str
    videos: int
    frames: int
    seconds: float
    processor: float
    workers: int
    memory: int
    disk: int
    remark: str = ""


@dataclass(frozen=True)
class WorkersForecast:
    """What all steps take with some number of workers.

    Attributes:
        executor: `local`, or `ray` for several machines as this one.
        machines: Number of machines.
        workers: Workers of each machine.
        seconds: Time in all.
        memory: Bytes of the step that takes most, on each machine.
        fits: Whether the memory of this machine is enough.
        chosen: Whether the command uses it.
    """

    executor: str
    machines: int
    workers: int
    seconds: float
    memory: int
    fits: bool
    chosen: bool


@dataclass(frozen=True)
class RecipeForecast:
    """What a recipe will take.

    Attributes:
        split: Folder of the split, or its URL.
        videos: Videos of the split.
        frames: Its frames.
        probed: Frames that were made to find out.
        steps: The steps, in order.
        choices: The same with other numbers of workers.
        seconds: Time in all, with the default number of workers.
        processor: Processor seconds of all processes.
        memory: Bytes of the step that takes most.
        memory_free: Bytes that are free now; None where that is not known.
        gpu_memory: Bytes that a worker takes on its GPU; 0 without one.
        disk: Bytes that all steps will write.
        disk_free: Bytes that are free where runs are kept.
        upload: Bytes of the zip.
        problems: What will not fit.
    """

    split: Place
    videos: int
    frames: int
    probed: int
    steps: tuple[ForecastStep, ...]
    choices: tuple[WorkersForecast, ...]
    seconds: float
    processor: float
    memory: int
    memory_free: int | None
    gpu_memory: int
    disk: int
    disk_free: int
    upload: int
    problems: tuple[Obstacle, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems


def forecast(
    recipe: Recipe,
    *,
    workers_of: Callable[[Predictor], tuple[int, Sequence[str]]],
    device: str = "auto",
    workers: int | None = None,
    frames: int = PROBE_FRAMES,
    begun: float = 0.0,
    monitor: Monitor = silent,
) -> RecipeForecast:
    """Find out what a recipe will take; nothing but temporary files is written.

    Args:
        recipe: The recipe.
        workers_of: The workers and the devices that a model gets.
        device: Where models run.
        workers: Workers of steps without a model; one for each core by default.
        frames: Frames of each probed video.
        begun: Seconds that a command takes until it begins its first step.
        monitor: Opens a progress bar for the probe.

    Raises:
        SubmitError: The recipe cannot be done at all: the split, a model or a file of
            settings is not there.
    """
    with tempfile.TemporaryDirectory(prefix="submit-plan-") as folder:
        rehearsal = Rehearsal(
            recipe,
            Path(folder),
            workers_of=workers_of,
            device=device,
            workers=workers,
            frames=frames,
        )
        sums = _Sums(recipe, rehearsal, begun)
        with monitor("plan", total=rehearsal.frames * rehearsal.count) as bar:
            rehearsal.make(bar.advance)
        return sums.result()


class _Sums:
    """Adds up what the steps take."""

    def __init__(self, recipe: Recipe, rehearsal: Rehearsal, begun: float) -> None:
        self._recipe, self._rehearsal, self._begun = recipe, rehearsal, begun
        # Before the rehearsal, which loads things into this process, too.
        self._free, self._parent = memory_available(), process_memory()
        self._alone = self._parent.own + self._parent.shared

    def result(self) -> RecipeForecast:
        """Add all up."""
        planned, free = self._rehearsal.steps, self._free
        steps = tuple(map(self._step, planned))
        usual = max([one.workers for one in planned if one.memory], default=1)
        choices = [
            self._choice(workers, machines, usual)
            for workers, machines in _choices(usual)
            if any(one.videos for one in planned)
        ]
        disk = sum(step.disk for step in steps)
        disk_free = shutil.disk_usage(_nearest(self._recipe.runs_folder)).free
        memory = max([step.memory for step in steps], default=self._alone)
        self._compare(memory, choices, disk, disk_free)
        return RecipeForecast(
            split=self._recipe.split,
            videos=len(self._rehearsal.shapes),
            frames=sum(shape.frames for shape in self._rehearsal.shapes.values()),
            probed=self._rehearsal.frames * self._rehearsal.count,
            steps=steps,
            choices=tuple(choices),
            seconds=self._begun + sum(step.seconds for step in steps),
            processor=self._begun + sum(step.processor for step in steps),
            memory=memory,
            memory_free=free,
            gpu_memory=max([one.gpu_memory for one in planned], default=0),
            disk=disk,
            disk_free=disk_free,
            upload=next((step.disk for step in steps if step.does == "pack"), 0),
            problems=tuple(self._rehearsal.problems),
        )

    def _step(self, one: Rehearsed) -> ForecastStep:
        shapes = self._shapes(one)
        return ForecastStep(
            name=one.name,
            does=one.does,
            videos=len(shapes),
            frames=sum(shape.frames for shape in shapes),
            seconds=one.cost.seconds(shapes, one.workers)
            if one.cost and shapes
            else 0.0,
            processor=one.cost.processor(shapes, one.workers)
            if one.cost and shapes
            else 0.0,
            workers=one.workers,
            memory=self._memory(one, min(one.workers, len(shapes))),
            disk=round(sum(one.bytes(shape) * shape.frames for shape in shapes)),
            remark=one.remark,
        )

    def _choice(self, workers: int, machines: int, usual: int) -> WorkersForecast:
        seconds, memory = self._begun, self._alone
        for one in self._rehearsal.steps:
            shapes = self._shapes(one)
            if one.cost is None or not shapes:
                continue
            # Steps without a model stay on this machine.
            many = machines if one.does in _SHARED else 1
            seconds += one.cost.seconds(shapes, workers, machines=many)
            memory = max(memory, self._memory(one, min(workers, len(shapes))))
        return WorkersForecast(
            executor="local" if machines == 1 else "ray",
            machines=machines,
            workers=workers,
            seconds=seconds,
            memory=memory,
            fits=self._has_room(memory),
            chosen=(workers, machines) == (usual, 1),
        )

    def _compare(
        self,
        memory: int,
        choices: Sequence[WorkersForecast],
        disk: int,
        disk_free: int,
    ) -> None:
        """Note what does not fit."""
        free = self._free
        if free is not None and not self._has_room(memory):
            fitting = [one.workers for one in choices if one.fits]
            sizes = _needed(memory, free)
            self._rehearsal.problems.append(
                Obstacle(
                    f"memory: {sizes}",
                    f"use --workers {max(fitting)}"
                    if fitting
                    else "close other programs, or use a smaller input size or a "
                    "smaller network",
                )
            )
        if disk > disk_free:
            self._rehearsal.problems.append(
                Obstacle(
                    f"{self._recipe.runs_folder}: {_needed(disk, disk_free)}",
                    "free some, or set runs in the recipe to a folder on another disk",
                )
            )

    def _shapes(self, one: Rehearsed) -> list[Shape]:
        """The videos that a step will make."""
        return [self._rehearsal.shapes[name] for name in one.videos]

    def _memory(self, one: Rehearsed, workers: int) -> int:
        """Bytes of a step with its workers, and of this process."""
        if one.memory is None or not workers:
            return self._alone
        shared = max(self._parent.shared, one.memory.shared)
        return self._parent.own + shared + workers * one.memory.own

    def _has_room(self, memory: int) -> bool:
        """Whether there is so much memory; this process has its part already."""
        return self._free is None or memory - self._alone <= self._free


def _choices(usual: int) -> Iterator[tuple[int, int]]:
    """Numbers of workers and machines to say something about."""
    workers = 1
    while workers < usual:
        yield workers, 1
        workers *= 2
    for machines in (1, 2, 4, 8):
        yield usual, machines


def _needed(needed: int, free: int) -> str:
    return f"{format_bytes(needed)} are needed, {format_bytes(free)} are free"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.exists())
