"""`submit build`: a recipe from the split to the checked zip."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..archive import open_masks, pack
from ..checks import Report, check_masks
from ..dataset import Split, read_split
from ..errors import RunMismatchError, SplitError
from ..executors import Executor
from ..files import digest, read_json, write_json
from ..predictor import Predictor
from ..runs import Run
from ..sample import write_sample
from ..scoring import SplitScore, frames_to_score, score_split
from .ensemble import ensemble_runs
from .export import export_run
from .imports import import_masks
from .outcome import Monitor, Outcome, silent
from .predict import PredictPlan, predict_split
from .recipe import EnsembleStep, Recipe

__all__ = ["BuildResult", "BuiltRun", "build"]


@dataclass(frozen=True)
class BuiltRun:
    """One run of a recipe.

    Attributes:
        name: The run.
        made_by: `predict`, `import` or `ensemble`.
        videos: Videos it holds.
        made: Videos made now; 0 when nothing had changed.
        seconds: Time spent now.
        scores: Official scores, None where the split has no full ground truth.
    """

    name: str
    made_by: str
    videos: int
    made: int
    seconds: float
    scores: SplitScore | None = None


@dataclass
class BuildResult:
    """What a build has made.

    Attributes:
        split: Folder of the split.
        runs: The runs, in the order in which they were made.
        zip: The file to hand in.
        sha256: Its digest.
        size: Its size in bytes.
        check: What the precheck found in it.
    """

    split: Path
    zip: Path
    runs: list[BuiltRun] = field(default_factory=list)
    sha256: str = ""
    size: int = 0
    check: Report | None = None


def build(
    recipe: Recipe,
    *,
    executor: Executor,
    model_executor: Callable[[Predictor], Executor],
    device: str = "auto",
    monitor: Monitor = silent,
) -> BuildResult:
    """Make everything a recipe names; what is there and unchanged is kept.

    Runs that are scored are exported too. An ensemble whose members have changed is
    made anew; a predicted run with other settings is refused, since it may hold days
    of work.

    Args:
        recipe: The recipe.
        executor: Runs the steps without a model.
        model_executor: Chooses the executor for a model.
        device: Where models run.
        monitor: Opens a progress bar for each step.

    Raises:
        SubmitError: A step cannot be done, or a video failed.
    """
    split = _open_split(recipe, monitor)
    folder = recipe.runs_folder
    result = BuildResult(split=split.root, zip=recipe.zip_path)
    truth = all(video.fully_annotated for video in split.videos.values())

    def finish(name: str, kind: str, outcome: Outcome, began: float) -> None:
        outcome.require_complete(str(folder / name / "failed.json"))
        scores = None
        if truth or name == recipe.submission.run:
            export_run(
                Run.open(folder / name), split, executor=executor, monitor=monitor
            ).require_complete(str(folder / name))
        if truth:
            scores = _scores(folder / name, split, monitor)
        videos = len(outcome.done) + len(outcome.skipped)
        seconds = time.perf_counter() - began
        result.runs.append(
            BuiltRun(name, kind, videos, len(outcome.done), seconds, scores)
        )

    for step in recipe.predict:
        began = time.perf_counter()
        plan = PredictPlan(
            predictor=step.predictor,
            options=tuple(f"{key}={_text(v)}" for key, v in step.options.items()),
            variant=step.variant,
            tta=step.tta,
            late_objects=step.late_objects,
        )
        outcome = predict_split(
            split,
            folder / step.name,
            plan,
            executor=model_executor,
            device=device,
            monitor=monitor,
        )
        finish(step.name, "predict", outcome, began)
    for taken in recipe.imports:
        began = time.perf_counter()
        outcome = import_masks(
            taken.path, folder / taken.name, split, executor=executor, monitor=monitor
        )
        finish(taken.name, "import", outcome, began)
    for merged in recipe.ensemble:
        began = time.perf_counter()
        outcome = _ensemble(merged, folder, executor, monitor)
        finish(merged.name, "ensemble", outcome, began)
    _pack(recipe, split, result)
    return result


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _open_split(recipe: Recipe, monitor: Monitor) -> Split:
    """Open the split; write it first when the recipe says how."""
    sample = recipe.sample
    if sample is not None and not recipe.split.exists():
        with monitor("sample", total=sample.videos * sample.frames) as bar:
            write_sample(recipe.split, **asdict(sample), progress=bar.advance)
    return read_split(recipe.split)


def _ensemble(
    step: EnsembleStep, folder: Path, executor: Executor, monitor: Monitor
) -> Outcome:
    """Merge; an older ensemble of other members or weights makes way."""
    path = folder / step.name

    def merge() -> Outcome:
        return ensemble_runs(
            [folder / member for member in step.members],
            path,
            executor=executor,
            weights=step.weights,
            reweight=step.missing == "reweight",
            monitor=monitor,
        )

    try:
        return merge()
    except RunMismatchError:
        if not Run.exists(path) or Run.open(path).kind != "ensemble":
            raise
        shutil.rmtree(path)
        return merge()


def _scores(path: Path, split: Split, monitor: Monitor) -> SplitScore:
    """Score an exported run."""
    with (
        open_masks(path / "masks") as masks,
        monitor(f"score {path.name}", total=frames_to_score(split)) as bar,
    ):
        return score_split(split, masks, report=bar.advance)


def _pack(recipe: Recipe, split: Split, result: BuildResult) -> None:
    """Pack and check the submission, unless zip and masks are what they were."""
    run = Run.open(recipe.runs_folder / recipe.submission.run)
    stamp_path = run.path / "packed.json"
    source = {
        "run": run.identity,
        "team": digest(recipe.submission.team) if recipe.submission.team else None,
    }
    stamp = read_json(stamp_path) if stamp_path.exists() else {}
    if stamp.get("source") != source or not (
        result.zip.is_file() and digest(result.zip) == stamp.get("sha256")
    ):
        packed = pack(run.masks_folder, result.zip, team=recipe.submission.team)
        stamp = {"source": source, "zip": str(result.zip), "sha256": packed.sha256}
        write_json(stamp_path, stamp)
    result.sha256, result.size = stamp["sha256"], result.zip.stat().st_size
    result.check = check_masks(result.zip, split)
    if result.check.exit_code:
        raise SplitError(
            f"{result.zip}: the precheck has findings; see: submit check {result.zip} "
            f"--split {split.root}"
        )
