"""What a command calls RUN|DIR|ZIP: a run, a folder of masks, or a zip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..archive import Masks, open_masks
from ..data import Split
from ..executors import Executor
from ..runs import Run
from ..system.files import run_path
from ..system.parts import Part
from .export import export_run, exported_masks, is_exported
from .exported import ExportRecord
from .outcome import Monitor, silent
from .parts import run_of_part
from .predict import split_of

__all__ = ["find_run", "open_source"]


def find_run(runs: Path, source: str, part: Part | None = None) -> Run | None:
    """Open a run by its name, its folder, or the folder of its masks.

    Args:
        runs: Where runs are kept.
        source: How it is called.
        part: Take the run of this part where there is one; None for the whole.

    Returns:
        The run; None if the source is another existing file or folder.

    Raises:
        RunError: There is no such run, file or folder.
    """
    path = Path(source)
    if path.exists() and not Run.exists(path):
        own = path.name == "masks" and Run.exists(path.absolute().parent)
        return Run.open(path.absolute().parent) if own else None
    return Run.open(run_of_part(run_path(runs, source), part))


def open_source(
    runs: Path,
    source: str,
    split: Split | None = None,
    *,
    part: Part | None = None,
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
        part: Take the run of this part where there is one. Where there is none, what
            has to be exported of the whole goes into the part's own folder, as with
            `submit export --part`, so that no two jobs write into the same one.
        executor: Makes the workers of an export.
        workers: Threads that compare files with their digests; one for each core by
            default.
        monitor: Opens its progress bar.

    Raises:
        RunError: There is neither such a file or folder nor such a run, or a mask of
            the run is not the one that was written.
    """
    run = find_run(runs, source, part)
    if run is None:
        given = Path(source)
        record = ExportRecord.open(given)
        return record.all_masks() if record.exists else open_masks(given)
    videos = None if split is None or not split.others else split.videos.keys()
    if is_exported(run, videos):
        return exported_masks(run, videos, workers=workers)
    shared = part is not None and run.path == run_path(runs, source)
    folder = part.place(run.masks_folder) if part is not None and shared else None
    outcome = export_run(
        run,
        split if split is not None else split_of(run),
        executor=executor(),
        folder=folder,
        videos=videos,
        monitor=monitor,
    )
    outcome.require_complete(str(run.path))
    if folder is None:
        return exported_masks(run, videos, after=outcome)
    names = [name for name in run.videos if videos is None or name in videos]
    remedy = f"to write it again, do: submit export {run.path} --part {part}"
    return ExportRecord.open(folder).masks(names, remedy=remedy)
