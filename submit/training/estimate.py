"""What a training will take, before it starts: memory, time and disk.

Memory and operations are those of one step with the most that a recipe allows, computed
from shapes alone (`meter`). Time follows from how fast the device multiplies matrices,
and from how long some clips take to load.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..data import read_split
from ..errors import TrainingError
from ..system.machine import cores, memory_available, memory_in_use
from .index import build_index
from .maker import ClipMaker
from .protocol import Batch, Trainer, TrainerDescription
from .recipe import TrainingRecipe, read_recipe
from .step import precision_of

if TYPE_CHECKING:
    import torch

__all__ = ["MemoryEstimate", "Remedy", "TimeEstimate", "TrainingEstimate", "estimate"]

#: What a process takes beside its tensors: a share of them that allocators lose, and
#: bytes: on a GPU for CUDA and its libraries, on the processor for those of PyTorch.
_LOST = {"cuda": 0.08, "cpu": 0.08}
_PROGRAM = {"cuda": 1 << 30, "cpu": 100 << 20}
#: Share of the speed of large products of matrices that a step reaches.
_EFFICIENCY = {"cuda": 0.25, "cpu": 0.5}
#: Operations a second that a large GPU reaches in a training; where none is at hand.
_LARGE_GPU = 150e12
#: Bytes of a process that loads clips, and how many clips it holds.
_LOADER, _HELD = 250 << 20, 3
#: Clips that are loaded to see how long that takes, and videos of each source for it.
_CLIPS, _VIDEOS = 3, 2
#: Bytes of a line of the log.
_LINE = 250


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one process that trains, on its device.

    Attributes:
        weights: Weights and buffers of the network.
        optimiser: Gradients, the two means of AdamW, and the moving average.
        clips: What a step keeps for its backward pass, at most.
        program: Everything else: libraries, and what allocators lose.
        total: All of it.
        room: What the device has; None if that is not known.
    """

    weights: int
    optimiser: int
    clips: int
    program: int
    total: int
    room: int | None

    @property
    def fits(self) -> bool:
        """Whether the device has room; true if it is not known."""
        return self.room is None or self.total <= self.room


@dataclass(frozen=True)
class Remedy:
    """Changes of a recipe with which a training takes less memory.

    Attributes:
        options: Values as `-o` takes them, all together.
        total: Bytes of one process then.
        fits: Whether the device has room for it.
    """

    options: tuple[str, ...]
    total: int
    fits: bool


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds, with one process that trains.

    Attributes:
        operations: Additions and multiplications for a clip, forward and backward.
        speed: Of them in a second.
        measured: Whether the speed is that of this machine.
        step: Seconds of a step; the larger of computing and loading.
        load: Seconds of a core to load a clip.
        loaders: Processes that load clips.
        validations: How often the hold-out is scored.
        validation: Seconds for it, each time.
        total: Seconds of the training.
    """

    operations: int
    speed: float
    measured: bool
    step: float
    load: float
    loaders: int
    validations: int
    validation: float
    total: float


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training will take.

    Attributes:
        model: Name of the network.
        device: `cuda` or `cpu`.
        precision: Of products.
        steps: Steps of the recipe.
        clips: Clips of a step.
        memory: Memory of one process.
        remedies: Changes that take less memory, each with those before it; empty if
            the recipe fits.
        loaders: Bytes of the processes that load clips.
        time: Time with one process.
        disk: Bytes of the folder at its largest.
        free: Bytes that the disk has for it.
    """

    model: str
    device: str
    precision: str
    steps: int
    clips: int
    memory: MemoryEstimate
    remedies: tuple[Remedy, ...]
    loaders: int
    time: TimeEstimate
    disk: int
    free: int


@dataclass(frozen=True)
class _Step:
    """One step from shapes: bytes, and operations of a batch."""

    weights: int
    trained: int
    peak: int
    forward: int
    operations: int


