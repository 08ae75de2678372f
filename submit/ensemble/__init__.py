"""Merging runs: the same objects seen by several members, one frame at a time.

    settings   what is asked for: method, weights, gate, and the file that says so
    method     what a method is; the methods are the files in methods/
    planes     logits of one object in one frame
    _kernels   the loops over pixels, compiled
    views      one frame as one member sees it
    gate       whether an object is there at all, decided apart from its shape
    merger     one video of all members, frame by frame
    influence  how much each member changed the result

All of it works before any threshold or overlap rule, except for votes; the overlap rule
is applied once, at export.
"""

from .influence import Influence, MemberSummary, summarise
from .merger import MergedFrame, VideoMerger
from .method import (
    DEFAULT_METHOD,
    METHODS,
    ChoiceMethod,
    LabelMethod,
    Method,
    PixelMethod,
)
from .settings import (
    Gate,
    MergeSettings,
    normalised,
    read_ensemble_table,
    read_weights,
)

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "ChoiceMethod",
    "Gate",
    "Influence",
    "LabelMethod",
    "MemberSummary",
    "MergeSettings",
    "MergedFrame",
    "Method",
    "PixelMethod",
    "VideoMerger",
    "normalised",
    "read_ensemble_table",
    "read_weights",
    "summarise",
]
