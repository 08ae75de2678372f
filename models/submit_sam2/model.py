"""The network of SAM 2: its blocks, and the computation of a frame.

Matches `SAM2Base` of sam2/modeling/sam2_base.py (facebookresearch/sam2 @ 2b90b9f). The
networks of later models have other image encoders and the same blocks behind them.
Inference and training go through the same network; what training does otherwise stands
in training/unroll.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from submit.predictors import State

from .config import Sam2Config, TrackerConfig
from .modeling.hiera import Hiera
from .modeling.layers import Perceptron
from .modeling.mask_decoder import Decoded, MaskDecoder
from .modeling.memory_attention import FrameStart, MemoryAttention, MemoryTokens
from .modeling.memory_encoder import MemoryEncoder
from .modeling.neck import ImageEncoder, Neck
from .modeling.position import Grids, rotary_table, sine_grid, sine_steps
from .modeling.prompt_encoder import Click, PromptEncoder

__all__ = [
    "ABSENT",
    "Features",
    "Sam2Network",
    "Seen",
    "TrackerNetwork",
    "shrink",
    "to_tokens",
]

#: Logit of every pixel of an absent object.
ABSENT = -1024.0
#: A given mask as logits: inside and outside.
_SURE = 10.0
#: A mask from several points is stable if its areas at the thresholds + and − the first
#: value have a ratio of at least the second value. From the published configuration of
#: the video predictor.
_STABILITY_DELTA, _STABILITY = 0.05, 0.98
#: Limit of logits that are used as a prompt.
_PROMPT_LIMIT = 32.0


@dataclass(frozen=True)
class Features:
    """The features of a frame, shared by its objects; axis 0 may be frames or objects.

    Attributes:
        pixels: 1×C×h×w, the coarsest.
        middle: 1×C/4×2h×2w.
        fine: 1×C/8×4h×4w.
        projected: 1×C×h×w, for the memory encoder.
        start: The first steps of the memory attention; None if no memory is used.
    """

    pixels: Tensor
    middle: Tensor
    fine: Tensor
    projected: Tensor
    start: FrameStart | None


@dataclass(frozen=True)
class Seen:
    """The output of the network for N objects in a frame.

    Attributes:
        logits: N×4h×4w float32.
        presence: N float32, logit of the object being visible.
        iou: N float32 in [0, 1], predicted IoU of the mask.
        pointers: N×C, a summary of the object's appearance.
    """

    logits: Tensor
    presence: Tensor
    iou: Tensor
    pointers: Tensor

    def quality(self) -> Tensor:
        """N qualities of masks: presence × predicted IoU × mean probability inside.

        An empty mask has quality 0; in the reference it is NaN. Both count as bad.
        """
        inside = self.logits > 0
        certain = (self.logits.sigmoid() * inside).sum((1, 2))
        certain = certain / inside.sum((1, 2)).clamp(1)
        return self.presence.sigmoid() * self.iou * certain

    def select(self, rows: Sequence[int]) -> Seen:
        """Some of the objects, in the order of `rows`."""
        index = torch.tensor(rows, device=self.logits.device)
        return Seen(
            self.logits[index],
            self.presence[index],
            self.iou[index],
            self.pointers[index],
        )

    def state(self) -> State:
        """The four tensors, as plain data: `Seen(*state)` is the same again."""
        return self.logits, self.presence, self.iou, self.pointers

    def cpu(self) -> Seen:
        """The same in the processor's memory."""
        return Seen(
            self.logits.cpu(), self.presence.cpu(), self.iou.cpu(), self.pointers.cpu()
        )


