"""The loop of a training: steps, validations and checkpoints, from any step on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Split, read_split
from ..errors import TrainingError
from ..system.machine import (
    cores,
    git_commit,
    is_out_of_memory,
    release,
    return_freed_memory,
)
from ..system.words import counted
from .averages import MovingAverage
from .board import require_tensorboard
from .folder import TrainingFolder
from .index import IndexedSource, build_index
from .judge import Judge
from .keeper import Best, Keeper
from .loader import load_clips
from .maker import ClipMaker
from .progress import Monitor, TrainingProgress, silent
from .protocol import Trainer
from .ranks import Ranks, joined
from .recipe import TrainingRecipe
from .step import Stepper, StepReport, require_shares, step_numbers
from .validation import require_scorable

__all__ = ["TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """What a training has made.

    Attributes:
        path: Its folder.
        steps: Steps that are done.
        checkpoint: The weights to use.
        best: Their score; None without a validation.
        predictor: The predictor that reads them.
        options: Options that it needs, as `key=value`.
        complete: Whether all steps are done.
    """

    path: Path
    steps: int
    checkpoint: Path
    best: Best | None
    predictor: str
    options: tuple[str, ...]
    complete: bool


def train(
    recipe: TrainingRecipe,
    kind: type[Trainer],
    path: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    until: int | None = None,
    monitor: Monitor = silent,
    note: Callable[[str], None] = lambda message: None,
) -> TrainingResult:
    """Train a model; continues where an earlier call stopped.

    Args:
        recipe: What to do.
        kind: The trainer that it names.
        path: The folder of the training.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; with torchrun each process takes its
            own GPU.
        workers: Processes that load clips, for each process that trains. Default: one
            less than its share of the cores.
        until: Stop after this step; the same call without it continues.
        monitor: Opens progress bars.
        note: Called with remarks.

    Raises:
        TrainingError: The data, the folder or the loss forbid it.
        PredictorError: The model cannot be built.
        StorageError: The disk is full; what was saved before is complete.
    """
    if recipe.run.tensorboard:
        require_tensorboard()
    with joined(device) as ranks, contextlib.ExitStack() as stack:
        if not ranks.first:
            monitor, note = silent, lambda message: None
        folder = TrainingFolder(path)
        require_shares(recipe, ranks)
        trainer = kind(recipe.options, device=ranks.device)
        described = trainer.describe()
        size = recipe.clips.size or described.size
        if size % described.step:
            raise TrainingError(
                f"[clips] size = {size}: expected a multiple of {described.step} for "
                f"{described.model}"
            )
        holdout = _read_holdout(recipe)
        if ranks.first:
            stack.enter_context(folder.held())
        sources = _read_sources(recipe, holdout, ranks, monitor, note)
        begun = _claim(folder, recipe, trainer, ranks, sources, holdout)
        if ranks.device == "cpu":
            _set_threads(described.threads)
            return_freed_memory()
        module = trainer.build()
        stepper = Stepper(recipe, trainer, module, ranks)
        average = None
        if recipe.average.decay:
            average = MovingAverage(module, recipe.average.decay)
        keeper = Keeper(
            folder,
            trainer,
            module,
            stepper,
            average,
            ranks,
            board=recipe.run.tensorboard,
        )
        if begun:
            keeper.restore()
            note(f"continuing after step {keeper.state.step:,}")
        loop = _Loop(
            recipe,
            keeper,
            Judge(keeper, holdout, recipe.average, ranks),
            stepper,
            ClipMaker(
                sources, recipe.clips, recipe.augment, size=size, seed=recipe.seed
            ),
            ranks,
            monitor,
        )
        share = max(cores() // ranks.world - 1, 0)
        last = min(
            recipe.schedule.steps if until is None else until, recipe.schedule.steps
        )
        loop.run(last, share if workers is None else workers)
        best = keeper.state.best
        return TrainingResult(
            path=path,
            steps=keeper.state.step,
            checkpoint=folder.ema if best is None else folder.best,
            best=best,
            predictor=described.predictor,
            options=described.predict,
            complete=keeper.state.step >= recipe.schedule.steps,
        )


# Before the first step.


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _read_holdout(recipe: TrainingRecipe) -> Split | None:
    table = recipe.validation
    if table.split is None:
        return None
    split = read_split(table.split, videos=table.videos)
    require_scorable(split)
    return split


def _read_sources(
    recipe: TrainingRecipe,
    holdout: Split | None,
    ranks: Ranks,
    monitor: Monitor,
    note: Callable[[str], None],
) -> tuple[IndexedSource, ...]:
    """Audit all data in the first process, and send the result to the others."""
    held: frozenset[str] = frozenset()
    if holdout is not None and recipe.validation.held_out:
        # Also those that are not scored: another validation may score them.
        held = frozenset((*holdout.videos, *holdout.others))
    sources: tuple[IndexedSource, ...] = ()
    if ranks.first:
        with monitor("audit", None, "frames") as bar:

            def progress(name: str, frames: int) -> None:
                bar.add(name, frames)
                bar.advance(name, frames)
                bar.finish(name)

            sources = build_index(
                recipe.data, recipe.clips, held_out=held, progress=progress
            )
        for source in sources:
            for text in source.notes:
                note(text)
            frames = sum(one.length for one in source.videos)
            note(
                f"{source.table.label}: {counted(len(source.videos), 'video')}, "
                f"{counted(frames, 'frame')}"
            )
    return ranks.share(sources)


def _claim(
    folder: TrainingFolder,
    recipe: TrainingRecipe,
    trainer: Trainer,
    ranks: Ranks,
    sources: tuple[IndexedSource, ...],
    holdout: Split | None,
) -> bool:
    """Begin or continue the folder; returns whether there is something to load."""
    begun = False
    if ranks.first:
        described = trainer.describe()
        deciding = {
            **recipe.deciding(),
            "checkpoint": described.checkpoint,
            "videos": [source.digest for source in sources],
            "holdout": None
            if holdout is None
            else [holdout.fingerprint, sorted(holdout.videos)],
            "device": ranks.device.partition(":")[0],
        }
        environment = {
            "release": release(),
            "commit": git_commit(),
            "licence": described.licence,
            "data": [str(table.path) for table in recipe.data],
        }
        begun = folder.claim(deciding, environment)
    return ranks.share(begun)


class _Loop:
    """The steps, once everything is ready."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        keeper: Keeper,
        judge: Judge,
        stepper: Stepper,
        maker: ClipMaker,
        ranks: Ranks,
        monitor: Monitor,
    ) -> None:
        self._recipe, self._keeper, self._judge = recipe, keeper, judge
        self._stepper, self._maker = stepper, maker
        self._ranks, self._monitor = ranks, monitor

    def run(self, last: int, workers: int) -> None:
        """Take all steps up to the last one."""
        state, recipe, keeper = self._keeper.state, self._recipe, self._keeper
        stop = threading.Event()
        title = f"train {keeper.folder.path.name}"
        keeper.open_log()
        try:
            with (
                _stop_on_signals(stop),
                self._monitor(title, max(last - state.step, 0), "steps") as bar,
            ):
                if not state.step and state.best is None:
                    self._judge.judge(bar)
                    keeper.save()
                clips = load_clips(
                    self._maker,
                    step_numbers(recipe, self._ranks, state.step),
                    workers=workers,
                    clip_bytes=self._maker.clip_bytes,
                )
                saved = state.step
                while state.step < last:
                    stopped = self._step(bar, clips, stop)
                    complete = state.step == recipe.schedule.steps
                    due = complete or state.step % recipe.validation.every == 0
                    if due:
                        self._judge.judge(bar)
                    if complete:
                        self._judge.average(bar)
                    enough = state.step - saved >= recipe.run.save
                    if due or stopped or enough or state.step == last:
                        keeper.save()
                        saved = state.step
                    if stopped:
                        raise KeyboardInterrupt
        finally:
            keeper.close_log()

    def _step(
        self, bar: TrainingProgress, clips: Iterator[Any], stop: threading.Event
    ) -> bool:
        """Take a step; returns whether a process was asked to stop."""
        began = time.perf_counter()
        state, keeper = self._keeper.state, self._keeper
        try:
            report, stopped = self._stepper.take(state.step, clips, stop=stop.is_set())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"step {state.step + 1}: memory ran out "
                f"({str(error).partition(chr(10))[0]}); choose a smaller [schedule] "
                "batch, [clips] length, objects or size, freeze the encoder, or let "
                "the trainer keep less ([model] recompute = true)"
            ) from error
        if report.bad and state.bad >= self._recipe.run.bad_steps:
            keeper.save()
            raise TrainingError(_about_bad(report, keeper.folder, state.bad))
        state.step += 1
        if report.bad:
            state.bad += 1
        elif keeper.average is not None:
            keeper.average.update(state.step)
        self._show(bar, report, time.perf_counter() - began)
        return stopped

    def _show(self, bar: TrainingProgress, report: StepReport, seconds: float) -> None:
        """Write a step into the log, and show it."""
        rate = self._recipe.schedule.clips / seconds
        memory = _gpu_memory(self._ranks.device)
        extra = {} if memory is None else {"gpu_bytes": memory}
        self._keeper.log(
            {**report.as_data(), "clips_per_second": round(rate, 3), **extra}
        )
        for text in report.problems:
            bar.note(f"step {report.step}: another clip takes the place of one: {text}")
        if report.bad:
            bar.note(
                f"step {report.step}: the loss is not finite, the step is left out "
                f"({'; '.join(report.bad[:3])})"
            )
        parts = [f"{name} {value:.3g}" for name, value in report.parts.items()]
        parts += [f"{name} {value:.0f}" for name, value in report.counts.items()]
        text = (
            f"loss {report.loss:.4g} ({', '.join(parts)}), "
            f"{counted(report.objects, 'object')}, rate ×{report.rate:.3g}, "
            f"{rate:.2g} clips/s"
        )
        if memory is not None:
            text += f", {memory / 1e9:.1f} GB"
        bar.describe(text)
        bar.advance("", 1)


@contextlib.contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the training after its step; twice ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        del number, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, ask) for each in numbers}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _about_bad(report: StepReport, folder: TrainingFolder, skipped: int) -> str:
    names = "; ".join(report.bad[:3])
    more = f" and {len(report.bad) - 3} more" if len(report.bad) > 3 else ""
    return (
        f"step {report.step}: the loss is not finite ({names}{more}); the state before "
        f"it is kept in {folder.last}. To continue without this step, run the same "
        f"command with -o run.bad_steps={skipped + 1}; if it happens again, lower "
        '[optimiser] rate or choose [run] dtype = "float32" under another --name'
    )


def _gpu_memory(device: str) -> int | None:
    """Most bytes that tensors took on a GPU so far; None on the processor."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)
