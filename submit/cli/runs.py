"""`submit runs`: what runs are here, one in full, and the end of some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType

from ..errors import RunError
from ..system.words import counted
from ._codabench import ask
from ._completion import complete_runs
from ._next import short_split
from ._options import SOURCE, json_option, runs_dir_option
from ._output import (
    Cell,
    best_cells,
    emit,
    facts,
    format_bytes,
    format_score,
    note,
    number,
    stack,
    table,
    warn,
)
from ._runs import called, facts_of_run, open_runs, run_folders

if TYPE_CHECKING:
    from ..pipeline.last_score import LastScore
    from ..runs import Run

#: Most videos without masks that are named.
_FEW = 8


@dataclass(frozen=True)
class _Seen:
    """A run with what its folder holds."""

    run: Run
    size: int
    score: LastScore | None

    def to_data(self) -> dict[str, Any]:
        """The run for `--json`."""
        from ..runs import cost_of

        run, cost = self.run, cost_of(self.run)
        return {
            "run": run.name,
            "path": str(run.path),
            "kind": run.kind,
            "settings": run.settings,
            "split": run.split,
            "videos": len(run.videos),
            "expected": len(run.videos) + len(run.missing),
            "missing": list(run.missing),
            "failures": run.failures,
            "frames": cost.frames,
            "seconds": cost.seconds,
            "bytes": self.size,
            "digest": run.identity,
            "created": run.environment.get("created"),
            "score": self.score,
        }


@click.command()
@click.argument(
    "names", nargs=-1, metavar="RUN...", type=SOURCE, shell_complete=complete_runs
)
@click.option("--delete", is_flag=True, help="Delete these runs with all their masks.")
@click.option("--yes", is_flag=True, help="Delete without a question.")
@runs_dir_option
@json_option
def runs(
    names: tuple[str, ...], delete: bool, yes: bool, runs: Path, as_json: bool
) -> None:
    """List the runs here, show one in full, or delete some.

    The list has what made each run, how many of its videos are complete, its size, and
    its last score if submit score or submit build has measured one. RUN... are those
    to list; of a single one all settings are shown, and why videos are missing.

    \b
    Example:
      submit runs
      submit runs plain
      submit runs flipped --delete
    """
    if delete:
        if not names:
            raise click.UsageError("--delete needs the names of runs")
        _delete(list(open_runs(runs, names).values()), runs, yes=yes, as_json=as_json)
        return
    if yes:
        raise click.UsageError("--yes goes with --delete")
    found = list(open_runs(runs, names).values()) if names else _all(runs)
    seen = [_look(run) for run in found]
    if len(names) == 1:
        emit(lambda: _page(seen[0]), seen[0].to_data(), as_json=as_json)
    else:
        data = [one.to_data() for one in seen]
        emit(lambda: _list(seen, runs), data, as_json=as_json)


def _all(folder: Path) -> list[Run]:
    """All runs that can be read, the newest first; a warning for each of the others."""
    from ..runs import Run

    found = []
    for path in run_folders(folder):
        try:
            found.append(Run.open(path))
        except RunError as error:
            warn(str(error))
    return sorted(
        found, key=lambda run: str(run.environment.get("created") or ""), reverse=True
    )


def _look(run: Run) -> _Seen:
    from ..pipeline.last_score import last_score

    size = sum(
        path.lstat().st_size for path in run.path.rglob("*") if not path.is_dir()
    )
    return _Seen(run, size, last_score(run))


def _list(seen: Sequence[_Seen], folder: Path) -> RenderableType:
    if not seen:
        return f"no runs in {folder}; make one: submit predict SPLIT --predictor NAME"
    scores = [
        None if one.score is None else one.score.totals.get("jf_dot") for one in seen
    ]
    rows: list[list[Cell]] = [
        [
            called(one.run.path, folder),
            _maker(one.run),
            _progress(one.run),
            len(one.run.failures) or None,
            format_bytes(one.size),
            score,
            short_split(one.run),
        ]
        for one, score in zip(seen, best_cells(scores), strict=True)
    ]
    numbers = map(number, ("videos", "failed", "size", "J&Ḟ"))
    return table(["run", "made by", *numbers, "split"], rows)


def _maker(run: Run) -> str:
    """The step that made a run, and with what."""
    detail = run.settings.get("predictor") or run.settings.get("method")
    return f"{run.kind} {detail}" if isinstance(detail, str) else run.kind


def _progress(run: Run) -> str:
    return f"{len(run.videos)} of {len(run.videos) + len(run.missing)}"


def _page(seen: _Seen) -> RenderableType:
    run, score = seen.run, seen.score
    versions = run.environment.get("versions") or {}
    pairs: dict[str, Cell] = {
        "run": str(run.path),
        **facts_of_run(run),
        "videos": _progress(run),
        "split": short_split(run),
        "size": format_bytes(seen.size),
        "created": run.environment.get("created"),
        "continued": run.environment.get("continued"),
        "versions": ", ".join(f"{name} {each}" for name, each in versions.items()),
        "git commit": run.environment.get("git_commit"),
    }
    if score is not None:
        pairs["scored on"] = f"{score.split}, {counted(score.videos, 'video')}"
        pairs.update(
            {name: format_score(value) for name, value in _measures(score).items()}
        )
    views: list[RenderableType] = [facts({k: v for k, v in pairs.items() if v})]
    if run.missing:
        rows = [
            [name, run.failures.get(name, "not predicted yet").splitlines()[0]]
            for name in run.missing[:_FEW]
        ]
        if len(run.missing) > _FEW:
            rows.append([f"and {len(run.missing) - _FEW} more", ""])
        views.append(table(["missing video", "reason"], rows))
    return stack(*views)


def _measures(score: LastScore) -> Mapping[str, float | None]:
    """The measures by the names that people know."""
    from ..metrics.measures import MEASURES

    return {title: score.totals.get(name) for name, title in MEASURES.items()}


def _delete(found: Sequence[Run], folder: Path, *, yes: bool, as_json: bool) -> None:
    """Delete runs, if the user agrees."""
    seen = [_look(run) for run in found]
    total = format_bytes(sum(one.size for one in seen))
    for run in found:
        users = [
            one.name
            for one in _all(folder)
            if one.name != run.name and run.name in (one.settings.get("members") or ())
        ]
        if users:
            note(f"{run.name}: member of {', '.join(users)}, which keep their masks")
    names = ", ".join(run.name for run in found)
    if not ask(f"Delete {names} ({total})?", yes=yes):
        click.get_current_context().exit(1)
    for run in found:
        run.delete()
    data = {"deleted": [run.name for run in found], "bytes": sum(s.size for s in seen)}
    emit(facts({"deleted": names, "freed": total}), data, as_json=as_json)
