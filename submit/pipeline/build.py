"""`submit build`: a recipe from the split to the checked zip."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..archive import SUBMISSION_ZIP, pack, read_team
from ..checks import check_masks
from ..data import Split, read_split
from ..errors import ArchiveError
from ..executors import Executor
from ..postprocess import Postprocess, read_postprocess
from ..predictors import Predictor
from ..runs import KnownMasks, Run, Stamps
from ..runs.identity import fingerprint
from ..sample import require_sample, write_sample
from ..scoring import Totals, frames_to_score, score_split, write_scores
from ..storage import bring_each
from ..system.files import digest, write_json
from ..system.outputs import claim
from ..system.schema import Scalar
from ..system.urls import Place
from ..system.words import counted
from .ensemble import ensemble_runs
from .evidence import find_anchors
from .export import export_run, exported_masks
from .exported import ExportRecord
from .imports import import_masks
from .last_score import remember_score
from .outcome import Monitor, StepOutcome, silent
from .predict import PredictPlan, predict_split
from .recipe import Recipe
from .routing import only_videos, routed_objects, routed_settings
from .steps import AnchorsStep, EnsembleStep, ImportStep, PredictStep, RouteStep

__all__ = ["BuildResult", "Builder", "BuiltRun", "build"]


@dataclass(frozen=True)
class BuiltRun:
    """One run of a recipe.

    Attributes:
        name: The run.
        made_by: `predict`, `import` or `ensemble`; a route is an ensemble.
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
        split: Folder of the split, or its URL.
        runs: The runs, in the order in which they were made.
        zip: The file to upload; the precheck has no findings in it.
        sha256: Its digest.
        size: Its size in bytes.
    """

    split: Place
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
    workers: int | None = None,
    force: bool = False,
    monitor: Monitor = silent,
    note: Callable[[str], None] = lambda text: None,
) -> BuildResult:
    """Do all steps of a recipe; unchanged results are kept.

    If the split has full ground truth, every run is exported and scored; otherwise only
    the submitted run is exported. An ensemble whose members have changed is made again;
    a predicted run with other settings is refused, since it may hold days of work.

    Args:
        recipe: The recipe.
        executor: Runs the steps without a model.
        model_executor: Chooses the executor for a model.
        device: Where models run.
        workers: Threads that score and check; one for each core by default.
        force: Whether the zip may replace a file that is not a zip.
        monitor: Opens a progress bar for each step.
        note: Called with each remark about the split.

    Raises:
        SubmitError: A step cannot be done, a video failed, or the precheck found
            something in the zip.
    """
    settings, team = recipe.submission.settings, recipe.submission.team
    claim(recipe.zip_path, SUBMISSION_ZIP, force=force, inputs=(settings, team))
    if team is not None:
        read_team(team)
    postprocess = Postprocess() if settings is None else read_postprocess(settings)
    split = _open_split(recipe, monitor)
    for text in (*split.notes, split.absent_note):
        if text is not None:
            note(text)
    builder = Builder(
        recipe, split, postprocess, executor, model_executor, device, workers, monitor
    )
    # Check the options of all models first, before hours of prediction.
    for step in (*recipe.predict, *map(recipe.way, recipe.routes)):
        plan = builder.plan(step)
        plan.require_direction()
        plan.build(device)
    runs = []
    for one in recipe.steps:
        if isinstance(one, AnchorsStep):
            builder.anchors(one)
        else:
            runs.append(builder.run(one))
    sha256 = builder.submission()
    zip_path = recipe.zip_path
    return BuildResult(
        split.place, tuple(runs), zip_path, sha256, zip_path.stat().st_size
    )


def _open_split(recipe: Recipe, monitor: Monitor) -> Split:
    """Open the split; a sample is written first if the recipe asks for it."""
    sample, folder = recipe.sample, recipe.sample_folder
    if sample is not None and folder is not None:
        if folder.exists():
            require_sample(folder, **asdict(sample))
        else:
            with monitor("sample", total=sample.videos * sample.frames) as bar:
                write_sample(folder, **asdict(sample), progress=bar.advance)
    return read_split(recipe.split, meta=recipe.meta)


@dataclass(frozen=True)
class Builder:
    """Makes the runs of a recipe, and the zip."""

    recipe: Recipe
    split: Split
    postprocess: Postprocess
    executor: Executor
    model_executor: Callable[[Predictor], Executor]
    device: str
    workers: int | None
    monitor: Monitor

    def plan(self, step: PredictStep) -> PredictPlan:
        """What a step predicts."""
        return PredictPlan(
            predictor=step.predictor,
            options=_texts(step.options),
            variant=step.variant,
            tta=step.tta,
            late_objects=step.late_objects,
            prompts=self.recipe.prompts_of(step),
            direction=step.direction,
            prompter=step.prompter,
            prompter_options=_texts(step.prompter_options),
        )

    def anchors(self, step: AnchorsStep) -> None:
        """Choose anchors, unless those of the same runs are written already.

        Changes that a person has made in the file are kept then.
        """
        runs = [Run.open(self.recipe.runs_folder / name) for name in step.runs]
        path, stamps = self.recipe.anchors_path(step.name), Stamps(runs[0].path)
        source = {"rules": asdict(step.rules), "masks": _digests(runs)}
        what = f"anchors {step.name}"
        if path.is_file() and stamps.get(what, source) is not None:
            return
        total = sum(video.length for video in self.split.videos.values())
        with self.monitor(what, total=total) as bar:
            found = find_anchors(
                self.split,
                {run.name: run for run in runs},
                step.rules,
                workers=self.workers,
                progress=bar.advance,
            )
            objects = counted(found.all_objects, "object")
            bar.note(
                f"{what}: {counted(found.masks, 'mask')} and "
                f"{counted(found.absences, 'absence')} for {found.objects} of {objects}"
            )
        write_json(path, found.prompts)
        stamps.set(what, source, str(path))

    def run(
        self, step: PredictStep | ImportStep | RouteStep | EnsembleStep
    ) -> BuiltRun:
        """Make one run, and score it where there is ground truth."""
        began = time.perf_counter()
        path = self.recipe.runs_folder / step.name
        if isinstance(step, PredictStep):
            outcome = self._predict(step, path)
        elif isinstance(step, RouteStep):
            outcome = self._route(step, path)
        elif isinstance(step, ImportStep):
            outcome = import_masks(
                step.path,
                path,
                self.split,
                executor=self.executor,
                hints=step.hints,
                renew=True,
                monitor=self.monitor,
            )
        else:
            outcome = ensemble_runs(
                [self.recipe.runs_folder / member for member in step.members],
                path,
                executor=self.executor,
                settings=step.settings,
                reweight=step.missing == "reweight",
                split=self.split,
                renew=True,
                monitor=self.monitor,
            )
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
        """Pack and check the submitted run; returns the zip's SHA-256."""
        submission, zip_path = self.recipe.submission, self.recipe.zip_path
        run = Run.open(self.recipe.runs_folder / submission.run)
        masks = self.export(run)
        stamps, packed = Stamps(run.path), self._packed(run)
        if packed is None:
            packed = pack(masks, zip_path, team=submission.team).sha256
            stamps.set("packed", self._packing_source(run), packed)
        checked = self._checking_source(packed)
        if stamps.get("checked", checked) is None:
            found = check_masks(
                zip_path,
                self.split,
                team=submission.team is not None,
                workers=self.workers,
            )
            if found.exit_code:
                raise ArchiveError(
                    f"{zip_path}: the precheck has findings; do: submit check "
                    f"{zip_path} --split {self.split.place}"
                )
            stamps.set("checked", checked, "no findings")
        return str(packed)

    def is_submitted(self, run: Run) -> bool:
        """Whether the zip of the run is there and was checked."""
        packed = self._packed(run)
        checked = None if packed is None else self._checking_source(packed)
        return bool(checked and Stamps(run.path).get("checked", checked))

    def is_scored(self, run: Run) -> bool:
        """Whether the scores of the run are known."""
        return Stamps(run.path).get("scored", self._scoring_source(run)) is not None

    @cached_property
    def has_truth(self) -> bool:
        """Whether runs can be scored: all frames of the split are annotated."""
        return all(video.fully_annotated for video in self.split.videos.values())

    def export(self, run: Run) -> KnownMasks:
        """Export a run; masks of other post-processing are replaced.

        A run of masks keeps them as they are; post-processed masks go into another
        folder.
        """
        postprocess, own = self._postprocess(run), self._in_own_folder(run)
        folder = self._export_folder(run)
        outcome = export_run(
            run,
            self.split,
            executor=self.executor,
            folder=None if own else folder,
            postprocess=postprocess,
            renew=True,
            monitor=self.monitor,
        )
        outcome.require_complete(str(folder))
        if own:
            return exported_masks(run, after=outcome)
        return ExportRecord.open(folder).masks(
            run.videos, remedy=f"delete {folder} and build again"
        )

    def exports(self, run: Run) -> tuple[ExportRecord, Postprocess]:
        """What was exported of a run, and the post-processing it will have."""
        return ExportRecord.open(self._export_folder(run)), self._postprocess(run)

    def _in_own_folder(self, run: Run) -> bool:
        """Whether the masks of a run are exported into its own folder."""
        return run.is_soft or self._postprocess(run).is_off

    def _export_folder(self, run: Run) -> Path:
        own = self._in_own_folder(run)
        return run.masks_folder if own else run.path / "postprocessed"

    def _packing_source(self, run: Run) -> dict[str, Any]:
        """Everything that decides the zip."""
        team = self.recipe.submission.team
        return {"masks": self._masks(run), "team": digest(team) if team else None}

    def _packed(self, run: Run) -> str | None:
        """The digest of the zip, if it is there and is that of the run."""
        zip_path = self.recipe.zip_path
        packed = Stamps(run.path).get("packed", self._packing_source(run))
        if packed is None or not zip_path.is_file() or digest(zip_path) != packed:
            return None
        return str(packed)

    def _checking_source(self, packed: str) -> dict[str, Any]:
        """Everything that decides the findings."""
        return {"zip": packed, **self._scoring_inputs(first_only=True)}

    def _scoring_source(self, run: Run) -> dict[str, Any]:
        """Everything that decides the scores."""
        return {"masks": self._masks(run), **self._scoring_inputs(first_only=False)}

    def _route(self, step: RouteStep, path: Path) -> StepOutcome:
        """Predict the objects of a route another way, and take them from there."""
        run = Run.open(self.recipe.runs_folder / step.run)
        objects = self._routed(step, run)
        members, way = [run.path], self.recipe.way(step)
        if objects:
            members.append(self.recipe.runs_folder / way.name)
            split = only_videos(self.split, objects)
            outcome = self._predict(way, members[-1], split)
            outcome.require_complete(str(members[-1] / "failed.json"))
        return ensemble_runs(
            members,
            path,
            executor=self.executor,
            settings=routed_settings(step.run, way.name, objects),
            reweight=True,
            split=self.split,
            renew=True,
            monitor=self.monitor,
        )

    def _routed(self, step: RouteStep, run: Run) -> dict[str, list[int]]:
        """The objects that go the other way, by video; they are recorded in the run."""
        against = [Run.open(self.recipe.runs_folder / name) for name in step.against]
        stamps = Stamps(run.path)
        source = {
            "when": step.when,
            "runs": _digests([run, *against]),
        }
        what = f"route {step.name}"
        found: dict[str, list[int]] | None = stamps.get(what, source)
        if found is None:
            total = sum(record.frames for record in run.videos.values())
            with self.monitor(what, total=total) as bar:
                found = routed_objects(
                    run,
                    against,
                    step.condition,
                    workers=self.workers,
                    progress=bar.advance,
                )
                count = sum(map(len, found.values()))
                every = sum(len(record.objects) for record in run.videos.values())
                bar.note(f"{what}: {count} of {counted(every, 'object')}: {step.when}")
            stamps.set(what, source, found)
        return found

    def _predict(
        self, step: PredictStep, path: Path, split: Split | None = None
    ) -> StepOutcome:
        return predict_split(
            split or self.split,
            path,
            self.plan(step),
            executor=self.model_executor,
            device=self.device,
            monitor=self.monitor,
        )

    def _postprocess(self, run: Run) -> Postprocess:
        """The post-processing of a run: none unless it is the submitted one."""
        handed_in = run.name == self.recipe.submission.run
        return self.postprocess if handed_in else Postprocess()

    def _masks(self, run: Run) -> Any:
        """Everything that decides the exported masks of a run."""
        return [run.identity, self._postprocess(run).effective().to_table()]

    def _scoring_inputs(self, *, first_only: bool) -> dict[str, Any]:
        """The inputs of scores and findings besides the masks: split and version.

        Args:
            first_only: Whether annotations after the first of a video do not count.
        """
        meta = self.split.meta_path
        return {
            "split": self.split.fingerprint,
            "meta": None if meta is None else digest(meta),
            "truth": None if first_only else self._truth,
            "version": version("mose-submit"),
        }

    @cached_property
    def _truth(self) -> str:
        """Digest of all annotations of the split."""
        bring_each(
            (video.masks, frame)
            for video in self.split.videos.values()
            for frame in video.masks
        )
        return fingerprint(
            {
                name: [digest(path) for path in video.masks.values()]
                for name, video in self.split.videos.items()
            }
        )

    def _scores(self, run: Run) -> Totals | None:
        """The official scores of a run, with all details below `scores/`."""
        if not self.has_truth:
            return None
        masks = self.export(run)
        stamps, source = Stamps(run.path), self._scoring_source(run)
        if (known := stamps.get("scored", source)) is not None:
            return Totals(**known)
        title = f"score {run.name}"
        with self.monitor(title, total=frames_to_score(self.split)) as bar:
            scores = score_split(
                self.split, masks, workers=self.workers, progress=bar.advance
            )
        write_scores(scores, run.path / "scores")
        remember_score(run, self.split, scores.totals)
        stamps.set("scored", source, asdict(scores.totals))
        return scores.totals


def _digests(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The digests of all masks of runs."""
    return [{name: one.digest for name, one in run.videos.items()} for run in runs]


def _texts(options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Write options of TOML as `-o key=value` takes them."""
    return tuple(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in options.items()
    )
