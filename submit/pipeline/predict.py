"""`submit predict`: a model over a split."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..augment import augmented, parse_variant
from ..data import FrameReader, Split, SplitVideo, read_split
from ..errors import MaskError, SplitError
from ..executors import Executor, Job, Worker
from ..masks import binary_masks, object_ids, quantise
from ..predictors import (
    Prediction,
    Predictor,
    Session,
    Video,
    build,
    load,
    parse_options,
)
from ..runs import MaskWriter, Run, SoftWriter, VideoRecord
from ..system.files import atomic_folder, digest
from .behind import Behind
from .outcome import Monitor, Outcome, run_jobs, silent

__all__ = ["PredictPlan", "predict_split", "split_of"]


@dataclass(frozen=True)
class PredictPlan:
    """Which model to run, and how.

    Attributes:
        predictor: Name of the model.
        options: Its options as `key=value`.
        variant: Variant to track instead of the plain video, or None.
        tta: Variants to track beside it and merge on the fly.
        soft: Whether to keep soft masks; otherwise palette masks are written at once.
        late_objects: Whether objects that are first annotated in a later frame are
            given to the model there (YouTube-VOS, LVOS). In MOSEv2 all objects are in
            the first mask, and the later masks of a train split must not be used.
    """

    predictor: str
    options: tuple[str, ...] = ()
    variant: str | None = None
    tta: tuple[str, ...] = ()
    soft: bool = True
    late_objects: bool = False

    def build(self, device: str) -> Predictor:
        """Make the model, wrapped in its augmentations.

        Raises:
            PredictorError: The model is unknown or cannot be built.
            OptionError: An option or a variant is not legal.
        """
        return augmented(
            build(self.predictor, self.options, device=device),
            variant=None if self.variant is None else parse_variant(self.variant),
            tta=[parse_variant(text) for text in self.tta],
        )

    def settings(self, predictor: Predictor) -> dict[str, Any]:
        """Everything that decides the masks, for the manifest."""
        kind = load(self.predictor)
        options = parse_options(self.predictor, kind.Options, self.options)
        description = predictor.describe()
        return {
            "predictor": self.predictor,
            "options": asdict(options),
            "model": description.model,
            "checkpoint": description.checkpoint,
            "details": dict(description.details),
            "variant": str(parse_variant(self.variant or "plain")),
            "tta": [str(parse_variant(text)) for text in self.tta],
            "soft": self.soft,
            "late_objects": self.late_objects,
        }

    def __call__(self, device: str) -> Worker:
        """Make the worker that predicts videos; called in its process."""
        return _VideoPredictor(self.build(device))


def split_of(run: Run, root: Path | None = None) -> Split:
    """Open the split that a run was made from.

    Args:
        run: The run.
        root: Where the split is now; None for where it was.

    Raises:
        SplitError: It is not there, or is another one.
    """
    path = root if root is not None else Path(run.split["path"])
    split = read_split(path)
    if split.fingerprint != run.split["fingerprint"]:
        raise SplitError(
            f"{path}: is not the split that run {run.name} was made from (other "
            "videos, frames or first masks); name the right one with --split"
        )
    return split


def predict_split(
    split: Split,
    path: Path,
    plan: PredictPlan,
    *,
    executor: Executor | Callable[[Predictor], Executor],
    videos: Sequence[str] = (),
    device: str = "auto",
    monitor: Monitor = silent,
) -> Outcome:
    """Run a model over a split; continues where an earlier call stopped.

    Args:
        split: The split.
        path: The run's folder.
        plan: Which model, and how.
        executor: Runs the videos; or a function that chooses one for the model.
        videos: Shell patterns of the videos to predict; all without one.
        device: Where to describe the model.
        monitor: Opens the progress bar.

    Raises:
        RunMismatchError: The folder holds a run with other settings.
        PredictorError: The model cannot be built.
    """
    predictor = plan.build(device)
    chosen = split.select(videos)
    run = Run.create(
        path,
        kind="predict",
        settings=plan.settings(predictor),
        split={"path": str(split.root.resolve()), "fingerprint": split.fingerprint},
        environment={"licence": predictor.describe().licence},
    )
    if not hasattr(executor, "map"):
        executor = executor(predictor)
    with run.writing():
        skipped = [v.name for v in chosen if run.is_complete(v.name)]
        jobs = [
            Job(
                video.name,
                cost=video.length,
                payload=_Task(
                    video=video,
                    path=run.soft_path(video.name)
                    if plan.soft
                    else run.masks_folder / video.name,
                    soft=plan.soft,
                    late_objects=plan.late_objects,
                ),
            )
            for video in chosen
            if video.name not in skipped
        ]
        return run_jobs(
            f"predict {run.name}",
            Outcome(run.name),
            executor=executor,
            build=plan,
            jobs=jobs,
            skipped=skipped,
            on_done=run.add,
            on_failed=run.fail,
            monitor=monitor,
        )


@dataclass(frozen=True)
class _Task:
    """One video for a worker."""

    video: SplitVideo
    path: Path
    soft: bool
    late_objects: bool


class _VideoPredictor:
    """Predicts video after video with one model."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, task: _Task, report: Callable[[int], None]) -> VideoRecord:
        video, began = task.video, time.perf_counter()
        if not video.images:
            raise SplitError(
                f"video {video.name}: has no frames; expected "
                f"JPEGImages/{video.name}/<frame>.jpg"
            )
        if video.length < 2:
            raise SplitError(
                f"video {video.name}: has one frame, so there is nothing to track; "
                "expected at least 2 in JPEGImages (extract the split again)"
            )
        prompts = _prompts(video, late=task.late_objects)
        session = self._predictor.session(
            Video(video.name, video.height, video.width, video.length)
        )
        with contextlib.ExitStack() as stack:
            stack.callback(session.close)
            behind = stack.enter_context(Behind(stack.enter_context(_writer(task))))
            reader = stack.enter_context(FrameReader(video.images, size=video.size))
            objects: tuple[int, ...] = ()
            for frame, image in reader:
                prediction = _advance(session, image, prompts.get(frame), objects)
                behind.put(_Written.of(video.name, frame, prediction))
                objects = prediction.objects
                report(1)
        return VideoRecord(
            frames=video.length,
            objects=objects,
            size=video.size,
            seconds=round(time.perf_counter() - began, 3),
            digest=digest(task.path),
            soft=task.soft,
        )


