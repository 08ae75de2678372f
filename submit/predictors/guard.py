"""A wrapper around a model: its errors name the model and its package.

Models are foreign code. Their exceptions are neither a mistake of the user nor a bug of
the toolkit, and they may return impossible numbers. These are refused, so that they
never count as "no object".
"""

from __future__ import annotations

import contextlib
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, TypeVar

from ..errors import MaskError, PredictorError, PromptError, SubmitError
from ..system.machine import is_out_of_memory
from ..system.refusals import storage_failure
from .prompts import Prompts
from .protocol import (
    AnySession,
    DelayedSession,
    Description,
    Frame,
    MemoryEvent,
    Prediction,
    Predictor,
    Session,
    State,
    Video,
    memory_events,
)
from .states import restore_session, session_state

__all__ = [
    "GuardedPredictor",
    "ImpossibleNumber",
    "ModelFault",
    "ModelPackage",
    "blamed",
]

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class ModelPackage:
    """The package that provides a model.

    Attributes:
        name: Its name, or where the model was found if that is not known.
        version: Its version.
    """

    name: str
    version: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether its models are the toolkit's own."""
        return self.name == "mose-submit"

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


class ModelFault(PredictorError):
    """A model raised an exception, or does not keep to the interface.

    Attributes:
        wrong: What it did, in one line, without its name and without advice.
    """

    wrong = ""


class ImpossibleNumber(MaskError):
    """A model returned a number that cannot be.

    Attributes:
        wrong: Which one, without the model's name and without advice.
    """

    wrong = ""


@contextlib.contextmanager
def blamed(model: str, package: ModelPackage) -> Iterator[None]:
    """Turn an exception of a model into an error that names the model.

    Errors that say what to do are not changed: `SubmitError`, errors of the disk, and
    memory that runs out.

    Args:
        model: The model's name.
        package: The package that provides it.

    Raises:
        ModelFault: The model raised anything else; the traceback follows on lines of
            its own.
    """
    try:
        yield
    except SubmitError:
        raise
    except (Exception, SystemExit) as error:
        if storage_failure(error) or is_out_of_memory(error):
            raise
        what = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
        fault = ModelFault(_described(model, package, error, what))
        fault.wrong = f"raised {what}"
        raise fault from error


def _described(
    model: str, package: ModelPackage, error: BaseException, what: str
) -> str:
    """One line that names the model, then the traceback from the model on."""
    if package.is_ours:
        todo = f"a bug of {package}; please report it with the lines below"
    else:
        todo = f"please report it to the authors of {package}, with the lines below"
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    # If the call itself failed, the traceback has no frame of the model.
    lines = "".join(
        traceback.format_exception(type(error), error, frames or error.__traceback__)
    )
    return f"predictor {model} ({package}) raised {what}; {todo}\n{lines}".rstrip()


def _is_ours(frames: TracebackType) -> bool:
    return Path(frames.tb_frame.f_code.co_filename).parent == Path(__file__).parent


class GuardedPredictor:
    """A model, with `blamed` around every call.

    Args:
        model: The model's name.
        package: The package that provides it.
        make: Makes the model.
    """

    Options: ClassVar[type[Any]] = object

    def __init__(
        self, model: str, package: ModelPackage, make: Callable[[], Predictor]
    ) -> None:
        self._model, self._package = model, package
        with self._blamed():
            self._inner = make()

    def describe(self) -> Description:
        """Say what the model is."""
        with self._blamed():
            found = self._inner.describe()
        return self._require(found, Description, "describe")

    def session(self, video: Video, *, scale: float = 1.0) -> AnySession:
        """Open a video."""
        with self._blamed():
            inner = self._inner.session(video, scale=scale)
        delayed = self.describe().delayed
        if isinstance(inner, DelayedSession) and delayed:
            return _GuardedDelayedSession(self, inner, video)
        if delayed or isinstance(inner, DelayedSession):
            self._report(
                f"session returned a {type(inner).__name__} "
                f"{'without' if delayed else 'with'} finish(), and describe().delayed "
                f"is {delayed}; a delayed model has both"
            )
        return _GuardedSession(self, inner, video)

    def _require_taken(
        self, prompts: Prompts, known: Collection[int], video: Video
    ) -> None:
        """Make sure that the model takes prompts, and that they fit the frame."""
        model, where = f"predictor {self._model}", f"video {video.name}"
        accepted = self.describe().prompts
        accepted.require(prompts, known=known, model=model, where=where)
        for key, prompt in prompts.items():
            if problem := prompt.problem(video.height, video.width):
                raise PromptError(f"{where}: object {key}: {problem}")

    def _blamed(self) -> contextlib.AbstractContextManager[None]:
        return blamed(self._model, self._package)

    def _require(self, found: object, kind: type[Kind], method: str) -> Kind:
        if isinstance(found, kind):
            return found
        self._report(
            f"{method} returned a {type(found).__name__}, expected a {kind.__name__}"
        )

    def _report(self, wrong: str) -> NoReturn:
        fault = ModelFault(
            f"predictor {self._model} ({self._package}): {wrong}; please report it to "
            f"the authors of {self._package}"
        )
        fault.wrong = wrong
        raise fault

    def _events(self, inner: AnySession) -> tuple[MemoryEvent, ...]:
        """The memory events of a session of this model."""
        with self._blamed():
            found = tuple(memory_events(inner))
        return tuple(self._require(one, MemoryEvent, "events") for one in found)

    def _state(self, inner: AnySession) -> State | None:
        """The state of a session of this model; None if it cannot be continued."""
        with self._blamed():
            return session_state(inner)

    def _restore(self, inner: AnySession, state: State) -> None:
        """Continue a session of this model."""
        with self._blamed():
            restore_session(inner, state)

    def _checked(self, found: object, method: str) -> Prediction:
        """Make sure that a model returned a prediction, of possible numbers.

        Raises:
            ImpossibleNumber: The caller adds the video and the frame.
        """
        prediction = self._require(found, Prediction, method)
        # Keeps `import submit` fast.
        from .numbers import nonsense

        for name in ("logits", "presence", "iou"):
            values = getattr(prediction, name)
            if wrong := nonsense(name, values, prediction.objects):
                fault = ImpossibleNumber(
                    f"{wrong}; predictor {self._model} ({self._package}) fails here: "
                    "its weights may be damaged (get the checkpoint again) or its "
                    "precision too low"
                )
                fault.wrong = wrong
                raise fault
        return prediction


