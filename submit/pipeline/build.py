"""`submit build`: a recipe from the split to the checked zip."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..archive import open_masks, pack
from ..checks import check_masks
from ..data import Split, read_split
from ..errors import ArchiveError, RunMismatchError
from ..executors import Executor
from ..postprocess import Postprocess, read_postprocess
from ..predictors import Predictor
from ..runs import Run
from ..sample import write_sample
from ..scoring import Totals, frames_to_score, score_split, write_scores
from ..system.files import digest, read_json, write_json
from .ensemble import ensemble_runs
from .export import export_run
from .imports import import_masks
from .outcome import Monitor, Outcome, silent
from .predict import PredictPlan, predict_split
from .recipe import EnsembleStep, ImportStep, PredictStep, Recipe

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
    scores: Totals | None


@dataclass(frozen=True)
class BuildResult:
    """What a build has made.

    Attributes:
        split: Folder of the split.
        runs: The runs, in the order in which they were made.
        zip: The file to hand in; the precheck has no findings in it.
        sha256: Its digest.
        size: Its size in bytes.
    """

    split: Path
    runs: tuple[BuiltRun, ...]
    zip: Path
    sha256: str
    size: int


def build(
    recipe: Recipe,
    *,
    executor: Executor,
    model_executor: Callable[[Predictor], Executor],
    device: str = "auto",
    monitor: Monitor = silent,
) -> BuildResult:
    """Make everything a recipe names; what is there and unchanged is kept.

    Where the split has full ground truth, every run is exported and scored; otherwise
    only the one that is handed in is exported. An ensemble whose members have changed
    is made anew; a predicted run with other settings is refused, since it may hold
    days of work.

    Args:
        recipe: The recipe.
        executor: Runs the steps without a model.
        model_executor: Chooses the executor for a model.
        device: Where models run.
        monitor: Opens a progress bar for each step.

    Raises:
        SubmitError: A step cannot be done, a video failed, or the precheck found
            something in the zip.
    """
    settings = recipe.submission.settings
    postprocess = Postprocess() if settings is None else read_postprocess(settings)
    split = _open_split(recipe, monitor)
    builder = _Builder(
        recipe, split, postprocess, executor, model_executor, device, monitor
    )
    # A wrong option of the last model must not show after the first one's night.
    for step in recipe.predict:
        _plan(step).build(device)
    runs = tuple(builder.run(step) for step in recipe.steps)
    sha256 = builder.submission()
    zip_path = recipe.zip_path
    return BuildResult(split.root, runs, zip_path, sha256, zip_path.stat().st_size)


def _open_split(recipe: Recipe, monitor: Monitor) -> Split:
    """Open the split; write it first when the recipe says how."""
    sample = recipe.sample
    if sample is not None and not recipe.split.exists():
        with monitor("sample", total=sample.videos * sample.frames) as bar:
            write_sample(recipe.split, **asdict(sample), progress=bar.advance)
    return read_split(recipe.split)


@dataclass(frozen=True)
class _Builder:
    """Makes the runs of a recipe, and the zip."""

    recipe: Recipe
    split: Split
    postprocess: Postprocess
    executor: Executor
    model_executor: Callable[[Predictor], Executor]
    device: str
    monitor: Monitor

    def run(self, step: PredictStep | ImportStep | EnsembleStep) -> BuiltRun:
        """Make one run, and score it where there is ground truth."""
        began = time.perf_counter()
        path = self.recipe.runs_folder / step.name
        if isinstance(step, PredictStep):
            outcome = self._predict(step, path)
        elif isinstance(step, ImportStep):
            outcome = import_masks(
                step.path,
                path,
                self.split,
                executor=self.executor,
                monitor=self.monitor,
            )
        else:
            outcome = self._ensemble(step, path)
        outcome.require_complete(str(path / "failed.json"))
        run = Run.open(path)
        return BuiltRun(
            name=step.name,
            made_by=run.kind,
            videos=len(run.videos),
            made=len(outcome.done),
            scores=self._scores(run),
            seconds=time.perf_counter() - began,
        )

    def submission(self) -> str:
        """Pack and check what is handed in; returns the zip's SHA-256."""
        submission, zip_path = self.recipe.submission, self.recipe.zip_path
        run = Run.open(self.recipe.runs_folder / submission.run)
        masks = self._export(run)
        stamp = _Stamp(run)
        team = digest(submission.team) if submission.team else None
        source = {"run": self._identity(run), "team": team}
        packed = stamp.get("packed", source)
        if packed is None or not zip_path.is_file() or digest(zip_path) != packed:
            packed = pack(masks, zip_path, team=submission.team).sha256
            stamp.set("packed", source, packed)
        checked = {"zip": packed, "split": self.split.fingerprint}
        if stamp.get("checked", checked) is None:
            report = check_masks(zip_path, self.split, team=submission.team is not None)
            if report.exit_code:
                raise ArchiveError(
                    f"{zip_path}: the precheck has findings; do: submit check "
                    f"{zip_path} --split {self.split.root}"
                )
            stamp.set("checked", checked, "no findings")
        return str(packed)

    def _predict(self, step: PredictStep, path: Path) -> Outcome:
        return predict_split(
            self.split,
            path,
            _plan(step),
            executor=self.model_executor,
            device=self.device,
            monitor=self.monitor,
        )

    def _ensemble(self, step: EnsembleStep, path: Path) -> Outcome:
        """Merge; an older ensemble of other members or weights makes way."""

        def merge() -> Outcome:
            return ensemble_runs(
                [self.recipe.runs_folder / member for member in step.members],
                path,
                executor=self.executor,
                settings=step.settings,
                reweight=step.missing == "reweight",
                split=self.split,
                monitor=self.monitor,
            )

        try:
            return merge()
        except RunMismatchError:
            if not Run.exists(path) or Run.open(path).kind != "ensemble":
                raise
            shutil.rmtree(path)
            return merge()

    def _export(self, run: Run) -> Path:
        """Export; masks of other post-processing make way. Returns their folder.

        A run of masks keeps them as they are; changed ones go beside them.
        """
        postprocess = self._postprocess(run)
        folder = run.masks_folder
        if not run.is_soft and not postprocess.is_off:
            folder = run.path / "postprocessed"

        def export() -> None:
            export_run(
                run,
                self.split,
                executor=self.executor,
                folder=None if folder == run.masks_folder else folder,
                postprocess=postprocess,
                monitor=self.monitor,
            ).require_complete(str(folder))

        try:
            export()
        except RunMismatchError:
            shutil.rmtree(folder)
            export()
        return folder

    def _postprocess(self, run: Run) -> Postprocess:
        """What is done to a run's masks: something to the one that is handed in."""
        handed_in = run.name == self.recipe.submission.run
        return self.postprocess if handed_in else Postprocess()

    def _identity(self, run: Run) -> Any:
        """What decides the masks of a run."""
        table = self._postprocess(run).to_table()
        return [run.identity, table] if table else run.identity

    def _scores(self, run: Run) -> Totals | None:
        """The official scores of a run, with all details below `scores/`."""
        if not all(video.fully_annotated for video in self.split.videos.values()):
            return None
        masks_folder = self._export(run)
        stamp = _Stamp(run)
        if (known := stamp.get("scored", self._identity(run))) is not None:
            return Totals(**known)
        title = f"score {run.name}"
        with (
            open_masks(masks_folder) as masks,
            self.monitor(title, total=frames_to_score(self.split)) as bar,
        ):
            scores = score_split(self.split, masks, report=bar.advance)
        write_scores(scores, run.path / "scores")
        stamp.set("scored", self._identity(run), asdict(scores.totals))
        return scores.totals


def _plan(step: PredictStep) -> PredictPlan:
    return PredictPlan(
        predictor=step.predictor,
        options=tuple(f"{key}={_text(v)}" for key, v in step.options.items()),
        variant=step.variant,
        tta=step.tta,
        late_objects=step.late_objects,
    )


class _Stamp:
    """What was made of a run, and from which inputs: `built.json` in its folder."""

    def __init__(self, run: Run) -> None:
        self._path = run.path / "built.json"

    def get(self, what: str, source: Any) -> Any:
        """What was made, if it was made of this source; otherwise None."""
        entry = self._read().get(what, {})
        return entry.get("result") if entry.get("source") == source else None

    def set(self, what: str, source: Any, result: Any) -> None:
        """Remember what was made."""
        entry = {"source": source, "result": result}
        write_json(self._path, {**self._read(), what: entry})

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = read_json(self._path)
        except (OSError, ValueError):
            return {}
        return content


def _text(value: Any) -> str:
    """Write a TOML value as `-o key=value` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
