"""The threshold of the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...masks import LOGIT_LIMIT, Values
from ...system.schema import setting
from ..filter import FILTERS, LogitFilter

__all__ = ["Threshold"]


@FILTERS.register
@dataclass(frozen=True)
class Threshold(LogitFilter):
    """Takes only pixels whose logit exceeds a threshold.

    It also decides for the filters that look ahead whether an object is present.
    """

    name = "threshold"
    order = 10
    tried = tuple(
        {"threshold": value} for value in (-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0)
    )

    threshold: float = setting(
        0.0, "Logit that a pixel must exceed.", low=-LOGIT_LIMIT, high=LOGIT_LIMIT
    )

    @property
    def is_off(self) -> bool:
        """Whether it changes nothing."""
        return not self.threshold

    def apply_to_values(self, values: Values) -> Values:
        """Return the changed values of the codes."""
        # Resizing is linear, so the threshold can be subtracted before it.
        lowered: Values = values - np.float32(self.threshold)
        return lowered
