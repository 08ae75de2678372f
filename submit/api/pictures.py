"""Pictures and tables for notebooks."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import SubmitError
from ..masks import Labels
from ..report import overlays

if TYPE_CHECKING:
    import pandas

__all__ = ["as_frame", "html_picture", "html_table", "overlay"]

#: Longest side of a picture that a notebook shows of itself, in pixels.
_LONGEST = 640
#: Most rows that a notebook shows of itself.
_ROWS = 20


def overlay(
    frame: NDArray[np.uint8],
    labels: Labels,
    *,
    opacity: float = 0.45,
    outline: int = 2,
    font_size: int = 14,
) -> NDArray[np.uint8]:
    """Draw the objects of a label map over a frame, in the palette's colours.

    Args:
        frame: H×W×3 uint8 RGB.
        labels: h×w uint8 object ids, 0 for background. Another size than the frame's
            is resized to it, each pixel to its nearest.
        opacity: Of the tint over objects, from 0 (outlines only) to 1.
        outline: Width of the outline in pixels; 0 for none.
        font_size: Height of the ids in pixels; 0 for no ids.

    Returns:
        H×W×3 uint8, a new array.

    Raises:
        MaskError: An array has another type or shape.
    """
    style = overlays.Style(opacity=opacity, outline=outline, font_size=font_size)
    return overlays.overlay(frame, labels, style)


def html_picture(pixels: NDArray[np.uint8], text: str) -> str:
    """A picture of H×W×3 RGB, small enough for a notebook.

    Args:
        pixels: The picture.
        text: What it shows, for screen readers.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((_LONGEST, _LONGEST))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/jpeg;base64,{data}">'


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, total: int | None = None
) -> str:
    """A table for a notebook.

    Args:
        header: Names of the columns.
        rows: The cells; the first 20 rows are shown.
        total: How many rows there are; None for those given.
    """
    total = len(rows) if total is None else total
    shown = rows[:_ROWS]
    lines = ["<table>", _row("th", header), *(_row("td", row) for row in shown)]
    lines.append("</table>")
    if total > len(shown):
        lines.append(f"<p>{len(shown)} of {total:,} rows</p>")
    return "\n".join(lines)


def _row(cell: str, values: Sequence[object]) -> str:
    cells = (f"<{cell}>{html.escape(str(value))}</{cell}>" for value in values)
    return f"<tr>{''.join(cells)}</tr>"


def as_frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Rows as a pandas frame.

    Raises:
        SubmitError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise SubmitError(
            "to_frame needs pandas, which is not installed; run: pip install pandas"
        ) from error
    return pandas.DataFrame.from_records(rows)
