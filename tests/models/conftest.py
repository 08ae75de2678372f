from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from submit_sam2.build import build_network
from submit_sam2.config import MODELS, Sam2Config, TrunkConfig
from submit_sam2.model import Sam2Network

#: A network of the published shape with everything small; takes inputs of 64 pixels.
TINY = Sam2Config(
    TrunkConfig(8, 1, (1, 1, 2, 1), (3,)),
    channels=32,
    memory_channels=8,
    memory_hidden=64,
    memory_layers=2,
)


def random_state(config: Sam2Config, seed: int = 0) -> dict[str, torch.Tensor]:
    """Draw weights in which each one matters, under the official names."""
    random = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = Sam2Network(config).state_dict()
    state = {}
    for key, tensor in shapes.items():
        noise = torch.randn(tensor.shape, generator=random)
        if key.endswith("gaussian_matrix"):
            state[key] = noise
        elif "norm" in key and key.endswith("weight"):
            state[key] = 1 + 0.1 * noise
        elif key.endswith("weight") and tensor.ndim > 1 and "embed" not in key:
            state[key] = noise / tensor[0].numel() ** 0.5
        else:
            state[key] = 0.1 * noise
    return state


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which the small network stands beside the published ones."""
    monkeypatch.setitem(MODELS, "test_tiny", TINY)
    return "test_tiny"


@pytest.fixture
def tiny_state() -> dict[str, torch.Tensor]:
    return random_state(TINY)


@pytest.fixture
def tiny_network(tiny_state: dict[str, torch.Tensor]) -> Sam2Network:
    return build_network(TINY, tiny_state, Path("random"))


WriteCheckpoint = Callable[[dict[str, torch.Tensor]], Path]


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> WriteCheckpoint:
    """Write weights as the official files have them."""

    def write(state: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / "weights.pt"
        torch.save({"model": state}, path)
        return path

    return write
