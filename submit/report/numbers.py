"""Fractions as percent, for JSON and pages."""

from __future__ import annotations

import numpy as np

__all__ = ["percent", "percents"]


def percent(value: float | None) -> float | None:
    """A fraction in percent with two digits; None if it is not a finite number."""
    return None if value is None or not np.isfinite(value) else round(100 * value, 2)


def percents(low: float | None, high: float | None) -> list[float | None] | None:
    """An interval in percent; None if an end is not a finite number."""
    ends = [percent(low), percent(high)]
    return None if None in ends else ends
