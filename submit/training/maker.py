"""Making clips: from the number of a clip to its pixels, at random and repeatable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError, SplitError, TrainingError
from ..masks import Labels
from .augmentation import Pixels, draw_colours, draw_warp, warp
from .clips import ClipChoice, choose_clip, video_factors
from .index import IndexedSource, IndexedVideo
from .mixing import Mixture, generator
from .tables import AugmentTable, ClipTable
from .videos import read_reduced

__all__ = ["ClipMaker", "ClipSample"]

#: What a random number is for, beside those of `mixing`.
_CLIP, _REPLACEMENT = 3, 4
#: How many clips may fail in a row, so that a lost disk ends the training.
_TRIES = 20


@dataclass(frozen=True, eq=False)
class ClipSample:
    """One clip, ready for a model.

    Attributes:
        images: T×S×S×3 uint8, red, green, blue.
        labels: T×S×S uint8; 1 to N are the objects, 0 is everything else.
        objects: N.
        name: IndexedSource, video, frames and objects, for messages.
        problems: Why other clips in its place could not be read.
    """

    images: Pixels
    labels: Labels
    objects: int
    name: str
    problems: tuple[str, ...] = ()


class ClipMaker:
    """Makes any clip of a training by its number.

    The result depends only on the arguments and on the number, so that any number of
    processes may share the work, in any order.

    Args:
        sources: The sources.
        clips: How clips are cut out.
        augment: How they are changed.
        size: Side of the square that frames become.
        seed: Seed of everything random.
    """

    def __init__(
        self,
        sources: Sequence[IndexedSource],
        clips: ClipTable,
        augment: AugmentTable,
        *,
        size: int,
        seed: int,
    ) -> None:
        self._sources = tuple(sources)
        self._clips, self._augment = clips, augment
        self._size, self._seed = size, seed
        self._mixture = Mixture(
            [
                len(source.videos)
                if source.table.weight is None
                else source.table.weight
                for source in sources
            ],
            [video_factors(source.videos, source.table) for source in sources],
            seed,
        )

    def __getitem__(self, number: int) -> ClipSample:
        """Make a clip.

        A clip that cannot be read is replaced by one of another video of the source.

        Raises:
            TrainingError: Many clips in a row cannot be read.
        """
        which, index = self._mixture.draw(number)
        source = self._sources[which]
        problems: list[str] = []
        for attempt in range(_TRIES):
            random = generator(self._seed, _CLIP, number, attempt)
            try:
                return self._make(source, source.videos[index], random, problems)
            except (SplitError, MaskError) as error:
                problems.append(str(error))
            random = generator(self._seed, _REPLACEMENT, number, attempt)
            index = int(random.integers(len(source.videos)))
        raise TrainingError(
            f"{source.table.label}: {_TRIES} clips in a row cannot be read; the last: "
            f"{problems[-1]}"
        )

    def __len__(self) -> int:
        """As many as there are numbers."""
        return int(np.iinfo(np.int64).max)

    @property
    def clip_bytes(self) -> int:
        """Size of the pixels and labels of a clip."""
        return self._clips.length * self._size**2 * 4

    def _make(
        self,
        source: IndexedSource,
        video: IndexedVideo,
        random: np.random.Generator,
        problems: Sequence[str],
    ) -> ClipSample:
        choice = choose_clip(video, source.table, self._clips, random)
        table, size = self._augment, self._size
        ids = _numbering(choice)
        first = ids[video.video.labels(choice.places[0], video.size)]
        where = draw_warp(table, random, first, size)
        colours = draw_colours(table, random, self._clips.length)
        # How much smaller a frame may be decoded.
        pitch = np.hypot(where.matrix[:2, 0], where.matrix[:2, 1]) / size
        shrink = float(min(video.size[1] * pitch[0], video.size[0] * pitch[1]))
        if where.tiles is not None:
            shrink *= 2
        images = np.empty((self._clips.length, size, size, 3), np.uint8)
        labels = np.empty((self._clips.length, size, size), np.uint8)
        for time, place in enumerate(choice.places):
            path = video.video.image_path(place)
            pixels, found = read_reduced(path, shrink)
            if found != video.size:
                raise SplitError(
                    f"{path}: expected {video.size[1]}×{video.size[0]} pixels as in "
                    f"the first frame, found {found[1]}×{found[0]}"
                )
            truth = first if not time else ids[video.video.labels(place, video.size)]
            images[time], labels[time] = warp(
                pixels, truth, where, colours[time], size=size, fill=table.fill
            )
        return ClipSample(
            images=images,
            labels=labels,
            objects=len(choice.objects),
            name=f"{source.table.label}: {choice.describe(video)}",
            problems=tuple(problems),
        )


def _numbering(choice: ClipChoice) -> NDArray[np.uint8]:
    """The table from object ids to 1 … N; all others become 0."""
    table = np.zeros(256, np.uint8)
    table[list(choice.objects)] = np.arange(1, len(choice.objects) + 1)
    return table
