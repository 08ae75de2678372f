"""`submit` alone in a folder with runs: where the chain stands, and what is next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._next import after_run, short_split, typed
from ._options import usual_runs
from ._output import emit, facts, stack, table
from ._runs import called, run_folders

if TYPE_CHECKING:
    from ..runs import Run

__all__ = ["show_standing"]

#: Most runs that are listed, the newest first.
_SHOWN = 8


def show_standing() -> bool:
    """Print where the chain stands here.

    Returns:
        Whether there is a run; without one nothing is printed.
    """
    folder = usual_runs()
    # Nothing of the toolkit is imported where there is nothing to say.
    folders = run_folders(folder)
    if not folders:
        return False
    from ..errors import RunError
    from ..runs import Run

    runs: list[Run] = []
    problems: dict[str, str] = {}
    for path in folders:
        try:
            runs.append(Run.open(path))
        except RunError as error:
            problems[path.name] = str(error)
    runs.sort(key=lambda run: run.environment.get("created") or "", reverse=True)
    # A link may lead nowhere.
    there = (path for path in Path().glob("*.zip") if path.is_file())
    zips = sorted(there, key=lambda path: path.stat().st_mtime)
    listed = table(
        ["run", "made by", "videos", "split"],
        [
            [
                called(run.path, folder),
                run.kind,
                _videos(run),
                short_split(run),
            ]
            for run in runs[:_SHOWN]
        ],
    )
    pairs = {f"run {name}": problem for name, problem in problems.items()}
    if len(runs) > _SHOWN:
        pairs["further runs"] = str(len(runs) - _SHOWN)
    if zips:
        pairs["newest zip"] = str(zips[-1])
    pairs["next"] = _next(folder, runs, zips)
    pairs["all commands"] = "submit --help"
    emit(stack(*([listed] if runs else []), facts(pairs)), None, as_json=False)
    return True


def _videos(run: Run) -> str:
    """How many videos a run has, of how many."""
    whole = len(run.videos) + len(run.missing)
    failed = f", {len(run.failures)} failed" if run.failures else ""
    return f"{len(run.videos)} of {whole}{failed}"


def _next(folder: Path, runs: list[Run], zips: list[Path]) -> str:
    """What to type next.

    Args:
        folder: The folder of runs that needs no option.
        runs: The newest first.
        zips: The newest last.
    """
    complete = [run for run in runs if run.videos and not run.missing]
    if len(complete) < len(runs):
        (run, *_) = [run for run in runs if run not in complete]
        return f"repeat the command that made {run.name}, for all videos; it continues"
    if not complete:
        return "submit predict SPLIT --predictor NAME --name RUN"
    newest = complete[0]
    split = short_split(newest)
    if (
        zips
        and zips[-1].stat().st_mtime > (newest.path / "manifest.json").stat().st_mtime
    ):
        return typed("check", zips[-1], "--split", split)
    home = newest.path.parent
    where = () if home == folder else ("--runs", home)
    alike = [
        run for run in complete if run.split == newest.split and run.path.parent == home
    ]
    members = [run.name for run in alike if run.kind != "ensemble"]
    if len(members) > 1 and len(members) == len(alike):
        names = reversed(members[:3])
        return typed("ensemble", *names, "--name", "merged", *where)
    if newest.kind == "ensemble":
        return typed("pack", newest.name, "-o", f"{newest.name}.zip", *where)
    return after_run(home, newest.name)
