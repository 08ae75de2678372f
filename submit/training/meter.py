"""What a step takes, from shapes alone: bytes of tensors, and operations.

Tensors on PyTorch's device `meta` have no values. A step that is computed with them
takes seconds on any machine and allocates nothing, and all that is known of a tensor is
when it is made and when it is let go. What libraries do differently on a GPU is added:
fused attention, which stores no scores, and products in bfloat16.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

__all__ = ["Meter", "as_on", "backward"]


class Meter(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        live: Bytes of the tensors that there are now.
        peak: The most that there were at once.
        operations: Additions and multiplications of products and convolutions.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.operations = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute shapes, and count what came out."""
        del types
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.operations += count(*args, **kwargs, out_val=found)
        for value in tree_leaves(found):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return found

    def _note(self, storage: Any) -> None:
        """Count a storage until it is let go."""
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        weakref.finalize(storage, self._free, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _free(self, size: int) -> None:
        self.live -= size


#: Functions whose inputs autocast makes narrow on a GPU, and those it makes wide
#: (aten/src/ATen/autocast_mode.h of PyTorch).
_NARROW = frozenset(
    {
        *("linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "matmul"),
        *("__matmul__", "mm", "bmm", "addmm", "baddbmm", "einsum"),
        *("scaled_dot_product_attention", "multi_head_attention_forward"),
    }
)
_WIDE = frozenset(
    {
        *(
            "layer_norm",
            "group_norm",
            "softmax",
            "log_softmax",
            "sum",
            "prod",
            "cumsum",
        ),
        *("binary_cross_entropy_with_logits", "cosine_similarity", "l1_loss"),
        *("mse_loss", "smooth_l1_loss", "exp", "log", "pow", "norm", "softplus"),
    }
)


@contextmanager
def as_on(device: str, dtype: torch.dtype, meter: Meter) -> Iterator[None]:
    """Let tensors on `meta` be treated as on another device, within this block.

    Args:
        device: `cpu` or `cuda`.
        dtype: The precision of products.
        meter: Counts what is not seen from outside.
    """
    with _Device(device, dtype, meter):
        yield


def backward(total: Tensor) -> None:
    """Run the backward pass within `as_on`.

    `torch.autograd.backward` would leave the block, so that parts that are computed
    once more would be computed in another way.
    """
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (total,),
        (torch.ones_like(total),),
        False,
        False,
        (),
        allow_unreachable=True,
        accumulate_grad=True,
    )


class _Device(TorchFunctionMode):
    """Replaces functions that differ between devices; see `as_on`."""

    def __init__(self, device: str, dtype: torch.dtype, meter: Meter) -> None:
        super().__init__()
        self._device, self._dtype, self._meter = device, dtype, meter
        # As autocast: a weight is made narrow once.
        self._narrowed: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function as the device would."""
        del types
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if self._dtype != torch.float32 and (name in _NARROW or name in _WIDE):
            dtype = self._dtype if name in _NARROW else torch.float32
            args, kwargs = tree_map(lambda x: self._cast(x, dtype), (args, kwargs))
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if (
            not isinstance(value, Tensor)
            or not value.is_floating_point()
            or value.dtype == dtype
        ):
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if id(value) not in self._narrowed:
            self._narrowed[id(value)] = value.to(dtype)
        return self._narrowed[id(value)]

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, *more: Any, dropout_p: float = 0.0
    ) -> Tensor:
        """Attention by the kernel that PyTorch chooses."""
        fused = self._device == "cuda" or (
            # sdp_utils_cpp.cpp: the processor's kernel needs equal widths.
            not dropout_p and q.shape[-1] == k.shape[-1] == v.shape[-1]
        )
        if fused and not more:
            fuse: Any = _Fused.apply
            found: Tensor = fuse(q, k, v, self._meter)
            return found
        found, _ = torch.ops.aten._scaled_dot_product_attention_math(
            q, k, v, *more, dropout_p=dropout_p
        )
        return found


class _Fused(torch.autograd.Function):
    """Attention that stores its inputs, its output and one number for each query."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, meter: Meter) -> Tensor:
        """…×Q×C, …×K×C and …×K×V to …×Q×V."""
        out = q.new_empty((*q.shape[:-1], v.shape[-1]))
        sums = q.new_empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, sums)
        products = 2 * math.prod(q.shape[:-1]) * k.shape[-2]
        ctx.meter, ctx.operations = meter, products * (q.shape[-1] + v.shape[-1])
        meter.operations += ctx.operations
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Gradients of the three inputs; scores are computed once more."""
        q, k, v, _, _ = ctx.saved_tensors
        ctx.meter.operations += ctx.operations * 5 // 2
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None
