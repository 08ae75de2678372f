"""What the tracker needs of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from .config import TrackerConfig
from .model import Features, Seen
from .modeling.memory_attention import MemoryTokens
from .modeling.prompt_encoder import Click

__all__ = ["Candidates", "TrackedNetwork"]

Own = TypeVar("Own", bound="Candidates")
Moved = TypeVar("Moved")


class Candidates(Protocol):
    """The candidate masks that a network offers for N objects."""

    @property
    def ious(self) -> Tensor:
        """N×3, predicted IoU of the candidates in [0, 1]."""
        ...

    @property
    def presence(self) -> Tensor:
        """N, logit of the object being visible."""
        ...

    def select(self: Own, rows: Sequence[int]) -> Own:
        """Some of the objects, in the order of `rows`, also more than once."""
        ...


class TrackedNetwork(Protocol):
    """A network that the tracker can use; `TrackerNetwork` explains its methods.

    What `grids` and `propose` return goes back into the other methods as it is.
    """

    @property
    def config(self) -> TrackerConfig:
        """The numbers of memories and pointers that it looks back to."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    @property
    def stride(self) -> int:
        """Pixels of the input for each cell of the coarsest features."""
        ...

    @property
    def sharp_prompts(self) -> bool:
        """Whether frames with a prompt are remembered by the mask alone."""
        ...

    @property
    def corrects_with_memory(self) -> bool:
        """Whether points correct an object with its memories."""
        ...

    @property
    def memory_dtype(self) -> torch.dtype:
        """How memories are kept."""
        ...

    def to(self: Moved, device: torch.device, /) -> Moved:
        """Move the weights to a device."""
        ...

    def compile_encoder(self) -> None:
        """Compile the image encoder, when it first runs."""
        ...

    def pointer_window(self, length: int) -> int:
        """Greatest age of a pointer in a video of so many frames, plus one."""
        ...

    def grids(self, image_size: int) -> Any:
        """Prepare for inputs of image_size×image_size."""
        ...

    def encode_image(
        self, image: Tensor, grids: Any, *, reads_memory: bool = True
    ) -> Features:
        """Encode a normalised image, 1×3×S×S."""
        ...

    def take_masks(
        self, features: Features, masks: Tensor, grids: Any, *, threshold: float = 0.0
    ) -> Seen:
        """Use given masks, N×H×W of zeros and ones."""
        ...

    def take_clicks(
        self,
        features: Features,
        image: Tensor,
        clicks: Click,
        grids: Any,
        *,
        logits: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Predict the masks of N objects from points."""
        ...

    def without_memory(self, features: Features) -> Tensor:
        """A frame's features for objects without a memory: 1×h·w×C."""
        ...

    def condition(self, features: Features, memory: MemoryTokens, grids: Any) -> Tensor:
        """Condition a frame's features on memories of N objects: N×h·w×C."""
        ...

    def propose(self, features: Features, image: Tensor, grids: Any) -> Any:
        """Look for N objects in conditioned features: `Candidates`."""
        ...

    def track(
        self,
        features: Features,
        decoded: Any,
        *,
        choice: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Choose masks of N objects; None for the highest predicted IoU."""
        ...

    def draw_candidates(self, features: Features, decoded: Any) -> Tensor:
        """Logits N×3×4h×4w of the candidates."""
        ...

    def at_input(self, seen: Seen, grids: Any) -> Tensor:
        """Logits N×S×S of N objects, of which memories are made."""
        ...

    def remember(
        self,
        features: Features,
        logits: Tensor,
        presence: Tensor,
        *,
        scale: float,
        bias: float,
    ) -> Tensor:
        """Encode the masks of N objects into memories: N×L×M."""
        ...

    def time_codes(self, places: Tensor) -> Tensor:
        """Time codes: N indices to N×1×M."""
        ...

    def pointer_tokens(self, pointers: Tensor) -> Tensor:
        """Cut pointers N×P×C into tokens N×P·C/M×M."""
        ...

    def pointer_times(self, ages: Tensor) -> Tensor:
        """Codes of the ages of pointers, for each of their tokens."""
        ...
