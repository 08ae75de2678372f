"""The rehearsal of a recipe: each of its steps with the beginnings of a few videos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..archive import pack
from ..checks import check_masks
from ..data import Split, read_split
from ..ensemble import MergeSettings
from ..errors import RunError, SplitError
from ..executors import Executor
from ..postprocess import Postprocess, read_postprocess
from ..predictors import Predictor
from ..runs import KnownMasks, Run
from ..sample import write_sample
from ..scoring import score_split
from ..system.machine import ProcessMemory, cores
from .build import Builder
from .ensemble import ensemble_runs
from .evidence import find_anchors
from .imports import import_masks
from .outcome import StepOutcome, silent
from .predict import predict_split
from .probe import (
    Cost,
    Fitted,
    OnceCost,
    ProbeExecutor,
    Shape,
    ThreadCost,
    beginning,
    choose_videos,
)
from .recipe import Recipe
from .remaining import Obstacle, Remaining
from .steps import (
    AnchorsStep,
    EnsembleStep,
    ImportStep,
    PredictStep,
    RouteStep,
    Step,
)

__all__ = ["Rehearsal", "Rehearsed"]

#: What each kind of step does, in a word.
_VERBS: Mapping[type[Step], str] = {
    PredictStep: "predict",
    ImportStep: "import",
    AnchorsStep: "anchors",
    RouteStep: "route",
    EnsembleStep: "ensemble",
}

#: Marks the shorter one of two videos that are the same at their beginning.
_HALF = "~half"


@dataclass(frozen=True)
class Rehearsed:
    """What the rehearsal says of a step.

    Attributes:
        name: The run.
        does: What it does, in a word.
        videos: The videos that it will make.
        cost: Its time; None if all is done.
        bytes: Bytes that it writes for a frame.
        workers: Its default number of workers.
        memory: The memory of a worker; None without workers of its own.
        gpu_memory: Bytes of a GPU that a worker takes.
        remark: What is not certain; empty if nothing.
    """

    name: str
    does: str
    videos: Collection[str] = ()
    cost: Cost | None = None
    bytes: Callable[[Shape], float] = lambda shape: 0.0
    workers: int = 1
    memory: ProcessMemory | None = None
    gpu_memory: int = 0
    remark: str = ""


class Rehearsal:
    """Probes the steps of a recipe one after the other."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        workers_of: Callable[[Predictor], tuple[int, Sequence[str]]],
        device: str,
        workers: int | None,
        frames: int,
    ) -> None:
        self._recipe, self._folder = recipe, folder
        self._workers_of, self._device = workers_of, device
        self._workers = workers or cores()
        #: What was found out, in the order of the steps.
        self.steps: list[Rehearsed] = []
        #: What stands in the way.
        self.problems: list[Obstacle] = []
        self._split = self._open()
        settings = recipe.submission.settings
        self._builder = Builder(
            recipe,
            self._split,
            Postprocess() if settings is None else read_postprocess(settings),
            ProbeExecutor(),
            lambda model: ProbeExecutor(),
            device,
            workers,
            silent,
        )
        # An error in a model's options is reported before anything takes time.
        self._models = {
            step.name: self._builder.plan(step).build(device)
            for step in (*recipe.predict, *map(recipe.way, recipe.routes))
        }
        #: The videos of the split.
        self.shapes = {
            name: Shape.of(video) for name, video in self._split.videos.items()
        }
        self._part = self._cut(frames)
        self._part_shapes = {
            name: Shape.of(video) for name, video in self._part.videos.items()
        }
        self._probing = replace(
            self._builder,
            recipe=replace(recipe, runs=folder / "runs", sample=None),
            split=self._part,
        )
        self._left = Remaining(recipe, self._split, self._builder, self._models)
        self.problems.extend(self._left.problems)

    @property
    def frames(self) -> int:
        """Frames that are probed in each step."""
        return sum(shape.frames for shape in self._part_shapes.values())

    @property
    def count(self) -> int:
        """Number of steps to probe."""
        return len(self._left.needed) + self._left.is_open

    def make(self, done: Callable[[str, int], None]) -> None:
        """Probe all steps.

        Args:
            done: Called with the name of a step and its frames.
        """
        for step in self._recipe.steps:
            if step.name not in self._left.needed:
                self.steps.append(Rehearsed(step.name, _VERBS[type(step)]))
                continue
            try:
                self._probe(step)
            except _FailedError as error:
                self.problems.append(
                    Obstacle(
                        f"{step.name}: {error}",
                        "see that this works first: the same step would fail",
                    )
                )
                # What needs it cannot be probed either.
                return
            done(step.name, self.frames)
        if self._left.is_open:
            self._submit()
            done("submission", self.frames)

    def _open(self) -> Split:
        """Open the split; a sample that is not there is written, to time that."""
        recipe = self._recipe
        own = recipe.sample_folder
        if recipe.sample is None or own is None or own.exists():
            return read_split(recipe.split, meta=recipe.meta)
        folder, sample = self._folder / "sample", recipe.sample
        cost = OnceCost(lambda: write_sample(folder, **asdict(sample)))
        split = read_split(folder)
        frames = sum(video.length for video in split.videos.values())
        share = _bytes(folder) / frames
        self.steps.append(
            Rehearsed(
                "sample", "sample", tuple(split.videos), cost, bytes=lambda shape: share
            )
        )
        return split

    def _cut(self, frames: int) -> Split:
        """The first frames of the videos to probe."""
        if not self.shapes:
            raise SplitError(f"{self._split.place}: has no videos to plan for")
        # Masks of other programs are of whole videos.
        whole = bool(self._recipe.imports)
        chosen = {}
        for name in choose_videos(self.shapes, short=whole):
            video = self._split.videos[name]
            chosen[name] = beginning(video, video.length if whole else frames)
        delayed = any(model.describe().delayed for model in self._models.values())
        if delayed and not whole:
            name = max(chosen, key=lambda one: chosen[one].length)
            half = beginning(chosen[name], frames // 2, name=f"{name}{_HALF}")
            chosen[half.name] = half
        return replace(self._split, videos=chosen, others=(), absent=(), meta_path=None)

    def _probe(self, step: Step) -> None:
        """Probe a step, and the export and the score of its run."""
        if isinstance(step, AnchorsStep):
            self._anchors(step)
            return
        if isinstance(step, PredictStep):
            self._predict(step)
        elif isinstance(step, ImportStep):
            self._map(
                step,
                lambda path, executor: import_masks(
                    step.path,
                    path,
                    self._part,
                    executor=executor,
                    hints=step.hints,
                    renew=True,
                ),
            )
        elif isinstance(step, RouteStep):
            way = self._recipe.way(step)
            self._left.lacking[way.name] = set(self._left.lacking[step.name])
            self._predict(
                way, remark="at most: only videos with such objects are predicted"
            )
            self._merge(step, (step.run, way.name), MergeSettings(), reweight=True)
        else:
            self._merge(
                step,
                step.members,
                replace(step.settings, overrides={}),
                reweight=step.missing == "reweight",
            )
        if step.name in self._left.exported:
            masks = self._export(step.name)
            if self._builder.has_truth:
                self._score(step.name, masks)

    def _predict(self, step: PredictStep, *, remark: str = "") -> None:
        """Probe a prediction, without prompts, since those may be of any frame."""
        model = self._models[step.name]
        workers, devices = self._workers_of(model)
        plan = replace(self._builder.plan(step), prompts=None, direction="forward")

        def predict(path: Path, executor: Executor) -> StepOutcome:
            return predict_split(
                self._part,
                path,
                plan,
                executor=lambda model: executor,
                device=self._device,
            )

        self._map(
            step,
            predict,
            device=devices[0],
            workers=workers,
            delayed=model.describe().delayed,
            passes=2 if step.direction == "both" else 1,
            remark=remark,
        )

    def _merge(
        self,
        step: RouteStep | EnsembleStep,
        members: Sequence[str],
        settings: MergeSettings,
        *,
        reweight: bool,
    ) -> None:
        self._map(
            step,
            lambda path, executor: ensemble_runs(
                [self._folder / "runs" / name for name in members],
                path,
                executor=executor,
                settings=settings,
                reweight=reweight,
                split=self._part,
                renew=True,
            ),
        )

    def _map(
        self,
        step: Step,
        make: Callable[[Path, Executor], StepOutcome],
        *,
        device: str = "cpu",
        workers: int | None = None,
        delayed: bool = False,
        passes: int = 1,
        remark: str = "",
    ) -> None:
        """Probe a step whose videos are made by workers."""
        path, executor = self._folder / "runs" / step.name, ProbeExecutor(device)
        _require(make(path, executor))
        run = Run.open(path)
        cost = executor.cost(self._part_shapes, delayed=delayed, passes=passes)
        sizes = Fitted(
            [
                (shape, _bytes(run.stored(name).path) / shape.frames)
                for name, shape in self._part_shapes.items()
            ],
            lambda shape: shape.both,
        )
        self.steps.append(
            Rehearsed(
                step.name,
                _VERBS[type(step)],
                self._left.lacking[step.name],
                cost,
                bytes=sizes,
                workers=workers or self._workers,
                memory=cost.memory,
                gpu_memory=cost.gpu_memory,
                remark=remark,
            )
        )

    def _anchors(self, step: AnchorsStep) -> None:
        runs = [Run.open(self._folder / "runs" / name) for name in step.runs]

        def find() -> None:
            find_anchors(
                self._part, {run.name: run for run in runs}, step.rules, workers=1
            )

        self.steps.append(
            Rehearsed(
                step.name,
                "anchors",
                self._left.lacking[step.name],
                ThreadCost(find, _object_frames, self._part_shapes.values()),
                workers=self._workers,
            )
        )

    def _export(self, name: str) -> KnownMasks:
        """Probe the export of a run."""
        executor = ProbeExecutor()
        run = Run.open(self._folder / "runs" / name)
        masks = replace(self._probing, executor=executor).export(run)
        videos = self._left.unexported(name)
        if executor.timings:
            cost = executor.cost(self._part_shapes)
            sizes = Fitted(
                [
                    (shape, _png_bytes(masks, video) / shape.frames)
                    for video, shape in self._part_shapes.items()
                ],
                lambda shape: shape.edges,
            )
            self.steps.append(
                Rehearsed(
                    name,
                    "export",
                    videos,
                    cost,
                    bytes=sizes,
                    workers=self._workers,
                    memory=cost.memory,
                )
            )
        return masks

    def _score(self, name: str, masks: KnownMasks) -> None:
        self.steps.append(
            Rehearsed(
                name,
                "score",
                tuple(self.shapes) if self._left.is_unscored(name) else (),
                ThreadCost(
                    lambda: score_split(self._part, masks, workers=1),
                    _object_pixels,
                    self._part_shapes.values(),
                ),
                workers=self._workers,
            )
        )

    def _submit(self) -> None:
        """Probe the zip of the submission and its check."""
        name = self._recipe.submission.run
        run = Run.open(self._folder / "runs" / name)
        masks, path = self._probing.export(run), self._folder / "probe.zip"
        shapes, all_videos = self._part_shapes, tuple(self.shapes)
        packing = ThreadCost(
            lambda: pack(masks, path), _frames, shapes.values(), alone=True
        )
        checking = ThreadCost(
            lambda: check_masks(path, self._part, workers=1), _pixels, shapes.values()
        )
        inside = sum(_png_bytes(masks, video) for video in shapes)
        more = path.stat().st_size / max(inside, 1)
        sizes = Fitted(
            [
                (shape, more * _png_bytes(masks, video) / shape.frames)
                for video, shape in shapes.items()
            ],
            lambda shape: shape.edges,
        )
        self.steps += [
            Rehearsed(name, "pack", all_videos, packing, bytes=sizes),
            Rehearsed(name, "check", all_videos, checking, workers=self._workers),
        ]


class _FailedError(RunError):
    """A video failed in the probe."""


def _require(outcome: StepOutcome) -> None:
    """Make sure that all videos were made.

    Raises:
        _FailedError: One was not.
    """
    for video, reason in sorted(outcome.failed.items()):
        raise _FailedError(f"video {video} failed in the probe: {reason}")


def _bytes(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    if path.is_dir():
        return sum(_bytes(child) for child in path.iterdir())
    return path.stat().st_size


def _frames(shape: Shape) -> float:
    return shape.frames


def _pixels(shape: Shape) -> float:
    return shape.frames * shape.pixels


def _object_frames(shape: Shape) -> float:
    return shape.frames * max(shape.objects, 1)


def _object_pixels(shape: Shape) -> float:
    return shape.frames * shape.pixels * max(shape.objects, 1)


def _png_bytes(masks: KnownMasks, video: str) -> int:
    return sum(len(masks.read(video, frame)) for frame in masks.frames(video))
