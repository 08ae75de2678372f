"""What a model has to say beside its predictions."""

from __future__ import annotations

__all__ = ["Remark"]


class Remark(UserWarning):
    """A remark of a model about its files or options, or of workers, shown as it is.

    `warnings.warn("weights.pt: 12 weights are ignored", Remark)` is shown to the user
    once, from a worker too. Other warnings are shown with their place in the code.
    """
