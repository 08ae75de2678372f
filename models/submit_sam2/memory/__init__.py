"""Memory policies: which earlier frames an object looks back to."""

from .dam4sam import Dam4SamMemory
from .policy import (
    POLICIES,
    Kept,
    MemoryPolicy,
    Noted,
    Offer,
    Pick,
    PixelBox,
    Promotion,
    Recall,
    Sighting,
)
from .rcms import RcmsMemory
from .sam2 import Sam2Memory
from .sam2long import Sam2LongMemory
from .sam3 import Sam3Memory
from .samurai import SamuraiMemory

__all__ = [
    "POLICIES",
    "Dam4SamMemory",
    "Kept",
    "MemoryPolicy",
    "Noted",
    "Offer",
    "Pick",
    "PixelBox",
    "Promotion",
    "RcmsMemory",
    "Recall",
    "Sam2LongMemory",
    "Sam2Memory",
    "Sam3Memory",
    "SamuraiMemory",
    "Sighting",
]
