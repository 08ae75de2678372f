"""The scenarios by name, one for each difficulty of MOSEv2."""

from __future__ import annotations

from collections.abc import Callable

from .cuts import cuts
from .meadow import similar
from .night import lowlight
from .pond import vanish
from .road import small
from .stage import Scene, SceneSpec
from .table import crossing

__all__ = ["SCENARIOS"]

#: The scenarios by the name of their video, in the order of `write_sample`.
SCENARIOS: dict[str, Callable[[SceneSpec], Scene]] = {
    "vanish": vanish,
    "similar": similar,
    "small": small,
    "lowlight": lowlight,
    "cuts": cuts,
    "crossing": crossing,
}
