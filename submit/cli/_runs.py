"""Runs, executors and masks from the arguments of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError
from ..system.files import run_path
from ._output import format_bytes, format_seconds, note
from ._progress import progress

if TYPE_CHECKING:
    from ..archive import Masks
    from ..data import Split
    from ..executors import Executor, LocalExecutor
    from ..pipeline import StepOutcome
    from ..predictors import Predictor
    from ..runs import Run
    from ..system.parts import Part

__all__ = [
    "called",
    "facts_of_run",
    "local_executor",
    "masks_of",
    "missing_videos",
    "model_executor",
    "model_workers",
    "new_run_path",
    "open_runs",
    "plain_executor",
    "raise_failures",
    "reading_executor",
    "require_disk",
    "require_once",
    "run_folders",
]


def run_folders(folder: Path) -> list[Path]:
    """The runs in a folder, and those one folder below, where recipes put theirs."""
    found = [*folder.glob("*/manifest.json"), *folder.glob("*/*/manifest.json")]
    return sorted(path.parent for path in found)


def called(path: Path, folder: Path) -> str:
    """What to type for a run: its name, or its folder if it is further down."""
    return path.name if path.parent == folder else str(path)


def facts_of_run(run: Run) -> dict[str, str]:
    """What made a run, every setting that says something, its time and digest."""
    from ..runs import cost_of

    recorded = run.environment.get("options") or {}
    settings = {**run.settings, **({"recorded options": recorded} if recorded else {})}
    words = {key: _in_words(value) for key, value in settings.items()}
    cost = cost_of(run)
    peaks = {"memory": cost.memory, "on the GPU": cost.gpu_memory}
    speed = ""
    if cost.frames:
        speed = f", {1000 * cost.seconds / cost.frames:.0f} ms a frame"
    return {
        "made by": run.kind,
        **{key.replace("_", " "): value for key, value in words.items() if value},
        "videos": str(len(run.videos)),
        "time": f"{format_seconds(cost.seconds)}{speed}",
        **{name: format_bytes(peak) for name, peak in peaks.items() if peak},
        "digest": run.identity[:16],
    }


def _in_words(value: object) -> str:
    """A setting in words; empty where it says nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_in_words(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_words, value))
    return "" if value is None else str(value)


def new_run_path(runs: Path, name: str) -> Path:
    """The folder of a run that is to be made or continued.

    Raises:
        RunError: No run can have this name.
    """
    from ..runs import require_run_name

    return runs / require_run_name(name)


def open_runs(runs: Path, names: Sequence[str]) -> dict[str, Run]:
    """Open runs that are named, or whose folders are given.

    Raises:
        RunError: There is no such run, or one is named twice.
    """
    from ..runs import Run

    found: dict[str, Run] = {}
    for name in names:
        run = Run.open(run_path(runs, name))
        if run.name in found:
            raise RunError(f"run {run.name} is given twice; name each run once")
        found[run.name] = run
    return found


def require_disk(runs: Path, executor: str) -> None:
    """Make sure that workers of other machines can write into a folder of runs.

    Raises:
        RunError: It is in a storage, whose runs are written in a copy on this machine.
    """
    from ..runs.kept import kept

    if executor == "ray" and (found := kept(runs)) is not None:
        raise RunError(
            f"{found.tree.url}: workers of Ray write runs into a folder that all nodes "
            "share; name one in --runs, or give each machine --part I/N without "
            "--executor ray"
        )


def require_once(names: Sequence[str]) -> None:
    """Make sure that no run, folder or zip is named twice.

    Raises:
        RunError: One is.
    """
    for name in names:
        if names.count(name) > 1:
            raise RunError(f"{name}: is given twice; name each run once")


def local_executor(workers: int | None, *, device: str = "cpu") -> LocalExecutor:
    """Workers without a model. Default: one for each core."""
    from ..executors.local import LocalExecutor
    from ..system.machine import cores

    return LocalExecutor(workers=workers or cores(), devices=(device,))


