"""The scores of one object: label maps in, numbers out.

Two protocols. MOSEv2's is what its server computes, to the last bit
(https://github.com/henghuiding/MOSE-api/tree/241977a/MOSEv2/sam2_rcms/tools,
`metricsv2.py` and `score.py`); its quirks are kept and marked *officially*. The
classic one is that of DAVIS 2017
(https://github.com/davisvideochallenge/davis2017-evaluation/tree/ac7c43f).

    scorer = FrameScorer(480, 854, objects=(1, 2))
    rows = [scorer.score(truth, prediction) for truth, prediction in pairs]
    frames = FrameScores.from_rows(np.stack(rows))
    first = object_score(frames.of(0))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .disks import disks_for

__all__ = [
    "DavisScore",
    "FrameScorer",
    "FrameScores",
    "ObjectScore",
    "StoredLabels",
    "davis_score",
    "object_score",
]

Labels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Scores frame by frame, of one object or of several.

    Attributes:
        j: Region similarity in [0, 1]; shape T, or T×N for several objects.
        f_dot: Ḟ, the boundary measure that adapts to the object's size; as `j`.
        f: The classic boundary measure; as `j`.
        empty: Whether the object is absent in the truth of this frame; bool, as `j`.
    """

    j: Floats
    f_dot: Floats
    f: Floats
    empty: NDArray[np.bool_]

    @classmethod
    def from_rows(cls, rows: NDArray[np.float64]) -> FrameScores:
        """Make scores from `FrameScorer` results stacked to T×N×4."""
        j, f_dot, f, empty = np.ascontiguousarray(np.moveaxis(rows, -1, 0))
        return cls(j, f_dot, f, empty != 0)

    def of(self, index: int) -> FrameScores:
        """The scores of the object at `index` of the second axis."""
        return FrameScores(
            j=np.ascontiguousarray(self.j[:, index]),
            f_dot=np.ascontiguousarray(self.f_dot[:, index]),
            f=np.ascontiguousarray(self.f[:, index]),
            empty=np.ascontiguousarray(self.empty[:, index]),
        )


@dataclass(frozen=True)
class ObjectScore:
    """One object's MOSEv2 scores, as fractions; None where it has no such clip.

    Attributes:
        j: Mean region similarity J.
        f_dot: Mean Ḟ.
        f: Mean classic F.
        disappear_j: Mean over disappearance clips of the mean J in the clip.
        disappear_f_dot: The same of Ḟ.
        reappear_j: Mean over reappearance clips of the mean J in the clip.
        reappear_f_dot: The same of Ḟ.
    """

    j: float
    f_dot: float
    f: float
    disappear_j: float | None = None
    disappear_f_dot: float | None = None
    reappear_j: float | None = None
    reappear_f_dot: float | None = None

    @property
    def jf_dot(self) -> float:
        """J&Ḟ, the measure that ranks entries."""
        return (self.j + self.f_dot) / 2

    @property
    def jf(self) -> float:
        """Classic J&F."""
        return (self.j + self.f) / 2

    @property
    def disappear(self) -> float | None:
        """J&Ḟ over the clips in which the object is absent."""
        if self.disappear_j is None or self.disappear_f_dot is None:
            return None
        return (self.disappear_j + self.disappear_f_dot) / 2

    @property
    def reappear(self) -> float | None:
        """J&Ḟ over the clips after the object reappeared."""
        if self.reappear_j is None or self.reappear_f_dot is None:
            return None
        return (self.reappear_j + self.reappear_f_dot) / 2


@dataclass(frozen=True)
class DavisScore:
    """One object's classic DAVIS scores, as fractions.

    Attributes:
        j: Mean region similarity.
        j_recall: Share of frames with J above 0.5.
        j_decay: Mean J of the first quarter of the frames less that of the last.
        f: Mean boundary measure.
        f_recall: Share of frames with F above 0.5.
        f_decay: Mean F of the first quarter of the frames less that of the last.
    """

    j: float
    j_recall: float
    j_decay: float
    f: float
    f_recall: float
    f_decay: float

    @property
    def jf(self) -> float:
        """J&F."""
        return (self.j + self.f) / 2


