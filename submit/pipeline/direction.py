"""The directions of a prediction: which frames and prompts each pass gets.

    forward     from an object's first prompt to the end of the video
    backward    from its last prompt to the start of the video; the frames after that
                prompt are tracked forward from it
    both        forward and backward; between two prompts the masks of both passes are
                merged, each with more weight near the prompt that it comes from

The backward pass goes first and waits on disk, so that memory does not grow with the
video. A prompt that says that an object is absent is no start: nothing can be tracked
from it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ensemble import METHODS, PixelMethod
from ..predictors import Absent, Mask, Prompt, Prompts
from ..runs import SoftVideo
from .tracking import PredictedFrame

__all__ = ["DIRECTIONS", "BothPasses", "Passes", "plan_passes"]

#: All directions, the default one first.
DIRECTIONS = ("forward", "backward", "both")


@dataclass(frozen=True)
class _Known:
    """When an object is given.

    Attributes:
        begin: Index of the first frame in which it is predicted.
        start: Index of the frame in which the backward pass gets it; None if it does
            not.
        prompts: Indices of the frames in which it is given, in order, up to `start`.
        merged: Whether frames between two prompts are merged from both passes.
    """

    begin: int
    start: int | None
    prompts: tuple[int, ...]
    merged: bool

    def backward_share(self, index: int) -> float:
        """The weight of the backward pass in a frame, from 0 to 1."""
        if self.start is None or index > self.start:
            return 0.0
        after = bisect_left(self.prompts, index)
        if not self.merged or index < self.prompts[0]:
            return 1.0
        if self.prompts[after] == index:
            return 0.0
        before, after = self.prompts[after - 1], self.prompts[after]
        return (index - before) / (after - before)


@dataclass(frozen=True)
class Passes:
    """What a model is given in each pass over a video.

    Attributes:
        frames: All frames of the video.
        forward: Prompts of the forward pass, by frame.
        backward: Prompts of the backward pass, by frame; empty if there is none.
        backward_frames: The frames of the backward pass, the last one first.
        known: All objects, in the order of the result.
    """

    frames: tuple[str, ...]
    forward: Mapping[str, Prompts]
    backward: Mapping[str, Prompts]
    backward_frames: tuple[str, ...]
    known: Mapping[int, _Known]

    @property
    def steps(self) -> int:
        """Number of frames that go through the model."""
        return len(self.frames) + len(self.backward_frames)


def plan_passes(
    frames: tuple[str, ...],
    prompts: Mapping[str, Prompts],
    *,
    direction: str,
    late: bool,
) -> Passes:
    """Plan the passes over a video.

    Args:
        frames: Its frames.
        prompts: What is given, by frame in order; not empty.
        direction: One of `DIRECTIONS`.
        late: Whether an object does not exist before its first prompt; otherwise it is
            tracked backward to the first frame.
    """
    place = {frame: index for index, frame in enumerate(frames)}
    given: dict[int, dict[int, Prompt]] = {}
    for frame, here in prompts.items():
        for key, prompt in here.items():
            given.setdefault(key, {})[place[frame]] = prompt
    known = {
        key: _known(mine, direction=direction, late=late) for key, mine in given.items()
    }
    starts = {key: one.start for key, one in known.items() if one.start is not None}
    if not starts:
        return Passes(frames, prompts, {}, (), known)

    def chosen(wanted: Callable[[int, int], bool]) -> dict[str, Prompts]:
        found = {
            frame: {k: one for k, one in here.items() if wanted(k, place[frame])}
            for frame, here in prompts.items()
        }
        return {frame: here for frame, here in found.items() if here}

    forward = prompts
    if direction == "backward":
        forward = chosen(lambda key, index: index >= starts.get(key, 0))
    backward = chosen(lambda key, index: key in starts and index <= starts[key])
    first = min(known[key].begin for key in starts)
    return Passes(
        frames,
        forward=forward,
        backward=dict(reversed(backward.items())),
        backward_frames=frames[first : max(starts.values()) + 1][::-1],
        # The store wants objects that begin later behind the others.
        known=dict(sorted(known.items(), key=lambda item: item[1].begin)),
    )


def _known(given: Mapping[int, Prompt], *, direction: str, late: bool) -> _Known:
    """When an object is given, from its prompts by index."""
    first = min(given)
    shown = [index for index, prompt in given.items() if _shows(prompt)]
    begin = first if late or not shown else 0
    start = max(shown, default=first)
    if direction == "forward" or start == begin:
        return _Known(first, None, (), merged=False)
    prompts = tuple(sorted(index for index in given if index <= start))
    return _Known(begin, start, prompts, merged=direction == "both")


def _shows(prompt: Prompt) -> bool:
    """Whether a prompt shows something of the object."""
    if isinstance(prompt, Mask):
        return bool(prompt.pixels.any())
    return not isinstance(prompt, Absent)


class BothPasses:
    """Joins the frames of the forward pass with those of the stored backward pass.

    Args:
        passes: The plan.
        backward: What the backward pass has written.
    """

    def __init__(self, passes: Passes, backward: SoftVideo) -> None:
        self._passes, self._backward = passes, backward
        self._stored = {frame: index for index, frame in enumerate(backward.frames)}
        self._index = {frame: index for index, frame in enumerate(passes.frames)}
        method = METHODS["mean_probabilities"]()
        assert isinstance(method, PixelMethod)
        self._method = method

    def join(self, forward: PredictedFrame) -> PredictedFrame:
        """Make the frame of both passes; logits are merged as probabilities."""
        index = self._index[forward.frame]
        backward = self._backward_frame(forward.frame)
        parts: dict[int, list[_Part]] = {}
        for key, known in self._passes.known.items():
            if known.begin > index:
                continue
            share = known.backward_share(index)
            parts[key] = [
                _Part.of(view, key, weight)
                for view, weight in ((forward, 1 - share), (backward, share))
                if view is not None and weight > 0
            ]
        shape = max(
            (one.plane.shape for mine in parts.values() for one in mine),
            key=math.prod,
            default=(1, 1),
        )
        planes = [
            self._method.merge_sizes(
                [one.plane for one in mine], [one.share for one in mine], shape
            )
            for mine in parts.values()
        ]
        return PredictedFrame(
            forward.frame,
            tuple(parts),
            np.stack(planes) if planes else np.zeros((0, *shape), np.int8),
            presence=_means(parts.values(), "presence"),
            iou=_means(parts.values(), "iou"),
        )

    def _backward_frame(self, frame: str) -> PredictedFrame | None:
        """The frame of the backward pass; None if that has not come so far."""
        index, stored = self._stored.get(frame), self._backward
        if index is None:
            return None
        codes = stored.codes(index)
        count = len(codes)
        return PredictedFrame(
            frame,
            stored.objects[:count],
            codes,
            stored.presence[index, :count],
            stored.iou[index, :count],
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """What one pass says of an object in a frame; scores may be NaN."""

    share: float
    plane: NDArray[np.int8]
    presence: float
    iou: float

    @classmethod
    def of(cls, frame: PredictedFrame, key: int, share: float) -> _Part:
        row = frame.objects.index(key)
        presence, iou = (
            math.nan if values is None else float(values[row])
            for values in (frame.presence, frame.iou)
        )
        return cls(share, frame.codes[row], presence, iou)


def _means(parts: Iterable[Sequence[_Part]], score: str) -> NDArray[np.float32]:
    """The weighted mean of a score of each object; the shares of its parts sum to 1."""
    return np.array(
        [math.fsum(one.share * getattr(one, score) for one in mine) for mine in parts],
        np.float32,
    )