def _prompts(
    video: SplitVideo, *, late: bool
) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """The masks that the model is given, by frame: each object's first one."""
    first = video.first_mask()
    prompts = {video.frames[0]: binary_masks(first, object_ids(first))}
    if late:
        known = set(prompts[video.frames[0]])
        for frame in video.masks:
            labels = video.read_mask(frame)
            if new := [key for key in object_ids(labels) if key not in known]:
                prompts[frame] = binary_masks(labels, new)
                known.update(new)
    return prompts


def _advance(
    session: Session,
    image: NDArray[np.uint8],
    masks: Mapping[int, NDArray[np.bool_]] | None,
    objects: Sequence[int],
) -> Prediction:
    """Make the one call that a frame needs; none while there is nothing to track."""
    if masks:
        return session.add(image, masks) if objects else session.start(image, masks)
    if objects:
        return session.step(image)
    return Prediction(objects=(), logits=np.zeros((0, 1, 1), np.float32))


@dataclass(frozen=True, eq=False)
class _Written:
    """What is kept of a frame: copies, since a model may use its arrays again.

    It waits as steps of the run store, a quarter of the logits' size.
    """

    frame: str
    objects: tuple[int, ...]
    steps: NDArray[np.int8]
    presence: NDArray[np.float32] | None
    iou: NDArray[np.float32] | None

    @classmethod
    def of(cls, video: str, frame: str, prediction: Prediction) -> _Written:
        """Take over a prediction.

        Raises:
            MaskError: A logit is not a number.
        """
        try:
            steps = quantise(prediction.logits)
        except MaskError as error:
            raise MaskError(f"video {video}: frame {frame}: {error}") from error
        scores = [
            None if values is None else np.array(values, np.float32)
            for values in (prediction.presence, prediction.iou)
        ]
        return cls(frame, prediction.objects, steps, *scores)


@contextlib.contextmanager
def _writer(task: _Task) -> Iterator[Callable[[_Written], None]]:
    """Open the soft file or the folder of masks that a video is written into."""
    if task.soft:
        with SoftWriter(task.path, size=task.video.size) as soft:
            yield lambda w: soft.write(w.frame, w.objects, w.steps, w.presence, w.iou)
    else:
        with atomic_folder(task.path) as folder:
            masks = MaskWriter(folder, task.video)
            yield lambda w: masks.write(w.frame, w.objects, w.steps)
