"""Merge the predictions of several runs (the members), one frame at a time.

    settings   method, weights and gate, and the settings file that holds them
    method     the interface of a method; the methods are the files in methods/
    planes     logits of one object in one frame
    _kernels   the compiled loops over pixels
    views      one frame of one member
    gate       decides whether an object is visible, separately from its shape
    merger     merges one video of all members, frame by frame
    influence  measures how much each member changed the result

Logits are merged before any threshold and before the overlap rule, which is applied
once, at export. Only the method `vote` merges label maps.
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
