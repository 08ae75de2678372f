"""The predictor protocol: what a model must do, and what it can rely on.

A model is a class registered under the entry-point group `submit.predictors`. Ours
register as any other package does:

    [options.entry_points]
    submit.predictors =
        mymodel = my_package:MyPredictor

The toolkit builds one predictor per worker process and opens one session per video:

    predictor = MyPredictor(MyPredictor.Options(), device="cpu")
    session = predictor.session(Video("v", height=480, width=854, length=2))
    prediction = session.step(frame0, {1: Mask(pixels)})
    prediction = session.step(frame1, {})
    session.close()

A model that needs frames beyond the one it predicts opens a `DelayedSession`. A session
of either kind that is a `ResumableSession` can be continued by another process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from ..errors import PredictorError
from .prompts import AcceptedPrompts, Prompts

if TYPE_CHECKING:
    # No heavy imports here, so that `import submit` and `submit --help` are fast.

    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "AnySession",
    "DelayedSession",
    "Description",
    "Frame",
    "InputSizes",
    "MemoryEvent",
    "Prediction",
    "Predictor",
    "ResumableSession",
    "Session",
    "State",
    "Video",
    "memory_events",
]


Frame: TypeAlias = "NDArray[np.uint8]"

#: What a session knows, as plain data: a tree of dict, list, tuple, str, int, float,
#: bool and None, with NumPy arrays and PyTorch tensors of numbers; no other objects.
State: TypeAlias = Any


@dataclass(frozen=True)
class Video:
    """The facts about a video that a session has before the first frame.

    Attributes:
        name: The video's folder name.
        height: Rows of every frame, in pixels.
        width: Columns of every frame, in pixels.
        length: Number of frames, the first included.
        images: Files of the frames, in order from the first that `step` gets; empty
            where that gets other pixels than a file has, as in a mirrored video.
    """

    name: str
    height: int
    width: int
    length: int
    images: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """The output of a model for one frame, before any threshold or overlap rule.

    Attributes:
        objects: Object ids, in the order of the first axis of the arrays.
        logits: N×h×w float32. Covers the whole frame at the model's own resolution
            (pixel centres aligned, so that a bilinear resize to the frame needs no
            offset); > 0 means object. Objects may overlap.
        presence: N float32 object scores as logits, > 0 means visible in this frame;
            None if the model has none.
        iou: N float32 in [0, 1], the model's own estimate of its mask's IoU; None if
            the model has none.
    """

    objects: tuple[int, ...]
    logits: NDArray[np.float32]
    presence: NDArray[np.float32] | None = None
    iou: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.objects)
        if self.logits.ndim != 3 or len(self.logits) != count:
            raise PredictorError(
                f"logits must be N×h×w with N = {count} objects, "
                f"found shape {self.logits.shape}; this is a bug of the predictor"
            )
        for name in ("presence", "iou"):
            values = getattr(self, name)
            if values is not None and values.shape != (count,):
                raise PredictorError(
                    f"{name} must have one value for each of {count} objects, "
                    f"found shape {values.shape}; this is a bug of the predictor"
                )


@dataclass(frozen=True)
class MemoryEvent:
    """A frame that a model decided to remember longer than the frames around it.

    Attributes:
        frame: Number of the frame among those that `step` got, from 0.
        object: The object it is remembered for.
        reason: Why, in a few words, such as `kept when the object disappeared`.
    """

    frame: int
    object: int
    reason: str


@dataclass(frozen=True)
class InputSizes:
    """The input resolutions that a model accepts, as multiples of its usual one.

    Attributes:
        base: Side in pixels of a fixed square input; None if the input depends on the
            frame.
        step: The side must be a multiple of this.
        smallest: Smallest legal scale.
        largest: Largest legal scale.
    """

    base: int | None = None
    step: int = 1
    smallest: float = 0.25
    largest: float = 2.0

    def allows(self, scale: float) -> bool:
        """Whether the model may run at `scale` times its usual resolution."""
        if not self.smallest <= scale <= self.largest:
            return False
        if self.base is None:
            return True
        side = self.base * scale
        return abs(side - round(side)) < 1e-6 and round(side) % self.step == 0


@dataclass(frozen=True)
class Description:
    """The description of a model in a run's manifest.

    Attributes:
        model: Name of the architecture, such as `sam2.1_hiera_tiny`.
        licence: Licence of code and weights; non-commercial ones say so.
        checkpoint: SHA-256 of the weights in hex; None for a model without weights.
        sizes: Legal input resolutions.
        cores: Processor threads of a worker, and its share of cores without a GPU. The
            number is the same on every machine, since last bits depend on it.
        devices: Kinds of devices that the model can use, such as `("cpu",)`; None for
            all that PyTorch has.
        details: Facts that decide the result and depend on the machine, such as the
            dtype. Each worker reports them; they must be equal in a whole run.
        prompts: The kinds of prompts that the model accepts, and whether a later one
            may correct an object. It gets no others.
        delayed: Predictions come later than their frames: `session` opens a
            `DelayedSession`.
    """

    model: str
    licence: str
    checkpoint: str | None = None
    sizes: InputSizes = InputSizes()
    cores: int = 1
    devices: tuple[str, ...] | None = None
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prompts: AcceptedPrompts = dataclasses.field(default_factory=AcceptedPrompts)
    delayed: bool = False


class Session(Protocol):
    """One video, frame by frame, in order.

    The caller calls `step` once for each frame, from the first one with a prompt to the
    last, and then `close`, also after an error. Frames are H×W×3 uint8 RGB of the
    video's size. Frames and masks may be read-only and shared with other sessions. The
    implementer keeps only what later frames can still need, so that memory does not
    grow with the video, and never writes into the arrays it is given. Equal input gives
    equal output.

    A session may also have an attribute `events`, a sequence of `MemoryEvent`. It is
    read once, after the last frame and before `close`, and shown in the report.
    """

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        """Predict the next frame.

        Args:
            frame: H×W×3 uint8 RGB.
            prompts: Prompts of this frame by object id: for new objects, which are
                tracked from here on, and corrections of known ones. Only prompts that
                `describe().prompts` accepts and that fit the frame. Not empty in the
                first call, empty in most others.

        Returns:
            All objects that have had a prompt, in the order of their first ones (in one
            call: the order of `prompts`). A given mask is returned as it is, up to the
            model's resolution.
        """
        ...

    def close(self) -> None:
        """Free what the session holds. May be called twice."""
        ...


@runtime_checkable
class DelayedSession(Protocol):
    """One video of a model whose predictions come later than their frames.

    It is for a model that looks ahead, such as one that chooses among several paths
    some frames later, or a program that reads the whole video. What `Session` says
    holds here too, apart from when predictions come: each frame has exactly one, and
    they come in the order of the frames. The caller writes each as it comes, so that
    memory grows only with what the session itself holds back.
    """

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        """Take the next frame, and return the predictions that are now final.

        Args:
            frame: H×W×3 uint8 RGB.
            prompts: Prompts of this frame; see `Session.step`.

        Returns:
            The next predictions of earlier frames, perhaps of this one, in the order of
            frames; none if no further one is final. Each has the objects that had a
            prompt up to its own frame, as `Session.step` returns them.
        """
        ...

    def finish(self) -> Iterator[Prediction]:
        """Predict the remaining frames, in order.

        It is called once, after the last frame, and read to its end. `close` may come
        before that, after an error.
        """
        ...

    def close(self) -> None:
        """Free what the session holds. May be called twice."""
        ...


AnySession: TypeAlias = Session | DelayedSession


@runtime_checkable
class ResumableSession(Protocol):
    """What a session of either kind has in addition, if it can be continued.

    A long video is interrupted when its worker dies: memory runs out, a job reaches its
    time limit, a node is lost. Then another process opens the video again, in the same
    way, restores the state of a checkpoint and goes on with the next frame. From there
    on its predictions must be equal, bit for bit, to those without an interruption.
    """

    def state(self) -> State | None:
        """Return what later frames depend on, between two calls of `step`.

        Returns:
            Plain data: see `State`. It may refer to arrays of the session, since it is
            written before the next call. It does not depend on options with
            `decides=False`, such as a batch: they may differ when it is restored. None
            if this session cannot be continued.
        """
        ...

    def restore(self, state: State) -> None:
        """Take the state of another session of the same video and options.

        It is called once, before the first `step`. The arrays belong to the session
        then; tensors are on the processor.

        Args:
            state: What `state` returned, equal in types and values.
        """
        ...


def memory_events(session: AnySession) -> Sequence[MemoryEvent]:
    """The memory events of a session; none if it does not have any."""
    found: Sequence[MemoryEvent] = getattr(session, "events", ())
    return found


@runtime_checkable
class Predictor(Protocol):
    """A model, ready to open sessions.

    `Options` is a frozen dataclass whose fields were made with `option`; the command
    line builds `-o key=value`, its validation and its help from it. The constructor is
    called once per worker, and once more to describe the model; it checks its options
    and should leave the loading of weights to the first session. `device` exists, such
    as `cpu` or `cuda:1`, or is `auto` if the model is only described. Before its first
    video each worker opens a session and closes it, so that a wrong checkpoint is
    reported once and not for each video. A class may have its licence as a text in
    `licence`, which is shown also where no weights are named.
    """

    Options: ClassVar[type[Any]]

    def __init__(self, options: Any, *, device: str = "auto") -> None: ...

    def describe(self) -> Description:
        """Say what this model is, for the manifest."""
        ...

    def session(self, video: Video, *, scale: float = 1.0) -> AnySession:
        """Open a video at `scale` times the model's usual input resolution.

        Returns:
            A `DelayedSession` if `describe().delayed`, else a `Session`.

        Raises:
            OptionError: `describe().sizes` does not allow `scale`.
        """
        ...