class StoredLabels(Protocol):
    """A label map whose pixels share bytes, as a file stores them."""

    @property
    def data(self) -> Labels:
        """Flat uint8 rows; in a byte the left pixel has the highest bits."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width, in pixels."""
        ...

    @property
    def stride(self) -> int:
        """Bytes from a row to the next."""
        ...

    @property
    def lead(self) -> int:
        """Bytes before the pixels of each row, which are 0."""
        ...

    @property
    def depth(self) -> int:
        """Bits of a pixel: 1, 2, 4 or 8."""
        ...

    @property
    def step(self) -> int:
        """Factor from stored values to ids."""
        ...


class FrameScorer:
    """Scores the frames of one video, all objects at once.

    Its buffers are allocated once; two threads must not use one scorer at the same
    time.

    Example:
        >>> scorer = FrameScorer(4, 4, objects=(1,))
        >>> truth = np.zeros((4, 4), np.uint8)
        >>> truth[1:3, 1:3] = 1
        >>> scorer.score(truth, truth)
        array([[1., 1., 1., 0.]])

    Args:
        height: Rows of every frame, in pixels.
        width: Columns of every frame, in pixels.
        objects: Ids to score, in 1…255; any other label counts as background.
        davis: Score by the rules of DAVIS instead of those of MOSEv2: no smoothing
            of J, and F in place of Ḟ.
    """

    def __init__(
        self, height: int, width: int, objects: Sequence[int], *, davis: bool = False
    ) -> None:
        # Compiled code is imported on first use, so that reading scores needs no
        # compiler.
        from .boundary import BOX, room, score_frame

        if len(set(objects)) != len(objects) or not all(0 < i < 256 for i in objects):
            raise ValueError(
                f"objects must be different ids in 1…255, found {tuple(objects)}"
            )
        self._kernel: Any = score_frame
        self._shape = (height, width)
        self._slots = np.full(256, -1, np.int64)
        self._slots[list(objects)] = np.arange(len(objects))
        self._slots_by_steps: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._disks = disks = disks_for(height, width)
        self._limit = -1.0 if davis else disks.limit
        self._smoothing = 0 if davis else 1
        words = -(-width // 64)
        self._bits = np.zeros((len(objects), 2, height, words), np.uint64)
        self._boxes = np.empty((len(objects), 2, BOX), np.int64)
        self._edges = np.empty((2, room(height, width, disks.largest)), np.uint64)

    def score(self, truth: Labels, prediction: Labels) -> Floats:
        """Score one frame.

        Args:
            truth: H×W uint8 object ids.
            prediction: As `truth`.

        Returns:
            N×4 float64: J, Ḟ, F and 1.0 if the object is absent in the truth.
        """
        return self.score_packed(_Plain(truth), _Plain(prediction))

    def score_packed(self, truth: StoredLabels, prediction: StoredLabels) -> Floats:
        """Score one frame without unpacking its masks; see `score`."""
        maps = truth, prediction
        if not truth.shape == prediction.shape == self._shape:
            raise ValueError(
                f"expected label maps of {self._shape}, "
                f"found {truth.shape} and {prediction.shape}"
            )
        formats = [(each.stride, each.lead, each.depth) for each in maps]
        scores = np.empty((len(self._boxes), 4))
        arguments = (
            _aligned(truth.data),
            _aligned(prediction.data),
            np.array(formats, np.int64),
            self._slots_of(truth.step, prediction.step),
            self._shape[1],
            self._disks.windows,
            self._disks.spans,
            self._limit,
            self._smoothing,
            self._bits,
            self._boxes,
            self._edges,
            scores,
        )
        self._kernel(*arguments)
        return scores

    def areas(self, labels: StoredLabels) -> NDArray[np.int64]:
        """Count the pixels of each object in one label map."""
        self.score_packed(labels, labels)
        return self._boxes[:, 0, 0].copy()

    def _slots_of(self, *steps: int) -> NDArray[np.int64]:
        """Index of the object for each stored value; see `StoredLabels.step`."""
        if steps not in self._slots_by_steps:
            slots = np.full((len(steps), 256), -1, np.int64)
            for row, step in zip(slots, steps, strict=True):
                row[: 255 // step + 1] = self._slots[::step]
            self._slots_by_steps[steps] = slots
        return self._slots_by_steps[steps]


class _Plain:
    """A label map as a packed one of 8 bits."""

    lead, depth, step = 0, 8, 1

    def __init__(self, labels: Labels) -> None:
        self.shape: tuple[int, ...] = labels.shape
        self.stride = labels.shape[-1]
        self.data = np.ascontiguousarray(labels, np.uint8).reshape(-1)


def _aligned(data: Labels) -> Labels:
    """The same bytes, aligned to 8 and read-only."""
    if data.__array_interface__["data"][0] % 8:
        data = data.copy()
    if data.flags.writeable:
        data = data.view()
        # With one type of array only one version of the kernel is compiled.
        data.setflags(write=False)
    return data


def object_score(frames: FrameScores) -> ObjectScore:
    """Average one object's frames as MOSEv2 does.

    Args:
        frames: Scores of the evaluated frames: all but the video's first and last.
            None at all (a video of two frames) scores zero, officially.
    """
    if not len(frames.j):
        return ObjectScore(0.0, 0.0, 0.0)
    gone, back = _clips(frames.empty)
    return ObjectScore(
        j=float(frames.j.mean()),
        f_dot=float(frames.f_dot.mean()),
        f=float(frames.f.mean()),
        disappear_j=_mean_of_clips(frames.j, gone),
        disappear_f_dot=_mean_of_clips(frames.f_dot, gone),
        reappear_j=_mean_of_clips(frames.j, back),
        reappear_f_dot=_mean_of_clips(frames.f_dot, back),
    )


def _clips(empty: NDArray[np.bool_]) -> tuple[list[slice], list[slice]]:
    """Find the clips in which an object is absent, and those after it reappeared.

    Officially an absence at the first evaluated frame is no disappearance, while its
    end is a reappearance.
    """
    starts = np.flatnonzero(empty & ~np.r_[False, empty[:-1]])
    ends = np.flatnonzero(~empty[1:] & empty[:-1]) + 1
    stops = np.r_[ends, len(empty)]
    gone = [
        slice(start, stop)
        for start, stop in zip(starts, stops, strict=False)
        if start > 0
    ]
    nexts = np.r_[starts[1:], len(empty)]
    back = [slice(end, stop) for end, stop in zip(ends, nexts, strict=False)]
    return gone, back


def _mean_of_clips(values: Floats, clips: Iterable[slice]) -> float | None:
    """Mean over clips of the mean in the clip."""
    means = [values[clip].mean() for clip in clips]
    return float(np.mean(means)) if means else None


def davis_score(frames: FrameScores) -> DavisScore:
    """Average one object's frames as DAVIS does.

    Args:
        frames: Scores of the evaluated frames, from a `FrameScorer` with `davis`.
    """
    return DavisScore(*_statistics(frames.j), *_statistics(frames.f))


def _statistics(values: Floats) -> tuple[float, float, float]:
    """Mean, recall and decay of one measure over the frames of one object."""
    # The reference keeps these indices in 8 bits, which only spoils the decay of
    # videos with more than 256 evaluated frames; DAVIS has none.
    ids = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    first = values[ids[0] : ids[1] + 1]
    last = values[ids[3] : ids[4] + 1]
    return (
        float(values.mean()),
        float((values > 0.5).mean()),
        float(first.mean() - last.mean()),
    )
