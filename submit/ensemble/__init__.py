"""Merging runs: the same objects seen by several members, one frame at a time.

    settings   what is asked for: method, weights, gate, and the file that says so
    tables     TOML tables, read and written
    methods    how the members' values of one object become one
    _kernels   the loops over pixels, compiled
    views      one frame as one member sees it
    gate       whether an object is there at all, decided apart from its shape
    choice     members that are taken whole: the best one, or the next in doubt
    merger     one video of all members, frame by frame
    report     how much each member changed the result

All of it works before any threshold or overlap rule, except for votes; the overlap rule
is applied once, at export.
"""

from .merger import MergedFrame, VideoMerger
from .report import Influence, MemberReport, summarise
from .settings import (
    DEFAULT_METHOD,
    METHODS,
    Cascade,
    Gate,
    MergeSettings,
    Selection,
    normalised,
    read_ensemble_table,
    read_weights,
)

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Cascade",
    "Gate",
    "Influence",
    "MemberReport",
    "MergeSettings",
    "MergedFrame",
    "Selection",
    "VideoMerger",
    "normalised",
    "read_ensemble_table",
    "read_weights",
    "summarise",
]
