"""Figures for papers, drawn by matplotlib: scores, timelines, ensembles.

A figure is as wide as a column, with fonts of the size of a caption, so that it goes
into a paper without scaling. The same data give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SubmitError
from ..metrics.measures import MEASURES
from ..scoring.compare import Comparison
from ..system.files import write_bytes
from ..system.outputs import OutputKind
from ..tuning.members import MemberStep
from .attributes import ATTRIBUTES, GroupScore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "FORMATS",
    "PLOT",
    "FigureSize",
    "PlottedTrack",
    "legend_above",
    "opened_figure",
    "plot_changes",
    "plot_ensemble",
    "plot_groups",
    "plot_timeline",
    "require_matplotlib",
]

#: What can be written, and how such a file begins.
FORMATS = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}

PLOT = OutputKind.of_file(
    "a figure",
    "submit plot",
    recognises=lambda begin: begin.startswith(tuple(FORMATS.values())),
)

#: The colours of Okabe and Ito, for the colour-blind too, and markers for print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_GREY = "#767676"
_INCH = 25.4
#: Height of a figure beside its width, and of a strip of a timeline in lines of text.
_ASPECT, _STRIP = 0.62, 1.6


@dataclass(frozen=True)
class FigureSize:
    """How large a figure is.

    Attributes:
        width: In millimetres; 84 is a column of the usual two-column styles.
        font_size: In points.
    """

    width: float = 84.0
    font_size: float = 8.0


def require_matplotlib() -> None:
    """Make sure that figures can be drawn.

    Raises:
        SubmitError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise SubmitError(
            "submit plot needs matplotlib, which is not installed; run: "
            "pip install matplotlib"
        ) from error


@contextmanager
def opened_figure(
    path: Path, size: FigureSize, *, height: float | None = None
) -> Iterator[Figure]:
    """Open a figure; it is written at the end.

    Args:
        path: Where to write.
        size: How large it is.
        height: In millimetres; None for the usual one.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "font.size": size.font_size,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "legend.frameon": False,
        "pdf.fonttype": 42,  # Text stays text; conferences refuse type 3 fonts.
        "svg.fonttype": "none",
        "svg.hashsalt": "mose-submit",
        "text.parse_math": False,  # A dollar in a name is a dollar.
    }
    with matplotlib.rc_context(settings):
        tall = _ASPECT * size.width if height is None else height
        figure = Figure(
            figsize=(size.width / _INCH, tall / _INCH), layout="constrained"
        )
        yield figure
        stream = io.BytesIO()
        kind = path.suffix[1:].lower()
        stamps = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
        figure.savefig(stream, format=kind, dpi=300, metadata=stamps[kind])
    write_bytes(path, stream.getvalue())


def legend_above(axes: Any) -> None:
    """Name what is drawn above the axes, where it covers nothing."""
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def plot_groups(
    path: Path, attribute: str, groups: Sequence[GroupScore], size: FigureSize
) -> None:
    """Draw J&Ḟ against an attribute, one line of points for each run.

    Raises:
        SubmitError: matplotlib is not installed.
        StorageError: The disk refuses.
    """
    runs = list(groups[0].means)
    with opened_figure(path, size) as figure:
        axes = figure.subplots()
        for number, run in enumerate(runs):
            shift = (number - (len(runs) - 1) / 2) * 0.8 / max(len(runs), 4)
            at = np.arange(len(groups)) + shift
            means = np.array([100 * one.means[run] for one in groups])
            spans = [one.intervals[run] for one in groups]
            errors = np.array(
                [
                    (0, 0) if span is None else (m - 100 * span[0], 100 * span[1] - m)
                    for m, span in zip(means, spans, strict=True)
                ]
            ).T
            axes.errorbar(
                at,
                means,
                yerr=np.maximum(errors, 0),
                fmt=_MARKERS[number % len(_MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                markersize=4,
                elinewidth=0.8,
                capsize=1.5,
                label=run,
            )
        labels = [f"{one.group}\n({one.objects})" for one in groups]
        axes.set_xticks(np.arange(len(groups)), labels)
        axes.set_xlabel(f"{ATTRIBUTES[attribute].title} (number of objects)")
        axes.set_ylabel(MEASURES["jf_dot"])
        axes.set_ylim(0, 100)
        axes.grid(axis="y", linewidth=0.3)
        if len(runs) > 1:
            legend_above(axes)


def plot_changes(path: Path, found: Comparison, size: FigureSize) -> None:
    """Draw the change of each object from one run to another, sorted.

    Raises:
        SubmitError: matplotlib is not installed.
        StorageError: The disk refuses.
    """
    changes = np.sort([100 * one.difference for one in found.objects])
    whole = found.measures["jf_dot"]
    assert whole.difference is not None  # There is at least one object.
    with opened_figure(path, size) as figure:
        axes = figure.subplots()
        colours = np.where(changes > 0, COLOURS[0], COLOURS[1])
        axes.bar(np.arange(len(changes)), changes, width=1.0, color=colours)
        mean = 100 * whole.difference
        axes.axhline(0, color="black", linewidth=0.6)
        axes.axhline(mean, color=_GREY, linewidth=0.8, linestyle="--")
        said = f"mean {mean:+.2f}"
        if whole.low is not None and np.isfinite(whole.low):
            said += f" ({100 * whole.low:+.2f} … {100 * (whole.high or 0):+.2f})"
        axes.set_title(said, fontsize=size.font_size)
        axes.set_xlabel(f"{len(changes)} objects, sorted")
        axes.set_ylabel(f"{MEASURES['jf_dot']}: {found.other} − {found.baseline}")
        axes.set_xlim(-0.5, len(changes) - 0.5)
        axes.set_xticks([])


@dataclass(frozen=True)
class PlottedTrack:
    """One object in one run, or in the truth.

    Attributes:
        name: Of the run.
        present: For each frame, whether the object has pixels.
        j: For each frame J from 0 to 1, None where it does not count. None: the truth.
    """

    name: str
    present: Sequence[bool]
    j: Sequence[float | None] | None = None


def plot_timeline(
    path: Path, title: str, tracks: Sequence[PlottedTrack], size: FigureSize
) -> None:
    """Draw J of an object over time for each run, and where it is seen.

    Raises:
        SubmitError: matplotlib is not installed.
        StorageError: The disk refuses.
    """
    line = size.font_size / 72 * _INCH * _STRIP
    measured = [one for one in tracks if one.j is not None]
    above = 0.45 * size.width if measured else 0.0
    height = above + line * (len(tracks) + 3)
    with opened_figure(path, size, height=height) as figure:
        ratios = [above, line * len(tracks)] if measured else [1.0]
        rows = figure.subplots(
            len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios
        )[:, 0]
        for number, one in enumerate(measured):
            rows[0].plot(
                100 * _numbers(one.j or ()),
                color=COLOURS[number % len(COLOURS)],
                linewidth=0.9,
                label=one.name,
            )
        if measured:
            rows[0].set_ylabel("J")
            rows[0].set_ylim(-3, 103)
            rows[0].grid(axis="y", linewidth=0.3)
            legend_above(rows[0])
        colours = {
            one.name: COLOURS[number % len(COLOURS)]
            for number, one in enumerate(measured)
        }
        for row, one in enumerate(tracks):
            for begin, end in _spans(one.present):
                rows[-1].barh(
                    row,
                    end - begin,
                    left=begin - 0.5,
                    height=0.6,
                    color=colours.get(one.name, _GREY),
                )
        rows[-1].set_yticks(range(len(tracks)), [one.name for one in tracks])
        rows[-1].set_ylim(len(tracks) - 0.5, -0.5)
        rows[-1].set_xlim(-0.5, len(tracks[0].present) - 0.5)
        rows[-1].set_xlabel(f"frame of {title}")


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Numbers with NaN in place of None, where nothing is drawn."""
    return np.array([np.nan if one is None else one for one in values], np.float64)


