"""What a command calls RUN|DIR|ZIP: a run, a folder of masks, or a zip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..archive import Masks, open_masks
from ..data import Split
from ..executors import Executor
from ..runs import Run
from ..system.files import run_path
from .export import export_run, exported_masks, is_exported
from .exported import ExportRecord
from .outcome import Monitor, silent
from .predict import split_of

__all__ = ["find_run", "open_source"]


def find_run(runs: Path, source: str) -> Run | None:
    """Open a run by its name, its folder, or the folder of its masks.

    Returns:
        The run; None if the source is another existing file or folder.

    Raises:
        RunError: There is no such run, file or folder.
    """
    path = Path(source)
    if path.exists() and not Run.exists(path):
        own = path.name == "masks" and Run.exists(path.absolute().parent)
        return Run.open(path.absolute().parent) if own else None
    return Run.open(run_path(runs, source))


def open_source(
    runs: Path,
    source: str,
    split: Split | None = None,
    *,
    executor: Callable[[], Executor],
    workers: int | None = None,
    monitor: Monitor = silent,
) -> Masks:
    """Open the masks that RUN|DIR|ZIP names; a run is exported if it is not yet.

    Args:
        runs: Where runs are kept.
        source: A zip, a folder of videos, or a run's name or folder.
        split: The split, if it is not at the place that the run records, or with only
            the videos that are needed.
        executor: Makes the workers of an export.
        workers: Threads that compare files with their digests; one for each core by
            default.
        monitor: Opens its progress bar.

    Raises:
        RunError: There is neither such a file or folder nor such a run, or a mask of
            the run is not the one that was written.
    """
    run = find_run(runs, source)
    if run is None:
        folder = Path(source)
        record = ExportRecord.open(folder)
        return record.all_masks() if record.exists else open_masks(folder)
    videos = None if split is None or not split.others else split.videos.keys()
    if is_exported(run, videos):
        return exported_masks(run, videos, workers=workers)
    outcome = export_run(
        run,
        split if split is not None else split_of(run),
        executor=executor(),
        videos=videos,
        monitor=monitor,
    )
    outcome.require_complete(str(run.path))
    return exported_masks(run, videos, after=outcome)
