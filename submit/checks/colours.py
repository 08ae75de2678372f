"""The object ids behind a video's mask values, by colours and the first mask.

A mask is read by its values: they are object ids. Programs that make PNGs smaller sort
the palette and renumber the values, file by file: the mask looks the same and means
something else. Its colours still show which id was meant.

What counts as evidence, in this order:

1. The first mask against the annotation. Where values and colours disagree about
  objects, both readings give them different pixels, so that at most one of them has an
  overlap (IoU) with the annotation above 0.5. If neither has, values that fit another
  id of the annotation are renamed.
2. Without such a first mask: the colour of the background on another value than 0,
   while value 0 has another colour.

The colours of ids are those of the annotation's own palette, or those of DAVIS, or the
greys that were the ids before a program made a palette of them. Nothing else is
evidence: not a palette of other colours (all black, Matplotlib), and not one whose
first mask fits by its values. If values and colours disagree and nothing decides, the
meaning is doubtful.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import SplitVideo
from ..errors import MaskError
from ..masks import Labels
from ..png.palette import DAVIS_PALETTE, read_file
from ..png.pictures import Kind, NoIdsError, Picture, decode_picture, read_palette
from .palettes import (
    GREYS,
    ColourIds,
    IdTable,
    colour_of,
    distinct_ids,
    ids_of,
    is_same_palette,
    look_up,
)
from .sanity import as_packed, pixels_by_ids

__all__ = ["Colours", "Meaning", "is_annotation"]

_DAVIS = DAVIS_PALETTE.tobytes()
_WHITE = 255
#: At most one of two disjoint sets of pixels can have a larger IoU.
_FITS = 0.5


@dataclass(frozen=True)
class Meaning:
    """What the values of one mask stand for.

    Attributes:
        table: 256 ids, one for each value; None where the values are the ids.
        by_colour: Whether colours decide that, and not the first mask alone.
        doubt: Why it is not certain; the table is None then.
    """

    table: IdTable | None = None
    by_colour: bool = False
    doubt: str | None = None

    def labels(self, values: NDArray[np.uint8]) -> Labels:
        """Turn values into ids."""
        return values if self.table is None else self.table[values]


_AS_IT_IS = Meaning()


class Colours:
    """The colours of one video's masks, and what they mean.

    Args:
        palette: Colours of the annotation's values, as its file has them; empty where
            it has none.
        objects: Ids of the video's objects; empty where they are not known.
    """

    def __init__(self, palette: bytes, objects: Iterable[int]) -> None:
        self._objects = tuple(objects)
        self._palettes = [p for p in (palette, _DAVIS) if p]
        likely = (0, *self._objects)
        self._ids = [ids_of(p, likely) for p in self._palettes]
        # What programs make of grey PNGs with few values: the grey is the id. White is
        # a way to write any object.
        self._palettes.append(GREYS)
        self._ids.append({GREYS[3 * key : 3 * key + 3]: key for key in likely})
        self._background = [p[:3] for p in self._palettes]
        #: Whether the first mask has shown that its colours are those of the
        #: annotations, …
        self._certain = False
        #: … while values are others; or that values and colours are others.
        self._remapped = self._has_names = False
        #: Colours of the first mask's objects, where they are others.
        self._learned: ColourIds = {}
        self._renamed: tuple[Kind, bytes, IdTable] | None = None
        self._known: dict[tuple[Kind, bytes, tuple[int, ...]], Meaning] = {}

    @classmethod
    def of(cls, video: SplitVideo, objects: Sequence[int] | None = None) -> Colours:
        """Take the palette of a video's first annotation.

        Args:
            video: The video.
            objects: Its objects, where those of the split cannot be read.
        """
        palette = b""
        if (frame := video.first_annotated) is not None:
            try:
                palette = read_palette(read_file(video.masks[frame]))
            except MaskError:
                palette = b""  # Reported where the annotation is read.
        return cls(palette, video.objects if objects is None else objects)

    @property
    def renamed(self) -> list[tuple[int, int]]:
        """Ids of the annotation and their values in the first mask, where they differ.

        Colours are ignored here.
        """
        if self._renamed is None:
            return []
        table = self._renamed[2]
        return sorted((int(table[v]), v) for v in range(256) if table[v] != v)

    def is_plain(self, palette: bytes) -> bool:
        """Whether a palette is one of those whose values are the ids, as most are.

        Others may be too; `meaning` looks at the values that occur.
        """
        return self._renamed is None and any(
            known.startswith(palette) for known in self._palettes
        )

    def learn(self, first: Picture, truth: Labels) -> None:
        """Compare the mask of an annotated frame with the annotation.

        Args:
            first: The mask.
            truth: H×W labels; ignored if they hold no object.
        """
        if first.values.shape != truth.shape:
            return
        counts = pixels_by_ids(as_packed(truth), as_packed(first.values))
        objects = tuple(key for key in np.flatnonzero(counts.any(1)).tolist() if key)
        if not objects:
            return
        self._known.clear()
        used = tuple(np.flatnonzero(counts.any(0)).tolist())
        values = None if first.kind is Kind.COLOUR else np.arange(256, dtype=np.uint8)
        colours = None
        if first.kind is not Kind.GREY:
            colours = self._by_colours(first.palette, used)
        names = _renaming(counts, objects, used)
        if names is None:
            # Objects may be segmented badly. Only objects with different readings
            # decide.
            disputed = _disputed(values, colours, objects)
            fits_values = _overlap(counts, values, disputed) > _FITS
            fits_colours = _overlap(counts, colours, disputed) > _FITS
        else:
            named = [value for value in used if names[value] in (0, *objects)]
            fits_values = values is not None and _equal(values, names, named)
            fits_colours = colours is not None and _equal(colours, names, named)
        if fits_values:
            if self._agrees(first.palette, used):
                self._certain = bool(first.palette)
            else:
                self._palettes.append(first.palette)
                self._learned = distinct_ids(first.palette, used, values)
        elif fits_colours:
            self._certain = self._remapped = True
        elif names is not None and not (
            len(self._objects) > 1 and _is_white(first.kind, first.palette, used)
        ):
            self._has_names = True
            self._learned = distinct_ids(first.palette, used, names)
            if first.kind is not Kind.COLOUR:
                self._renamed = first.kind, first.palette, names

    def meaning(self, picture: Picture) -> Meaning:
        """Say what the values of a mask stand for.

        Raises:
            NoIdsError: Its colours, or its white pixels, belong to no object. The text
                says what was found and what to do, without the file's name.
        """
        key = picture.kind, picture.palette, picture.used
        if key not in self._known:
            self._known[key] = self._meaning(*key)
        return self._known[key]

    def _meaning(self, kind: Kind, palette: bytes, used: tuple[int, ...]) -> Meaning:
        if self._renamed is not None:
            first_kind, first, names = self._renamed
            if kind is first_kind and is_same_palette(palette, first, used):
                return Meaning(names)
        if kind is Kind.COLOUR:
            return Meaning(self._of_colours(palette, used), by_colour=True)
        white = kind is Kind.PALETTE and colour_of(palette, _WHITE) == GREYS[-3:]
        if kind is Kind.GREY or not palette or (white and used[-1] == _WHITE):
            return self._of_values(used)
        learned = look_up(self._learned, palette, used)
        if self._has_names:
            return self._unclear(palette, used) if learned is None else _found(learned)
        if self._agrees(palette, used):
            return _AS_IT_IS
        if learned is not None:
            return _found(learned)
        table = self._by_colours(palette, used)
        if table is None:
            return self._unclear(palette, used) if self._remapped else _AS_IT_IS
        if self._certain:
            return _found(table)
        if not set(table[list(used)].tolist()) <= {0, *self._objects}:
            return _AS_IT_IS
        if self._moves_background(palette, used):
            return _found(table)
        return self._unclear(palette, used)

    def _of_values(self, used: tuple[int, ...]) -> Meaning:
        """What grey values stand for."""
        if _is_white(Kind.GREY, b"", used) and _WHITE not in self._objects:
            return Meaning(self._of_white(_WHITE))
        if self._renamed is None:
            return _AS_IT_IS
        return Meaning(
            doubt="has no palette, while the first mask has one and other names for "
            "the objects"
        )

    def _of_white(self, value: int) -> IdTable:
        """The ids of a mask that is black and white, in a video with one object."""
        if len(self._objects) != 1:
            raise NoIdsError(
                "is black and white (255), while the video has the objects "
                f"{', '.join(map(str, self._objects))}; write object ids as values, or "
                "one folder for each object (<video>/<object>/<frame>.png) for submit "
                "import"
            )
        table = np.arange(256, dtype=np.uint8)
        table[value] = self._objects[0]
        return table

    def _of_colours(self, palette: bytes, used: tuple[int, ...]) -> IdTable:
        """The ids of an image that has colours and no palette."""
        for ids in (self._learned, *self._ids):
            if (table := look_up(ids, palette, used)) is not None:
                return table
        if _is_white(Kind.COLOUR, palette, used):
            table = self._of_white(used[-1])
            table[list(used[:-1])] = 0
            return table
        known = {colour for ids in self._ids for colour in ids}
        colours = [palette[3 * value : 3 * value + 3] for value in used]
        strange = next((colour for colour in colours if colour not in known), None)
        what = "two palettes mixed" if strange is None else f"#{strange.hex()}"
        raise NoIdsError(
            f"has colours that no id has, such as {what}; write object ids with mode "
            "P, or the colours of the annotations, unsmoothed"
        )

    def _by_colours(self, palette: bytes, used: Sequence[int]) -> IdTable | None:
        """The ids that the colours stand for, if all are colours of the annotations."""
        for ids in self._ids:
            if (table := look_up(ids, palette, used)) is not None:
                return table
        return None

    def _agrees(self, palette: bytes, used: Sequence[int]) -> bool:
        """Whether each value that occurs has the colour that belongs to it."""
        return any(
            known.startswith(palette)
            or all(
                colour_of(palette, value) == colour_of(known, value) is not None
                for value in used
            )
            for known in self._palettes
        )

    def _moves_background(self, palette: bytes, used: Sequence[int]) -> bool:
        """Whether the colour of the background is on another value than 0 only."""
        return any(
            palette[:3] != background
            and any(colour_of(palette, value) == background for value in used)
            for background in self._background
        )

    def _unclear(self, palette: bytes, used: Sequence[int]) -> Meaning:
        colours = ", ".join(
            f"{value} is #{colour.hex()}"
            for value in list(used)[:4]
            if (colour := colour_of(palette, value)) is not None
        )
        return Meaning(
            doubt="its values and its colours say different things, and the first mask "
            f"does not decide ({colours})"
        )


def is_annotation(data: bytes, video: SplitVideo) -> bool:
    """Whether a mask is the annotation of a video's first frame, read in any way."""
    first = video.frames[0]
    if first not in video.masks:
        return False
    try:
        truth = video.read_mask(first)
        height, width = truth.shape
        picture = decode_picture(data, size=(height, width))
        colours = Colours.of(video)
        colours.learn(picture, truth)
        meaning = colours.meaning(picture)
    except MaskError:
        return False
    return bool(truth.any()) and np.array_equal(meaning.labels(picture.values), truth)


