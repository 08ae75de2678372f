"""Tables that fit the terminal without losing a column or a row's name.

Rich makes the columns of a table that is too wide narrower, down to nothing. Here the
headers of numbers wrap first, then long texts, and then the table is cut into blocks
of columns, each with the names of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

__all__ = ["FittedTable"]

#: Cells between two columns.
_GAP = 2
#: Fewest cells of a text that wraps, and of a word in a header that is broken.
_TEXT, _WORD = 24, 12


@dataclass(frozen=True)
class _Width:
    """How wide a column may be.

    Attributes:
        full: Without a line break.
        header: With line breaks in the header only.
        least: With line breaks in the texts, too.
    """

    full: int
    header: int
    least: int


class FittedTable:
    """A table in the toolkit's layout; its first columns are the names of the rows."""

    def __init__(self, grid: Table, *, keys: int = 1) -> None:
        """Wrap a table.

        Args:
            grid: The table; numbers are in columns that are right-aligned.
            keys: Columns that name a row.
        """
        self._grid, self._keys = grid, keys

    def __rich_measure__(
        self, console: Console, options: ConsoleOptions
    ) -> Measurement:
        return Measurement.get(console, options, self._grid)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        yield from self._blocks(options.max_width)

    def _blocks(self, room: int) -> Iterator[Table | str]:
        """The table, or blocks of its columns with an empty line between them."""
        widths = [_measure(column) for column in self._grid.columns]
        if _sum([one.full for one in widths]) <= room:
            yield self._grid
            return
        title = self._grid.title
        for index, block in enumerate(_cut(widths, self._keys, room)):
            if index:
                yield ""
            yield self._part(block, title=None if index else title)

    def _part(self, block: Mapping[int, int], *, title: object) -> Table:
        """Some of the columns, with these widths."""
        grid = self._grid
        columns: list[Column] = []
        for index, width in block.items():
            if columns:
                # Not padding: a rich before 15 counts that of the last column too.
                columns.append(Column(width=_GAP))
            column = grid.columns[index]
            header = _broken(str(column.header), width)
            columns.append(
                dataclasses.replace(
                    column,
                    header=header,
                    width=width,
                    no_wrap=False,
                    overflow="fold",
                    _cells=[],
                )
            )
        part = Table(
            *columns,
            box=None,
            pad_edge=False,
            padding=0,
            header_style=grid.header_style,
            title=title,  # type: ignore[arg-type]
            title_justify=grid.title_justify,
            title_style=grid.title_style,
        )
        for row in zip(
            *(grid.columns[index].cells for index in block),
            strict=True,
        ):
            first, *others = row
            part.add_row(first, *(cell for one in others for cell in ("", one)))
        return part


def _measure(column: Column) -> _Width:
    """How wide a column may be."""
    header = str(column.header)
    cells = max((cell_len(str(cell)) for cell in column.cells), default=0)
    word = min(max(map(cell_len, header.split()), default=0), _WORD)
    wrapped = max(cells, word)
    least = wrapped if column.justify == "right" else max(min(cells, _TEXT), word)
    return _Width(max(cells, cell_len(header)), wrapped, least)


def _broken(header: str, width: int) -> str:
    """Break words of a header that are too long, after one of `_-+/` if there is one.

    >>> _broken("mirrored_and_renamed", 14)
    'mirrored_and_ renamed'
    """
    words = []
    for word in header.split(" "):
        while cell_len(word) > width:
            end = max(word.rfind(mark, 0, width) for mark in "_-+/") + 1
            end = end or len(set_cell_size(word, width).rstrip()) or 1
            words.append(word[:end])
            word = word[end:]
        words.append(word)
    return " ".join(words)


def _cut(widths: Sequence[_Width], keys: int, room: int) -> Iterator[dict[int, int]]:
    """Cut columns into blocks that fit; each maps the index of a column to its width.

    Args:
        widths: Of all columns.
        keys: Columns that name a row, which every block has.
        room: Cells of a line.
    """
    # Together the names of a row have at least half of the line.
    half = room // 2 // keys - _GAP
    named = [replace(one, least=min(one.full, max(half, 1))) for one in widths[:keys]]
    block: list[int] = []
    for index in range(len(named), len(widths)):
        wanted = [*named, *(widths[one] for one in (*block, index))]
        if block and _sum([one.least for one in wanted]) > room:
            yield _shared(named, block, widths, room)
            block = []
        block.append(index)
    yield _shared(named, block, widths, room)


def _shared(
    named: Sequence[_Width], block: Sequence[int], widths: Sequence[_Width], room: int
) -> dict[int, int]:
    """Share the line among the columns of a block.

    Headers give room first, then texts; always the column that can give most.
    """
    columns = [*named, *(widths[index] for index in block)]
    shares = [min(one.full, room) for one in columns]
    for bounds in (
        [one.header for one in columns],
        [one.least for one in columns],
        [1] * len(columns),
    ):
        spare = [
            max(share - bound, 0) for share, bound in zip(shares, bounds, strict=True)
        ]
        while _sum(shares) > room and any(spare):
            most = spare.index(max(spare))
            shares[most] -= 1
            spare[most] -= 1
    return dict(zip([*range(len(named)), *block], shares, strict=True))


def _sum(widths: Sequence[int]) -> int:
    """Cells of columns with the gaps between them."""
    return sum(widths) + _GAP * max(len(widths) - 1, 0)
