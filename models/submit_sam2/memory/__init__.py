"""Memory policies: which earlier frames an object looks back to."""

from .policy import POLICIES, Kept, MemoryPolicy, Recall
from .rcms import RcmsMemory
from .sam2 import Sam2Memory

__all__ = [
    "POLICIES",
    "Kept",
    "MemoryPolicy",
    "RcmsMemory",
    "Recall",
    "Sam2Memory",
]
