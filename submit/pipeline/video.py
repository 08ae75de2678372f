"""Predicting one video: from its frames to its soft file or its masks."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..data import PackedMask, SplitVideo, StoredPrompt
from ..errors import SplitError, SubmitError
from ..predictors import Predictor, Prompts, Remark, State
from ..runs import MaskWriter, SoftVideo, SoftWriter, VideoRecord
from ..runs.identity import fingerprint
from ..storage import fetched
from ..system.files import Draft, digest, draft_folder, scratch_file
from ..system.machine import is_out_of_memory, peak_memory
from ..system.names import plain_name
from ..system.refusals import storage_failure
from ..system.warned import say
from .behind import Behind
from .direction import BothPasses, Passes, plan_passes
from .prompts import FramePrompts, video_prompts
from .saving import Saver, Unusable
from .tracking import PredictedFrame, Remembered, tracked

__all__ = ["VideoPredictor", "VideoTask"]

T = TypeVar("T")


@dataclass(frozen=True)
class VideoTask:
    """One video for a worker.

    Attributes:
        video: The video.
        path: The soft file or the folder of masks to make.
        soft: Which of them.
        late_objects: Whether masks of later frames give objects.
        source: Digest of the video and its masks.
        identity: Digest of the settings that decide the masks.
        prompts: Further prompts, by frame.
        direction: See `direction.DIRECTIONS`.
    """

    video: SplitVideo
    path: Path
    soft: bool
    late_objects: bool
    source: str
    identity: str
    prompts: FramePrompts | None = None
    direction: str = "forward"


class VideoPredictor:
    """Predicts one video after another with one model.

    From time to time it saves the state of a video, so that another process can
    continue it: see `Saver`.

    Args:
        predictor: The model.
        worker: The description of this worker, for the records.
        versions: Versions of the programs that a saved state depends on.
    """

    def __init__(
        self,
        predictor: Predictor,
        worker: Mapping[str, Any],
        *,
        versions: Sequence[str] = (),
    ) -> None:
        self._predictor = predictor
        self._worker = worker
        self._versions = versions

    def __call__(self, task: VideoTask, progress: Callable[[int], None]) -> VideoRecord:
        """Predict a video; the progress counts frames that have their prediction.

        Frames count at once that were predicted before by another process.
        """
        with fetched(task.video.images):
            return self._predict(task, progress)

    def _predict(self, task: VideoTask, progress: Callable[[int], None]) -> VideoRecord:
        video = task.video
        video.require_images()
        if video.length < 2:
            raise SplitError(
                f"video {video.name}: has one frame, so there is nothing to track; "
                "expected at least 2 in JPEGImages (extract the split again)"
            )
        passes = plan_passes(
            video.frames,
            video_prompts(video, late=task.late_objects, given=task.prompts),
            direction=task.direction,
            late=task.late_objects,
        )
        # Files are kept beside the result, and that of a link is at its target.
        place = Path(os.path.realpath(task.path)) if task.path.is_symlink() else None
        saver = Saver(place or task.path, video.name, self._fingerprint(task))

        def make(saved: dict[str, Any] | None) -> VideoRecord:
            making = _Making(self._predictor, task, passes, progress, saver, saved)
            return making.record(self._worker)

        try:
            record = self._continued(make, saver)
        except Exception as error:
            # What is saved stays for errors that do not come from the model.
            short = is_out_of_memory(error) or storage_failure(error) is not None
            if not (short or isinstance(error, SplitError)):
                saver.delete()
            raise
        saver.delete()
        return record

    def _continued(
        self,
        make: Callable[[dict[str, Any] | None], VideoRecord],
        saver: Saver,
    ) -> VideoRecord:
        """Make a video from where it was saved, or from its first frame."""
        if (saved := saver.read()) is not None:
            try:
                return make(saved)
            except Unusable as error:
                saver.discard(str(error))
        return make(None)

    def _fingerprint(self, task: VideoTask) -> str:
        """Digest of everything that decides the masks, and of how states are made."""
        return fingerprint(
            [
                task.identity,
                task.video.name,
                task.source,
                self._worker.get("facts"),
                self._worker.get("torch"),
                list(self._versions),
            ]
        )


class _Making:
    """One video on its way through its passes, from its first frame or a saved one.

    Args:
        predictor: The model.
        task: What to do.
        passes: The passes.
        progress: See `VideoPredictor`.
        saver: Saves the state from time to time.
        saved: What was saved before; None to begin.
    """

    def __init__(
        self,
        predictor: Predictor,
        task: VideoTask,
        passes: Passes,
        progress: Callable[[int], None],
        saver: Saver,
        saved: dict[str, Any] | None,
    ) -> None:
        self._predictor, self._task, self._passes = predictor, task, passes
        self._saver, self._began = saver, time.perf_counter()
        self._step = _Progress(progress, frames=task.video.length, steps=passes.steps)
        self._saved = {} if saved is None else _require_form(saved, passes)
        self._memory: list[Remembered] = []
        #: The finished backward pass, and its digest.
        self._backward: tuple[Draft, str] | None = None

    def record(self, worker: Mapping[str, Any]) -> VideoRecord:
        """Predict the video.

        Raises:
            Unusable: What was saved cannot be continued.
        """
        task, video, passes = self._task, self._task.video, self._passes
        with contextlib.ExitStack() as stack:
            joined = None
            if passes.backward:
                backward = stack.enter_context(self._tracked_backward())
                joined = BothPasses(passes, backward)
            written = stack.enter_context(
                _continuing(_writing(task, self._saved.get("output")))
            )

            def write(frame: PredictedFrame) -> None:
                written.write(frame if joined is None else joined.join(frame))

            self._track(passes.frames, passes.forward, write, written)
        masks = written.masks
        return VideoRecord(
            frames=video.length,
            objects=tuple(passes.known),
            size=video.size,
            seconds=round(self._seconds(), 3),
            digest=digest(task.path) if masks is None else masks.digest,
            soft=task.soft,
            details={**_details(task, self._memory), **self._peaks()},
            source=task.source,
            masks=None if masks is None else masks.digests,
            worker=worker,
        )

    @contextlib.contextmanager
    def _tracked_backward(self) -> Iterator[SoftVideo]:
        """Track backward into a file, which is deleted after the block."""
        passes, path = self._passes, self._task.path
        with scratch_file(path, parents=False) as draft:
            if (known := self._saved.get("finished")) is not None:
                _copy_finished(known, draft.path)
                self._memory = _remembered(self._saved.get("memory"))
                self._backward = draft, known["digest"]
            else:
                with _continuing(self._backward_writer(draft.path)) as soft:
                    written = _Writing(soft=soft)
                    self._track(
                        passes.backward_frames, passes.backward, written.write, written
                    )
                for name in ("tracked", "output"):
                    self._saved.pop(name, None)
                self._backward = draft, digest(draft.path)
                # What was saved of this pass names its file as it was before.
                self._saver.renew(self._content)
            backward = SoftVideo(draft.path)
            try:
                yield backward
            finally:
                backward.close()

    def _backward_writer(self, path: Path) -> SoftWriter:
        begun = self._saved.get("output")
        return SoftWriter(path, size=self._task.video.size, begun=begun)

    def _track(
        self,
        frames: Sequence[str],
        prompts: Mapping[str, Prompts],
        write: Callable[[PredictedFrame], None],
        written: _Writing,
    ) -> None:
        """Make one pass, and write its frames in another thread."""
        begun = self._saved.get("tracked")
        with contextlib.ExitStack() as stack:
            behind = stack.enter_context(Behind(write))

            def settle() -> None:
                behind.settle()
                written.sync()

            found = tracked(
                self._predictor,
                self._task.video,
                frames,
                prompts,
                remembered=self._memory.extend,
                resting=lambda state: self._saver.offer(
                    state, settle, lambda found: self._content(found, written)
                ),
                begun=begun,
            )
            for frame in stack.enter_context(contextlib.closing(found)):
                self._continue(frames, prompts)
                behind.put(frame)
                self._step()
        self._continue(frames, prompts)

    def _continue(self, frames: Sequence[str], prompts: Mapping[str, Prompts]) -> None:
        """Count the frames of an earlier process, once a pass continues, and say so.

        Args:
            frames: Of the pass, in order.
            prompts: Of the pass, by frame.
        """
        if (steps := self._saved.pop("steps", None)) is None:
            return
        self._step(steps)
        place = "its backward pass"
        if (state := self._saved.get("tracked")) is not None:
            first = next(n for n, frame in enumerate(frames) if prompts.get(frame))
            place = f"frame {frames[first + state['shown'] - 1]}"
        say(f"{self._task.video.name}: continued after {place}", Remark)

    def _content(
        self, state: State = None, written: _Writing | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """What is saved, and the names of files that it needs.

        Args:
            state: That of the pass; None before its first frame.
            written: The output of the pass so far.
        """
        path, names = self._saver.path, []
        content: dict[str, Any] = {
            "steps": self._step.done,
            "seconds": self._seconds(),
            "peaks": self._peaks(),
            "tracked": state,
        }
        if self._backward is not None:
            draft, found = self._backward
            content["finished"] = {"name": draft.keep(path), "digest": found}
            content["memory"] = [tuple(one) for one in self._memory]
            names.append(content["finished"]["name"])
        if written is not None:
            content["output"] = written.so_far(path)
            names.append(content["output"]["name"])
        return content, names

    def _seconds(self) -> float:
        """Seconds of work, those of earlier processes included."""
        spent: float = self._saved.get("seconds", 0.0)
        return spent + time.perf_counter() - self._began

    def _peaks(self) -> dict[str, int]:
        """The most memory, that of earlier processes included."""
        peaks = peak_memory()
        for name, value in self._saved.get("peaks", {}).items():
            peaks[name] = max(value, peaks.get(name, 0))
        return peaks


@contextlib.contextmanager
def _continuing(made: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """Open an output that may continue another one.

    Raises:
        Unusable: The other one is not there as it was.
    """
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(made)
        except (SubmitError, OSError):
            raise
        except Exception as error:  # Of an output in another form.
            if is_out_of_memory(error):
                raise
            raise Unusable(f"has another output ({error})") from error
        yield opened


def _require_form(saved: dict[str, Any], passes: Passes) -> dict[str, Any]:
    """Make sure that what was saved has the form of `_Making._content`.

    Raises:
        Unusable: It does not.
    """
    timed = type(saved.get("seconds")) is float and math.isfinite(saved["seconds"])
    steps, peaks = saved.get("steps"), saved.get("peaks")
    if not (
        timed
        and type(steps) is int
        and 0 <= steps <= passes.steps
        and isinstance(peaks, dict)
        and all(type(value) is int for value in peaks.values())
    ):
        raise Unusable("has another form")
    return saved


def _copy_finished(known: Mapping[str, Any], path: Path) -> None:
    """Copy a finished backward pass.

    Raises:
        Unusable: It is not there as it was.
    """
    try:
        source = path.with_name(plain_name(known["name"]))
        shutil.copyfile(source, path)
        if digest(path) != known["digest"]:
            raise ValueError(f"{source.name} has changed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if storage_failure(error) is not None:
            raise
        raise Unusable(f"has another backward pass ({error})") from error


def _remembered(saved: Any) -> list[Remembered]:
    """What was saved of the memory of a finished pass.

    Raises:
        Unusable: It has another form.
    """
    try:
        found = [Remembered(*one) for one in saved]
    except TypeError as error:
        raise Unusable("has another form") from error
    if not all(
        isinstance(one.frame, str)
        and type(one.object) is int
        and isinstance(one.reason, str)
        for one in found
    ):
        raise Unusable("has another form")
    return found


def _details(task: VideoTask, memory: Sequence[Remembered]) -> dict[str, Any]:
    """What the report shows of a video: prompts and memory."""
    given = {} if task.prompts is None else task.prompts
    details = {
        "prompts": [
            [frame, key, _kind(prompt)]
            for frame, prompts in given.items()
            for key, prompt in prompts.items()
        ],
        "memory": [list(one) for one in memory],
    }
    return {key: one for key, one in details.items() if one}


def _kind(prompt: StoredPrompt) -> str:
    return "mask" if isinstance(prompt, PackedMask) else type(prompt).__name__.lower()


class _Progress:
    """Counts steps of all passes as frames of the video.

    Args:
        progress: Called with numbers of frames, which sum to `frames`.
        frames: Frames of the video.
        steps: Steps of all passes.

    Attributes:
        done: Steps that were made.
    """

    def __init__(
        self, progress: Callable[[int], None], *, frames: int, steps: int
    ) -> None:
        self._progress, self._frames, self._steps = progress, frames, steps
        self.done = self._told = 0

    def __call__(self, steps: int = 1) -> None:
        """Count steps."""
        self.done += steps
        frames = self.done * self._frames // self._steps
        if frames > self._told:
            self._progress(frames - self._told)
            self._told = frames


@dataclass(frozen=True)
class _Writing:
    """The output of a pass: a soft file, or palette masks in a folder."""

    soft: SoftWriter | None = None
    masks: MaskWriter | None = None
    folder: Draft | None = None

    def write(self, w: PredictedFrame) -> None:
        """Write a frame."""
        if self.soft is not None:
            self.soft.write(w.frame, w.objects, w.codes, w.presence, w.iou)
        else:
            assert self.masks is not None
            self.masks.write(w.frame, w.objects, w.codes)

    def sync(self) -> None:
        """Wait until a soft file is on the disk; masks are not synced."""
        if self.soft is not None:
            self.soft.sync()

    def so_far(self, path: Path) -> State:
        """What was written, to continue it: see the writers."""
        if self.soft is not None:
            return self.soft.so_far(path)
        assert self.masks is not None
        assert self.folder is not None
        return self.masks.so_far(self.folder, path)


@contextlib.contextmanager
def _writing(task: VideoTask, begun: State | None) -> Iterator[_Writing]:
    """Open the soft file or the folder of masks that a video is written into."""
    if task.soft:
        with SoftWriter(task.path, size=task.video.size, begun=begun) as soft:
            yield _Writing(soft=soft)
    else:
        with draft_folder(task.path, parents=False) as folder:
            masks = MaskWriter(folder.path, task.video, begun=begun)
            yield _Writing(masks=masks, folder=folder)
