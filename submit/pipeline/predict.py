"""`submit predict`: run a model over a split."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..augment import augmented, parse_variant
from ..data import GivenPrompts, Split, SplitVideo, read_prompts, read_split
from ..errors import (
    OptionError,
    PredictorError,
    RunMismatchError,
    SplitError,
    SubmitError,
)
from ..executors import Executor, Job, Worker
from ..predictors import (
    Description,
    PluginFile,
    Predictor,
    Video,
    build,
    expand_settings,
    load,
    option_infos,
    package_of,
    parse_options,
    sparing_settings,
)
from ..runs import Identity, Run, Standing, VideoRecord
from ..runs.identity import fingerprint, option_settings, require_facts, take_stock
from ..storage import bring, size_of
from ..system.files import digest
from ..system.machine import release
from ..system.parts import Part
from ..system.urls import Place
from .direction import DIRECTIONS
from .outcome import Monitor, StepOutcome, run_jobs, silent
from .parts import PartOf, split_of_part
from .prompter import PromptedPredictor
from .prompts import require_taken
from .video import VideoPredictor, VideoTask

__all__ = ["PredictPlan", "predict_split", "split_of"]


@dataclass(frozen=True)
class PredictPlan:
    """Which model to run, and how.

    Attributes:
        predictor: Name of the model, or its file and class; see `PluginFile`.
        options: Its options as `key=value`.
        variant: Variant to track instead of the plain video, or None.
        tta: Variants to track as well and merge frame by frame.
        soft: Whether to keep soft masks; otherwise palette masks are written at once.
        late_objects: Whether objects that are first annotated in a later frame are
            given to the model there (YouTube-VOS, LVOS). In MOSEv2 all objects are in
            the first mask, and the later masks of a train split must not be used.
        prompts: A file or folder of prompts beside the split's masks; see
            `submit.data.read_prompts`.
        direction: From which prompts each frame is tracked; see `direction.DIRECTIONS`.
        prompter: The model that turns boxes and points into masks where `predictor`
            takes none, named in the same way; None for none.
        prompter_options: Its options.
    """

    predictor: str
    options: tuple[str, ...] = ()
    variant: str | None = None
    tta: tuple[str, ...] = ()
    soft: bool = True
    late_objects: bool = False
    prompts: Path | None = None
    direction: str = DIRECTIONS[0]
    prompter: str | None = None
    prompter_options: tuple[str, ...] = ()

    def require_direction(self) -> None:
        """Make sure that the direction is known, and that there is a way to go it.

        Raises:
            OptionError: It is not.
        """
        if self.direction not in DIRECTIONS:
            raise OptionError(
                f"direction {self.direction!r}: expected one of {', '.join(DIRECTIONS)}"
            )
        if self.direction != "forward" and self.prompts is None:
            raise OptionError(
                f"direction {self.direction}: tracking backward starts at a prompt "
                "after the first frame, and no prompts are given; add --prompts, or in "
                "a recipe prompts"
            )

    def build(self, device: str) -> Predictor:
        """Make the model, wrapped in its augmentations, with its prompter.

        Raises:
            PredictorError: The model is unknown or cannot be built.
            OptionError: An option or a variant is not legal.
        """
        tracker = augmented(
            build(self.predictor, self.options, device=device),
            variant=None if self.variant is None else parse_variant(self.variant),
            tta=[parse_variant(text) for text in self._tta()],
        )
        if self.prompter is None:
            if self.prompter_options:
                raise OptionError(
                    f"prompter option {self.prompter_options[0]}: no prompter is named "
                    "that it is for"
                )
            return tracker
        prompter = build(self.prompter, self.prompter_options, device=device)
        return PromptedPredictor(tracker, prompter, name=self.prompter)

    def settings(
        self, predictor: Predictor, given: GivenPrompts | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything that decides the masks, and options that are only recorded.

        Raises:
            OptionError: A file that an option names cannot be read.
        """
        decides, recorded = option_settings(_options(self.predictor, self.options))
        more: dict[str, Any] = {}
        # A run without these is the same as before there were any.
        if given is not None:
            more["prompts"] = given.digest
        if self.direction != DIRECTIONS[0]:
            more["direction"] = self.direction
        if self.prompter is not None:
            prompting, _ = option_settings(
                _options(self.prompter, self.prompter_options)
            )
            more["prompter"] = {**_named(self.prompter), "options": prompting}
        return (
            {
                **_named(self.predictor),
                "options": decides,
                **_model(predictor.describe()),
                "variant": str(parse_variant(self.variant or "plain")),
                "tta": self._tta(),
                "soft": self.soft,
                "late_objects": self.late_objects,
                **more,
            },
            recorded,
        )

    def upgraded(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the settings of a run of schema 1."""
        older = dict(settings)
        older.pop("details", None)
        raw = older.get("options", {})
        kind = load(self.predictor).Options
        known = {info.name for info in option_infos(kind)}
        if older.get("predictor") == self.predictor and raw.keys() <= known:
            with contextlib.suppress(ValueError, TypeError):
                older["options"], _ = option_settings(
                    kind(**raw), digest_of=lambda path: str(older.get("checkpoint"))
                )
        return {**older, "tta": sorted(older.get("tta", []))}

    def located(self) -> PredictPlan:
        """The same plan for workers with another current folder.

        Raises:
            OptionError: A file of options cannot be read.
        """
        return replace(
            self,
            predictor=_located(self.predictor),
            options=expand_settings(self.options),
            prompter=None if self.prompter is None else _located(self.prompter),
            prompter_options=expand_settings(self.prompter_options),
        )

    def sparing(self) -> tuple[PredictPlan, str]:
        """The same masks with less memory.

        Returns:
            The plan, and how it differs, such as `batch=1`; empty if in nothing.
        """
        tracking = sparing_settings(_options(self.predictor, self.options))
        prompting = (
            ()
            if self.prompter is None
            else sparing_settings(_options(self.prompter, self.prompter_options))
        )
        plan = replace(
            self,
            options=(*self.options, *tracking),
            prompter_options=(*self.prompter_options, *prompting),
        )
        return plan, ", ".join(dict.fromkeys((*tracking, *prompting)))

    def packages(self) -> list[str]:
        """The packages of the models, with their versions."""
        names = [self.predictor, *([] if self.prompter is None else [self.prompter])]
        return [str(package_of(name)) for name in names]

    def _tta(self) -> list[str]:
        """The variants, sorted, since the order of a sum decides last bits."""
        return sorted(str(parse_variant(text)) for text in self.tta)


def _located(predictor: str) -> str:
    """A model's name for workers with another current folder."""
    file = PluginFile.parse(predictor)
    return predictor if file is None else str(file.absolute)


def _named(predictor: str) -> dict[str, str]:
    """The setting that names a model; a file counts by its content."""
    file = PluginFile.parse(predictor)
    if file is None:
        return {"predictor": predictor}
    return {"predictor": file.label, "predictor_file": file.digest()}


def _options(predictor: str, options: Sequence[str]) -> Any:
    """The options of a model."""
    return parse_options(predictor, load(predictor).Options, options)


@dataclass(frozen=True)
class _Maker:
    """Makes the workers that predict videos; each in its process.

    Attributes:
        plan: What to run.
        options: Options that do not decide.
        model: The parent's description of the model; a worker's must be equal.
        probe: A video to open once, before the first prediction.
        run: Name of the run.
        facts: The recorded facts of the workers that made the rest of the run.
    """

    plan: PredictPlan
    options: Mapping[str, Any]
    model: Mapping[str, Any]
    probe: Video | None
    run: str
    facts: Mapping[str, Any] | None

    def __call__(self, device: str) -> Worker:
        predictor = self.plan.build(device)
        described = predictor.describe()
        worker = {**_worker(device, described), "options": dict(self.options)}
        if (found := _model(described)) != self.model:
            raise PredictorError(
                f"predictor {self.plan.predictor}: is {found} on {worker['host']} and "
                f"{dict(self.model)} where the command was given; give all machines "
                "the same files"
            )
        if self.facts is not None:
            require_facts(
                self.facts,
                worker["facts"],
                run=self.run,
                remedy="continue it on the same machine, or choose another name",
            )
        # An error in weights or options would fail every video.
        if self.probe is not None:
            predictor.session(self.probe).close()
        versions = [release(), f"numpy {np.__version__}", *self.plan.packages()]
        return VideoPredictor(predictor, worker, versions=versions)

    def sparing(self) -> tuple[_Maker, str]:
        """The same with less memory; see `SparingBuild`."""
        plan, change = self.plan.sparing()
        _, recorded = option_settings(_options(plan.predictor, plan.options))
        return replace(self, plan=plan, options=recorded), change


def _model(description: Description) -> dict[str, Any]:
    """The part of a model's description that does not depend on the device."""
    return {"model": description.model, "checkpoint": description.checkpoint}


def _worker(device: str, description: Description) -> dict[str, Any]:
    """A worker's facts that decide the masks, and its hardware."""
    found: dict[str, Any] = {
        "facts": {"device": device.partition(":")[0], **description.details},
        "device": device,
        "host": platform.node(),
    }
    # Without torch in use, do not import it for the name of the hardware.
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = str(torch.__version__)
        if device.startswith("cuda"):
            found["gpu"] = torch.cuda.get_device_name(device)
    return found


def split_of(run: Run, root: Place | None = None) -> Split:
    """Open the split that a run was made from.

    Args:
        run: The run.
        root: The present place of the split; None for the recorded one.

    Raises:
        SplitError: It does not exist, or is another split.
    """
    path = root if root is not None else run.split["path"]
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
    executor: Callable[[Predictor], Executor],
    device: str = "auto",
    remote: bool = False,
    part: Part | None = None,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Run a model over a split; continues where an earlier call stopped.

    Args:
        split: The split, or those of its videos that are to be predicted.
        path: The run's folder.
        plan: Which model, and how.
        executor: Chooses the executor that runs the videos, for the model.
        device: What the workers compute on: `auto`, or a device.
        remote: Whether they are on other machines; then the model is described on any
            device of this one.
        part: The part of these videos to predict; None for all.
        monitor: Opens the progress bar.

    Raises:
        RunMismatchError: The folder holds a run with other settings, of other frames,
            or made on another kind of device.
        PredictorError: The model cannot be built.
        OptionError: A direction needs prompts that are not given.
    """
    plan.require_direction()
    every = tuple(split.videos)
    if part is not None:
        split = split_of_part(split, part)
    # Built first, so that an error names the file of an option.
    predictor = plan.build("auto" if remote else device)
    plan = plan.located()
    given = None if plan.prompts is None else read_prompts(plan.prompts, split)
    require_taken(
        split,
        given,
        predictor.describe(),
        predictor=plan.predictor,
        late=plan.late_objects,
    )
    settings, recorded = plan.settings(predictor, given)
    chosen = split.videos
    sources = {
        name: _source(video, late=plan.late_objects) for name, video in chosen.items()
    }
    identity = Identity.of("predict", settings, split)
    environment = {"licence": predictor.describe().licence, "options": recorded}
    if part is not None:
        whole = PartOf(part, every, identity.videos)
        identity = whole.identity(identity, tuple(split.videos))
        environment |= whole.environment()
    with Run.making(
        path,
        identity,
        environment=environment,
        upgrade=plan.upgraded,
    ) as run:
        stock = take_stock(chosen, partial(_standing, run, sources))
        _require_frames(run, stock.outdated)
        run.require_format(stock.wanted)
        facts = _Facts(run, stock.current)
        facts.require_asked({**recorded, "device": device})
        jobs = [
            Job(
                name,
                cost=video.length,
                payload=VideoTask(
                    video=video,
                    path=run.soft_path(name) if plan.soft else run.masks_folder / name,
                    soft=plan.soft,
                    late_objects=plan.late_objects,
                    source=sources[name],
                    identity=fingerprint(settings),
                    prompts=None if given is None else given.videos.get(name),
                    direction=plan.direction,
                ),
            )
            for name, video in chosen.items()
            if name in stock.wanted
        ]
        maker = _Maker(
            plan,
            options=recorded,
            model=_model(predictor.describe()),
            probe=_probe(jobs),
            run=run.name,
            facts=facts.known,
        )

        def done(name: str, record: VideoRecord) -> None:
            facts.require(record)
            run.add(name, record)

        return run_jobs(
            f"predict {run.name}",
            StepOutcome(run.name),
            executor=executor(predictor),
            build=maker,
            jobs=jobs,
            stock=stock,
            on_done=done,
            on_failed=run.fail,
            threads=predictor.describe().cores,
            monitor=monitor,
        )


class _Facts:
    """Facts about workers that decide the result; equal in a whole run."""

    def __init__(self, run: Run, videos: Sequence[str]) -> None:
        self._run = run.name
        workers = (run.videos[name].worker for name in videos)
        self.known: Mapping[str, Any] | None = next(
            (worker["facts"] for worker in workers if worker is not None), None
        )

    def require_asked(self, asked: Mapping[str, Any]) -> None:
        """Make sure that a run has the requested facts, also if it is complete.

        Args:
            asked: Facts as options name them; "auto" accepts any.

        Raises:
            RunMismatchError: The run was made in another way.
        """
        for name, value in asked.items():
            had = (self.known or {}).get(name)
            wanted = str(value).partition(":")[0]
            if had is not None and wanted not in ("auto", str(had)):
                raise RunMismatchError(
                    f"run {self._run}: its videos were made with {name} {had}, asked "
                    f"for {value}, which gives other masks; leave that out, or choose "
                    "another name"
                )

    def require(self, record: VideoRecord) -> None:
        """Compare the facts of a video that was just made.

        Raises:
            RunMismatchError: Its worker computes in another way than the others.
        """
        assert record.worker is not None
        if self.known is None:
            self.known = record.worker["facts"]
        require_facts(
            self.known,
            record.worker["facts"],
            run=self._run,
            remedy="name a --device and options that all workers have",
        )


def _standing(run: Run, sources: Mapping[str, str], name: str) -> Standing:
    record = run.videos.get(name)
    # Runs of earlier versions did not record the source of a video.
    source = None if record is None or record.source is None else sources[name]
    return run.standing(name, source)


def _source(video: SplitVideo, *, late: bool) -> str:
    """Digest of everything that decides the masks of a video.

    Frames count by the size of their files, not by their content, since a split can
    have many gigabytes of them. Unreadable files do not count: predicting the video
    reports them.
    """
    if late:
        bring(video.masks)
    masks = list(video.masks.values()) if late else []
    return fingerprint(
        [
            video.fingerprint,
            [_read(partial(size_of, video.images, one)) for one in video.images],
            [_read(partial(digest, path)) for path in masks],
        ]
    )


def _read(look: Callable[[], int | str]) -> int | str | None:
    """Look at a file; None if that fails."""
    try:
        return look()
    except OSError:
        return None


def _require_frames(run: Run, changed: Sequence[str]) -> None:
    """Make sure that the frames of predicted videos have not changed.

    Raises:
        RunMismatchError: The frames of one have changed. It may have taken hours, so it
            is not predicted again without a command.
    """
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise RunMismatchError(
            f"{run.path}: video {changed[0]}{more} was predicted from other frames "
            "than the split has now; choose another name, delete "
            f"{run.stored(changed[0]).path} to make that one again, or the whole folder"
        )


def _probe(jobs: Sequence[Job]) -> Video | None:
    """A video to try a model with: the shortest of those to predict."""
    for job in sorted(jobs, key=lambda job: (job.cost, job.name)):
        video: SplitVideo = job.payload.video
        with contextlib.suppress(SubmitError):
            return Video(video.name, video.height, video.width, video.length)
    return None