def _spans(present: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch of frames in which an object is seen."""
    padded = np.concatenate([[False], np.asarray(present, bool), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def plot_ensemble(
    path: Path, measure: str, steps: Sequence[MemberStep], size: FigureSize
) -> None:
    """Draw the score against the number of members, and what each member brings.

    Raises:
        SubmitError: matplotlib is not installed.
        StorageError: The disk refuses.
    """
    line = size.font_size / 72 * _INCH * _STRIP
    whole = steps[-1].merged
    height = 0.5 * size.width + line * (len(steps) + 3)
    with opened_figure(path, size, height=height) as figure:
        upper, lower = figure.subplots(
            2, 1, height_ratios=[0.5 * size.width, line * len(steps)]
        )
        count = np.arange(1, len(steps) + 1)
        upper.errorbar(
            count,
            [one.merged for one in steps],
            yerr=np.nan_to_num(_numbers([one.error for one in steps])),
            marker="o",
            markersize=4,
            color=COLOURS[0],
            linewidth=0.9,
            elinewidth=0.8,
            capsize=1.5,
            label="merged",
        )
        upper.plot(
            count,
            [one.alone for one in steps],
            "s",
            markersize=4,
            color=COLOURS[1],
            label="member alone",
        )
        upper.set_xticks(count)
        upper.set_xlabel("members")
        upper.set_ylabel(MEASURES[measure])
        upper.grid(axis="y", linewidth=0.3)
        legend_above(upper)
        brings = whole - _numbers([one.without for one in steps])
        rows = np.arange(len(steps))
        colours = [COLOURS[0] if value > 0 else COLOURS[1] for value in brings]
        lower.barh(rows, np.nan_to_num(brings), color=colours, height=0.6)
        lower.axvline(0, color="black", linewidth=0.6)
        lower.set_yticks(rows, [one.member for one in steps])
        lower.set_ylim(len(steps) - 0.5, -0.5)
        lower.set_xlabel(f"{MEASURES[measure]} that the member adds to the others")