def estimate(
    path: Path,
    changes: Sequence[str],
    folder: Path,
    *,
    device: str = "auto",
    gpu_memory: float | None = None,
    workers: int | None = None,
) -> TrainingEstimate:
    """Estimate a training without starting it.

    Args:
        path: The recipe.
        changes: Values in place of the file's; see `read_recipe`.
        folder: Where the training would be kept.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        gpu_memory: Size in GB of a GPU that is not at hand; the estimate is for it.
        workers: Processes that load clips; see `train`.

    Raises:
        TrainingError: The data or the trainer allow no estimate.
        RecipeError: The recipe is not legal.
        PredictorError: The device is not there.
    """
    recipe, kind = read_recipe(path, changes)
    place = _Place.of(device, gpu_memory)
    dtype = precision_of(recipe.run.dtype, place.name)
    described = kind(recipe.options, device="meta").describe()
    step = _measure_step(recipe, kind, place.kind, dtype)
    memory = _memory(recipe, step, place)
    loaders = max(cores() - 1, 0) if workers is None else workers
    size = recipe.clips.size or described.size
    clip_bytes = recipe.clips.length * size**2 * 4
    return TrainingEstimate(
        model=described.model,
        device=place.kind,
        precision=str(dtype).removeprefix("torch."),
        steps=recipe.schedule.steps,
        clips=recipe.schedule.clips,
        memory=memory,
        remedies=() if memory.fits else _remedies(path, changes, recipe, kind, place),
        loaders=loaders * (_LOADER + _HELD * clip_bytes),
        time=_time(recipe, step, place, dtype, described, loaders),
        disk=_disk(recipe, step),
        free=_free(folder),
    )


@dataclass(frozen=True)
class _Place:
    """Where a training would run: a device that is here, or a GPU that is not."""

    name: str
    kind: str
    here: bool
    room: int | None

    @classmethod
    def of(cls, device: str, gpu_memory: float | None) -> _Place:
        import torch

        from ..executors.devices import require_device

        if gpu_memory is not None:
            return cls("cuda", "cuda", False, round(gpu_memory * 1e9))
        require_device(device)
        gpu = device.startswith("cuda") or (
            device == "auto" and torch.cuda.is_available()
        )
        if not gpu:
            return cls("cpu", "cpu", True, memory_available())
        name = device if ":" in device else "cuda:0"
        return cls(name, "cuda", True, torch.cuda.mem_get_info(name)[0])


def _measure_step(
    recipe: TrainingRecipe, kind: type[Trainer], device: str, dtype: torch.dtype
) -> _Step:
    """Take one step with tensors that have no values."""
    import torch

    from .meter import Meter, as_on, backward

    trainer = kind(recipe.options, device="meta")
    side = recipe.clips.size or trainer.describe().size
    shape = (recipe.clips.length, recipe.schedule.batch, side, side)
    meter = Meter()
    try:
        with meter:
            module = trainer.build()
            weights = meter.live
            batch = Batch(
                images=torch.empty(*shape, 3, dtype=torch.uint8, device="meta"),
                labels=torch.empty(shape, dtype=torch.uint8, device="meta"),
                objects=(recipe.clips.objects,) * recipe.schedule.batch,
                names=("shapes",) * recipe.schedule.batch,
            )
            with as_on(device, dtype, meter):
                losses = trainer.losses(batch, trainer.heaviest(recipe.clips.length))
                forward = meter.operations
                backward(losses.total)
                del losses
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"trainer {recipe.trainer}: no estimate is possible, since its step looks "
            f"at values ({reason}); see heaviest in submit/training/protocol.py"
        ) from error
    trained = [value for value in module.parameters() if value.requires_grad]
    return _Step(
        weights=weights,
        trained=sum(value.numel() * value.element_size() for value in trained),
        peak=meter.peak,
        forward=forward,
        operations=meter.operations,
    )


def _memory(recipe: TrainingRecipe, step: _Step, place: _Place) -> MemoryEstimate:
    kept = step.trained * (3 if recipe.average.decay else 2)
    # On a GPU AdamW holds one more number for each weight while it updates all of them;
    # what was kept for the backward pass is free by then.
    update = step.weights + step.trained * (2 if place.kind == "cuda" else 1)
    tensors = kept + max(step.peak, update)
    optimiser = kept + step.trained
    program = round(tensors * _LOST[place.kind]) + _PROGRAM[place.kind]
    if place.kind == "cpu":
        program += memory_in_use()
    return MemoryEstimate(
        weights=step.weights,
        optimiser=optimiser,
        clips=max(tensors - optimiser - step.weights, 0),
        program=program,
        total=tensors + program,
        room=place.room,
    )


