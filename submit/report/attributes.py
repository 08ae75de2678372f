"""Scores by what makes an object hard: size, length of the video, others, absence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import Split, SplitVideo
from ..metrics.bootstrap import mean_interval
from ..metrics.frames import FrameScorer
from ..scoring import SplitScore
from ..storage import bring
from ..system.pool import checkpoint, run_in_threads

__all__ = [
    "ATTRIBUTES",
    "GroupScore",
    "ObjectFacts",
    "facts_of_track",
    "group_scores",
    "read_facts",
]


@dataclass(frozen=True)
class ObjectFacts:
    """What the truth says of an object.

    Attributes:
        video: Its video.
        object: Its id.
        area: Median share of the frame where it is visible, from 0 to 1.
        length: Frames of the video.
        objects: Objects of the video.
        absent: Whether it is absent in some frame.
    """

    video: str
    object: int
    area: float
    length: int
    objects: int
    absent: bool


def facts_of_track(
    video: SplitVideo, key: int, areas: NDArray[np.int64]
) -> ObjectFacts:
    """The facts of an object.

    Args:
        video: Its video.
        key: Its id.
        areas: Its pixels in each frame; negative where there is no mask.
    """
    height, width = video.mask_size
    seen = areas[areas > 0]
    return ObjectFacts(
        video=video.name,
        object=key,
        area=float(np.median(seen)) / (height * width) if len(seen) else 0.0,
        length=video.length,
        objects=len(video.objects),
        absent=bool((areas == 0).any()),
    )


def read_facts(
    split: Split,
    *,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> list[ObjectFacts]:
    """Read the facts of all objects from the masks of a split.

    Args:
        split: The split.
        workers: Threads; one for each core by default.
        progress: Called with a video and its number of frames when it is read.

    Raises:
        MaskError: A mask cannot be read.
    """

    def read(video: SplitVideo) -> list[ObjectFacts]:
        bring(video.masks)
        height, width = video.mask_size
        scorer = FrameScorer(height, width, video.objects)
        areas = []
        for frame in video.masks:
            checkpoint()
            areas.append(scorer.areas(video.packed_mask(frame, size=(height, width))))
        table = np.array(areas)
        return [
            facts_of_track(video, key, table[:, place])
            for place, key in enumerate(video.objects)
        ]

    found = run_in_threads(
        read,
        list(split.videos.values()),
        workers=workers,
        done=lambda video, _: progress(video.name, video.length),
    )
    return [facts for one in found for facts in one]


@dataclass(frozen=True)
class _Attribute:
    """A way to put objects into groups.

    Attributes:
        title: What stands above it.
        value: The fact that decides.
        edges: The groups' lower ends but for the first.
        groups: Names of the groups.
    """

    title: str
    value: Callable[[ObjectFacts], float]
    edges: tuple[float, ...]
    groups: tuple[str, ...]

    def group_of(self, facts: ObjectFacts) -> str:
        """The group that an object belongs to."""
        return self.groups[int(np.digitize(self.value(facts), self.edges))]


#: By name, in the order of tables. MOSEv2 counts objects below 1 % of the frame as
#: small (arXiv 2508.05630, section 3).
ATTRIBUTES = {
    "area": _Attribute(
        "area of the object",
        lambda facts: facts.area,
        (0.001, 0.01, 0.1),
        ("< 0.1 %", "0.1–1 %", "1–10 %", "≥ 10 %"),
    ),
    "length": _Attribute(
        "frames of the video",
        lambda facts: facts.length,
        (50, 150, 500),
        ("< 50", "50–149", "150–499", "≥ 500"),
    ),
    "objects": _Attribute(
        "objects of the video",
        lambda facts: facts.objects,
        (2, 4, 8),
        ("1", "2–3", "4–7", "≥ 8"),
    ),
    "absence": _Attribute(
        "absence",
        lambda facts: facts.absent,
        (1,),
        ("always visible", "absent at times"),
    ),
}


@dataclass(frozen=True)
class GroupScore:
    """The scores of one group of objects.

    Attributes:
        group: Its name.
        objects: How many objects it has.
        means: Of each run the mean J&Ḟ, a fraction.
        intervals: Of each run the 95 % interval by bootstrap over videos; None where
            all objects are of one video.
    """

    group: str
    objects: int
    means: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float] | None]


def group_scores(
    attribute: str, facts: Sequence[ObjectFacts], scores: Mapping[str, SplitScore]
) -> list[GroupScore]:
    """Mean J&Ḟ of each group of an attribute; groups without objects are left out.

    Args:
        attribute: One of `ATTRIBUTES`.
        facts: All objects.
        scores: The scores of each run.
    """
    kind = ATTRIBUTES[attribute]
    numbers = {name: place for place, name in enumerate({f.video: 0 for f in facts})}
    found = []
    for group in kind.groups:
        members = [one for one in facts if kind.group_of(one) == group]
        if not members:
            continue
        video_of = np.array([numbers[one.video] for one in members], np.intp)
        means, intervals = {}, {}
        for run, score in scores.items():
            values = np.array(
                [score.videos[one.video].objects[one.object].jf_dot for one in members]
            )
            means[run] = float(values.mean())
            intervals[run] = _interval(values, video_of)
        found.append(GroupScore(group, len(members), means, intervals))
    return found


def _interval(
    values: NDArray[np.float64], video_of: NDArray[np.intp]
) -> tuple[float, float] | None:
    found = mean_interval(values, video_of)
    return found and (max(found[0], 0.0), min(found[1], 1.0))
