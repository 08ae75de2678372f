"""Low-rank changes of linear maps (LoRA), merged when weights are saved.

Hu et al., "LoRA" (arXiv 2106.09685): W + U·D with a narrow product, of which U begins
at zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["LowRank", "add_low_rank", "merged"]

_ORIGINAL = ".parametrizations.weight.original"
_CHANGE = re.compile(r"^(.*)\.parametrizations\.weight\.0\.(up|down)$")


class LowRank(nn.Module):
    """A weight, and a product of two narrow matrices."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.down = nn.Parameter(torch.empty(rank, columns))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Add the change."""
        return weight + self.up @ self.down


def add_low_rank(part: nn.Module, rank: int) -> None:
    """Train low-rank changes of all linear maps of a part, and nothing else of it.

    Args:
        part: The part of the network, on the processor.
        rank: Width of the products.
    """
    part.requires_grad_(False)  # The originals of the weights stay so.
    state = torch.random.get_rng_state()
    # The start must not depend on what drew numbers before.
    torch.manual_seed(0)
    try:
        for module in list(part.modules()):
            if isinstance(module, nn.Linear):
                change = LowRank(module.out_features, module.in_features, rank)
                parametrize.register_parametrization(module, "weight", change)
    finally:
        torch.random.set_rng_state(state)


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under their plain names, with all changes added."""
    changes: dict[str, dict[str, Tensor]] = {}
    plain: dict[str, Tensor] = {}
    for name, value in state.items():
        if found := _CHANGE.match(name):
            changes.setdefault(found[1], {})[found[2]] = value
        elif name.endswith(_ORIGINAL):
            plain[f"{name.removesuffix(_ORIGINAL)}.weight"] = value
        else:
            plain[name] = value
    for path, change in changes.items():
        weight = plain[f"{path}.weight"]
        plain[f"{path}.weight"] = weight + change["up"] @ change["down"]
    return plain