def _remedies(
    path: Path,
    changes: Sequence[str],
    recipe: TrainingRecipe,
    kind: type[Trainer],
    place: _Place,
) -> tuple[Remedy, ...]:
    """Try changes one after the other, each with those before it, until it fits."""
    clips = recipe.clips
    steps = [
        *(["schedule.batch=1"] if recipe.schedule.batch > 1 else []),
        *kind(recipe.options, device="meta").describe().thrifty,
        *(["clips.objects=1"] if clips.objects > 1 else []),
        *([f"clips.length={clips.length // 2}"] if clips.length >= 4 else []),
    ]
    found: list[Remedy] = []
    for count in range(1, len(steps) + 1):
        options = tuple(steps[:count])
        changed, _ = read_recipe(path, [*changes, *options])
        dtype = precision_of(changed.run.dtype, place.name)
        memory = _memory(
            changed, _measure_step(changed, kind, place.kind, dtype), place
        )
        found.append(Remedy(options, memory.total, memory.fits))
        if memory.fits:
            break
    return tuple(found)


# Time.


def _time(
    recipe: TrainingRecipe,
    step: _Step,
    place: _Place,
    dtype: torch.dtype,
    described: TrainerDescription,
    loaders: int,
) -> TimeEstimate:
    schedule = recipe.schedule
    if place.here:
        speed = _EFFICIENCY[place.kind] * _speed(place.name, dtype, described.threads)
    else:
        speed = _LARGE_GPU
    operations = round(step.operations / schedule.batch)
    load = _load_seconds(recipe, recipe.clips.size or described.size)
    compute = schedule.clips * operations / speed
    # Without processes of their own, clips are loaded between the steps.
    one = (
        max(compute, schedule.clips * load / loaders)
        if loaders
        else compute + schedule.clips * load
    )
    frames = 0
    if recipe.validation.split is not None:
        split = read_split(recipe.validation.split, videos=recipe.validation.videos)
        frames = sum(video.length for video in split.videos.values())
    times = (1 + schedule.steps // recipe.validation.every) if frames else 0
    sets = 2 if recipe.average.decay else 1
    forward = step.forward / schedule.batch / recipe.clips.length
    validation = frames * sets * forward / speed
    return TimeEstimate(
        operations=operations,
        speed=speed,
        measured=place.here,
        step=one,
        load=load,
        loaders=loaders,
        validations=times,
        validation=validation,
        total=schedule.steps * one + times * validation,
    )


def _speed(device: str, dtype: torch.dtype, threads: int) -> float:
    """Operations a second in products of matrices, measured."""
    import torch

    gpu = device.startswith("cuda")
    size = 8192 if gpu else 1024
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a = torch.ones(size, size, device=device, dtype=dtype)
        best = float("inf")
        for _ in range(6):
            if gpu:
                torch.cuda.synchronize(device)
            began = time.perf_counter()
            a @ a
            if gpu:
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - began)
    finally:
        torch.set_num_threads(before)
    return 2 * size**3 / best


def _load_seconds(recipe: TrainingRecipe, size: int) -> float:
    """Seconds of a core to make a clip, from some clips of some videos."""
    sources = build_index(recipe.data, recipe.clips, some=_VIDEOS)
    maker = ClipMaker(
        sources, recipe.clips, recipe.augment, size=size, seed=recipe.seed
    )
    began = time.process_time()
    for number in range(_CLIPS):
        maker[number]
    return (time.process_time() - began) / _CLIPS


# Disk.


def _disk(recipe: TrainingRecipe, step: _Step) -> int:
    """Bytes of the folder at its largest: while last.pt is written once more."""
    last = step.weights + step.trained * (3 if recipe.average.decay else 2)
    weights = 1 + (recipe.validation.split is not None)
    if recipe.average.method != "none":
        weights += 1 + recipe.average.keep
    return 2 * last + weights * step.weights + recipe.schedule.steps * _LINE


def _free(folder: Path) -> int:
    """Bytes that a folder may take: what is free, and what its files take now."""
    there = folder
    while not there.exists():
        there = there.parent
    own = (
        sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        if folder.exists()
        else 0
    )
    return shutil.disk_usage(there).free + own
