"""The command that is useful after each command, on a terminal only."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from rich.text import Text

from ..system.urls import is_url
from ._console import stderr
from ._options import usual_runs
from ._output import escape

if TYPE_CHECKING:
    from ..runs import Run

__all__ = ["LAST", "NEXT", "after_run", "follow", "short_path", "short_split", "typed"]

#: The parameters of a command.
Given: TypeAlias = Mapping[str, Any]
#: Makes the next command from the parameters and the result; None if there is none.
Step: TypeAlias = Callable[[Given, Any], "str | None"]

#: Marks a context whose command has said what is next.
_SAID = "submit.next"


def typed(*words: object) -> str:
    """A command as one types it in a shell.

    >>> typed("pack", "my run", "-o", Path("a.zip"))
    "submit pack 'my run' -o a.zip"
    """
    return shlex.join(["submit", *map(str, words)])


def follow(data: Any) -> None:
    """Say at the end of the running command which one is useful next.

    Args:
        data: Its result.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None or not stderr().is_terminal or _SAID in ctx.meta:
        return
    ctx.meta[_SAID] = True
    ctx.call_on_close(lambda: _say(ctx, data))


def _say(ctx: click.Context, data: Any) -> None:
    # After an error its message comes last.
    if not isinstance(sys.exc_info()[1], (click.exceptions.Exit, type(None))):
        return
    one = ctx
    while one.parent is not None and one.parent.parent is not None:
        one = one.parent
    step = NEXT.get(one.info_name or "")
    command = None
    # It is only a hint; a folder that was removed meanwhile must not fail a command.
    with contextlib.suppress(Exception):
        command = step and step(ctx.params, data)
    if command:
        stderr().print(Text("Next: ", style="bold").append(escape(command)))


def after_run(folder: Path, name: str) -> str:
    """What is useful after a run was made: its score, or its zip without a truth."""
    from ..runs import Run

    run = Run.open(folder / name)
    split = run.split["path"]
    where = _where(folder)
    if not is_url(split) and _has_truth(Path(split), run.videos):
        return typed("score", name, "--split", short_split(run), *where)
    return typed("pack", name, "-o", f"{name}.zip", *where)


def _runs(given: Given) -> tuple[object, ...]:
    return _where(given.get("runs", usual_runs()))


def _where(folder: Path) -> tuple[object, ...]:
    """The option that names a folder of runs, if it needs one."""
    if folder == usual_runs():
        return ()
    from ..runs.kept import runs_named

    return "--runs", runs_named(folder)


def short_split(run: Run) -> str:
    """What to type for the split of a run: its path, or its URL."""
    split = str(run.split["path"])
    return split if is_url(split) else str(short_path(Path(split)))


def short_path(path: Path) -> Path:
    """A path below the current folder, without that in front."""
    with contextlib.suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


def _has_truth(split: Path, videos: Mapping[str, object]) -> bool:
    """Whether the first video has masks after the first frame."""
    for name in videos:
        masks = (split / "Annotations" / name).glob("*.png")
        with contextlib.suppress(OSError):  # A path of another machine, or damaged.
            return next(masks, None) is not None and next(masks, None) is not None
        break
    return False


def _split_of(given: Given, source: str) -> str | None:
    """The split that is named, else that of a run."""
    from ..pipeline.sources import find_run

    if given.get("split") is not None:
        return str(given["split"])
    run = find_run(given["runs"], source)
    return None if run is None else short_split(run)


def _shown_run(given: Given, data: Any) -> str | None:
    if given["delete"] or len(given["names"]) != 1:
        return None
    path = Path(data["path"])
    return after_run(path.parent, path.name)


def _predict(split: object, *more: object) -> str:
    name = "second" if more else "plain"
    return typed("predict", split, "--predictor", "classical", *more, "--name", name)


def _merged(given: Given, data: Any) -> str | None:
    if given.get("part") is not None:
        return None  # It is one of several jobs.
    return after_run(given["runs"], Path(data["run"]).name)


def _joined(given: Given, data: Any) -> str | None:
    del data
    from ..pipeline.exported import ExportRecord
    from ..runs import Run

    source, *_ = given["sources"]
    if Run.exists(given["runs"] / source):
        return after_run(given["runs"], source)
    if ExportRecord.open(Path(source)).exists:
        return typed("pack", source, "-o", f"{Path(source).name}.zip")
    return None


def _imported(given: Given, data: Any) -> str | None:
    if given["as_prompts"]:
        return _predict(given["split"], "--prompts", data["prompts"])
    return _merged(given, data)


