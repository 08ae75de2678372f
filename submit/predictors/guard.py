"""A wrapper around a model: its errors name the model and its package.

Models are foreign code. Their exceptions are neither a mistake of the user nor a bug of
the toolkit, and they may return impossible numbers. These are refused, so that they
never count as "no object".
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, TypeVar

from ..errors import MaskError, PredictorError, PromptError, SubmitError
from ..system.machine import is_out_of_memory
from ..system.refusals import storage_failure
from .prompts import Prompts
from .protocol import Description, Frame, Prediction, Predictor, Session, Video

__all__ = ["GuardedPredictor", "ModelPackage", "blamed"]

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


@contextlib.contextmanager
def blamed(model: str, package: ModelPackage) -> Iterator[None]:
    """Turn an exception of a model into an error that names the model.

    Errors that say what to do are not changed: `SubmitError`, errors of the disk, and
    memory that runs out.

    Args:
        model: The model's name.
        package: The package that provides it.

    Raises:
        PredictorError: The model raised anything else; the traceback follows on lines
            of its own.
    """
    try:
        yield
    except SubmitError:
        raise
    except (Exception, SystemExit) as error:
        if storage_failure(error) or is_out_of_memory(error):
            raise
        raise PredictorError(_described(model, package, error)) from error


def _described(model: str, package: ModelPackage, error: BaseException) -> str:
    """One line that names the model, then the traceback from the model on."""
    what = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
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

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video."""
        with self._blamed():
            inner = self._inner.session(video, scale=scale)
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

    def _refuse(self, wrong: str) -> NoReturn:
        raise MaskError(
            f"{wrong}; predictor {self._model} ({self._package}) fails here: its "
            "weights may be damaged (get the checkpoint again) or its precision too low"
        )

    def _require(self, found: object, kind: type[Kind], method: str) -> Kind:
        if isinstance(found, kind):
            return found
        raise PredictorError(
            f"predictor {self._model} ({self._package}): {method} returned a "
            f"{type(found).__name__}, expected a {kind.__name__}; please report it to "
            f"the authors of {self._package}"
        )


class _GuardedSession:
    """A session, with `blamed` around every call, that only gets prompts it accepts.

    A prediction with an impossible number raises a `MaskError` that names the object;
    the caller adds the video and the frame.
    """

    def __init__(self, guard: GuardedPredictor, inner: Session, video: Video) -> None:
        self._guard, self._inner, self._video = guard, inner, video
        self._known: set[int] = set()

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        if prompts:
            self._guard._require_taken(prompts, self._known, self._video)
            self._known |= prompts.keys()
        with self._guard._blamed():
            found = self._inner.step(frame, prompts)
        prediction = self._guard._require(found, Prediction, "step")
        # Keeps `import submit` fast.
        from .numbers import nonsense

        for name in ("logits", "presence", "iou"):
            values = getattr(prediction, name)
            if wrong := nonsense(name, values, prediction.objects):
                self._guard._refuse(wrong)
        return prediction

    def close(self) -> None:
        with self._guard._blamed():
            self._inner.close()