def _is_white(kind: Kind, palette: bytes, used: Sequence[int]) -> bool:
    """Whether a mask is white at every object, and black elsewhere."""
    if kind is Kind.GREY:
        return _WHITE in used and set(used) <= {0, _WHITE}
    colours = {colour_of(palette, value) for value in used}
    return GREYS[-3:] in colours and colours <= {GREYS[:3], GREYS[-3:]}


def _found(table: IdTable) -> Meaning:
    """The meaning that colours give; values may stand for themselves."""
    if np.array_equal(table, np.arange(256)):
        return _AS_IT_IS
    return Meaning(table, by_colour=True)


def _equal(one: IdTable, other: IdTable, values: list[int]) -> bool:
    return bool((one[values] == other[values]).all())


def _disputed(
    values: IdTable | None, colours: IdTable | None, objects: Sequence[int]
) -> Sequence[int]:
    """The objects whose pixels differ by values and by colours; all if none differ."""
    if values is None or colours is None or np.array_equal(values, colours):
        return objects
    return [key for key in objects if not np.array_equal(values == key, colours == key)]


def _overlap(
    counts: NDArray[np.int64], table: IdTable | None, objects: Sequence[int]
) -> float:
    """The mean IoU of some objects; 0 if there is nothing to compare.

    Args:
        counts: 256×256 pixels by id in the annotation and value in the mask.
        table: The id of each value, if there is one.
        objects: Ids of the annotation.
    """
    if table is None or not objects:
        return 0.0
    found = []
    for key in objects:
        values = table == key
        both = int(counts[key, values].sum())
        either = int(counts[key].sum()) + int(counts[:, values].sum()) - both
        found.append(both / either)
    return sum(found) / len(found)


def _renaming(
    counts: NDArray[np.int64], objects: Sequence[int], used: Sequence[int]
) -> IdTable | None:
    """Find which values of a mask stand for the annotation's objects.

    Returns:
        The id of each value; None unless every object overlaps one value by an IoU of
        more than 0.5.
    """
    table = np.arange(256, dtype=np.uint8)
    areas, sizes = counts.sum(axis=0), counts.sum(axis=1)
    named = set()
    for key in objects:
        either = sizes[key] + areas - counts[key]
        value = int(np.argmax(counts[key] / np.maximum(either, 1)))
        if 2 * counts[key, value] <= either[value]:
            return None
        table[value] = key
        named.add(value)
    left = [value for value in used if value not in named]
    if not left:
        return table
    # What covers most of the background is the background.
    background = max(left, key=lambda value: int(counts[0, value]))
    table[background] = 0
    left.remove(background)
    taken = {0, *objects}
    return None if any(value in taken for value in left) else table
