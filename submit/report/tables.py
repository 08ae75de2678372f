"""The tables of the report as plain data: runs, objects, timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..checks import Finding
from ..data import SplitVideo
from ..metrics.bootstrap import mean_interval
from ..metrics.measures import MEASURES
from ..scoring import SplitScore
from ..scoring.compare import Comparison
from ..tuning import Preview
from .attributes import ATTRIBUTES, facts_of_track, group_scores
from .marks import Mark, finding_rows
from .numbers import percent, percents
from .strips import Strips

__all__ = [
    "attribute_tables",
    "difference_rows",
    "object_rows",
    "timeline",
    "total_rows",
]


def total_rows(scores: Mapping[str, SplitScore]) -> list[dict[str, Any]]:
    """The seven scores of each run in percent, each with a 95 % interval or None."""
    rows = []
    for run, score in scores.items():
        cells = []
        for name in MEASURES:
            total = getattr(score.totals, name)
            cells.append({"value": percent(total), "interval": _interval(score, name)})
        rows.append({"run": run, "cells": cells})
    return rows


def _interval(score: SplitScore, measure: str) -> list[float | None] | None:
    """The 95 % bootstrap interval of a total over videos; None for a single video."""
    found = [
        (place, value)
        for place, video in enumerate(score.videos.values())
        for one in video.objects.values()
        if (value := getattr(one, measure)) is not None
    ]
    video_of = np.array([place for place, _ in found], np.intp)
    interval = mean_interval(np.array([value for _, value in found]), video_of)
    if interval is None:
        return None
    return [percent(max(interval[0], 0.0)), percent(min(interval[1], 1.0))]


def difference_rows(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The differences of the seven scores for each comparison, in percent."""
    return [
        {
            "name": f"{one.other} − {one.baseline}",
            "cells": [
                {
                    "value": percent(each.difference),
                    "interval": percents(each.low, each.high),
                    "significant": each.is_clear,
                }
                for each in (one.measures[name] for name in MEASURES)
            ],
        }
        for one in found
    ]


def object_rows(
    videos: Mapping[str, SplitVideo],
    strips: Mapping[str, Strips],
    scores: Mapping[str, SplitScore],
    preview: Preview | None,
    findings: Sequence[Mapping[str, Sequence[Finding]]],
) -> list[dict[str, Any]]:
    """One row for each object of the split.

    Args:
        videos: The videos by name.
        strips: What was drawn of each.
        scores: The scores of each run.
        preview: The comparison of the runs without truth.
        findings: Of each run by video what the check found.
    """
    looks = {
        (one.video, one.object): one for one in (preview.suspects if preview else ())
    }
    rows = []
    for number, (name, video) in enumerate(videos.items()):
        seen = strips[name].areas[0]
        pixels = video.size[0] * video.size[1]
        for place, key in enumerate(video.objects):
            track = seen[:, place]
            there = track > 0
            known = scores and all(name in one.videos for one in scores.values())
            look = looks.get((name, key))
            rows.append(
                {
                    "video": number,
                    "id": key,
                    "scores": [
                        percent(one.videos[name].objects[key].jf_dot)
                        for one in scores.values()
                    ]
                    if known
                    else [],
                    "area": round(100 * float(np.median(track[there])) / pixels, 3)
                    if there.any()
                    else 0,
                    "length": video.length,
                    "objects": len(video.objects),
                    "gone": int(np.sum(there[:-1] & ~there[1:] & (track[1:] >= 0))),
                    "agreement": percent(look.agreement if look else None),
                    "expected": percent(look.expected if look else None),
                    "doubt": round(look.doubt, 4) if look else None,
                    "why": list(look.reasons) if look else [],
                    "findings": finding_rows(
                        key, [found.get(name, ()) for found in findings]
                    ),
                }
            )
    return rows


def attribute_tables(
    videos: Mapping[str, SplitVideo],
    strips: Mapping[str, Strips],
    scores: Mapping[str, SplitScore],
) -> list[dict[str, Any]]:
    """For each attribute the mean J&Ḟ of its groups; none without scores."""
    facts = [
        facts_of_track(video, key, strips[name].areas[0][:, place])
        for name, video in videos.items()
        if scores and all(name in one.videos for one in scores.values())
        for place, key in enumerate(video.objects)
    ]
    return [
        {
            "title": attribute.title,
            "rows": [
                {
                    "group": one.group,
                    "objects": one.objects,
                    "cells": [
                        {
                            "value": percent(mean),
                            "interval": percents(*(one.intervals[run] or (None, None))),
                        }
                        for run, mean in one.means.items()
                    ],
                }
                for one in group_scores(name, facts, scores)
            ],
        }
        for name, attribute in ATTRIBUTES.items()
        if facts
    ]


def timeline(
    video: SplitVideo,
    strips: Strips,
    scores: Mapping[str, SplitScore],
    marks: Sequence[Mark],
) -> dict[str, Any]:
    """The curves of a video in the viewer: a list over frames for each object.

    J and Ḟ are in percent; None in the first and the last frame, which are not scored.
    """
    measured: list[dict[str, Any]] = []
    for score in scores.values():
        found = score.videos[video.name].frames
        frames = found.scores
        if frames is None:
            measured.append({"j": None, "f": None})
            continue
        at = [video.frames.index(frame) for frame in found.frames]
        tables = {}
        for name, values in (("j", frames.j), ("f", frames.f_dot)):
            whole = np.full((video.length, values.shape[1]), -1.0)
            whole[at] = np.round(100 * values, 1)
            tables[name] = [
                [None if value < 0 else value for value in row]
                for row in whole.T.tolist()
            ]
        measured.append(tables)
    return {
        "shown": list(strips.shown),
        "size": list(strips.size),
        "stems": list(video.frames),
        "objects": list(video.objects),
        "marks": [mark.to_row() for mark in marks],
        "areas": [found.T.tolist() for found in strips.areas],
        "scores": measured,
    }
