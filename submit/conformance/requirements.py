"""What a model has to do, each requirement a function that yields what is wrong."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..predictors import (
    Absent,
    Box,
    Description,
    Mask,
    Points,
    Prediction,
    Predictor,
    Prompts,
    build,
    load,
    option_infos,
    read_state,
    write_state,
)
from ..system.words import counted
from .clip import Clip
from .held import counted_memory, held, with_gradients
from .walk import Broken, Walk, explained, walk

__all__ = ["REQUIREMENTS", "Conformance", "Deviation", "Outcome", "examine"]

#: Bytes per frame that may stay: a few numbers, no map and no vector.
_PER_FRAME = 512
#: Bytes that may stay in all, such as tables that are made when they are needed.
_ONCE = 16 * 1024
#: Share of pixels that may change sides where last bits differ.
_LAST_BITS = 1e-3


@dataclass(frozen=True)
class Deviation:
    """A difference between a model and a requirement.

    Attributes:
        requirement: The requirement's name.
        wrong: What is wrong.
        remedy: What to do.
        fails: Whether the model fails; otherwise it is only worth knowing.
    """

    requirement: str
    wrong: str
    remedy: str
    fails: bool = True


class Outcome(Enum):
    """What became of a requirement."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Conformance:
    """Whether a model keeps to the interface.

    Attributes:
        predictor: The model's name.
        description: Its own description; None if it has none.
        outcomes: By requirement.
        deviations: All that was found.
    """

    predictor: str
    description: Description | None
    outcomes: Mapping[str, Outcome]
    deviations: tuple[Deviation, ...]

    @property
    def passed(self) -> bool:
        """Whether no requirement failed."""
        return not any(one.fails for one in self.deviations)


class _Subject:
    """A model under examination, and what is known of it so far."""

    def __init__(
        self, name: str, settings: Sequence[str], *, device: str, frames: int
    ) -> None:
        self.name, self._settings, self._device = name, settings, device
        self.clip, self.frames = Clip(), frames
        self.predictor: Predictor
        self.description: Description | None = None
        self.predictions: list[Prediction] = []

    def build(self) -> Predictor:
        """Make the model."""
        return build(self.name, self._settings, device=self._device)

    @property
    def described(self) -> Description:
        """The description, which is there after the first requirement."""
        assert self.description is not None
        return self.description

    @property
    def kind(self) -> str:
        """The kind of prompt that introduces objects."""
        accepted = self.described.prompts
        kinds = {Mask.kind: accepted.masks, Box.kind: accepted.boxes}
        return next((kind for kind, taken in kinds.items() if taken), Points.kind)

    def prompts(self, *keys: int, frame: int = 0) -> Prompts:
        """Prompts of objects in a frame."""
        return {key: self.clip.prompt(self.kind, key, frame) for key in keys}

    @property
    def script(self) -> Mapping[int, Prompts]:
        """Two objects from the first frame on, and one that joins later."""
        clip = self.clip
        return {
            0: self.prompts(*clip.first),
            clip.joins: self.prompts(clip.late, frame=clip.joins),
        }


Problem = tuple[str, str] | tuple[str, str, bool]
Requirement = Callable[[_Subject], Iterator[Problem]]


def _description(subject: _Subject) -> Iterator[Problem]:
    """Options and description say what the interface asks for."""
    options = load(subject.name).Options
    if not (dataclasses.is_dataclass(options) and isinstance(options, type)):
        yield "Options is not a dataclass", "declare it with @dataclass(frozen=True)"
        return
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "Options can be changed", "declare it with @dataclass(frozen=True)"
    for field in dataclasses.fields(options):
        if not field.metadata.get("help"):
            yield (
                f"option {field.name} has no help",
                f"declare it as {field.name}: … = option(default, help)",
            )
            return
    option_infos(options)
    subject.predictor = subject.build()
    found = subject.description = subject.predictor.describe()
    if found != subject.predictor.describe() or found != subject.build().describe():
        yield (
            "describe() returned two different descriptions",
            "return only what the options, the weights and the machine decide",
        )
    if not found.model or not found.licence:
        yield (
            f"describe() returned model {found.model!r} and licence {found.licence!r}",
            "name both; the licence goes into every manifest, non-commercial ones say "
            "so",
        )
    digest = found.checkpoint
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
        yield (
            f"describe() returned the checkpoint {digest!r}, expected a SHA-256 in hex",
            "return submit.predictors.file_digest(path), or None without weights",
        )
    if found.cores < 1:
        yield f"describe() returned {found.cores} cores", "return 1 or more"
    if strange := [
        key for key, value in found.details.items() if not isinstance(value, str)
    ]:
        yield (
            f"describe().details has values that are no texts: {', '.join(strange)}",
            "convert them with str()",
        )


