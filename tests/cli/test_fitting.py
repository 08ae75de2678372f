from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Column

import submit.cli
from submit.cli._output import best_cells, number, table, tinted

#: The columns of `submit compare`, with long names of runs.
COMPARED = table(
    [
        "measure",
        number("plain_sam2_1_hiera_large"),
        number("mirrored_and_renamed"),
        number("difference"),
        number("95 % interval"),
        "clear",
        number("better / worse / equal"),
    ],
    [
        ["J&Ḟ", "55.95", "58.27", "+2.32", "-0.12 … +7.36", "no", "8 / 9 / 0"],
        ["J&Ḟ_d", "82.16", "100.00", "+3.55", "0.00 … +10.66", "yes", "11 / 10 / 16"],
    ],
)


def printed(view: RenderableType, width: int, *, colour: bool = False) -> str:
    """What a terminal of a width gets, with its escapes."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=True,
        no_color=not colour,
        color_system="standard",
        legacy_windows=False,
    )
    console.print(view)
    return stream.getvalue()


def drawn(view: RenderableType, width: int) -> list[str]:
    """The lines that a terminal of a width shows."""
    text = re.sub("\x1b\\[[0-9;]*m", "", printed(view, width))
    return [line.rstrip() for line in text.splitlines()]


def test_a_table_that_is_too_wide_breaks_its_headers_first() -> None:
    assert drawn(COMPARED, 90) == [
        "          plain_sam2_1_   mirrored_and_"
        "                                     better / worse",
        "measure     hiera_large         renamed"
        "  difference  95 % interval  clear          / equal",
        "J&Ḟ               55.95           58.27"
        "       +2.32  -0.12 … +7.36  no           8 / 9 / 0",
        "J&Ḟ_d             82.16          100.00"
        "       +3.55  0.00 … +10.66  yes       11 / 10 / 16",
    ]


def test_a_table_that_is_much_too_wide_comes_in_blocks_with_the_names_of_rows() -> None:
    assert drawn(COMPARED, 60) == [
        "              plain_sam2_1_        mirrored_and_",
        "measure         hiera_large              renamed  difference",
        "J&Ḟ                   55.95                58.27       +2.32",
        "J&Ḟ_d                 82.16               100.00       +3.55",
        "",
        "measure  95 % interval  clear  better / worse / equal",
        "J&Ḟ      -0.12 … +7.36  no                  8 / 9 / 0",
        "J&Ḟ_d    0.00 … +10.66  yes              11 / 10 / 16",
    ]


def test_long_texts_wrap_beside_names_that_do_not() -> None:
    view = table(
        ["option", "value", number("default"), "help"],
        [
            ["pixels", "int", 105000, "Work on at most this many pixels of a frame."],
            ["search", "bool", "true", "Search the whole frame."],
        ],
        title="Options",
    )
    assert drawn(view, 50) == [
        "Options",
        "option  value  default  help",
        "pixels  int    105,000  Work on at most this many",
        "                        pixels of a frame.",
        "search  bool      true  Search the whole frame.",
    ]


@settings(max_examples=40)
@given(
    cells=st.lists(
        st.lists(st.text("ab-中 ", max_size=40), min_size=4, max_size=4), max_size=4
    ),
    keys=st.integers(1, 3),
    width=st.integers(30, 200),
)
def test_no_line_is_too_long_and_no_cell_is_lost(
    cells: list[list[str]], keys: int, width: int
) -> None:
    columns: list[str | Column] = [
        "name",
        "other",
        number("a number of things"),
        "text",
    ]
    lines = drawn(table(columns, cells, keys=keys), width)
    assert max(map(cell_len, lines)) <= width
    shown = Counter("".join(lines))
    for character, count in Counter("".join(map("".join, cells))).items():
        assert character == " " or shown[character] >= count


@pytest.mark.parametrize("width", [44, 60, 80, 140])
def test_numbers_stay_below_each_other(width: int) -> None:
    lines = drawn(COMPARED, width)
    (first,) = (line.index("+2.32") for line in lines if "+2.32" in line)
    (second,) = (line.index("+3.55") for line in lines if "+3.55" in line)
    assert first == second


def test_the_best_value_is_marked_and_equal_values_are_not() -> None:
    cells = best_cells([0.5, 0.7001, None, 0.7])
    assert [str(cell) for cell in cells] == ["50.00", "70.01", "–", "70.00"]
    assert [getattr(cell, "style", None) for cell in cells] == [
        *(None, "bold", None, None),
    ]
    assert best_cells([0.5, 0.500001]) == ["50.00", "50.00"]
    lowest = best_cells([2.0, 1.0], "{:.1f}".format, highest=False)
    assert getattr(lowest[1], "style", None) == "bold"


def test_marks_need_no_colour() -> None:
    best = best_cells([0.5, 0.7])[1]
    view = table([number("J")], [[tinted(best, "green")], ["1"]])
    assert "\x1b[1;32m70.00" in printed(view, 80, colour=True)
    plain = printed(view, 80)
    assert "\x1b[1m70.00" in plain
    assert not re.search(r"\x1b\[[0-9;]*3\dm", plain)


def test_styles_suit_dark_and_light_backgrounds() -> None:
    """Only colours that every theme chooses for its background, and only on words."""
    found = set()
    for path in Path(submit.cli.__file__).parent.glob("*.py"):
        if path.stem != "show":  # It draws pictures.
            found |= set(
                re.findall(r'style(?:=| = )"([^"]+)"', path.read_text("utf-8"))
            )
    assert found
    words = {word for style in found for word in style.split()}
    assert words <= {"bold", "dim", "green", "red", "yellow"}
