"""Write random weights of Cutie or XMem, in the folder of its repository.

python make_weights.py cutie weights.pth
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch


def cutie() -> Any:
    """Cutie-base as its evaluation makes it."""
    from cutie.model.cutie import CUTIE  # type: ignore[import-not-found]
    from hydra import compose, initialize_config_dir  # type: ignore[import-not-found]

    folder = os.path.abspath("cutie/config")
    with initialize_config_dir(folder, version_base="1.3.2"):
        return CUTIE(compose("eval_config", ["model=base"]))


def xmem() -> Any:
    """XMem with its published sizes."""
    from model.network import XMem  # type: ignore[import-not-found]

    return XMem({"key_dim": 64, "value_dim": 512, "hidden_dim": 64})


if __name__ == "__main__":
    torch.manual_seed(0)
    network = {"cutie": cutie, "xmem": xmem}[sys.argv[1]]()
    torch.save(network.state_dict(), sys.argv[2])
