"""Scoring: predicted masks against a split with ground truth, as the server does it."""

from .parts import SCORED_PARTS, read_scored_parts, write_scored_part
from .results import (
    DavisSplitScore,
    DavisTotals,
    DavisVideoScore,
    SplitScore,
    Totals,
    VideoFrames,
    VideoScore,
)
from .run import frames_to_score, score_davis, score_split
from .texts import (
    OFFICIAL_NAMES,
    SCORES_FOLDER,
    frames_csv,
    metrics_json,
    objects_csv,
    percent,
    scores_json,
    scores_txt,
    write_scores,
)

__all__ = [
    "OFFICIAL_NAMES",
    "SCORED_PARTS",
    "SCORES_FOLDER",
    "DavisSplitScore",
    "DavisTotals",
    "DavisVideoScore",
    "SplitScore",
    "Totals",
    "VideoFrames",
    "VideoScore",
    "frames_csv",
    "frames_to_score",
    "metrics_json",
    "objects_csv",
    "percent",
    "read_scored_parts",
    "score_davis",
    "score_split",
    "scores_json",
    "scores_txt",
    "write_scored_part",
    "write_scores",
]
