"""What the commands print: results on stdout, everything else on stderr.

A command hands `emit` the same result twice, as a table for people and as plain data
for `--json`. Text that comes from outside (names of videos, messages of a server) goes
through `escape` or `escape_lines`, so that it cannot drive the terminal.
"""

from __future__ import annotations

import dataclasses
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import click
from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from ..system.words import format_bytes, format_seconds
from ._console import stderr, stdout, uncovered
from ._encoding import spell
from ._fitting import FittedTable

__all__ = [
    "BEST",
    "NOTHING",
    "best_cells",
    "emit",
    "escape",
    "escape_lines",
    "facts",
    "format_bytes",
    "format_count",
    "format_score",
    "format_seconds",
    "note",
    "number",
    "show",
    "stack",
    "stderr",
    "stdout",
    "table",
    "tinted",
    "warn",
]

#: How the best of several values looks: it is no colour, so that NO_COLOR keeps it.
BEST = "bold"

Cell: TypeAlias = str | int | Text | None

#: Shown in tables where there is no value.
NOTHING = "–"

#: Unicode categories of characters that control the terminal: controls, formats (such
#: as changes of the writing direction), surrogates, line and paragraph breaks.
_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def escape(text: str) -> str:
    r"""Make text from outside safe to print, on one line.

    >>> escape("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _ACTIVE
        else character
        for character in text
    )


def escape_lines(text: str) -> str:
    r"""Make a message of one or more lines safe to print.

    All lines but the first are indented, so that a line break in a name cannot make
    the rest of the name look like another message.

    >>> escape_lines("boom\nTraceback:\n  at \x1b[2J")
    'boom\n  Traceback:\n    at \\x1b[2J'
    """
    first, *others = text.rstrip("\n").split("\n")
    return "\n".join([escape(first), *(f"  {escape(x)}" if x else x for x in others)])


def format_count(value: int) -> str:
    """Write a number of things.

    >>> format_count(66526)
    '66,526'
    """
    return f"{value:,}"


def format_score(value: float | None) -> str:
    """Write a score in [0, 1] as the leaderboard does: times 100, two digits.

    >>> format_score(0.74231)
    '74.23'
    """
    return NOTHING if value is None else f"{100 * value:.2f}"


def number(header: str) -> Column:
    """Make a column of numbers for `table`: right-aligned."""
    return Column(header, justify="right", no_wrap=True)


def table(
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[Cell]],
    *,
    title: str | None = None,
    keys: int = 1,
) -> FittedTable:
    """Make a table in the toolkit's layout, which fits the terminal.

    Args:
        columns: Headers; `number(header)` for a column of numbers.
        rows: Cells of each row. Integers get separators, None becomes a dash, and
            strings are escaped; a `Text` is taken as it is, with its style.
        title: Line above the table.
        keys: Columns that name a row, at the left.
    """
    grid = Table(
        *map(_column, columns),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=None if title is None else _shown(title),
        title_justify="left",
        title_style="bold",
    )
    for row in rows:
        grid.add_row(*map(_cell, row))
    return FittedTable(grid, keys=keys)


def best_cells(
    values: Sequence[float | None],
    write: Callable[[float | None], str | None] = format_score,
    *,
    highest: bool = True,
) -> list[Cell]:
    """Write values that are compared, the best of them marked.

    Args:
        values: Those of a row or a column.
        write: Makes the text of a value.
        highest: Whether the highest value is the best one, else the lowest.
    """
    cells = [write(value) for value in values]
    known = [value for value in values if value is not None]
    best = write((max if highest else min)(known)) if known else None
    # What looks equal is equally good.
    if best is None or all(write(value) == best for value in known):
        return list(cells)
    return [Text(_shown(best), style=BEST) if one == best else one for one in cells]


def tinted(cell: Cell, style: str) -> Text:
    """A cell in another style, besides the one that it has."""
    text = _cell(cell).copy()
    text.stylize(style)
    return text


def facts(pairs: Mapping[str, Cell]) -> Table:
    """Lay out names and values, one pair a line."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        grid.add_row(_shown(name), _cell(value))
    return grid


def stack(*views: RenderableType) -> Group:
    """Put views below each other, with an empty line between them."""
    spaced: list[RenderableType] = []
    for view in views:
        spaced += ["", view] if spaced else [view]
    return Group(*spaced)


def _column(column: str | Column) -> str | Column:
    if isinstance(column, str):
        return _shown(column)
    return dataclasses.replace(column, header=_shown(str(column.header)))


def _cell(value: Cell) -> Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text(_shown(NOTHING), style="dim")
    if isinstance(value, int):
        return Text(format_count(value))
    return Text(_shown(value))


def _shown(text: str) -> str:
    """Text as it will be printed, so that columns get the right width."""
    return spell(escape(text))


def emit(
    view: RenderableType | Callable[[], RenderableType], data: Any, *, as_json: bool
) -> None:
    """Print a command's result, for people or for programs.

    Args:
        view: What people see; a function when making it takes work.
        data: The same for `--json`: mappings, sequences, dataclasses, paths, NumPy
            values, strings, numbers, booleans and None.
        as_json: The command's `--json`.
    """
    if as_json:
        # ASCII works on every terminal and encoding, also for names that are not valid
        # Unicode. NaN is not JSON; "no value" is null.
        text = json.dumps(data, indent=2, default=_plain, allow_nan=False)
        with uncovered():
            click.echo(text)
        return
    _print(stdout(), view() if callable(view) else view, err=False)
    from ._next import follow  # It prints, too.

    follow(data)


def show(view: RenderableType) -> None:
    """Print a view on stderr: what must be seen, and is no result."""
    _print(stderr(), view, err=True)


def _print(console: Console, view: RenderableType, *, err: bool) -> None:
    with console.capture() as capture:
        console.print(view)
    # Click would take colours away that rich was made to use for a pipe (FORCE_COLOR).
    colour = True if console.color_system else None
    with uncovered():
        for line in capture.get().splitlines():
            click.echo(line.rstrip(), err=err, color=colour)


def _plain(value: Any) -> Any:
    """Convert a value to types that JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy.
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def note(message: str) -> None:
    """Print a remark on stderr."""
    stderr().print(escape_lines(message))


def warn(message: str) -> None:
    """Print a warning on stderr: the command continues, but the user should know."""
    stderr().print(Text("Warning: ", style="bold yellow").append(escape_lines(message)))