def _packed(given: Given, data: Any) -> str | None:
    del data
    split = _split_of(given, given["source"])
    if split is None:
        return None
    return typed("check", given["output"], "--split", split)


def _checked(given: Given, data: Any) -> str | None:
    if given["part"] is not None:
        return None
    source = given["source"]
    if not source.endswith(".zip"):
        return None if data.findings else typed("pack", source, "-o", f"{source}.zip")
    if data.exit_code:
        fixed = Path(source).with_suffix(".repaired.zip")
        return typed("repair", source, "--split", given["split"], "-o", fixed)
    return typed("upload", source, "--split", given["split"])


def _reported(given: Given, names: Iterator[str] | tuple[str, ...]) -> str:
    folder = ("--split", given["split"], "-o", "report")
    return typed("report", *names, *folder, *_runs(given))


def _listed(given: Given, data: Any) -> str:
    del data
    if given["name"] is None:
        return typed("predictors", "sam2")
    return f"submit predict SPLIT --predictor {shlex.quote(given['name'])} --name RUN"


def _trained(given: Given, data: Any) -> str:
    del data
    if given["name"] is None:
        return typed("trainers", "sam2")
    return "submit train RECIPE.toml --name RUN"


def _found(given: Given, data: Any) -> str:
    del data
    if given["submission"] is None:
        return typed("history")
    return typed("logs", given["submission"])


def _planned(given: Given, data: Any) -> str | None:
    if not data["fits"]:
        return None
    named = [
        (f"--{name}", given[name])
        for name in ("split", "predictor")
        if given[name] is not None
    ]
    options = [("-o", one) for one in given["settings"]]
    words = [word for pair in (*named, *options) for word in pair]
    return typed("build", given["recipe"], *words)


def _fetched(given: Given, data: Any) -> str:
    from ..weights import KNOWN, own_folder

    if given["action"] == "list":
        return "submit weights fetch NAME"
    (name, *_) = given["names"]
    # A name stands for a file in the usual folder only.
    usual = given["folder"] in (None, own_folder())
    weights = KNOWN[name]
    option = f"{weights.option}={name if usual else data[0]['path']}"
    return (
        f"submit predict SPLIT --predictor {weights.use} -o {shlex.quote(option)} "
        "--name RUN"
    )


#: What follows each command, from its parameters and its result.
NEXT: Mapping[str, Step] = {
    "sample": lambda given, _: _predict(given["directory"]),
    "videos": lambda given, _: _predict(given["split"]),
    "holdout": lambda given, _: _predict(given["output"]),
    "predict": lambda given, data: _merged(given, data),
    "predictors": _listed,
    "runs": _shown_run,
    "weights": _fetched,
    "anchors": lambda given, _: _predict(given["split"], "--prompts", given["output"]),
    "trainers": _trained,
    "import": _imported,
    "ensemble": _merged,
    "merge-parts": _joined,
    "export": lambda given, _: (
        None
        if given["part"] is not None
        else typed(
            "pack", given["run"], "-o", f"{Path(given['run']).name}.zip", *_runs(given)
        )
    ),
    "pack": _packed,
    "check": _checked,
    "repair": lambda given, _: typed(
        "upload", given["output"], "--split", given["split"]
    ),
    "score": lambda given, _: (
        None if given["part"] is not None else _reported(given, (given["source"],))
    ),
    "compare": lambda given, _: _reported(given, (given["baseline"], *given["others"])),
    "tune": lambda given, _: typed(
        "ensemble", "--settings", given["output"], "--name", "tuned", *_runs(given)
    ),
    "preview": lambda given, _: _reported(given, given["names"]),
    "show": lambda given, _: typed(
        *("overlay", given["name"], given["video"], "--split", given["split"]),
        *("-o", f"{given['video']}.mp4", *_runs(given)),
    ),
    "login": lambda given, _: typed("doctor"),
    "whoami": lambda given, _: typed("status"),
    "doctor": lambda given, _: "submit upload FILE.zip",
    "upload": lambda given, _: typed("history"),
    "status": _found,
    "watch": lambda given, _: typed("history"),
    "logs": lambda given, _: typed("status", given["submission"]),
    "cancel": lambda given, _: typed("status"),
    "history": lambda given, _: typed("leaderboard"),
    "leaderboard": lambda given, _: typed("history"),
    "plan": _planned,
    "build": lambda given, data: typed("upload", data.zip),
}
#: Commands after which nothing follows, or whose result names what does.
LAST = frozenset({"completion", "logout", "overlay", "plot", "report", "train"})
