from __future__ import annotations

import pytest
import torch

from submit_sam2.modeling.attention import attend_blocks


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    scores = q.double() @ k.double().transpose(1, 2) / q.shape[-1] ** 0.5
    return torch.softmax(scores, -1) @ v.double()


@pytest.mark.parametrize("blocks", [[7], [3000, 5], [2048, 2048, 64], [1, 1, 1]])
@pytest.mark.parametrize("queries", [1, 600])
def test_blocks_of_keys_are_one_softmax(blocks: list[int], queries: int) -> None:
    random = torch.Generator().manual_seed(0)
    q = torch.randn(2, queries, 16, generator=random)
    keys = [torch.randn(2, size, 16, generator=random) for size in blocks]
    values = [torch.randn(2, size, 4, generator=random) for size in blocks]
    expected = plain(q, torch.cat(keys, 1), torch.cat(values, 1))
    found = attend_blocks(q, keys, values)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("gap", [-200.0, 40.0, 86.0, 88.5, 300.0])
def test_scores_far_apart_do_not_overflow(gap: float) -> None:
    # The first block's best score serves as the zero of all; the others may exceed it.
    q = torch.ones(1, 3, 4)
    keys = [torch.zeros(1, 5, 4), torch.full((1, 5, 4), gap / 2), torch.ones(1, 5, 4)]
    values = [torch.full((1, 5, 2), number) for number in (1e3, 2e3, 3e3)]
    expected = plain(q, torch.cat(keys, 1), torch.cat(values, 1))
    found = attend_blocks(q, keys, values)
    torch.testing.assert_close(found.double(), expected, atol=1e-2, rtol=1e-4)