def plain_executor(kind: str, workers: int | None) -> Executor:
    """Workers without a model, on this machine or in a Ray cluster.

    Args:
        kind: `local` or `ray`.
        workers: How many; None for one for each core.
    """
    if kind == "local":
        return local_executor(workers)
    from ..executors.ray import RayExecutor

    return RayExecutor(workers=workers, device="cpu", cores=1)


def reading_executor(kind: str, workers: int | None) -> Executor | None:
    """Workers that only read masks: None for threads of this process, or Ray's.

    Args:
        kind: `local` or `ray`.
        workers: How many; None for one for each core.
    """
    return None if kind == "local" else plain_executor(kind, workers)


def model_executor(
    predictor: Predictor, workers: int | None, device: str, *, kind: str = "local"
) -> Executor:
    """Workers with a model. Default: one per GPU, else as many as the cores allow.

    Raises:
        PredictorError: The device is not there, or the model cannot use it.
    """
    described = predictor.describe()
    if kind == "ray":
        from ..executors.ray import RayExecutor

        # No GPU is requested if the model cannot use one.
        only = described.devices == ("cpu",) and device == "auto"
        return RayExecutor(
            workers=workers, device="cpu" if only else device, cores=described.cores
        )
    from ..executors.local import LocalExecutor

    count, devices = model_workers(predictor, workers, device)
    return LocalExecutor(workers=count, devices=devices)


def model_workers(
    predictor: Predictor, workers: int | None, device: str
) -> tuple[int, Sequence[str]]:
    """The workers of this machine for a model, and the devices that they use in turn.

    Raises:
        PredictorError: The device is not there, or the model cannot use it.
    """
    from ..executors.devices import choose_devices
    from ..system.machine import cores

    described = predictor.describe()
    devices = choose_devices(device, described.devices, predictor=described.model)
    if devices[0] != "cpu":
        return workers or len(devices), devices
    return workers or max(1, cores() // described.cores), devices


def masks_of(
    runs: Path,
    source: str,
    split: Split | None = None,
    *,
    part: Part | None = None,
    workers: int | None = None,
    kind: str = "local",
) -> Masks:
    """Open the masks that RUN|DIR|ZIP names; a run is exported if it is not yet.

    Args:
        runs: Where runs are kept.
        source: A zip, a folder of videos, or a run's name or folder.
        split: The split, if it is not at the place that the run records, or with only
            the videos that are needed.
        part: The part that is wanted; see `open_source`.
        workers: Number of processes that export. Default: one per CPU core.
        kind: Where they are: `local` or `ray`.

    Raises:
        RunError: There is neither such a file or folder nor such a run, or a mask of
            the run is not the one that was written.
    """
    from ..pipeline.sources import open_source

    return open_source(
        runs,
        source,
        split,
        part=part,
        executor=lambda: plain_executor(kind, workers),
        workers=workers,
        monitor=progress,
    )


def missing_videos(runs: Path, source: str) -> str | None:
    """Say which videos RUN|DIR is known to lack; None for none.

    Raises:
        RunError: There is neither such a folder nor such a run.
    """
    from ..pipeline.exported import ExportRecord
    from ..pipeline.sources import find_run

    run = find_run(runs, source)
    if run is None:
        record = ExportRecord.open(Path(source))
        lacking = (record.expected or 0) - len(record.videos)
        words = f"lacks {lacking} of {record.expected} videos of run {record.run}"
        return words if lacking > 0 else None
    if not run.missing:
        return None
    first = run.missing[0]
    reason = run.failures.get(first)
    words = f"lacks {len(run.missing)} of {len(run.missing) + len(run.videos)} videos, "
    words += f"such as {first}"
    return words if reason is None else f"{words} ({reason.splitlines()[0]})"


def raise_failures(outcome: StepOutcome, where: Path) -> None:
    """Raise the failures of a step, or note that it had nothing to do.

    Raises:
        RunError: Some videos failed.
    """
    outcome.require_complete(str(where))
    if not outcome.done:
        note(f"{outcome.name}: nothing to do, all videos are complete")
