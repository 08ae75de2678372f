"""Arrays of scores as the scores of objects: what the numbers are, and whose.

A frame is objects × height × width at any resolution: one plane for each object, in
ascending order of the ids or in that of the array `objects`, or one more in front for
the background of a softmax. height × width alone is a frame of a single object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.numbering import number_in
from ..data import SplitVideo
from ..errors import MaskError
from ..masks import (
    ArrayFile,
    Logits,
    ScoreKind,
    recognise_scores,
    scores_to_logits,
)
from ..system.words import size_text
from .format import SoftFrame, VideoFiles, annotation_scores, stems_of

__all__ = [
    "COMPANIONS",
    "MOST_BYTES",
    "ScorePlanes",
    "frame_arrays",
    "score_array",
    "video_arrays",
]

_SUFFIXES = (".npy", ".npz")

#: Arrays that may stand beside the scores in a `.npz`.
COMPANIONS = ("objects", "presence", "iou", "frames", "size", "values")

#: Bytes that the scores of a frame may have: 60 objects at 1920×1080 in float32.
MOST_BYTES = 1 << 29

#: Words in names that say what numbers are.
_WORDS = {
    ScoreKind.LOGITS: re.compile(r"(?<![a-z])logits?(?![a-z])"),
    ScoreKind.PROBABILITIES: re.compile(
        r"(?<![a-z])(prob(s|abilit(y|ies))?|softmax|sigmoid)(?![a-z])"
    ),
}

_HINT = "say what they are: --as logits or --as probabilities"


def frame_arrays(files: VideoFiles) -> dict[str, str]:
    """The arrays of a video that are called as frames: their paths by stem."""
    return {
        stem: path
        for suffix in _SUFFIXES
        for stem, path in stems_of(files.names, suffix=suffix).items()
        if number_in(stem) is not None and stem != files.video
    }


def video_arrays(files: VideoFiles) -> list[str]:
    """The arrays that are of a whole video, sorted."""
    frames = frame_arrays(files)
    return sorted(
        path
        for suffix in _SUFFIXES
        for stem, path in stems_of(files.names, suffix=suffix).items()
        if stem not in frames
    )


def score_array(file: ArrayFile) -> str:
    """The array of a file that holds the scores.

    Raises:
        MaskError: There is none, or it is not certain which one it is.
    """
    found = [name for name in file.names if name not in COMPANIONS]
    named = [name for name in found if _kind_of(name) is not None]
    if len(found) == 1 or len(named) == 1:
        return (found if len(found) == 1 else named)[0]
    raise MaskError(
        f"{file.name}: expected one array, called logits or probabilities, and maybe "
        f"objects, presence and iou; found {', '.join(map(repr, file.names)) or 'none'}"
    )


class ScorePlanes:
    """Turns the arrays of one video's frames into logits of its objects.

    Args:
        video: The video.
        where: What to call the video's files in messages.
        kind: What the numbers are; None to find out.
    """

    def __init__(
        self, video: SplitVideo, where: str, kind: ScoreKind | None = None
    ) -> None:
        self._video, self._where = video, where
        self._kind = kind
        self._size: tuple[int, ...] | None = None
        self._order: tuple[int, ...] = ()
        #: Why the kind is what it is, for messages.
        self._why = ""

    def recognise(self, names: Sequence[str], frames: Iterator[NDArray[Any]]) -> None:
        """Find out whether the numbers are logits or probabilities.

        Args:
            names: Of the array, the file and its folders; the first that says it
                decides.
            frames: The frames in order, which are read until one decides.

        Raises:
            MaskError: It is not certain.
        """
        if self._kind is not None:
            return
        for name in names:
            if (named := _kind_of(name)) is not None:
                self._kind = named
                self._why = f"it is called {name}"
                return
        low, high = np.inf, -np.inf
        for frame in frames:
            if frame.dtype == np.uint8:
                raise MaskError(
                    f"{self._where}: holds uint8, which may be object ids or "
                    "probabilities · 255; if they are those, say it: --as "
                    "probabilities"
                )
            if frame.dtype.kind not in "fb" or not frame.size:
                self._kind = ScoreKind.LOGITS  # Refused where it is converted.
                return
            self._kind = recognise_scores(frame)
            if self._kind is not None:
                self._why = f"they lie in {_range(frame)} there"
                return
            low, high = min(low, frame.min()), max(high, frame.max())
        raise MaskError(
            f"{self._where}: whether its numbers are logits or probabilities is not "
            f"certain, since all lie in [{low:.3g}, {high:.3g}]; {_HINT}"
        )

    def scores(
        self,
        array: NDArray[Any],
        name: str,
        *,
        objects: NDArray[Any] | None = None,
        presence: NDArray[Any] | None = None,
        iou: NDArray[Any] | None = None,
    ) -> SoftFrame:
        """Convert a frame.

        Args:
            array: Its scores.
            name: What to call it in messages.
            objects: The ids of the planes; those of the video, ascending, by default.
            presence: Object scores as logits, in the order of the planes.
            iou: Predicted IoUs, in the order of the planes.

        Raises:
            MaskError: They do not fit the video.
        """
        assert self._kind is not None
        ids = self._ids(objects, name)
        try:
            planes = array.reshape(_squeezed(array.shape, len(ids)))
            background = self._has_background(planes, ids)
            logits = scores_to_logits(planes, self._kind, background=background)
        except MaskError as error:
            why = f" (taken as {self._kind.value}, since {self._why}; else {_HINT})"
            raise MaskError(f"{name}: {error}{why if self._why else ''}") from error
        given = [
            None if values is None else _per_object(values, ids, name, what)
            for values, what in ((presence, "presence"), (iou, "iou"))
        ]
        return self._ordered(ids, logits, given, name)

    def annotation(self) -> SoftFrame:
        """The scores of a first frame that has none.

        Raises:
            MaskError: The annotation cannot be read.
        """
        found = annotation_scores(self._video)
        self._order = found.objects
        return found

    def _ids(self, objects: NDArray[Any] | None, name: str) -> tuple[int, ...]:
        known = self._video.objects
        if objects is None:
            return known
        if objects.ndim != 1 or objects.dtype.kind not in "iu":
            raise MaskError(
                f"{name}: objects: expected a list of ids, found {objects.dtype} of "
                f"shape {objects.shape}"
            )
        ids = tuple(int(key) for key in objects)
        if len(set(ids)) < len(ids) or not set(ids) <= set(known):
            raise MaskError(
                f"{name}: objects: expected ids of the video, "
                f"{', '.join(map(str, known))}, each once; found "
                f"{', '.join(map(str, ids))}"
            )
        return ids

    def _has_background(self, planes: NDArray[Any], ids: Sequence[int]) -> bool:
        """Whether the first plane is the background; checks the shape as well."""
        listed = ", ".join(map(str, ids))
        if planes.ndim != 3 or len(planes) not in (len(ids), len(ids) + 1):
            raise MaskError(
                f"expected {len(ids)} × height × width (objects {listed}), or one more "
                f"plane with the background first; found the shape {planes.shape}"
            )
        size = planes.shape[1:]
        if self._size is None:
            if 0 in size:
                raise MaskError(f"has no pixels, its shape is {planes.shape}")
            high, wide = self._video.size
            if size == (wide, high) and high != wide:
                raise MaskError(
                    f"is {size_text(size)} pixels (width × height), and the video "
                    f"{size_text(self._video.size)}; expected height before width"
                )
            self._size = size
        if size != self._size:
            raise MaskError(
                f"expected {size_text(self._size)} pixels, as in the earlier frames, "
                f"found {size_text(size)}"
            )
        return len(planes) > len(ids)

    def _ordered(
        self,
        ids: tuple[int, ...],
        logits: Logits,
        given: Sequence[NDArray[np.float32] | None],
        name: str,
    ) -> SoftFrame:
        """Bring the objects into the order of the earlier frames."""
        if lacking := sorted(set(self._order) - set(ids)):
            raise MaskError(
                f"{name}: lacks object {lacking[0]}, which earlier frames have; write "
                "low scores where an object is not visible"
            )
        self._order += tuple(sorted(set(ids) - set(self._order)))
        if self._order != ids:
            rows = [ids.index(key) for key in self._order]
            logits = logits[rows]
            given = [None if values is None else values[rows] for values in given]
        presence, iou = given
        return SoftFrame(self._order, logits, presence, iou)


def _squeezed(shape: tuple[int, ...], objects: int) -> tuple[int, ...]:
    """The shape of a frame as objects × height × width.

    Args:
        shape: The shape in the file: also height × width for a single object, or
            objects × 1 × height × width as PyTorch models give them.
        objects: Number of objects.
    """
    if len(shape) == 2 and objects == 1:
        return (1, *shape)
    if len(shape) == 4 and shape[1] == 1:
        return (shape[0], *shape[2:])
    return shape


def _per_object(
    values: NDArray[Any], ids: Sequence[int], name: str, what: str
) -> NDArray[np.float32]:
    if values.shape != (len(ids),) or values.dtype.kind != "f":
        raise MaskError(
            f"{name}: {what}: expected {len(ids)} floating-point numbers, one for each "
            f"object, found {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.float32)


def _kind_of(name: str) -> ScoreKind | None:
    """What a name says of the numbers: `logits`, `prob_maps`; None for both or none."""
    found = [kind for kind, word in _WORDS.items() if word.search(name.lower())]
    return found[0] if len(found) == 1 else None


def _range(frame: NDArray[Any]) -> str:
    low, high = frame.min(), frame.max()
    return f"[{low:.3g}, {high:.3g}]" if frame.dtype != bool else "{0, 1}"
