"""The curves of trainings: the loss of each step, and the scores on the hold-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.measures import MEASURES
from .plots import COLOURS, FigureSize, legend_above, opened_figure

__all__ = ["plot_training"]

Log = Sequence[Mapping[str, Any]]
#: Steps whose losses become one point, at most this many points a line.
_POINTS = 200


def plot_training(path: Path, logs: Mapping[str, Log], size: FigureSize) -> None:
    """Draw the loss of trainings over their steps, and J&Ḟ on the hold-out.

    Args:
        path: Where to write.
        logs: The lines of each training's log, by its name.
        size: How large the figure is.

    Raises:
        SubmitError: matplotlib is not installed.
        StorageError: The disk refuses.
    """
    judged = any("validation" in line for log in logs.values() for line in log)
    rows = 2 if judged else 1
    with opened_figure(path, size, height=0.5 * rows * size.width) as figure:
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        for number, (name, log) in enumerate(logs.items()):
            colour = COLOURS[number % len(COLOURS)]
            steps, losses = _losses(log)
            axes[0].plot(steps, losses, color=colour, linewidth=0.9, label=name)
            for kind, style in (("weights", "o-"), ("ema", "s--"), ("average", "D")):
                found = [line for line in log if line.get("validation") == kind]
                if not found:
                    continue
                label = name if kind == "weights" else f"{name}, {kind}"
                at = [line["step"] for line in found]
                scores = [100 * line["jf_dot"] for line in found]
                axes[1].plot(
                    *(at, scores, style),
                    color=colour,
                    markersize=3,
                    linewidth=0.9,
                    label=label,
                )
                spans = [line["interval"] for line in found]
                if kind == "weights" and all(spans):
                    low, high = np.array(spans).T
                    axes[1].fill_between(
                        at, 100 * low, 100 * high, color=colour, alpha=0.15, linewidth=0
                    )
        axes[0].set_ylabel("loss")
        axes[0].set_yscale("log")
        axes[-1].set_xlabel("step")
        if judged:
            axes[1].set_ylabel(f"{MEASURES['jf_dot']} of the hold-out")
        for one in axes:
            one.grid(axis="y", linewidth=0.3)
        legend_above(axes[-1] if judged else axes[0])


def _losses(log: Log) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and losses, as medians over as many steps as fit into the figure."""
    found = np.array(
        [(line["step"], line["loss"]) for line in log if line.get("loss") is not None],
        np.float64,
    ).reshape(-1, 2)
    parts = np.array_split(found, min(_POINTS, max(len(found), 1)))
    middle = np.array([np.median(part, 0) for part in parts if len(part)])
    middle = middle.reshape(-1, 2)
    return middle[:, 0], middle[:, 1]
