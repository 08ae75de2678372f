"""The scores of one object, frame by frame, official and classic."""

from .frames import (
    DavisScore,
    FrameScorer,
    FrameScores,
    ObjectScore,
    StoredLabels,
    davis_score,
    object_score,
)

__all__ = [
    "DavisScore",
    "FrameScorer",
    "FrameScores",
    "ObjectScore",
    "StoredLabels",
    "davis_score",
    "object_score",
]
