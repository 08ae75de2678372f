"""What a command line says about runs, executors and sources of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RunError, SubmitError
from ._output import note
from ._progress import progress

if TYPE_CHECKING:
    from ..data import Split
    from ..executors import Executor, LocalExecutor
    from ..pipeline import Outcome
    from ..predictors import Predictor
    from ..runs import Run

__all__ = [
    "export_if_needed",
    "local_executor",
    "masks_path",
    "model_executor",
    "new_run_path",
    "open_runs",
    "report",
    "run_path",
]


def run_path(runs: Path, name: str) -> Path:
    """The folder of a run that is named, or whose folder is given."""
    given = Path(name)
    if (given / "manifest.json").is_file() or given.is_absolute():
        return given
    return runs / name


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


def local_executor(workers: int | None, *, device: str = "cpu") -> LocalExecutor:
    """Workers that need no model: as many as there are cores."""
    from ..executors.local import LocalExecutor
    from ..system.machine import cores

    return LocalExecutor(workers=workers or cores(), devices=(device,))


def model_executor(
    predictor: Predictor, workers: int | None, device: str, *, kind: str = "local"
) -> Executor:
    """One worker for each GPU, or for each share of the cores that the model needs."""
    if kind == "ray":
        from ..executors.ray import RayExecutor

        needed = predictor.describe().cores
        return RayExecutor(workers=workers, device=device, cores=needed)
    from ..executors.local import LocalExecutor, gpus
    from ..system.machine import cores

    devices = gpus() if device in ("auto", "cuda") else [device]
    if devices and devices[0].startswith("cuda"):
        return LocalExecutor(workers=workers or len(devices), devices=devices)
    fair = max(1, cores() // predictor.describe().cores)
    return LocalExecutor(workers=workers or fair, devices=devices or ["cpu"])


def masks_path(runs: Path, source: str, split: Split | None = None) -> Path:
    """Find the masks that RUN|DIR|ZIP names; those of a run are exported if need be.

    Args:
        runs: Where runs are kept.
        source: A zip, a folder of videos, or a run's name or folder.
        split: The split, where the run's own may have moved.

    Raises:
        RunError: There is neither such a file or folder nor such a run.
    """
    from ..runs import Run

    folder = run_path(runs, source)
    if Path(source).exists() and not Run.exists(Path(source)):
        return Path(source)
    from ..pipeline import exported_masks

    run = Run.open(folder)
    try:
        return exported_masks(run)
    except SubmitError:
        return export_if_needed(run.path, None, split=split)


def export_if_needed(
    path: Path, folder: Path | None, *, split: Split | None = None
) -> Path:
    """Export a run with default settings; returns the folder of masks."""
    from ..pipeline import export_run, split_of
    from ..runs import Run

    run = Run.open(path)
    outcome = export_run(
        run,
        split if split is not None else split_of(run),
        executor=local_executor(None),
        folder=folder,
        monitor=progress,
    )
    outcome.require_complete(str(run.path))
    return folder if folder is not None else run.masks_folder


def report(outcome: Outcome, where: Path) -> None:
    """Say what became of a step; a video that is not there is an error.

    Raises:
        RunError: Some videos failed.
    """
    outcome.require_complete(str(where))
    if not outcome.done:
        note(f"{outcome.name}: nothing to do, all is there")