def _tracking(subject: _Subject) -> Iterator[Problem]:
    """A clip is predicted: one prediction per frame, with the objects in order."""
    subject.predictions = walk(subject.predictor, subject.clip, subject.script)
    yield from ()


def _numbers(subject: _Subject) -> Iterator[Problem]:
    """Arrays are float32, and logits are logits."""
    found = subject.predictions
    for name in ("logits", "presence", "iou"):
        arrays = [getattr(one, name) for one in found]
        if len({array is None for array in arrays}) > 1:
            yield (
                f"{name} is None in some frames only",
                "return it for every frame, or None for all",
            )
        types = {str(one.dtype) for one in arrays if one is not None} - {"float32"}
        if types:
            yield (
                f"{name}: found {', '.join(sorted(types))}, expected float32",
                "convert the array: .astype(np.float32), or .float() in PyTorch",
            )
    low = min(float(one.logits.min()) for one in found)
    high = max(float(one.logits.max()) for one in found)
    if low >= 0 and high <= 1:
        yield (
            f"all logits are in [0, 1] ({low:.3g} to {high:.3g}): these are "
            "probabilities or a mask",
            "return what stands before the sigmoid; of probabilities p make "
            "log(p / (1 - p))",
        )
    elif low >= 0:
        yield (
            f"no logit is below 0 ({low:.3g} to {high:.3g}), so that each object "
            "covers the whole frame",
            "return logits: below 0 outside of the object",
        )
    elif len(np.unique(np.concatenate([one.logits.ravel() for one in found]))) == 2:
        yield (
            f"logits have two values only, {low:g} and {high:g}: hard masks",
            "return soft logits, if there are any: ensembles are better with them",
            False,
        )
    presence = [one.presence for one in found if one.presence is not None]
    if presence and all(((one >= 0) & (one <= 1)).all() for one in presence):
        yield (
            "all values of presence are in [0, 1]: perhaps probabilities",
            "return logits: above 0 for visible",
            False,
        )


def _place(subject: _Subject) -> Iterator[Problem]:
    """In the frame of its prompt an object lies where the prompt does."""
    clip = subject.clip
    starts = {**dict.fromkeys(clip.first, 0), clip.late: clip.joins}
    for key, frame in starts.items():
        prediction = subject.predictions[frame]
        yield from _placed(prediction, key, clip.mask(key, frame), f"frame {frame}")


def _without_repeats(problems: Iterator[Problem]) -> Iterator[Problem]:
    """Leave out remarks after the first one, which would say the same."""
    remarked = False
    for problem in problems:
        if len(problem) == 2:
            yield problem
        elif not remarked:
            remarked = True
            yield problem


def _placed(
    prediction: Prediction, key: int, given: NDArray[np.bool_], where: str
) -> Iterator[Problem]:
    """Compare an object's mask with the one that was given."""
    index = prediction.objects.index(key)
    mask = prediction.logits[index] > 0
    given = _at_size(given, mask.shape)
    where = f"{where}: object {key}"
    if not (mask & given).any():
        seen = "has no pixel above 0" if not mask.any() else "lies elsewhere"
        yield (
            f"{where}: its mask {seen} in the frame of its prompt",
            "return N×h×w, rows before columns, over the whole frame, above 0 inside "
            "of the object; and the objects in the order of the prompts",
        )
        return
    overlap = (mask & given).sum() / (mask | given).sum()
    if overlap < 0.5:
        yield (
            f"{where}: its mask has IoU {overlap:.2f} with the given one",
            "return the given mask as it is, up to the model's resolution",
            False,
        )
    if prediction.presence is not None and prediction.presence[index] <= 0:
        yield (
            f"{where}: presence is {prediction.presence[index]:.3g} in the frame of "
            "its prompt, which means absent",
            "return the object score as a logit: above 0 for visible",
        )


def _touched(
    prediction: Prediction, key: int, given: NDArray[np.bool_], where: str
) -> Iterator[Problem]:
    """Remark where an object that was shown by a box or points is not near them."""
    mask = prediction.logits[prediction.objects.index(key)] > 0
    if not (mask & _at_size(given, mask.shape)).any():
        yield (
            f"{where}: object {key}: its mask has no pixel where the prompt is",
            "compare the coordinates: pixels of the frame, x before y",
            False,
        )