class TrackerNetwork(nn.Module):
    """All weights of a network, under the names that SAM 2's checkpoints use.

    Attributes:
        stride: Pixels of the input for each cell of the coarsest features.
        sharp_prompts: Whether memories of frames with a prompt are made of the binary
            mask instead of probabilities.
        corrects_with_memory: Whether points that correct an object are processed with
            features that are conditioned on its memories.
        end_points: Of more points in a frame than twice this number, the first and the
            last count; None: all count.
        memory_dtype: How memories are kept; half the memory, and as the official
            predictor keeps them.
    """

    stride: ClassVar[int] = 16
    sharp_prompts: ClassVar[bool] = False
    corrects_with_memory: ClassVar[bool] = True
    end_points: ClassVar[int | None] = None
    memory_dtype: ClassVar[torch.dtype] = torch.bfloat16

    def __init__(
        self,
        config: TrackerConfig,
        image_encoder: ImageEncoder[Any],
        *,
        dropout: float = 0.0,
    ) -> None:
        """Build the network.

        Args:
            config: The shape of the parts after the image encoder.
            image_encoder: Computes the features of a frame.
            dropout: Share of values that training drops in the memory attention.
        """
        super().__init__()
        self.config = config
        channels, narrow = config.channels, config.memory_channels
        self.image_encoder = image_encoder
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.memory_attention = MemoryAttention(config, dropout=dropout)
        self.memory_encoder = MemoryEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(channels)
        self.sam_mask_decoder = MaskDecoder(config)
        self.obj_ptr_proj = Perceptron((channels,) * 4)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(config.memories, 1, 1, narrow))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, channels))
        # The first is added if a new object is given by points. The second is only in
        # the checkpoints, and not used.
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, channels))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, channels))
        if config.timed_pointers:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, narrow))
            self.obj_ptr_tpos_proj = nn.Linear(channels, narrow)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.no_obj_ptr.device

    def compile_encoder(self) -> None:
        """Compile the image encoder, when it first runs."""
        self.image_encoder.compile()

    def pointer_window(self, length: int) -> int:
        """Greatest age of a pointer in a video of so many frames, plus one."""
        return min(length, self.config.pointers)

    def grids(self, image_size: int) -> Grids:
        """Compute the position encodings of an input of image_size×image_size."""
        side, device = image_size // self.stride, self.device
        channels = self.config.channels
        return Grids(
            image_size=image_size,
            side=side,
            queries=sine_grid(side, channels)[None].to(device),
            memories=sine_grid(side, self.config.memory_channels).to(device),
            rotary=rotary_table(side, channels).to(device),
            image=self.sam_prompt_encoder.pe_layer(side)[None],
            patches=self.image_encoder.positions(image_size),
        )

    def encode_image(
        self, image: Tensor, grids: Grids, *, reads_memory: bool = True
    ) -> Features:
        """Encode a normalised image, 1×3×S×S; or several, if no memory is used."""
        fine, middle, pixels = self.image_encoder(image, grids.patches)
        return Features(
            pixels=pixels,
            middle=self.sam_mask_decoder.conv_s1(middle),
            fine=self.sam_mask_decoder.conv_s0(fine),
            projected=self.memory_encoder.project(pixels),
            start=self.memory_attention.begin(to_tokens(pixels), grids)
            if reads_memory
            else None,
        )

    def take_masks(
        self,
        features: Features,
        masks: Tensor,
        grids: Grids,
        *,
        threshold: float = 0.0,
    ) -> Seen:
        """Use given masks, N×H×W of zeros and ones, as the masks of the objects.

        The decoder runs only to compute the pointers. For them an object is visible if
        the mask is not empty and the decoder's presence is above the threshold.
        """
        logits, masks = self.fit_masks(masks, grids)
        prompt = self.sam_prompt_encoder(self.mask_downsample(masks[:, None]))
        decoded = self.decode(to_tokens(features.pixels), grids, mask=prompt)
        given = masks.flatten(1).any(1)
        present = decoded.presence > threshold
        return Seen(
            logits=logits,
            presence=torch.where(given, _SURE, -_SURE),
            iou=torch.ones_like(logits[:, 0, 0]),
            pointers=self.pointers(decoded.masks[:, 0], given & present),
        )

    def fit_masks(self, masks: Tensor, grids: Grids) -> tuple[Tensor, Tensor]:
        """Resize given masks, N×H×W of zeros and ones.

        Returns:
            Logits N×4h×4w, and masks N×16h×16w in [0, 1] for the prompt encoder.
        """
        if masks.shape[1:] != (grids.image_size, grids.image_size):
            resized = shrink(masks, grids.image_size)
            masks = (resized >= 0.5).to(masks.dtype)
        return shrink(self.sure_logits(masks), 4 * grids.side), masks

    def sure_logits(self, masks: Tensor) -> Tensor:
        """Logits of given masks of zeros and ones, at the same resolution."""
        return masks * (2 * _SURE) - _SURE

    def condition(
        self, features: Features, memory: MemoryTokens, grids: Grids
    ) -> Tensor:
        """Condition a frame's features on the memories of N objects: N×h·w×C."""
        assert features.start is not None
        image: Tensor = self.memory_attention(features.start, memory, grids)
        return image

    def decode(
        self,
        image: Tensor,
        grids: Grids,
        *,
        mask: Tensor | None = None,
        points: Tensor | None = None,
    ) -> Decoded:
        """Run the mask decoder for N objects on conditioned features.

        Args:
            image: N×h·w×C.
            grids: Position encodings of the input size.
            mask: N×h·w×C from the prompt encoder; None without one.
            points: N×P×C from the prompt encoder; None without any.
        """
        prompts = self.sam_prompt_encoder
        decoded: Decoded = self.sam_mask_decoder(
            image + (prompts.no_mask() if mask is None else mask),
            prompts.no_points() if points is None else points,
            grids,
        )
        return decoded

    def propose(self, features: Features, image: Tensor, grids: Grids) -> Decoded:
        """Look for N objects in conditioned features, N×h·w×C."""
        del features  # It is needed later, to draw the masks.
        return self.decode(image, grids)

    def without_memory(self, features: Features) -> Tensor:
        """A frame's features for objects without a memory: 1×h·w×C."""
        return to_tokens(features.pixels) + self.no_mem_embed

    def take_clicks(
        self,
        features: Features,
        image: Tensor,
        clicks: Click,
        grids: Grids,
        *,
        logits: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Predict the masks of N objects from points; all have the same number of them.

        Args:
            features: Features of the frame.
            image: N×h·w×C, from `condition` or `without_memory`.
            clicks: The points.
            grids: Position encodings of the input size.
            logits: N×4h×4w masks without the points, to be corrected; None if there are
                none.
            threshold: See `track`.
        """
        prompts, decoder = self.sam_prompt_encoder, self.sam_mask_decoder
        if self.end_points is not None:
            clicks = clicks.ends(self.end_points)
        mask = None
        if logits is not None:
            mask = prompts(logits[:, None].clamp(-_PROMPT_LIMIT, _PROMPT_LIMIT))
        points = prompts.points(clicks.places, clicks.kinds, grids.image_size)
        decoded = self.decode(image, grids, mask=mask, points=points)
        drawn = decoder.draw_all(
            decoded.image, decoded.masks, features.fine, features.middle
        ).float()
        # A single point is ambiguous. For several points the mask is candidate 0, or
        # the best other candidate if that mask is not stable; the pointer is always
        # that of candidate 0.
        best = decoded.iou[:, 1:].argmax(1) + 1
        if len(clicks) > 1:
            pointer = torch.zeros_like(best)
            choice = torch.where(_stable(drawn[:, 0]), pointer, best)
        else:
            pointer = choice = best
        rows = torch.arange(len(best), device=best.device)
        present = decoded.presence > threshold
        return Seen(
            logits=torch.where(present[:, None, None], drawn[rows, choice], ABSENT),
            presence=decoded.presence.float(),
            iou=decoded.iou[rows, choice].float(),
            pointers=self.pointers(decoded.masks[rows, pointer], present),
        )

    def track(
        self,
        features: Features,
        decoded: Decoded,
        *,
        choice: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Predict the masks of N objects that have memories.

        Args:
            features: Features of the frame.
            decoded: From `decode`, without a prompt.
            choice: N numbers of the candidates to use, from 1 to 3; None for those
                with the highest predicted IoU.
            threshold: An object is visible if its presence is above this.
        """
        rows = torch.arange(len(decoded.presence), device=decoded.presence.device)
        if choice is None:
            # Candidate 0 is for unambiguous prompts; memories may be ambiguous.
            choice = decoded.iou[:, 1:].argmax(1) + 1
        tokens = decoded.masks[rows, choice]
        present = decoded.presence > threshold
        logits = tokens.new_full(
            (len(choice), *features.fine.shape[2:]), ABSENT, dtype=torch.float32
        )
        if present.any():
            logits[present] = self.sam_mask_decoder.draw(
                decoded.image[present],
                tokens[present],
                choice[present],
                features.fine,
                features.middle,
            ).float()
        return Seen(
            logits=logits,
            presence=decoded.presence.float(),
            iou=decoded.iou[rows, choice].float(),
            pointers=self.pointers(tokens, present),
        )

    def draw_candidates(self, features: Features, decoded: Decoded) -> Tensor:
        """Logits N×3×4h×4w of the candidates that `track` chooses from."""
        drawn = self.sam_mask_decoder.draw_all(
            decoded.image, decoded.masks, features.fine, features.middle
        )
        return drawn[:, 1:].float()

    def enlarge(self, logits: Tensor, grids: Grids) -> Tensor:
        """Resize logits N×K×4h×4w to the resolution of the input: N×K×S×S."""
        size = (grids.image_size, grids.image_size)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def at_input(self, seen: Seen, grids: Grids) -> Tensor:
        """Logits N×S×S of N objects, of which memories are made."""
        return self.enlarge(seen.logits[:, None], grids)[:, 0]

    def remember(
        self,
        features: Features,
        logits: Tensor,
        presence: Tensor,
        *,
        scale: float,
        bias: float,
    ) -> Tensor:
        """Encode the masks of N objects into memories.

        Args:
            features: Features of the frame.
            logits: N×S×S, at the resolution of the input.
            presence: N logits.
            scale: Factor of the mask's probabilities.
            bias: Added to them after that.

        Returns:
            N×h·w×M.
        """
        memories = self.memory_encoder(
            features.projected, torch.sigmoid(logits[:, None]) * scale + bias
        )
        if self.config.timed_pointers:
            absent = (presence <= 0).to(memories.dtype)
            mark = (
                absent[:, None, None, None] * self.no_obj_embed_spatial[..., None, None]
            )
            memories = memories + mark
        return to_tokens(memories)

    def time_codes(self, places: Tensor) -> Tensor:
        """Time codes: N indices to N×1×M."""
        return self.maskmem_tpos_enc[places][:, 0]

    def pointer_tokens(self, pointers: Tensor) -> Tensor:
        """Cut pointers N×P×C into tokens N×P·C/M×M."""
        return pointers.reshape(len(pointers), -1, self.config.memory_channels)

    def pointer_times(self, ages: Tensor) -> Tensor:
        """Codes of the ages of pointers, for each of their tokens.

        Args:
            ages: N×P, in frames, divided by the greatest age in the window.

        Returns:
            N×P·C/M×M; zeros in SAM 2.0, which does not encode the age.
        """
        pieces = self.config.channels // self.config.memory_channels
        if self.config.timed_pointers:
            codes: Tensor = self.obj_ptr_tpos_proj(
                sine_steps(ages, self.config.channels)
            )
        else:
            codes = ages.new_zeros(*ages.shape, self.config.memory_channels)
        return codes.repeat_interleave(pieces, 1)

    def pointers(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Pointers N×C from mask tokens; absent objects all have the same pointer."""
        pointers: Tensor = self.obj_ptr_proj(tokens)
        return torch.where(present[:, None], pointers, self.no_obj_ptr)


class Sam2Network(TrackerNetwork):
    """SAM 2 with its image encoder."""

    image_encoder: ImageEncoder[Hiera]

    def __init__(
        self, config: Sam2Config, *, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        """Build the network.

        Args:
            config: Its shape.
            dropout: Share of values that training drops in the memory attention.
            drop_path: Probability that training skips the trunk's last block for an
                image.
        """
        encoder = ImageEncoder(
            Hiera(config.trunk, drop_path=drop_path),
            Neck(config.trunk.stage_channels, config.channels),
        )
        super().__init__(config, encoder, dropout=dropout)


def shrink(x: Tensor, side: int) -> Tensor:
    """Resize N×H×W to N×side×side; each pixel is a mean over its area."""
    return F.interpolate(
        x[:, None],
        size=(side, side),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[:, 0]


def to_tokens(x: Tensor) -> Tensor:
    """N×C×h×w to N×h·w×C."""
    return x.flatten(2).transpose(1, 2)


def _stable(logits: Tensor) -> Tensor:
    """Whether the areas of N×h×w logits hardly depend on the threshold: N bool."""
    logits = logits.flatten(1)
    inner = (logits > _STABILITY_DELTA).sum(1).float()
    outer = (logits > -_STABILITY_DELTA).sum(1).float()
    return torch.where(outer > 0, inner / outer, 1.0) >= _STABILITY
