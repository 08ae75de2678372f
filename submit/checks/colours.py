"""What the values of a video's masks stand for, where colours or the first mask say so.

A mask is read by its values: they are object ids. Programs that make PNGs smaller sort
the palette and renumber the values, file by file: the mask looks the same and means
something else. Its colours then still say which id was meant.

What counts as evidence, in this order:

1. The first mask against the annotation. For the objects about which values and colours
   disagree, the overlap (IoU) with the annotation is above 0.5 for one of both readings
   at most, since their pixels have nothing in common. If neither fits, values that fit
   the annotation under other names are renamed.
2. Without such a first mask: the colour of the background on another value than 0,
   while value 0 has another colour.

The colours of ids are those of the annotation's own palette, or those of DAVIS, or the
greys that were the ids before a program made a palette of them. Nothing else is
evidence. A palette of other colours says nothing (all black, Matplotlib), and neither
does one whose first mask fits by its values. Where values and colours disagree and
nothing decides, that is a doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data import SplitVideo
from ..errors import MaskError
from ..masks import Labels, object_ids
from ..png.palette import DAVIS_PALETTE, read_file
from ..png.pictures import Kind, NoIdsError, Picture, decode_picture, read_palette

__all__ = ["Colours", "Meaning", "is_annotation"]

#: 256 ids: what each value stands for.
_Table = NDArray[np.uint8]
#: An id by the colour that stands for it.
_Ids = Mapping[bytes, int]

_DAVIS = DAVIS_PALETTE.tobytes()
#: What programs make of grey PNGs with few values: the grey is the id.
_GREYS = bytes(value for value in range(256) for _ in range(3))
_WHITE = 255
#: An IoU that only one of two sets of pixels with nothing in common can have.
_FITS = 0.5


@dataclass(frozen=True)
class Meaning:
    """What the values of one mask stand for.

    Attributes:
        table: 256 ids, one for each value; None where the values are the ids.
        by_colour: Whether colours decide that, and not the first mask alone.
        doubt: Why it is not certain; the table is None then.
    """

    table: _Table | None = None
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
        self._ids = [_ids_of(p, likely) for p in self._palettes]
        # Of greys only those that can be ids: white is a way to write any object.
        self._palettes.append(_GREYS)
        self._ids.append({_GREYS[3 * key : 3 * key + 3]: key for key in likely})
        self._background = [p[:3] for p in self._palettes]
        #: Whether the first mask has shown that colours are those of the annotations, …
        self._certain = False
        #: … while values are others; or that values and colours are others.
        self._remapped = self._has_names = False
        #: Colours of the first mask's objects, where they are others.
        self._learned: _Ids = {}
        self._renamed: tuple[Kind, bytes, _Table] | None = None
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
                palette = b""  # Whoever reads the annotation says what is wrong.
        return cls(palette, video.objects if objects is None else objects)

    @property
    def renamed(self) -> list[tuple[int, int]]:
        """Ids of the annotation and what the first mask calls them, where they differ.

        Colours have no say in that.
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
            truth: H×W labels. Without an object they say nothing.
        """
        objects = object_ids(truth)
        if not objects or first.values.shape != truth.shape:
            return
        self._known.clear()
        counts = np.bincount(
            truth.ravel().astype(np.intp) << 8 | first.values.ravel(), minlength=1 << 16
        ).reshape(256, 256)
        used = first.used
        values = None if first.kind is Kind.COLOUR else np.arange(256, dtype=np.uint8)
        colours = None
        if first.kind is not Kind.GREY:
            colours = self._by_colours(first.palette, used)
        names = _renaming(counts, objects, used)
        if names is None:
            # Not every object is well recognised. Those decide that are in dispute.
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
                self._learned = _distinct(first.palette, used, values)
        elif fits_colours:
            self._certain = self._remapped = True
        elif names is not None:
            self._has_names = True
            self._learned = _distinct(first.palette, used, names)
            if first.kind is not Kind.COLOUR:
                self._renamed = first.kind, first.palette, names

    def meaning(self, kind: Kind, palette: bytes, used: Sequence[int]) -> Meaning:
        """Say what the values of a mask stand for.

        Args:
            kind: What its pixels say.
            palette: Colours of the values; empty where there are none.
            used: The values that occur.

        Raises:
            NoIdsError: Its colours, or its white pixels, are those of no object. The
                text says what is there and what to do, without the file's name.
        """
        key = kind, palette, tuple(used)
        if key not in self._known:
            self._known[key] = self._meaning(*key)
        return self._known[key]

    def of_picture(self, picture: Picture) -> Meaning:
        """Say what the values of a picture stand for; see `meaning`."""
        return self.meaning(picture.kind, picture.palette, picture.used)

    def _meaning(self, kind: Kind, palette: bytes, used: tuple[int, ...]) -> Meaning:
        if self._renamed is not None:
            first_kind, first, names = self._renamed
            if kind is first_kind and _is_same(palette, first, used):
                return Meaning(names)
        if kind is Kind.COLOUR:
            return Meaning(self._of_colours(palette, used), by_colour=True)
        white = kind is Kind.PALETTE and _colour(palette, _WHITE) == _GREYS[-3:]
        if kind is Kind.GREY or not palette or (white and used[-1] == _WHITE):
            return self._of_values(used)
        learned = _lookup(self._learned, palette, used)
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
        if _WHITE in used and set(used) <= {0, _WHITE} and _WHITE not in self._objects:
            return Meaning(self._of_white(_WHITE))
        if self._renamed is None:
            return _AS_IT_IS
        return Meaning(
            doubt="has no palette, while the first mask has one and other names for "
            "the objects"
        )

    def _of_white(self, value: int) -> _Table:
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

    def _of_colours(self, palette: bytes, used: tuple[int, ...]) -> _Table:
        """The ids of an image that has nothing but colours."""
        for ids in (self._learned, *self._ids):
            if (table := _lookup(ids, palette, used)) is not None:
                return table
        if palette in (_GREYS[-3:], _GREYS[:3] + _GREYS[-3:]):
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

    def _by_colours(self, palette: bytes, used: Sequence[int]) -> _Table | None:
        """The ids that the colours say, if all are those of the annotations."""
        for ids in self._ids:
            if (table := _lookup(ids, palette, used)) is not None:
                return table
        return None

    def _agrees(self, palette: bytes, used: Sequence[int]) -> bool:
        """Whether each value that occurs has the colour that belongs to it."""
        return any(
            known.startswith(palette)
            or all(
                _colour(palette, value) == _colour(known, value) is not None
                for value in used
            )
            for known in self._palettes
        )

    def _moves_background(self, palette: bytes, used: Sequence[int]) -> bool:
        """Whether the colour of the background is on another value than 0 only."""
        return any(
            palette[:3] != background
            and any(_colour(palette, value) == background for value in used)
            for background in self._background
        )

    def _unclear(self, palette: bytes, used: Sequence[int]) -> Meaning:
        colours = ", ".join(
            f"{value} is #{colour.hex()}"
            for value in list(used)[:4]
            if (colour := _colour(palette, value)) is not None
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
        meaning = colours.of_picture(picture)
    except MaskError:
        return False
    return bool(truth.any()) and np.array_equal(meaning.labels(picture.values), truth)


def _is_same(palette: bytes, other: bytes, used: Sequence[int]) -> bool:
    """Whether two palettes have the same colours, as far as both go or are used."""
    if palette.startswith(other) or other.startswith(palette):
        return True
    return all(_colour(palette, v) == _colour(other, v) for v in used)


def _found(table: _Table) -> Meaning:
    """Colours say what the values stand for; which may be the values themselves."""
    if np.array_equal(table, np.arange(256)):
        return _AS_IT_IS
    return Meaning(table, by_colour=True)


def _colour(palette: bytes, value: int) -> bytes | None:
    """The colour of a value; None where the palette is too short."""
    return palette[3 * value : 3 * value + 3] or None


def _ids_of(palette: bytes, likely: Sequence[int]) -> dict[bytes, int]:
    """Turn a palette round; a colour of two of the likely ids belongs to none."""
    ids: dict[bytes, int] = {}
    double = set()
    for key in likely:
        if (colour := _colour(palette, key)) is None:
            continue
        if ids.setdefault(colour, key) != key:
            double.add(colour)
    for key in range(len(palette) // 3):
        ids.setdefault(palette[3 * key : 3 * key + 3], key)
    for colour in double:
        del ids[colour]
    return ids


def _distinct(palette: bytes, used: Sequence[int], table: _Table | None) -> _Ids:
    """The id of each colour in a palette; empty where two values share one."""
    if table is None:
        return {}
    ids = {
        colour: int(table[value])
        for value in used
        if (colour := _colour(palette, value)) is not None
    }
    return ids if len(ids) == len(used) else {}


def _lookup(ids: _Ids, palette: bytes, used: Sequence[int]) -> _Table | None:
    """Look up the colours of the values that occur.

    Returns:
        256 ids, values that do not occur standing for themselves; None where a colour
        is not known, or two values share one.
    """
    table = np.arange(256, dtype=np.uint8)
    seen = set()
    for value in used:
        colour = _colour(palette, value)
        if colour is None or colour in seen or colour not in ids:
            return None
        seen.add(colour)
        table[value] = ids[colour]
    return table


def _equal(one: _Table, other: _Table, values: list[int]) -> bool:
    return bool((one[values] == other[values]).all())


def _disputed(
    values: _Table | None, colours: _Table | None, objects: Sequence[int]
) -> Sequence[int]:
    """The objects that have other pixels by values than by colours; all if by none."""
    if values is None or colours is None or np.array_equal(values, colours):
        return objects
    return [key for key in objects if not np.array_equal(values == key, colours == key)]


def _overlap(
    counts: NDArray[np.int64], table: _Table | None, objects: Sequence[int]
) -> float:
    """The mean IoU of some objects; 0 where there is nothing to compare.

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
) -> _Table | None:
    """Find the names of the annotation's objects in a mask.

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