class _GuardedSession:
    """A session, with `blamed` around every call, that only gets prompts it accepts.

    A prediction with an impossible number raises an `ImpossibleNumber` that names the
    object; the caller adds the video and the frame.
    """

    def __init__(self, guard: GuardedPredictor, inner: Session, video: Video) -> None:
        self._guard, self._inner, self._video = guard, inner, video
        self._known: set[int] = set()

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return self._guard._events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        if prompts:
            self._guard._require_taken(prompts, self._known, self._video)
            self._known |= prompts.keys()
        with self._guard._blamed():
            found = self._inner.step(frame, prompts)
        return self._guard._checked(found, "step")

    def state(self) -> State | None:
        found = self._guard._state(self._inner)
        return None if found is None else {"known": sorted(self._known), "inner": found}

    def restore(self, state: State) -> None:
        self._known = set(state["known"])
        self._guard._restore(self._inner, state["inner"])

    def close(self) -> None:
        with self._guard._blamed():
            self._inner.close()


class _GuardedDelayedSession:
    """A delayed session in the same guard, which also counts its predictions.

    A prediction does not say of which frame it is, so its place and its objects are all
    that can show a missing one. An error about a prediction is raised when all before
    it have been returned: the caller then knows the frame.
    """

    def __init__(
        self, guard: GuardedPredictor, inner: DelayedSession, video: Video
    ) -> None:
        self._guard, self._inner, self._video = guard, inner, video
        self._objects: tuple[int, ...] = ()
        #: The objects of each frame that has no prediction yet.
        self._awaited: deque[tuple[int, ...]] = deque()
        self._frames = 0
        self._error: SubmitError | None = None

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return self._guard._events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        if self._error is not None:
            raise self._error
        if prompts:
            self._guard._require_taken(prompts, self._objects, self._video)
            new = [key for key in prompts if key not in self._objects]
            self._objects += tuple(new)
        self._awaited.append(self._objects)
        self._frames += 1
        with self._guard._blamed():
            found: object = self._inner.step(frame, prompts)
        if not isinstance(found, (list, tuple)):
            self._guard._report(
                f"step returned a {type(found).__name__}, expected a list of the "
                "predictions that are now final"
            )
        checked: list[Prediction] = []
        try:
            for one in found:
                checked.append(self._taken(one, "step"))
        except SubmitError as error:
            if not checked:
                raise
            self._error = error
        return checked

    def finish(self) -> Iterator[Prediction]:
        if self._error is not None:
            raise self._error
        with self._guard._blamed():
            rest = iter(self._inner.finish())
        while True:
            with self._guard._blamed():
                found = next(rest, _END)
            if found is _END:
                break
            yield self._taken(found, "finish")
        if missing := len(self._awaited):
            self._guard._report(
                f"video {self._video.name}: returned predictions of "
                f"{self._frames - missing} frames after {self._frames} frames, the "
                f"last {missing} are missing"
            )

    def state(self) -> State | None:
        found = None if self._error else self._guard._state(self._inner)
        if found is None:
            return None
        return {
            "objects": self._objects,
            "awaited": list(self._awaited),
            "frames": self._frames,
            "inner": found,
        }

    def restore(self, state: State) -> None:
        self._objects = state["objects"]
        self._awaited = deque(state["awaited"])
        self._frames = state["frames"]
        self._guard._restore(self._inner, state["inner"])

    def close(self) -> None:
        with self._guard._blamed():
            self._inner.close()

    def _taken(self, found: object, method: str) -> Prediction:
        """Check the next prediction, and count it."""
        if not self._awaited:
            self._guard._report(
                f"video {self._video.name}: {method} returned a prediction more than "
                f"the {self._frames} frames that it got"
            )
        prediction = self._guard._checked(found, method)
        objects = self._awaited.popleft()
        if prediction.objects != objects:
            index = self._frames - len(self._awaited) - 1
            self._guard._report(
                f"video {self._video.name}: frame {index}, counted from the first "
                f"prompt: {method} returned the objects {list(prediction.objects)}, "
                f"expected {list(objects)}: all that had a prompt up to there, in the "
                "order of their first ones"
            )
        return prediction


_END = object()
