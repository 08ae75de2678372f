"""The seven official measures: their fields and their names."""

from __future__ import annotations

__all__ = ["MEASURES"]

#: By the attribute of results that holds it, the official name; in official order.
MEASURES = {
    "jf_dot": "J&Ḟ",
    "j": "J",
    "f_dot": "Ḟ",
    "disappear": "J&Ḟ_d",
    "reappear": "J&Ḟ_r",
    "f": "F",
    "jf": "J&F",
}
