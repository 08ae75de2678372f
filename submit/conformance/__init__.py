"""Does a model keep to the interface? Each requirement is tried on a generated clip."""

from .clip import Clip
from .requirements import REQUIREMENTS, Conformance, Deviation, Outcome, examine

__all__ = [
    "REQUIREMENTS",
    "Clip",
    "Conformance",
    "Deviation",
    "Outcome",
    "examine",
]
