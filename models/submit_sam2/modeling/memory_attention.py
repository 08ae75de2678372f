"""Memory attention: the features of a frame look at what an object left before.

Matches sam2/modeling/memory_attention.py and `RoPEAttention` of
sam2/modeling/sam/transformer.py (facebookresearch/sam2 @ 2b90b9f), by other ways to
the same sums:

- Until it meets a memory, the first layer is the same for all objects; `begin` computes
  it once for a frame.
- The values of the cross-attention are a linear map of the memories, and the weights of
  a query add up to one. So attention runs over the 64 channels of the memories, and
  what it found is projected to the 256 of the values afterwards. In training dropout
  takes some of the weights away; there values are projected first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrackerConfig
from .attention import Attention, attend_blocks
from .layers import run
from .position import Grids, rotate

__all__ = ["FrameStart", "MemoryAttention", "MemoryTokens"]


@dataclass(frozen=True)
class FrameStart:
    """What all objects of a frame share of the memory attention.

    Attributes:
        tokens: 1×L×C, after the first layer's self-attention; N×L×C where objects
            share nothing, as dropout wants it.
        queries: The same of the first layer's cross-attention, rotated.
    """

    tokens: Tensor
    queries: Tensor


@dataclass(frozen=True)
class MemoryTokens:
    """What N objects look back to; each has as many maps and pointers as the others.

    Attributes:
        maps: For each remembered frame N×L×M, values of its memory.
        times: For each remembered frame N×1×M, the code of its place in time.
        pointers: N×P×M, object pointers cut into tokens.
        pointer_times: N×P×M, the codes of their age.
        map_weights: For each remembered frame N×1×1, factors of its keys; None: 1.
        pointer_weights: N×P×1, factors of the keys of pointers; None: 1.
    """

    maps: Sequence[Tensor]
    times: Sequence[Tensor]
    pointers: Tensor
    pointer_times: Tensor
    map_weights: Sequence[Tensor] | None = None
    pointer_weights: Tensor | None = None


class MemoryAttention(nn.Module):
    """Layers of self-attention, attention to memories, and a perceptron.

    Attributes:
        dropout: Share of values that training drops.
        recompute: Whether training keeps only what goes into each layer and runs the
            layer once more in the backward pass.
    """

    def __init__(self, config: TrackerConfig, *, dropout: float = 0.0) -> None:
        """Build the layers; `dropout` is a share of values, in training only."""
        super().__init__()
        self.recompute = False
        self.dropout = dropout
        self.layers = nn.ModuleList(
            Layer(config, dropout=dropout) for _ in range(config.memory_layers)
        )
        self.norm = nn.LayerNorm(config.channels)

    def begin(self, features: Tensor, grids: Grids) -> FrameStart:
        """Do for 1×L×C features what does not depend on an object."""
        features = features + 0.1 * grids.queries
        tokens, queries = run(
            self._layer(0).begin, features, grids, recompute=self.recompute
        )
        return FrameStart(tokens, queries)

    def forward(self, start: FrameStart, memory: MemoryTokens, grids: Grids) -> Tensor:
        """Condition a frame's features on N objects' memories: N×L×C."""
        count = len(memory.pointers)
        tokens = start.tokens
        queries = start.queries.expand(count, -1, -1)
        for index in range(len(self.layers)):
            layer = self._layer(index)
            if index:
                tokens, queries = run(
                    layer.begin, tokens, grids, recompute=self.recompute
                )
            tokens = run(
                layer.finish, tokens, queries, memory, grids, recompute=self.recompute
            )
        out: Tensor = self.norm(tokens)
        return out

    def _layer(self, index: int) -> Layer:
        layer = self.layers[index]
        assert isinstance(layer, Layer)
        return layer


class Layer(nn.Module):
    """One layer: norms come first, rotations take the place of added positions."""

    def __init__(self, config: TrackerConfig, *, dropout: float = 0.0) -> None:
        super().__init__()
        channels, hidden = config.channels, config.memory_hidden
        self.self_attn = Attention(channels, 1)
        self.cross_attn_image = Attention(
            channels, 1, key_channels=config.memory_channels
        )
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def begin(self, tokens: Tensor, grids: Grids) -> tuple[Tensor, Tensor]:
        """Do what needs no memory: N×L×C tokens, and what they ask the memories."""
        tokens = self.look_around(tokens, grids)
        return tokens, self.queries(tokens, grids)

    def finish(
        self, tokens: Tensor, queries: Tensor, memory: MemoryTokens, grids: Grids
    ) -> Tensor:
        """Do the rest: N×L×C."""
        return self.think(tokens + self.look_back(queries, memory, grids))

    def look_around(self, tokens: Tensor, grids: Grids) -> Tensor:
        """Self-attention of N×L×C, with its residual."""
        attention, x = self.self_attn, self.norm1(tokens)
        q = rotate(attention.q_proj(x), grids.rotary)
        k = rotate(attention.k_proj(x), grids.rotary)
        v = attention.v_proj(x)
        found: Tensor = attention.out_proj(
            attend_blocks(q, [k], [v], dropout=self._share)
        )
        out: Tensor = tokens + self.dropout(found)
        return out

    def queries(self, tokens: Tensor, grids: Grids) -> Tensor:
        """What N×L×C tokens ask the memories."""
        asked: Tensor = self.cross_attn_image.q_proj(self.norm2(tokens))
        return rotate(asked, grids.rotary)

    def look_back(self, queries: Tensor, memory: MemoryTokens, grids: Grids) -> Tensor:
        """Attention of N×L×C queries to memories, without a residual."""
        attention = self.cross_attn_image
        keys, values = [], []
        for index, content in enumerate(memory.maps):
            placed = content + (grids.memories + memory.times[index])
            if memory.map_weights is not None:
                placed = placed * memory.map_weights[index]
            keys.append(rotate(attention.k_proj(placed), grids.rotary))  # N×L×C
            values.append(content.to(queries.dtype))  # N×L×M
        # Pointers have no place in the frame and are not rotated.
        aged = memory.pointers + memory.pointer_times
        if memory.pointer_weights is not None:
            aged = aged * memory.pointer_weights
        keys.append(attention.k_proj(aged))
        values.append(memory.pointers.to(queries.dtype))
        out: Tensor
        if self.training:
            values = [attention.v_proj(value) for value in values]  # N×L×C
            found = attend_blocks(queries, keys, values, dropout=self._share)
            out = self.dropout(attention.out_proj(found))
            return out
        found = attend_blocks(queries, keys, values)  # N×L×M
        out = attention.out_proj(attention.v_proj(found))
        return out

    def think(self, tokens: Tensor) -> Tensor:
        """The perceptron on N×L×C, with its residual."""
        hidden = self.dropout(F.relu(self.linear1(self.norm3(tokens)), inplace=True))
        out: Tensor = tokens + self.dropout(self.linear2(hidden))
        return out

    @property
    def _share(self) -> float:
        """Share of the attention weights that are dropped."""
        return float(self.dropout.p) if self.training else 0.0