def _at_size(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Take the nearest pixels: H×W to h×w."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    found: NDArray[np.bool_] = mask[rows[:, None], columns]
    return found


def _determinism(subject: _Subject) -> Iterator[Problem]:
    """The same clip gives the same masks."""
    again = walk(subject.predictor, subject.clip, subject.script)
    yield from _compared(
        subject.predictions,
        again,
        "the same clip gave other masks the second time",
        "fix seeds, and keep nothing of a video in the predictor",
    )


def _independence(subject: _Subject) -> Iterator[Problem]:
    """Two sessions that are open together do not influence each other."""
    if subject.described.delayed:
        return  # Augmentations, which open several, are refused for these.
    clip = subject.clip
    with ExitStack() as stack:
        walks = [
            stack.enter_context(Walk(subject.predictor, clip, script))
            for script in (subject.script, {0: subject.prompts(clip.late)})
        ]
        for _ in range(clip.length):
            for one in walks:
                one.step()
    yield from _compared(
        subject.predictions,
        walks[0].predictions,
        "a session gave other masks while a second one was open",
        "keep the state of a video in its session, not in the predictor or the module",
    )


def _resumption(subject: _Subject) -> Iterator[Problem]:
    """A session whose state is restored in another process goes on as before.

    One that has no state passes.
    """
    clip = subject.clip
    with Walk(subject.predictor, clip, subject.script) as session:
        for index in range(clip.length):
            session.step()
            if index not in (0, clip.joins, clip.length - 2):
                continue
            if (state := session.state()) is None:
                return
            stream = io.BytesIO()
            try:
                write_state(state, stream)
            except TypeError as error:
                yield (
                    f"frame {index}: state() is no plain data: {error}",
                    "convert what is no plain data: deque to list, NamedTuple to "
                    "tuple, np.float32 to float, objects to their parts",
                )
                return
            reached = len(session.predictions)
            # Another process has another predictor.
            with Walk(subject.build(), clip, subject.script) as other:
                other.restore(read_state(stream), session)
                for _ in range(index + 1, clip.length):
                    other.step()
                other.finish()
            yield from _compared(
                subject.predictions[reached:],
                other.predictions,
                f"restored after frame {index}, a session gave other masks",
                "return in state() all that a later frame depends on, and set all of "
                "it in restore()",
            )


def _compared(
    one: Sequence[Prediction], other: Sequence[Prediction], wrong: str, remedy: str
) -> Iterator[Problem]:
    """Compare two results of the same clip."""
    changed, pixels, largest = 0, 0, 0.0
    for first, second in zip(one, other, strict=True):
        for name in ("logits", "presence", "iou"):
            a, b = getattr(first, name), getattr(second, name)
            if a is None or b is None:
                continue
            if a.shape != b.shape:
                yield f"{wrong}: {name} of {a.shape} and {b.shape}", remedy
                return
            # Infinite logits are legal, and equal to themselves; NumPy subtracts no
            # booleans, which are a fault of their own.
            different = np.zeros(a.shape)
            np.subtract(a, b, out=different, where=a != b, dtype=np.float64)
            largest = max(largest, float(np.abs(different).max(initial=0)))
        changed += int(((first.logits > 0) != (second.logits > 0)).sum())
        pixels += first.logits.size
    if changed > _LAST_BITS * pixels:
        yield f"{wrong}: {changed} of {pixels} pixels changed sides", remedy
    elif largest:
        yield (
            f"{wrong}: numbers differ by up to {largest:.2g}, {changed} of {pixels} "
            "pixels changed sides",
            "where only last bits differ, as on a GPU, runs cannot be repeated exactly",
            False,
        )


def _prompts(subject: _Subject) -> Iterator[Problem]:
    """Prompts of every kind that the description accepts are taken."""
    clip, accepted = Clip(length=3), subject.described.prompts
    one, two = clip.first
    for kind, taken in (
        (Mask.kind, accepted.masks),
        (Box.kind, accepted.boxes),
        (Points.kind, accepted.points),
    ):
        if taken and kind != subject.kind:
            script: dict[int, Prompts] = {
                0: {one: clip.prompt(kind, one, 0), **subject.prompts(two)}
            }
            found = walk(subject.predictor, clip, script)
            yield from _touched(found[0], one, clip.mask(one, 0), f"{kind}, frame 0")
    if accepted.absences:
        walk(
            subject.predictor,
            clip,
            {0: {**subject.prompts(one), two: clip.prompt(Absent.kind, two, 0)}},
        )
    if accepted.corrections:
        corrected = subject.prompts(two, frame=2)
        found = walk(
            subject.predictor, clip, {0: subject.prompts(one, two), 2: corrected}
        )
        yield from _placed(found[2], two, clip.mask(two, 2), "correction, frame 2")
        if accepted.absences:
            absent = {two: clip.prompt(Absent.kind, two, 1)}
            walk(subject.predictor, clip, {0: subject.prompts(one, two), 1: absent})


def _scale(subject: _Subject) -> Iterator[Problem]:
    """Every scale that the description allows can be opened and run."""
    sizes, clip = subject.described.sizes, Clip(length=2)
    allowed = [scale for scale in (0.5, 0.75, 1.25, 2.0) if sizes.allows(scale)]
    for scale in sorted({*allowed[:1], *allowed[-1:]}):
        walk(
            subject.predictor,
            clip,
            {0: subject.prompts(*clip.first)},
            scale=scale,
        )
    yield from ()


def _close(subject: _Subject) -> Iterator[Problem]:
    """A session can be closed before its first frame, and before its last."""
    clip = subject.clip
    for steps in (0, 2):
        with Walk(subject.predictor, clip, subject.script) as session:
            for _ in range(steps):
                session.step()
    yield from ()


def _memory(subject: _Subject) -> Iterator[Problem]:
    """Memory does not grow with the number of frames."""
    clip = Clip(length=subject.frames)
    with (
        counted_memory(),
        Walk(subject.predictor, clip, subject.script, keep=False) as session,
    ):
        half = clip.length // 2
        for _ in range(half):
            session.step()
        before = held()
        for _ in range(clip.length - half):
            session.step()
        after, graphs = held(), with_gradients()
        session.finish()
    grown = (after - before) / (clip.length - half)
    much = grown > _PER_FRAME and after - before > _ONCE
    if graphs:
        yield (
            f"{counted(graphs, 'tensor')} with gradients stay in memory",
            "compute inside of torch.inference_mode()",
        )
    if not much:
        return
    wrong = (
        f"memory grows by {grown / 1000:.1f} kB per frame of {clip.width}×"
        f"{clip.height} (frames {half} to {clip.length})"
    )
    if subject.described.delayed:
        yield (
            wrong,
            "a delayed model may hold frames back; make sure that they fit into "
            "memory, since a video can have 8,000",
            False,
        )
    else:
        yield (
            wrong,
            "keep only what later frames can need: delete old frames, features and "
            "masks",
        )


def _videos(subject: _Subject) -> Iterator[Problem]:
    """Memory does not grow with the number of videos."""
    clip = Clip(length=4)
    script = {0: subject.prompts(*clip.first)}
    with counted_memory():
        sizes = []
        for _ in range(3):
            walk(subject.predictor, clip, script)
            sizes.append(held())
    grown = sizes[2] - sizes[1]
    if grown > _ONCE:
        yield (
            f"after each video {grown / 1000:.1f} kB stay in memory",
            "let close() free what the session holds, and keep no session in the "
            "predictor",
        )


#: The requirements by name, in the order in which they are tried.
REQUIREMENTS: Mapping[str, Requirement] = {
    "description": _description,
    "tracking": _tracking,
    "numbers": _numbers,
    "place": _place,
    "determinism": _determinism,
    "independence": _independence,
    "resumption": _resumption,
    "prompts": _prompts,
    "scale": _scale,
    "close": _close,
    "memory": _memory,
    "videos": _videos,
}

#: Without these nothing else can be tried.
_FIRST = ("description", "tracking")


def examine(
    name: str,
    settings: Sequence[str] = (),
    *,
    device: str = "cpu",
    frames: int = 64,
    only: Collection[str] = REQUIREMENTS.keys(),
    progress: Callable[[str, int], None] = lambda requirement, done: None,
) -> Conformance:
    """Try on a generated clip whether a model keeps to the interface.

    Args:
        name: The model; see `load`.
        settings: Its options as `key=value`.
        device: Where it runs, such as `cpu` or `cuda:0`.
        frames: Length of the clip on which memory is counted; what the model keeps must
            be complete after half of them.
        only: Names in `REQUIREMENTS` to try; the first two always are.
        progress: Is called after each requirement with its name and 1.

    Raises:
        PredictorError: The model cannot be imported or made.
    """
    subject = _Subject(name, settings, device=device, frames=frames)
    outcomes = dict.fromkeys(REQUIREMENTS, Outcome.NOT_RUN)
    deviations: list[Deviation] = []
    for title, requirement in REQUIREMENTS.items():
        if title not in (*_FIRST, *only):
            continue
        found = _tried(title, requirement, subject)
        deviations += found
        failed = any(one.fails for one in found)
        outcomes[title] = Outcome.FAILED if failed else Outcome.PASSED
        progress(title, 1)
        if failed and title in _FIRST:
            break
    return Conformance(name, subject.description, outcomes, tuple(deviations))


def _tried(title: str, requirement: Requirement, subject: _Subject) -> list[Deviation]:
    """All that a requirement finds, up to an error that stops it."""
    found: list[Deviation] = []
    try:
        with explained(""):
            for problem in _without_repeats(requirement(subject)):
                found.append(Deviation(title, *problem))
    except Broken as error:
        found.append(Deviation(title, error.wrong, error.remedy))
    return found
